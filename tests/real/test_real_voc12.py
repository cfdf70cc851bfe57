"""VOC 2012: real photographs with their palette label maps, and the release's five lists, whole and as archives."""

import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale import datasets
from attscale.data import verify
from attscale.data.images import read_image, read_label, voc_palette, write_index, write_label
from attscale.data.lists import read_list
from attscale.prepare import voc12
from attscale.prepare.ledger import Ledger
from conftest import real_files
from helpers.archives import jpeg, label, mat, palette_png, prepared, tar

VOC = datasets.find("voc12")
LABELS = real_files("voc2012/SegmentationClassAug/*.png")
# docs/release.md, Protocol: how many lines, and how the sha256 begins (not known of train)
LISTS = {
    "train": (1464, ""),
    "train_aug": (10582, "656221098f98c756"),
    "val": (1449, "e8e5e47a6710a667"),
    "trainval_aug": (12031, "ba7832c99bf8df07"),
    "test": (1456, "ec3a15639bfa6747"),
}


def indices(path):
    """Pillow's reading of a palette PNG."""
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)


@pytest.fixture
def ids(real):
    """The ids of the release's lists, in their order."""
    paths = {name: real / f"voc2012/list/{name}.txt" for name in LISTS}
    photographs = {name: [line.split()[0] for line in path.read_text().splitlines()] for name, path in paths.items()}
    return {name: [line.removeprefix("/JPEGImages/")[:11] for line in lines] for name, lines in photographs.items()}


@pytest.mark.parametrize("path", LABELS)
def test_a_label_map_is_read_as_its_indices(path):
    """Against Pillow, and against the colours that OpenCV sees: the palette is VOC's."""
    got = read_label(path)
    assert (got.dtype, got.ndim) == (np.uint8, 2)
    assert np.array_equal(got, indices(path))
    assert set(np.unique(got)) <= {*range(21), 255}
    assert np.array_equal(voc_palette()[got][..., ::-1], cv2.imread(str(path)))


@pytest.mark.parametrize("path", LABELS)
def test_a_label_map_has_the_size_of_its_photograph(path):
    photograph = path.parent.parent / f"JPEGImages/{path.stem}.jpg"
    with Image.open(photograph) as image:
        assert image.size == indices(path).shape[::-1]
        rgb = np.array(image).astype(int)
    image = read_image(photograph)
    assert image.shape[:2] == read_label(path).shape
    assert np.abs(image[..., ::-1].astype(int) - rgb).mean() < 1  # two decoders: BGR here, RGB there


@pytest.mark.parametrize("path", LABELS)
def test_a_label_map_survives_writing(path, tmp_path):
    """With the real file's own palette, or as plain indices."""
    write_label(tmp_path / "palette.png", read_label(path))
    write_index(tmp_path / "index.png", read_label(path))
    with Image.open(path) as there, Image.open(tmp_path / "palette.png") as here:
        assert here.getpalette() == there.getpalette()
    assert np.array_equal(indices(tmp_path / "palette.png"), indices(path))
    with Image.open(tmp_path / "index.png") as plain:
        assert plain.mode == "L"
        assert np.array_equal(np.array(plain), indices(path))


def test_all_pairs_can_be_trained_on(real):
    folder = real / "voc2012"
    maps = sorted((folder / "SegmentationClassAug").iterdir())
    report = verify.check([(folder / f"JPEGImages/{path.stem}.jpg", path) for path in maps], len(VOC.classes))
    assert report.pairs == 13
    report.raise_faults(folder)
    assert np.array_equal(report.pixels, sum(np.bincount(indices(path).ravel(), minlength=256) for path in maps))


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_the_release_is_read(name, real, ids):
    path = real / f"voc2012/list/{name}.txt"
    count, digest = LISTS[name]
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest)
    pairs = read_list(real / "voc2012", f"list/{name}.txt", labels=name != "test")
    assert len(pairs) == count == VOC.sizes[name]
    for pair, image in zip(pairs, ids[name], strict=True):
        photograph = real / f"voc2012/JPEGImages/{image}.jpg"
        truth = None if name == "test" else real / f"voc2012/SegmentationClassAug/{image}.png"
        assert pair == (photograph, truth)


def test_the_releases_lists_are_in_order_of_id_and_made_of_each_other(ids):
    """trainval_aug too: val is sorted into train_aug, not put after it."""
    for members in ids.values():
        assert members == sorted(set(members))
    assert ids["trainval_aug"] == sorted(ids["train_aug"] + ids["val"]) != ids["train_aug"] + ids["val"]
    assert set(ids["train"]) < set(ids["train_aug"])
    assert set(ids["train_aug"]).isdisjoint(ids["val"])


def voc_archive(path, folder, images, label_maps, lists):
    """An archive of VOC 2012: `images` and `label_maps` are contents by id, `lists` ids by split."""
    members = {f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg": data for name, data in images.items()}
    members |= {f"VOCdevkit/VOC2012/{folder}/{name}.png": data for name, data in label_maps.items()}
    for split, names in lists.items():
        members[f"VOCdevkit/VOC2012/ImageSets/Segmentation/{split}.txt"] = "".join(f"{n}\n" for n in names).encode()
    tar(path, members)


def sbd_archive(path, label_maps):
    """SBD's archive; every second image is of its own val."""
    members = {f"benchmark_RELEASE/dataset/cls/{name}.mat": data for name, data in label_maps.items()}
    for split, names in (("train", list(label_maps)[::2]), ("val", list(label_maps)[1::2])):
        members[f"benchmark_RELEASE/dataset/{split}.txt"] = "".join(f"{name}\n" for name in names).encode()
    tar(path, members, "w:gz")


@pytest.fixture
def official(ids, tmp_path):
    """A folder with archives of the official numbers of members with the official names, each a tiny picture."""
    photograph, annotation = jpeg(), palette_png(label(1))
    own = ids["train"] + ids["val"]
    voc_archive(
        tmp_path / "VOCtrainval_11-May-2012.tar", "SegmentationClass",
        dict.fromkeys(ids["trainval_aug"], photograph), dict.fromkeys(own, annotation),
        {"train": ids["train"], "val": ids["val"]},
    )  # fmt: skip
    others = sorted(set(ids["train_aug"]) - set(ids["train"]))
    sbd_archive(tmp_path / "benchmark.tgz", dict.fromkeys(others + ids["val"], mat(GTcls={"Segmentation": label(2)})))
    voc_archive(
        tmp_path / "VOC2012test.tar", "SegmentationClass", dict.fromkeys(ids["test"], photograph), {},
        {"test": ids["test"]},
    )  # fmt: skip
    return tmp_path


def test_archives_with_the_real_ids_give_the_releases_five_lists(official, real):
    """Byte for byte; they are made before the images are unpacked."""

    class MadeError(Exception):
        pass

    def check(lists):
        made.update({file.name: file for file in lists})
        raise MadeError

    made = {}
    with pytest.raises(MadeError):
        voc12.prepare(Ledger(official / "root"), official, check=check)
    assert sorted(made) == sorted(LISTS)
    for name, file in made.items():
        released = (real / f"voc2012/list/{name}.txt").read_bytes()
        assert file.text.encode() == released
        assert hashlib.sha256(released).hexdigest().startswith(file.sha256)


@pytest.mark.slow
def test_the_command_writes_the_releases_five_lists(official, real, tool):
    done = prepared(tool, "voc12")
    assert "sha256" not in done.stderr + done.stdout  # what is said of a list that is not the release's
    for name in LISTS:
        assert (official / f"root/list/{name}.txt").read_bytes() == (real / f"voc2012/list/{name}.txt").read_bytes()


def test_archives_of_the_real_pictures(real, tmp_path, tool):
    """Palette PNGs become index PNGs, SBD's .mat label maps, and where both have an image VOC's annotation is kept."""
    folder = real / "voc2012"
    maps = {path.stem: path for path in sorted((folder / "SegmentationClassAug").iterdir())}
    names = list(maps)
    own, val = names[:5], names[3:5]
    voc_archive(
        tmp_path / "VOCtrainval_11-May-2012.tar", "SegmentationClass",
        {name: (folder / f"JPEGImages/{name}.jpg").read_bytes() for name in names},
        {name: maps[name].read_bytes() for name in own}, {"train": own[:3], "val": val},
    )  # fmt: skip
    coarser = {name: np.zeros_like(indices(maps[name])) for name in val}
    sbd = {name: mat(GTcls={"Segmentation": indices(maps[name])}) for name in names[5:]}
    sbd |= {name: mat(GTcls={"Segmentation": values}) for name, values in coarser.items()}
    sbd_archive(tmp_path / "benchmark.tgz", sbd)
    done = prepared(tool, "voc12", "--any-count")
    assert "train 3, val 2, train_aug 11, trainval_aug 13" in done.stdout
    for name, path in maps.items():
        with Image.open(tmp_path / f"root/SegmentationClassAug/{name}.png") as made:
            assert made.mode == "L"
            assert np.array_equal(np.array(made), indices(path))
        photograph = tmp_path / f"root/JPEGImages/{name}.jpg"
        assert photograph.read_bytes() == (folder / f"JPEGImages/{name}.jpg").read_bytes()
    checked = tool("prepare_data", "voc12", "--root", "root", "--verify")
    assert checked.returncode == 0, checked.stderr
    assert "root/list/trainval_aug.txt: 13 pairs" in checked.stdout
