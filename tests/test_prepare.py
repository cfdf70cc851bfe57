"""Miniature archives in exactly the formats of the official ones, through the command, whole and damaged."""

import contextlib
import functools
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from PIL import Image
from pycocotools import mask as rle

from attscale.data.datasets import COCO_CLASSES, VOC_CLASSES
from attscale.data.images import read_label, voc_palette
from attscale.data.lists import read_list
from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import coco, ledger, voc10_part, voc12
from attscale.prepare.ledger import Ledger
from conftest import one_line_error

H, W = 20, 30


def jpeg(seed=0, size=(H, W)):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def palette_png(label):
    image = Image.fromarray(label, mode="L")
    image.putpalette(voc_palette().tobytes())
    return saved(image)


def saved(image):
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def label(*values, size=(H, W)):
    """Columns of equal width, a value each."""
    return np.repeat(np.array(values, np.uint8), -(-size[1] // len(values)))[None, : size[1]].repeat(size[0], axis=0)


def mat(**values):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, values, do_compression=True)
    return buffer.getvalue()


def tar(path, members, mode="w", links=()):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def prepared(tool, name, *arguments):
    done = tool("prepare_data", name, "--root", "root", "--archives", ".", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def refused(tool, name, *said, arguments=("--any-count",)):
    one_line_error(tool("prepare_data", name, "--root", "root", "--archives", ".", *arguments), *said)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# PASCAL VOC 2012 with SBD


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
    tar(tmp_path / "VOCtrainval_11-May-2012.tar", voc_members())
    tar(tmp_path / "benchmark.tgz", sbd_members(), "w:gz")
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
    assert "is 2 members" not in done.stderr


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


def written(archive, *steps):
    """What a run of step "s" writes for each (name, content): a KeyboardInterrupt as the content ends it there."""
    root, result = archive.parent / "root", []

    def content(value):
        if value is KeyboardInterrupt:
            raise KeyboardInterrupt
        return value

    def write(path, value):
        result.append(path.name)
        write_bytes(path, value)

    with contextlib.suppress(KeyboardInterrupt), Ledger(root).step("s", archive) as make:
        for name, value in steps if make else ():
            make(root / name, write, functools.partial(content, value))
    return result


def test_an_interrupted_step_goes_on_with_what_it_made_of_the_same_archive(tmp_path):
    archive, stop = tmp_path / "a.tar", ("stop", KeyboardInterrupt)
    archive.write_bytes(b"one")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").touch()  # a file of unknown origin is not trusted
    assert written(archive, ("a", b"1"), ("b", b"1"), stop, ("c", b"1")) == ["a", "b"]
    assert written(archive, ("a", b"1"), ("b", b"1"), stop) == []
    (tmp_path / "root/a").write_bytes(b"")  # after a power failure, say
    assert written(archive, ("a", b"1"), ("b", b"1"), stop) == ["a"]
    archive.write_bytes(b"other")  # the archive changed: nothing is kept, also not by the try after the next
    assert written(archive, ("a", b"2"), stop) == ["a"]
    assert written(archive, ("a", b"2"), ("b", b"2"), ("c", b"2"), ("none", None)) == ["b", "c"]
    assert Ledger(tmp_path / "root").files("s") == {tmp_path / "root" / name for name in "abc"}
    assert written(archive, ("a", b"3")) == []  # done
    (tmp_path / "root/b").unlink()
    assert written(archive, ("a", b"2"), ("b", b"2"), ("c", b"2")) == ["b"]


def test_a_run_that_is_killed_has_noted_its_files_by_then(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "INTERVAL", 0)
    archive, path = tmp_path / "a.tar", tmp_path / "a"
    archive.touch()
    with Ledger(tmp_path).step("s", archive) as make:
        make(path, write_bytes, lambda: b"1")
        as_if_killed = Ledger(tmp_path)
    with as_if_killed.step("s", archive) as make:
        make(path, write_bytes, pytest.fail)


def test_a_record_that_is_none(voc, tool):
    for text in ("[]", "{", '{"voc": []}', '{"voc": {"from": [], "done": true}}'):
        (voc / "root").mkdir(exist_ok=True)
        (voc / "root/.prepared.json").write_text(text)
        refused(tool, "voc12", "root/.prepared.json: ", "remove it to prepare the set anew")


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
    said = spoil_missing(voc)
    for _ in range(2):
        refused(tool, "voc12", said)
        assert files(voc / "root/list") == []  # what they name is no more what they were made of
    tar(voc / "benchmark.tgz", sbd_members(), "w:gz")
    members = voc_members()
    del members["VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"]
    tar(voc / "VOCtrainval_11-May-2012.tar", members)
    refused(tool, "voc12", "lacks the list val.txt")
    members = voc_members()
    del members["VOCdevkit/VOC2012/JPEGImages/2008_000003.jpg"]
    tar(voc / "VOCtrainval_11-May-2012.tar", members)
    refused(tool, "voc12", "lacks JPEGImages/2008_000003.jpg; is it cut short?")


def test_counts_of_the_paper_are_demanded(voc, tool):
    refused(tool, "voc12", "list train would have 2 members, expected 1464", "--any-count", arguments=())
    assert not (voc / "root/list").exists()


def test_missing_archives_are_listed_with_their_pages(tool, tmp_path):
    for name, said in (
        ("voc12", ("VOCtrainval_11-May-2012.tar", "robots.ox.ac.uk", "benchmark.tgz", "home.bharathh.info")),
        ("voc10_part", ("VOCtrainval_03-May-2010.tar",)),
        ("coco", ("annotations_trainval2014.zip", "train2014.zip", "val2014.zip", "cocodataset.org")),
        ("ade20k", ("ADEChallengeData2016.zip", "sceneparsing.csail.mit.edu")),
    ):
        refused(tool, name, *said)
    tar(tmp_path / "VOCtrainval_03-May-2010.tar", {})
    refused(tool, "voc10_part", "pascal_person_part.zip", "or trainval.tar.gz")


def spoil_truncated(voc):
    path = voc / "VOCtrainval_11-May-2012.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "VOCtrainval_11-May-2012.tar: damaged or cut short"


def spoil_cut_inside_a_wanted_member(voc):
    path = voc / "VOCtrainval_11-May-2012.tar"
    data = path.read_bytes()
    path.write_bytes(data[: data.index(jpeg(1)) + 700])
    return "VOCtrainval_11-May-2012.tar: VOCdevkit/VOC2012/JPEGImages/2007_000002.jpg: damaged or cut short"


def spoil_byte_in_gzip(voc):
    path = voc / "benchmark.tgz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    return "benchmark.tgz: "


def spoil_lacking_list(voc):
    members = voc_members()
    del members["VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"]
    tar(voc / "VOCtrainval_11-May-2012.tar", members)
    return "VOCtrainval_11-May-2012.tar: lacks the list val.txt; is it cut short?"


def spoil_truncated_between_members(voc):
    """Cut where a header would follow, which tarfile alone takes for the end."""
    path = voc / "VOCtrainval_11-May-2012.tar"
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"VOCdevkit/VOC2012/ImageSets")])
    return "VOCtrainval_11-May-2012.tar: damaged or cut short: no end of archive"


def spoil_truncated_gzip(voc):
    path = voc / "benchmark.tgz"
    path.write_bytes(path.read_bytes()[:-400])
    return "benchmark.tgz: damaged or cut short"


def spoil_other_file(voc):
    (voc / "benchmark.tgz").write_bytes(b"<html>404</html>")
    return "benchmark.tgz: damaged or cut short"


def spoil_member(name, data):
    def spoil(voc):
        tar(voc / "benchmark.tgz", sbd_members() | {f"benchmark_RELEASE/dataset/cls/{name}.mat": data}, "w:gz")

    return spoil


def spoil_key(voc):
    spoil_member("2008_000004", mat(other=1))(voc)
    return "cls/2008_000004.mat: has no key 'GTcls', only other"


def spoil_field(voc):
    spoil_member("2008_000004", mat(GTcls={"Boundaries": 1}))(voc)
    return "cls/2008_000004.mat: has no field 'Segmentation'"


def spoil_mat(voc):
    spoil_member("2008_000004", b"MATLAB 5.0 no")(voc)
    return "cls/2008_000004.mat: not a readable .mat file"


def spoil_class(voc):
    spoil_member("2008_000004", mat(GTcls={"Segmentation": label(0, 21)}))(voc)
    return "2008_000004.mat: 300 pixels have the value 21, expected a class from 0 to 20 or 255"


def spoil_size(voc):
    spoil_member("2008_000004", mat(GTcls={"Segmentation": label(1, size=(H, W + 1))}))(voc)
    return "2008_000004.jpg is 30x20 pixels, its label"


def spoil_image(voc):
    members = voc_members()
    members["VOCdevkit/VOC2012/JPEGImages/2009_000005.jpg"] = jpeg(4)[:-300]
    tar(voc / "VOCtrainval_11-May-2012.tar", members)
    return "2009_000005.jpg: not a readable image"


def spoil_colour(voc):
    members = voc_members()
    colour = saved(Image.fromarray(voc_palette()[label(0, 1)]))
    members["VOCdevkit/VOC2012/SegmentationClass/2007_000001.png"] = colour
    tar(voc / "VOCtrainval_11-May-2012.tar", members)
    return "2007_000001.png: a label map must be a PNG of 8-bit class indices"


def spoil_missing(voc):
    members = sbd_members()
    del members["benchmark_RELEASE/dataset/cls/2009_000005.mat"]
    tar(voc / "benchmark.tgz", members, "w:gz")
    return "benchmark.tgz: lacks SegmentationClassAug/2009_000005.png"


def spoil_escape(voc):
    tar(voc / "benchmark.tgz", {"benchmark_RELEASE/../../../evil": b"x", **sbd_members()}, "w:gz")
    return "the member 'benchmark_RELEASE/../../../evil' would land outside of its folder"


def spoil_absolute(voc):
    tar(voc / "benchmark.tgz", {**sbd_members(), "/tmp/attscale-evil": b"x"}, "w:gz")
    return "the member '/tmp/attscale-evil' would land outside of its folder"


def spoil_link(voc):
    name = "VOCdevkit/VOC2012/JPEGImages/2010_000001.jpg"
    tar(voc / "VOCtrainval_11-May-2012.tar", voc_members(), links=[(name, tarfile.SYMTYPE)])
    return f"the member {name!r} is a link or a device"


def spoil_hard_link(voc):
    name = "VOCdevkit/VOC2012/JPEGImages/2010_000001.jpg"
    tar(voc / "VOCtrainval_11-May-2012.tar", voc_members(), links=[(name, tarfile.LNKTYPE)])
    return f"the member {name!r} is a link or a device"


def spoil_device(voc):
    tar(voc / "VOCtrainval_11-May-2012.tar", voc_members(), links=[("VOCdevkit/VOC2012/x", tarfile.CHRTYPE)])
    return "the member 'VOCdevkit/VOC2012/x' is a link or a device"


SPOILERS = [value for name, value in list(globals().items()) if name.startswith("spoil_") and name != "spoil_member"]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_damaged_archives(spoil, voc, tool):
    """One line, no list that training would take, and nothing outside; a good archive afterwards mends it all."""
    said = spoil(voc)
    refused(tool, "voc12", said)
    assert not (voc / "root/list").exists()
    assert not list(voc.rglob("*evil*"))
    tar(voc / "VOCtrainval_11-May-2012.tar", voc_members())
    tar(voc / "benchmark.tgz", sbd_members(), "w:gz")
    prepared(tool, "voc12", "--any-count")
    assert np.array_equal(read_label(voc / "root/SegmentationClassAug/2008_000004.png"), label(0, 7))
    assert (voc / "root/JPEGImages/2009_000005.jpg").read_bytes() == jpeg(4)


def test_derived_lists_have_the_releases_form(voc):
    """Counted by hand from the sets: train_aug is SBD and VOC's train, less VOC's val."""
    made = {split.name: split for split in voc12.prepare(voc / "root", voc, any_count=True)}
    assert [line.split()[0][12:23] for line in made["trainval_aug"].texts[0].splitlines()] == [
        *("2007_000001", "2007_000002", "2008_000003", "2008_000004", "2009_000005"),
    ]
    assert made["train_aug"].sha256 == "656221098f98c756"
    assert len(made["trainval_aug"].texts) == 2  # in order of id, or val after train_aug: the checksum tells


# PASCAL-Person-Part


def voc2010(tmp_path, names):
    members = {f"VOCdevkit/VOC2010/JPEGImages/{name}.jpg": jpeg(1) for name in names}
    members["VOCdevkit/VOC2010/ImageSets/Main/train.txt"] = "".join(f"{name}\n" for name in names[:2]).encode()
    members["VOCdevkit/VOC2010/ImageSets/Main/val.txt"] = "".join(f"{name}\n" for name in names[2:]).encode()
    tar(tmp_path / "VOCtrainval_03-May-2010.tar", members)


def struct_array(dicts):
    """A 1 x n MATLAB struct array."""
    keys = list(dicts[0])
    result = np.zeros((1, len(dicts)), [(key, object) for key in keys])
    for i, values in enumerate(dicts):
        for key in keys:
            result[key][0, i] = values[key]
    return result


def part(name, columns):
    mask = np.zeros((H, W), np.uint8)
    mask[:, columns] = 1
    return {"part_name": name, "mask": mask}


def anno(*objects):
    """As PASCAL-Part's files: anno.objects(i).class, .parts(j).part_name, .mask; no parts is an empty matrix."""
    return mat(
        anno=struct_array(
            [
                {
                    "imname": "x",
                    "objects": struct_array(
                        [
                            {
                                **{"class": kind, "class_ind": 15.0, "mask": np.ones((H, W), np.uint8)},
                                "parts": struct_array(parts) if parts else np.zeros((0, 0)),
                            }
                            for kind, parts in objects
                        ]
                    ),
                }
            ]
        )
    )


def columns_of(label_map):
    """The value of each column, all of whose pixels agree."""
    assert (label_map == label_map[0]).all()
    return label_map[0].tolist()


def test_parts_are_merged_into_six(tmp_path, tool):
    """24 parts in 24 columns; expectations by the rule of the reference, spelled out again."""
    rule = {
        **dict.fromkeys(["head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"], 1),
        **dict.fromkeys(["torso", "neck"], 2),
        **dict.fromkeys(["luarm", "ruarm"], 3),
        **dict.fromkeys(["llarm", "rlarm", "lhand", "rhand"], 4),
        **dict.fromkeys(["luleg", "ruleg"], 5),
        **dict.fromkeys(["llleg", "rlleg", "lfoot", "rfoot"], 6),
    }
    parts = [part(name, [i]) for i, name in enumerate(rule)]
    got = columns_of(voc10_part.merge("f", anno(("person", parts))))
    assert got == [*rule.values(), *[0] * (W - len(rule))]


def test_person_part_from_pascal_part(tmp_path, tool):
    """Two persons in one image and a dog, whose head is none; images without persons or parts are left out."""
    names = ["2008_000001", "2008_000002", "2009_000003", "2009_000004"]
    voc2010(tmp_path, names)
    two = anno(
        ("person", [part("torso", [0, 1]), part("head", [1])]),
        ("dog", [part("head", [8]), part("tail", [9])]),
        ("person", [part("lfoot", [5]), part("ruleg", [6, 1])]),  # its leg lies over the first one's head
    )
    files_ = {
        "Annotations_Part/2008_000001.mat": two,
        "Annotations_Part/2008_000002.mat": anno(("dog", [part("tail", [0])])),
        "Annotations_Part/2009_000003.mat": anno(("person", [part("hair", [3])])),
        "Annotations_Part/2009_000004.mat": anno(("person", [])),
    }
    tar(tmp_path / "trainval.tar.gz", files_, "w:gz")
    done = prepared(tool, "voc10_part", "--any-count")
    assert "train 1, val 1" in done.stdout
    got = columns_of(read_label(tmp_path / "root/pascal_person_part_gt/2008_000001.png"))
    assert got == [2, 5, 0, 0, 0, 6, 5, *[0] * 23]
    assert (tmp_path / "root/list/val.txt").read_text() == (
        "/JPEGImages/2009_000003.jpg /pascal_person_part_gt/2009_000003.png\n"
    )
    refused(tool, "voc10_part", "train would have 1 members, expected 1716", arguments=())


def test_person_part_from_a_corrected_archive(tmp_path, tool):
    """Images of which an earlier archive had a person, and this one has not, are not listed."""
    names = ["2008_000001", "2008_000002", "2009_000003", "2009_000004"]
    voc2010(tmp_path, names)
    hair, nobody = anno(("person", [part("hair", [3])])), anno(("person", []))
    tar(tmp_path / "trainval.tar.gz", {f"Annotations_Part/{name}.mat": hair for name in names}, "w:gz")
    assert "train 2, val 2" in prepared(tool, "voc10_part", "--any-count").stdout
    corrected = {f"Annotations_Part/{name}.mat": hair if name in names[1:3] else nobody for name in names}
    tar(tmp_path / "trainval.tar.gz", corrected, "w:gz")
    assert "train 1, val 1" in prepared(tool, "voc10_part", "--any-count").stdout
    assert (tmp_path / "root/list/train.txt").read_text().startswith("/JPEGImages/2008_000002.jpg ")


def test_person_part_from_the_authors_archive_which_wins(tmp_path, tool):
    names = ["2008_000001", "2008_000002", "2009_000003", "2009_000004"]
    voc2010(tmp_path, names)
    tar(tmp_path / "trainval.tar.gz", {}, "w:gz")
    top = "pascal_person_part"
    line = "/JPEGImages/{0}.jpg /pascal_person_part_gt/{0}.png\n"
    members = {
        f"{top}/pascal_person_part_gt/2008_000002.png": palette_png(label(0, 6, 255)),
        f"{top}/pascal_person_part_gt/2009_000004.png": palette_png(label(1, 2)),
        f"{top}/pascal_person_part_trainval_list/train.txt": line.format("2008_000002").encode(),
        f"{top}/pascal_person_part_trainval_list/val.txt": b"2009_000004\n",
    }
    zipped(tmp_path / "pascal_person_part.zip", members)
    prepared(tool, "voc10_part", "--any-count")
    assert (tmp_path / "root/list/train.txt").read_text() == line.format("2008_000002")
    assert np.array_equal(read_label(tmp_path / "root/pascal_person_part_gt/2008_000002.png"), label(0, 6, 255))
    members[f"{top}/pascal_person_part_gt/2009_000004.png"] = palette_png(label(1, 7))
    zipped(tmp_path / "pascal_person_part.zip", members)
    refused(tool, "voc10_part", "2009_000004.png: 300 pixels have the value 7, expected a class from 0 to 6")
    (tmp_path / "pascal_person_part.zip").write_bytes(b"PK\3\4 cut")
    refused(tool, "voc10_part", "pascal_person_part.zip: damaged or cut short")


def test_pascal_part_files_that_are_refused(tmp_path):
    for data, said in (
        (mat(other=1), "has no key 'anno'"),
        (mat(anno={"imname": "x"}), "has no field 'objects'"),
        (anno(("person", [part("tail", [0])])), "'tail' is no part of a person"),
        (anno(("person", [part("head", [0]), {"part_name": "torso", "mask": np.ones((3, 3), np.uint8)}])), r"\(3, 3\)"),
        (anno(("person", [{"part_name": "torso", "mask": np.ones((3, 3)) / 2}])), "expected a map of whole numbers"),
    ):
        with pytest.raises(DataError, match=said):
            voc10_part.merge("f.mat", data)


# MS-COCO 2014


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def inside(left, top, right, bottom):
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def annotation(number, image, category, segmentation, area, crowd=0):
    values = {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation}
    return {**values, "area": area, "iscrowd": crowd, "bbox": [0, 0, 1, 1]}


CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}]


def instances(half, ids, annotations):
    images = [{"id": i, "file_name": f"COCO_{half}_{i:012d}.jpg", "height": H, "width": W} for i in ids]
    return json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}).encode()


def coco_archives(folder, train=None, val=None):
    first = [
        annotation(1, 9, 1, box(2, 2, 12, 12), 100),  # person
        annotation(2, 9, 90, box(4, 4, 8, 8), 16),  # toothbrush in front of it, though listed later
        annotation(3, 9, 3, box(0, 0, 20, 6), 120),  # car, larger than the person and so behind it
    ]
    crowd = {"size": [H, W], "counts": [0, H * 10, H * (W - 10)]}  # the ten leftmost columns, run by run
    second = [annotation(4, 4, 1, crowd, 200, crowd=1), annotation(5, 4, 3, box(5, 5, 15, 15), 100)]
    zipped(
        folder / "annotations_trainval2014.zip",
        {
            "annotations/instances_train2014.json": train or instances("train2014", [4, 9, 25], first + second),
            "annotations/instances_val2014.json": val or instances("val2014", [7], []),
            "annotations/captions_val2014.json": b"{}",
        },
    )
    images = {f"train2014/COCO_train2014_{i:012d}.jpg": jpeg(i) for i in (4, 9, 25)}
    zipped(folder / "train2014.zip", images)
    zipped(folder / "val2014.zip", {"val2014/COCO_val2014_000000000007.jpg": jpeg(7)})


def test_coco(tmp_path, tool):
    coco_archives(tmp_path)
    done = prepared(tool, "coco", "--any-count", "--full")
    assert "train10k 3, train 3, train_voc 2, val1500 1, val 1, val_voc 0" in done.stdout
    root = tmp_path / "root"
    expected = np.zeros((H, W), np.uint8)
    expected[inside(0, 0, 20, 6)] = 3  # car is the third category of COCO
    expected[inside(2, 2, 12, 12)] = 1
    expected[inside(4, 4, 8, 8)] = 80
    assert np.array_equal(read_label(root / "SegmentationClass/train2014/COCO_train2014_000000000009.png"), expected)
    crowd = np.zeros((H, W), np.uint8)
    crowd[:, :10] = 255
    crowd[inside(5, 5, 15, 15)] = 3
    assert np.array_equal(read_label(root / "SegmentationClass/train2014/COCO_train2014_000000000004.png"), crowd)
    in_voc = np.zeros((H, W), np.uint8)  # 15 person, 7 car; VOC has no toothbrush, so the person is under it
    in_voc[inside(0, 0, 20, 6)] = 7
    in_voc[inside(2, 2, 12, 12)] = 15
    assert np.array_equal(read_label(root / "SegmentationVOC/train2014/COCO_train2014_000000000009.png"), in_voc)
    assert (root / "list/val1500.txt").read_text() == (
        "/val2014/COCO_val2014_000000000007.jpg /SegmentationClass/val2014/COCO_val2014_000000000007.png\n"
    )
    record = json.loads((root / "list/subset.json").read_text())
    text = (root / "list/train10k.txt").read_bytes()
    assert record["lists"]["train10k"] == {"images": 3, "sha256": hashlib.sha256(text).hexdigest()}


def test_coco_whole_then_its_subset_then_whole_again(tmp_path, tool):
    """What was made of the same archives for another choice of images stays, and so do its lists."""
    coco_archives(tmp_path)
    prepared(tool, "coco", "--any-count", "--full")
    path = tmp_path / "root/SegmentationVOC/train2014/COCO_train2014_000000000009.png"
    before = path.stat().st_mtime_ns
    prepared(tool, "coco", "--any-count")
    assert (tmp_path / "root/list/train_voc.txt").exists()
    prepared(tool, "coco", "--any-count", "--full")
    assert path.stat().st_mtime_ns == before


def test_the_subset_is_drawn_by_a_rule_that_anyone_can_follow():
    """`printf 0:4 | sha256sum` begins with 48, of 0:3 with 76, 0:2 with 93, 0:0 with ac, 0:1 with ef."""
    assert [coco.choose(range(5), count, 0) for count in (1, 2, 3, 4)] == [[4], [3, 4], [2, 3, 4], [0, 2, 3, 4]]
    assert coco.choose(range(1000), 100, 0) != coco.choose(range(1000), 100, 1)


def test_run_lengths_compressed_or_not(tmp_path):
    mask = np.random.default_rng(0).random((H, W)) < 0.5
    compressed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    drawn = coco.draw([annotation(1, 1, 1, compressed, 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(mask, 4, 0))
    flat = mask.ravel(order="F")  # runs go down the columns and begin with zeros
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    drawn = coco.draw([annotation(1, 1, 1, {"size": [H, W], "counts": counts}, 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(mask, 4, 0))


def test_polygons_of_fewer_than_three_points_cover_nothing():
    """As the codebases that read COCO have it; a pair of numbers first would make pycocotools give up."""
    drawn = coco.draw([annotation(1, 1, 1, [[1, 2], [1, 1, 9, 9], *box(2, 2, 12, 12)], 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(inside(2, 2, 12, 12), 4, 0))


def test_every_voc_class_has_its_coco_class():
    assert sorted(coco.TO_VOC.values()) == sorted(VOC_CLASSES[1:])
    assert set(coco.TO_VOC) < set(COCO_CLASSES)


def test_damaged_coco(tmp_path, tool):
    def spoiled(said, **changes):
        coco_archives(tmp_path, **changes)
        refused(tool, "coco", said)
        assert not (tmp_path / "root/list/train10k.txt").exists()

    spoiled("instances_train2014.json: damaged or cut short", train=b'{"images": [')
    spoiled("not an instances file", train=b'{"images": []}')
    spoiled("annotations of category 2, which it does not have", train=instances(
        "train2014", [4], [annotation(1, 4, 2, box(0, 0, 1, 1), 1)]
    ))  # fmt: skip
    spoiled("annotations/instances_train2014.json: annotation 1: its mask is", train=instances(
        "train2014", [4], [annotation(1, 4, 1, {"size": [3, 3], "counts": [0, 9]}, 1)]
    ))  # fmt: skip
    spoiled("'../../x.jpg' is no image's file name", train=instances("train2014", [4], []).replace(
        b"COCO_train2014_000000000004.jpg", b"../../x.jpg"
    ))  # fmt: skip
    spoiled("annotation 1: has no polygon of at least 3 points (6 numbers)", train=instances(
        "train2014", [4], [annotation(1, 4, 1, [[1, 2]], 1)]
    ))  # fmt: skip
    spoiled("4 is no image's file name", train=instances("train2014", [4], []).replace(
        b'"COCO_train2014_000000000004.jpg"', b"4"
    ))  # fmt: skip
    spoiled("not an instances file", train=instances("train2014", [4], []).replace(b'"height": 20', b'"height": "a"'))
    coco_archives(tmp_path)
    path = tmp_path / "annotations_trainval2014.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    zipped(path, members, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    start = 30 + len("annotations/instances_train2014.json")  # a local header has 30 bytes, then the name
    data[start : start + 40] = 40 * b"\xff"  # the first block would be of type 3, which deflate has not
    path.write_bytes(data)
    refused(tool, "coco", f"{path.name}: annotations/instances_train2014.json: damaged or cut short")
    coco_archives(tmp_path)
    zipped(tmp_path / "train2014.zip", {"train2014/COCO_train2014_000000000004.jpg": jpeg(4)})
    refused(tool, "coco", "train2014.zip: lacks train2014/COCO_train2014_000000000009.jpg and 1 more")
    coco_archives(tmp_path)
    refused(tool, "coco", "list train10k would have 3 members, expected 10000", arguments=())


# ADE20K


def ade(folder, validation):
    top = "ADEChallengeData2016"
    zipped(
        folder / f"{top}.zip",
        {
            f"{top}/images/training/ADE_train_00000001.jpg": jpeg(1),
            f"{top}/annotations/training/ADE_train_00000001.png": saved(Image.fromarray(label(0, 1, 150))),
            f"{top}/images/validation/ADE_val_00000001.jpg": jpeg(2),
            f"{top}/annotations/validation/ADE_val_00000001.png": saved(Image.fromarray(validation)),
            f"{top}/objectInfo150.txt": b"Idx",
        },
    )


def test_ade20k(tmp_path, tool):
    ade(tmp_path, label(7))
    done = prepared(tool, "ade20k", "--any-count")
    assert "train 1, val 1" in done.stdout
    got = read_label(tmp_path / "root/annotations/training/ADE_train_00000001.png")
    assert np.array_equal(got, label(255, 0, 149))
    assert (tmp_path / "root/list/train.txt").read_text() == (
        "/images/training/ADE_train_00000001.jpg /annotations/training/ADE_train_00000001.png\n"
    )
    refused(tool, "ade20k", "train would have 1 members, expected 20210", arguments=())


@pytest.mark.parametrize(("value", "said"), [(151, "have the value 150"), (255, "has the value 255")])
def test_ade20k_classes_out_of_range(value, said, tmp_path, tool):
    ade(tmp_path, label(0, value))
    refused(tool, "ade20k", "ADE_val_00000001.png", said)
    assert not (tmp_path / "root/list").exists()


def test_ade20k_takes_nothing_from_an_archive_that_was_refused(tmp_path, tool):
    ade(tmp_path, label(7))
    path, top = tmp_path / "ADEChallengeData2016.zip", "ADEChallengeData2016"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{top}/images/training/ADE_train_00000002.jpg", jpeg(3))
        archive.writestr(f"{top}/annotations/training/ADE_train_00000002.png", saved(Image.fromarray(label(9))))
        archive.writestr(f"{top}/annotations/validation/ADE_val_00000009.png", saved(Image.fromarray(label(200))))
    refused(tool, "ade20k", "ADE_val_00000009.png: 600 pixels have the value 199")
    ade(tmp_path, label(7))
    assert "train 1, val 1" in prepared(tool, "ade20k", "--any-count").stdout
    assert "00000002" not in (tmp_path / "root/list/train.txt").read_text()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{top}/images/training/ADE_train_00000002.jpg", jpeg(3))  # its old label map is still there
    refused(tool, "ade20k", f"{top}.zip: lacks annotations/training/ADE_train_00000002.png; is it cut short?")
    assert files(tmp_path / "root/list") == []


def test_zip_archives_whose_members_are_damaged_or_encrypted(tmp_path, tool):
    ade(tmp_path, label(7))
    path = tmp_path / "ADEChallengeData2016.zip"
    whole = path.read_bytes()
    data = bytearray(whole)
    data[data.index(jpeg(2)) + 300] ^= 0xFF  # a checksum tells, the structure does not
    path.write_bytes(data)
    refused(tool, "ade20k", f"{path.name}: ADEChallengeData2016/images/validation/ADE_val_00000001.jpg: damaged", "CRC")
    encrypted = 1  # bit 0 of the flags, at 6 in a local header and at 8 in the directory's
    data = bytearray(whole)
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + flags] |= encrypted
            place = data.find(signature, place + 1)
    path.write_bytes(data)
    refused(tool, "ade20k", f"{path.name}: the member ", "is encrypted")
    path.write_bytes(whole)
    prepared(tool, "ade20k", "--any-count")


def test_ade20k_image_and_label_of_different_sizes(tmp_path, tool):
    ade(tmp_path, label(1, size=(H + 1, W)))
    refused(tool, "ade20k", "ADE_val_00000001.jpg is 30x20 pixels", "30x21")
    assert not (tmp_path / "root/list").exists()
