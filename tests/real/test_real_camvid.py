"""CamVid as SegNet's authors cut it: 367 and 101 photographs of 480x360 with label maps, in lists of their own."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from attscale import datasets
from attscale.data import verify
from attscale.data.images import read_image, read_label
from attscale.data.lists import read_list
from attscale.errors import DataError
from conftest import REPO, one_line_error

# the folder's README: 0 to 10 are classes, 11 is unlabelled
VALUES = set(range(12))
SIZES = {"train": 367, "val": 101}


@pytest.fixture
def pairs(real, tmp_path):
    """The lists' pairs. A root for them has the folder CamVid as SegNet/CamVid, which all of their lines begin with."""
    (tmp_path / "SegNet").mkdir()
    (tmp_path / "SegNet/CamVid").symlink_to(real / "camvid/CamVid")
    return {split: read_list(tmp_path, f"SegNet/CamVid/{split}.txt") for split in SIZES}


@pytest.mark.parametrize("split", SIZES)
def test_the_lines_of_a_list_name_the_files_of_its_folders(split, pairs, real):
    folder = real / "camvid/CamVid"
    assert len(pairs[split]) == SIZES[split]
    for index, name in enumerate((split, f"{split}annot")):
        assert {pair[index].resolve() for pair in pairs[split]} == {
            path.resolve() for path in (folder / name).iterdir()
        }
    assert all(photograph.name == label.name for photograph, label in pairs[split])


@pytest.mark.parametrize("split", SIZES)
def test_every_label_map_is_read_as_pillow_reads_it(split, pairs):
    seen = set()
    for photograph, path in pairs[split]:
        with Image.open(photograph) as image, Image.open(path) as second:
            assert (image.mode, second.mode) == ("RGB", "L")
            assert image.size == second.size == (480, 360)
            label = read_label(path)
            assert np.array_equal(label, np.array(second))
        seen |= set(np.unique(label).tolist())
    assert seen == VALUES


@pytest.mark.parametrize("split", SIZES)
def test_a_photograph_is_read_as_pillow_reads_it(split, pairs):
    """Every twentieth."""
    for photograph, _ in pairs[split][::20]:
        with Image.open(photograph) as image:
            assert np.array_equal(read_image(photograph)[..., ::-1], np.array(image))


def test_pairs_can_be_trained_on_as_they_are_with_twelve_classes(pairs):
    """With eleven, the 11 that means unlabelled is a fault: it has to become 255 first."""
    report = verify.check(pairs["val"][:30], 12)
    assert report.pairs == 30
    report.raise_faults("val.txt")
    counts = np.zeros(256, int)
    for _, path in pairs["val"][:30]:
        with Image.open(path) as image:
            counts += np.bincount(np.array(image).ravel(), minlength=256)
    assert np.array_equal(report.pixels, counts)
    said = "5 of 5 pairs are faulty.* have the value 11, expected a class from 0 to 10 or 255"
    with pytest.raises(DataError, match=said):
        verify.check(pairs["val"][:5], 11).raise_faults("val.txt")


@pytest.fixture(scope="module")
def prepared(real, tmp_path_factory):
    """A folder in which the command has made data/CamVid, without the test split, which is not there; its output."""
    folder = tmp_path_factory.mktemp("camvid")
    command = [sys.executable, REPO / "tools/prepare_data.py", "camvid", "--archives", real / "camvid", "--any-count"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_all_of_it_is_prepared(prepared, real):
    folder, said = prepared
    assert said == "data/CamVid: train 367, val 101\n"
    root = folder / "data/CamVid"
    for split, count in SIZES.items():
        lines = (real / f"camvid/CamVid/{split}.txt").read_text().replace("/SegNet/CamVid/", "/")
        assert (root / f"list/{split}.txt").read_text() == lines
        for kind in (split, f"{split}annot"):
            names = {path.name for path in (root / kind).iterdir()}
            assert names == {path.name for path in (real / "camvid/CamVid" / kind).iterdir()}
            assert len(names) == count
    for name in ("train/0001TP_006690.png", "valannot/0016E5_07959.png"):
        assert (root / name).read_bytes() == (real / "camvid/CamVid" / name).read_bytes()


def test_without_being_told_the_test_split_is_missed(real, tmp_path, tool):
    done = tool("prepare_data", "camvid", "--archives", real / "camvid")
    one_line_error(done, f"{real}/camvid: its CamVid has no test.txt (--any-count goes on")
    assert not (tmp_path / "data").exists()


@pytest.fixture(scope="module")
def counts(real):
    """{split: pixels by value of all label maps}, as Pillow reads them: 12 numbers, the last of what is unlabelled."""
    found = {}
    for split in SIZES:
        found[split] = np.zeros(256, int)
        for path in (real / f"camvid/CamVid/{split}annot").iterdir():
            with Image.open(path) as image:
                found[split] += np.asarray(image.histogram())
        assert not found[split][12:].any()
        assert found[split].sum() == SIZES[split] * 480 * 360
    return found


def test_what_is_unlabelled_is_counted_as_ignored(prepared, counts):
    command = [sys.executable, REPO / "tools/prepare_data.py", "camvid", "--verify"]
    done = subprocess.run(command, cwd=prepared[0], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for split, start in (("train", 0), ("val", 13)):
        assert lines[start] == f"data/CamVid/list/{split}.txt: {SIZES[split]} pairs"
        shown = {int(line[:3]): int(line.split()[-2].replace(",", "")) for line in lines[start + 1 : start + 13]}
        expected = dict(enumerate(counts[split][:11].tolist())) | {255: int(counts[split][11])}
        assert shown == expected
        assert expected[255] > 0


@pytest.mark.parametrize("split", SIZES)
def test_label_maps_mean_what_the_readme_says(split, prepared, real):
    """A second statement, pixel by pixel: 11 is 255, everything else itself."""
    values = datasets.find("camvid").values
    for _, path in read_list(prepared[0] / "data/CamVid", f"list/{split}.txt"):
        with Image.open(path) as image:
            expected = image.point([*range(11), 255, *(244 * [99])])
        assert np.array_equal(read_label(path, values), np.asarray(expected)), path


def test_eleven_names_in_the_order_of_the_numbers():
    """The folder's README."""
    said = "sky, building, pole, road, pavement, tree, sign symbol, fence, car, pedestrian, bicyclist"
    assert ", ".join(datasets.find("camvid").classes) == said
