"""PASCAL VOC 2012 with SBD from miniature archives, through the command, whole and damaged."""

import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from attscale import datasets
from attscale.data.images import read_label, voc_palette
from attscale.data.lists import read_list
from attscale.errors import DataError
from attscale.prepare import voc12
from attscale.prepare.ledger import Ledger
from attscale.scoring import evaluate
from helpers.archives import H, W, files, jpeg, label, mat, palette_png, prepared, refused, saved, tar

TRAINVAL, SBD = "VOCtrainval_11-May-2012.tar", "benchmark.tgz"


def voc_members():
    """Two images of train, one of val; SBD has one of train (with another annotation), the one of val, and two more."""
    names = ["2007_000001", "2007_000002", "2008_000003", "2008_000004", "2009_000005", "2009_000006"]
    members = {f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg": jpeg(i) for i, name in enumerate(names)}
    for name, values in ((names[0], (0, 1)), (names[1], (255, 20)), (names[2], (3, 0))):
        members[f"VOCdevkit/VOC2012/SegmentationClass/{name}.png"] = palette_png(label(*values))
        members[f"VOCdevkit/VOC2012/SegmentationObject/{name}.png"] = palette_png(label(1))
    lists = "VOCdevkit/VOC2012/ImageSets/Segmentation"
    members[f"{lists}/train.txt"] = f"{names[0]}\n{names[1]}\n".encode()
    members[f"{lists}/val.txt"] = f"{names[2]}\n".encode()
    return members


def sbd_members():
    sbd = {"2007_000001": (5, 5), "2008_000003": (6, 6), "2008_000004": (0, 7), "2009_000005": (8, 0)}
    members = {
        f"benchmark_RELEASE/dataset/cls/{name}.mat": mat(GTcls={"Segmentation": label(*values), "Boundaries": 0})
        for name, values in sbd.items()
    }
    members["benchmark_RELEASE/dataset/train.txt"] = b"2007_000001\n2009_000005\n"
    members["benchmark_RELEASE/dataset/val.txt"] = b"2008_000003\n2008_000004\n"
    members["benchmark_RELEASE/dataset/img/2009_000005.jpg"] = jpeg(9)
    return members


@pytest.fixture
def voc(tmp_path):
    tar(tmp_path / TRAINVAL, voc_members())
    tar(tmp_path / SBD, sbd_members(), "w:gz")
    return tmp_path


def test_voc_from_its_two_archives(voc, tool):
    done = prepared(tool, "voc12", "--any-count")
    assert "train 2, val 1, train_aug 4, trainval_aug 5" in done.stdout
    root = voc / "root"
    ids = {name: [pair[0].stem for pair in read_list(root, f"list/{name}.txt")] for name in ("train", "val")}
    assert ids == {"train": ["2007_000001", "2007_000002"], "val": ["2008_000003"]}
    assert (root / "list/train_aug.txt").read_text() == "".join(
        f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n"
        for name in ("2007_000001", "2007_000002", "2008_000004", "2009_000005")  # without val's 2008_000003
    )
    expected = {
        "2007_000001": (0, 1),  # VOC's own, not SBD's (5, 5)
        "2007_000002": (255, 20),
        "2008_000003": (3, 0),  # VOC's own, not SBD's (6, 6)
        "2008_000004": (0, 7),
        "2009_000005": (8, 0),
    }
    for name, values in expected.items():
        path = root / f"SegmentationClassAug/{name}.png"
        assert np.array_equal(read_label(path), label(*values))
        assert Image.open(path).mode == "L"  # an index PNG, which any tool reads as indices
    assert sorted(path.stem for path in (root / "SegmentationClassAug").iterdir()) == sorted(expected)
    told = [line.split(": ")[0] for line in done.stdout.splitlines() if "members, order or form differ" in line]
    assert told == [f"root/list/{name}.txt" for name in ("val", "train_aug", "trainval_aug")]  # the release has those


def test_voc_test_images_have_a_list_without_label_maps(voc, tool):
    members = {"VOCdevkit/VOC2012/JPEGImages/2012_000001.jpg": jpeg(7)}
    members["VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt"] = b"2012_000001\n"
    tar(voc / "VOC2012test.tar", members)
    prepared(tool, "voc12", "--any-count")
    assert (voc / "root/list/test.txt").read_text() == "/JPEGImages/2012_000001.jpg\n"
    assert (voc / "root/JPEGImages/2012_000001.jpg").read_bytes() == jpeg(7)


def test_running_again_keeps_what_is_there_and_a_new_archive_begins_anew(voc, tool):
    prepared(tool, "voc12", "--any-count")
    target = voc / "root/SegmentationClassAug/2009_000005.png"
    before = target.stat().st_mtime_ns
    prepared(tool, "voc12", "--any-count")
    assert target.stat().st_mtime_ns == before
    members = sbd_members()
    members["benchmark_RELEASE/dataset/cls/2009_000005.mat"] = mat(GTcls={"Segmentation": label(9, 9)})
    tar(voc / "benchmark.tgz", members, "w:gz")
    prepared(tool, "voc12", "--any-count")
    assert np.array_equal(read_label(target), label(9, 9))


def test_a_record_that_is_none(voc, tool):
    (voc / "root").mkdir()
    (voc / "root/.prepared.json").write_text("{")
    refused(tool, "voc12", "root/.prepared.json: not readable: ", "(remove it to prepare the set anew)")


def test_files_lost_or_spoiled_since_are_made_again(voc, tool):
    prepared(tool, "voc12", "--any-count")
    root = voc / "root"
    whole = {name: (root / name).read_bytes() for name in files(root)}
    kept = root / "JPEGImages/2008_000003.jpg"
    before = kept.stat().st_mtime_ns
    for name, spoil in (
        ("JPEGImages/2009_000005.jpg", Path.unlink),
        ("JPEGImages/2009_000005.jpg", lambda path: path.write_bytes(b"x")),
        ("JPEGImages/2009_000005.jpg", lambda path: path.write_bytes(bytes(path.stat().st_size))),
        ("SegmentationClassAug/2007_000001.png", Path.unlink),  # VOC's
        ("SegmentationClassAug/2008_000004.png", lambda path: path.write_bytes(bytes(path.stat().st_size))),  # SBD's
        ("ImageSets/SBD/train.txt", Path.unlink),
    ):
        spoil(root / name)
        prepared(tool, "voc12", "--any-count")
        assert (root / name).read_bytes() == whole[name]
    assert kept.stat().st_mtime_ns == before  # and nothing else is


def test_a_new_archive_that_lacks_a_member_is_refused_though_an_earlier_one_had_it(voc, tool):
    prepared(tool, "voc12", "--any-count")
    tar(voc / SBD, changed(sbd_members(), {LABEL_5: None}), "w:gz")
    for _ in range(2):
        refused(tool, "voc12", "benchmark.tgz: lacks SegmentationClassAug/2009_000005.png")
        assert files(voc / "root/list") == []  # what they name is no more what they were made of
    tar(voc / SBD, sbd_members(), "w:gz")
    tar(voc / TRAINVAL, changed(voc_members(), {VAL: None}))
    refused(tool, "voc12", "lacks ImageSets/Segmentation/val.txt")
    tar(voc / TRAINVAL, changed(voc_members(), {"VOCdevkit/VOC2012/JPEGImages/2008_000003.jpg": None}))
    refused(tool, "voc12", "lacks JPEGImages/2008_000003.jpg; is it cut short?")


def test_counts_of_the_paper_are_demanded(voc, tool):
    refused(tool, "voc12", "list train would have 2 members, expected 1464", "--any-count", arguments=())
    assert not (voc / "root/list").exists()
    assert not (voc / "root/JPEGImages").exists()  # before they are unpacked
    assert not (voc / "root/SegmentationClassAug").exists()


def test_instance_maps_lie_where_evaluation_by_size_looks_for_them(voc):
    made = {file.name: file for file in voc12.prepare(Ledger(voc / "root"), voc)}
    tally = evaluate.evaluate(Everywhere(), made["val"].pairs(voc / "root"), by_size=True)
    ((size, weights),) = tally.objects
    assert (size, weights.tolist()) == (np.sqrt(H * W), [0.75, 0.25])


class Everywhere:
    """A predictor that sees nothing, with the same weights of two scales everywhere."""

    model = SimpleNamespace(dataset=datasets.find("voc12"))

    def forward(self, image, names):
        self.shape = image.shape[:2]

    def labels(self):
        return np.zeros(self.shape, np.uint8)

    def attention(self):
        return np.full((2, *self.shape), [[[0.75]], [[0.25]]])

    def recalibration(self):
        return None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"val": b"2008_000003\n2008_000003\n"}, "val.txt: has 2008_000003 twice"),
        ({"val": b"2008_000003\n2007_000002\n"}, f"{TRAINVAL}: has 2007_000002 in train and in val"),
        ({"train": b"2007_000001\n\n2007_000002\n2007_000001\n"}, "train.txt: has 2007_000001 twice"),
    ],
)
def test_ids_that_are_there_twice(changes, said, voc):
    lists = "VOCdevkit/VOC2012/ImageSets/Segmentation"
    tar(voc / TRAINVAL, {**voc_members(), **{f"{lists}/{name}.txt": data for name, data in changes.items()}})
    with pytest.raises(DataError, match=said):
        voc12.prepare(Ledger(voc / "root"), voc)


LABEL_4, LABEL_5 = (f"benchmark_RELEASE/dataset/cls/{name}.mat" for name in ("2008_000004", "2009_000005"))
VAL = "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
COLOUR = voc_palette()[label(0, 1)]
ENDED = "not readable: Compressed file ended before the end-of-stream marker"
LINK = "VOCdevkit/VOC2012/JPEGImages/2010_000001.jpg"


def changed(members, changes):
    """The members with those of `changes` in front of them, or without those that are None there."""
    return {name: data for name, data in {**changes, **members, **changes}.items() if data is not None}


def voc_with(changes, links=()):
    return lambda folder: tar(folder / TRAINVAL, changed(voc_members(), changes), links=links)


def sbd_with(changes):
    return lambda folder: tar(folder / SBD, changed(sbd_members(), changes), "w:gz")


def lists_first(folder):
    members = voc_members()
    tar(folder / TRAINVAL, changed(members, {name: data for name, data in members.items() if name.endswith(".txt")}))


def rewritten(name, change):
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


def label_4(**values):
    return sbd_with({LABEL_4: mat(**values)})


SPOILT = {
    "cut in an image": (
        rewritten(TRAINVAL, lambda data: data[: data.index(jpeg(1)) + 700]),
        f"{TRAINVAL}: not readable: unexpected end of data",
    ),
    "cut in an image behind the lists": (
        lambda folder: (lists_first(folder), SPOILT["cut in an image"][0](folder)),
        f"{TRAINVAL}: not readable: unexpected end of data",
    ),
    "cut between members": (  # where a header would follow, which tarfile takes for the end
        rewritten(TRAINVAL, lambda data: data[: data.rindex(b"VOCdevkit/VOC2012/ImageSets")]),
        f"{TRAINVAL}: lacks ImageSets/Segmentation/val.txt; is it cut short?",
    ),
    "half": (
        rewritten(TRAINVAL, lambda data: data[: len(data) // 2]),
        f"{TRAINVAL}: lacks ImageSets/Segmentation/train.txt; is it cut short?",
    ),
    "half of the zipped": (rewritten(SBD, lambda data: data[: len(data) // 2]), f"{SBD}: {ENDED}"),
    "without its last block": (rewritten(SBD, lambda data: data[:-400]), f"{SBD}: {ENDED}"),
    "without its checksum": (rewritten(SBD, lambda data: data[:-8]), f"{SBD}: {ENDED}"),
    "a byte": (rewritten(SBD, flipped), f"{SBD}: "),
    "another checksum": (
        rewritten(SBD, lambda data: data[:-8] + bytes(4) + data[-4:]),
        f"{SBD}: cannot be read: CRC check failed",
    ),
    "a page": (rewritten(SBD, lambda data: b"<html>404</html>"), f"{SBD}: not readable: "),
    "no list": (voc_with({VAL: None}), f"{TRAINVAL}: lacks ImageSets/Segmentation/val.txt; is it cut short?"),
    "no label map": (sbd_with({LABEL_5: None}), f"{SBD}: lacks SegmentationClassAug/2009_000005.png"),
    "no such variable": (label_4(other=1), "cls/2008_000004.mat: not readable: there is no 'GTcls'"),
    "no such field": (label_4(GTcls={"Boundaries": 1}), "2008_000004.mat: not readable: 'mat_struct' object has no"),
    "no MATLAB": (sbd_with({LABEL_4: b"MATLAB 5.0 no"}), "cls/2008_000004.mat: not readable: "),
    "a class": (
        label_4(GTcls={"Segmentation": label(0, 21)}),
        "2008_000004.mat: 300 pixels have the value 21, expected a class from 0 to 20 or 255",
    ),
    "halves": (label_4(GTcls={"Segmentation": label(0, 1) / 2}), "2008_000004.mat: not readable: Cannot cast"),
    "a size": (
        label_4(GTcls={"Segmentation": label(1, size=(H, W + 1))}),
        "2008_000004.jpg is 30x20 pixels, its label",
    ),
    "an image": (
        voc_with({"VOCdevkit/VOC2012/JPEGImages/2009_000005.jpg": jpeg(4)[:-300]}),
        "2009_000005.jpg: not a readable image",
    ),
    "a colour picture": (
        voc_with({"VOCdevkit/VOC2012/SegmentationClass/2007_000001.png": saved(Image.fromarray(COLOUR))}),
        "2007_000001.png: a label map must be a PNG of 8-bit class indices",
    ),
    "a way out": (
        sbd_with({"benchmark_RELEASE/../../../evil": b"x"}),
        "the member 'benchmark_RELEASE/../../../evil' would land outside of its folder",
    ),
    "an absolute path": (
        sbd_with({"/tmp/attscale-evil": b"x"}),
        "the member '/tmp/attscale-evil' would land outside of its folder",
    ),
    "a link": (voc_with({}, [(LINK, tarfile.SYMTYPE)]), f"the member {LINK!r} is a link or a device"),
    "a hard link": (voc_with({}, [(LINK, tarfile.LNKTYPE)]), f"the member {LINK!r} is a link or a device"),
    "a device": (voc_with({}, [("x", tarfile.CHRTYPE)]), "the member 'x' is a link or a device"),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_damaged_archives(spoil, said, voc, tool):
    """One line, no list that training would take, and nothing outside; a good archive afterwards mends it all."""
    spoil(voc)
    refused(tool, "voc12", said)
    assert not (voc / "root/list").exists()
    assert not list(voc.rglob("*evil*"))
    tar(voc / TRAINVAL, voc_members())
    tar(voc / SBD, sbd_members(), "w:gz")
    voc12.prepare(Ledger(voc / "root"), voc)
    assert np.array_equal(read_label(voc / "root/SegmentationClassAug/2008_000004.png"), label(0, 7))
    assert (voc / "root/JPEGImages/2009_000005.jpg").read_bytes() == jpeg(4)


def test_derived_lists_have_the_releases_form(voc):
    """Counted by hand from the sets: train_aug is SBD and VOC's train, less VOC's val."""
    made = {file.name: file for file in voc12.prepare(Ledger(voc / "root"), voc)}
    assert [line.split()[0][12:23] for line in made["trainval_aug"].text.splitlines()] == [
        *("2007_000001", "2007_000002", "2008_000003", "2008_000004", "2009_000005"),
    ]
    assert made["train_aug"].sha256 == "656221098f98c756"
