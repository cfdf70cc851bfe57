"""CamVid as SegNet's authors cut it: 367 and 101 photographs of 480x360 with label maps, in lists of their own."""

import numpy as np
import pytest
from PIL import Image

from attscale.data import verify
from attscale.data.images import read_image, read_label
from attscale.data.lists import read_list
from attscale.errors import DataError

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
