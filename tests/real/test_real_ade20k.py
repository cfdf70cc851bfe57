"""ADE20K: two real photographs of the scene parsing challenge with their annotations, whose 0 becomes 255."""

import numpy as np
import pytest
from PIL import Image

from attscale.data.images import read_image, read_label
from conftest import real_files
from helpers.archives import prepared, zipped

ANNOTATIONS = real_files("ade20k/annotations/*.png")


def raw(path):
    """Pillow's reading of a grey PNG."""
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image)


def shifted(path):
    """0 is 255, every other n is n - 1."""
    values = raw(path).astype(int) - 1
    values[values == -1] = 255
    return values


@pytest.mark.parametrize("path", ANNOTATIONS)
def test_an_annotation_is_read_as_it_is(path):
    assert (raw(path) == 0).any()  # there is something of no class
    assert np.array_equal(read_label(path), raw(path))
    assert read_image(path.parent.parent / f"images/{path.stem}.jpg").shape[:2] == raw(path).shape


def test_an_archive_of_the_real_files_is_shifted(real, tmp_path, tool):
    """One of the two for each split."""
    folder, top, splits = real / "ade20k", "ADEChallengeData2016", {"training": "train", "validation": "val"}
    names = dict(zip(splits, ("ADE_val_00000001", "ADE_val_00000002"), strict=True))
    members = {f"{top}/objectInfo150.txt": b"Idx"}
    for split, name in names.items():
        members[f"{top}/images/{split}/{name}.jpg"] = (folder / f"images/{name}.jpg").read_bytes()
        members[f"{top}/annotations/{split}/{name}.png"] = (folder / f"annotations/{name}.png").read_bytes()
    zipped(tmp_path / f"{top}.zip", members)
    assert "train 1, val 1" in prepared(tool, "ade20k", "--any-count").stdout
    for split, name in names.items():
        made = raw(tmp_path / f"root/annotations/{split}/{name}.png")
        assert np.array_equal(made, shifted(folder / f"annotations/{name}.png"))
        assert (tmp_path / f"root/list/{splits[split]}.txt").read_text() == (
            f"/images/{split}/{name}.jpg /annotations/{split}/{name}.png\n"
        )
    checked = tool("prepare_data", "ade20k", "--root", "root", "--verify")
    assert checked.returncode == 0, checked.stderr
    assert "root/list/val.txt: 1 pairs" in checked.stdout
