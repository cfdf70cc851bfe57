"""PASCAL VOC 2012 with SBD from miniature archives, through the command, whole and damaged."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attscale.data.images import read_label, voc_palette
from attscale.data.lists import read_list
from attscale.prepare import voc12
from helpers.archives import H, W, files, jpeg, label, mat, palette_png, prepared, refused, saved, tar


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
