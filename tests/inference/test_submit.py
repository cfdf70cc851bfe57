"""Submissions to VOC's server: what its validator asks for, and what is refused."""

import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale.data.images import voc_palette, write_index, write_label
from conftest import one_line_error
from helpers.predictions import picture


@pytest.fixture
def voc_test(tmp_path):
    """A test list of three images, and predictions for them."""
    root = tmp_path / "data/VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "list").mkdir()
    names = ["2008_000001", "2008_000002", "2012_000003"]
    for i, name in enumerate(names):
        cv2.imwrite(str(root / f"JPEGImages/{name}.jpg"), picture(20 + i, 30))
        write_label(tmp_path / f"pred/{name}.png", np.full((20 + i, 30), i * 10, np.uint8))
    (root / "list/test.txt").write_text("".join(f"/JPEGImages/{name}.jpg\n" for name in names))
    return names


def test_a_submission_passes_a_validator_written_from_vocs_description(voc_test, tool, tmp_path):
    done = tool("submit", "pred", "--out", "r.tgz", "--any-count")
    assert done.returncode == 0, done.stderr
    palette = []  # VOC's devkit, VOCcolormap.m, in words: bits of the index, three at a time, from the top bit down
    for index in range(21):
        r = g = b = 0
        for j in range(8):
            r |= (index >> (3 * j) & 1) << (7 - j)
            g |= (index >> (3 * j + 1) & 1) << (7 - j)
            b |= (index >> (3 * j + 2) & 1) << (7 - j)
        palette += [r, g, b]
    with tarfile.open(tmp_path / "r.tgz") as archive:
        assert archive.getnames() == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in voc_test]
        for i, member in enumerate(archive.getmembers()):
            assert member.isfile()
            image = Image.open(archive.extractfile(member))
            assert (image.format, image.mode, image.size) == ("PNG", "P", (30, 20 + i))
            assert image.getpalette()[:63] == palette
            assert (np.asarray(image) == i * 10).all()
    one_line_error(tool("submit", "pred", "--out", "s.tgz"), "the test list has 3 images, expected 1456")
    assert not (tmp_path / "s.tgz").exists()


def missing(path):
    path.unlink()
    return "pred: lacks 2008_000002.png of 3"


def wrong_size(path):
    write_label(path, np.zeros((30, 21), np.uint8))
    return "2008_000002.png: is 21x30 pixels, its image 30x21"


def colour(path):
    Image.fromarray(voc_palette()[np.zeros((21, 30), int)]).save(path)
    return "2008_000002.png: a label map must be a PNG of 8-bit class indices"


def grey(path):
    write_index(path, np.zeros((21, 30), np.uint8))
    return "2008_000002.png: not an indexed PNG"


def other_palette(path):
    image = Image.fromarray(np.zeros((21, 30), np.uint8), mode="L")
    image.putpalette([*range(256)] * 3)
    image.save(path)
    return "2008_000002.png: its colour map is not VOC's"


def value(path):
    write_label(path, np.full((21, 30), 21, np.uint8))
    return "2008_000002.png: has the value 21, expected classes 0 to 20"


@pytest.mark.parametrize("spoil", [missing, wrong_size, colour, grey, other_palette, value])
def test_submissions_that_are_refused(spoil, voc_test, tool, tmp_path):
    said = spoil(tmp_path / "pred/2008_000002.png")
    one_line_error(tool("submit", "pred", "--out", "r.tgz", "--any-count"), said)
    assert not (tmp_path / "r.tgz").exists()
