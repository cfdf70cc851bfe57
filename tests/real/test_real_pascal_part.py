"""PASCAL-Part: real annotations merged into six parts of persons, one by one and from an archive."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from attscale import datasets
from attscale.prepare import voc10_part
from conftest import real_files
from helpers.archives import prepared, tar

ANNOTATIONS = real_files("pascal_part/*.mat")
WITH_PERSONS = ["2008_000652", "2008_000726"]  # the others show animals and vehicles
# docs/release.md, Protocol: 1 head, 2 torso, 3 upper arms, 4 lower arms, 5 upper legs, 6 lower legs, and what is merged
CLASSES = {
    1: "head neck leye reye lear rear lebrow rebrow nose mouth hair",  # the authors' my_part2ind.m has the neck here
    2: "torso",
    3: "luarm ruarm",
    4: "llarm rlarm lhand rhand",
    5: "luleg ruleg",
    6: "llleg rlleg lfoot rfoot",
}


def persons(path):
    """SciPy's plain reading: a list of (name of a part, mask) for every person, in the file's order."""
    objects = scipy.io.loadmat(path)["anno"]["objects"][0, 0][0]
    return [
        [(part["part_name"][0], part["mask"]) for part in (person["parts"][0] if person["parts"].size else ())]
        for person in objects
        if person["class"][0] == "person"
    ]


def merged(path):
    """The six parts by loops over them; None without any."""
    label = None
    for parts in persons(path):
        for name, mask in parts:
            (value,) = [value for value, names in CLASSES.items() if name in names.split()]
            label = np.where(mask == 1, value, 0 if label is None else label)
    return label


def test_the_classes_of_the_set_are_those_of_the_release():
    assert datasets.find("voc10_part").classes == (
        *("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs"),
    )


@pytest.mark.parametrize("path", ANNOTATIONS)
def test_an_annotation_is_merged_as_the_release_says(path):
    got, expected = voc10_part.merge(path.name, path.read_bytes()), merged(path)
    assert (got is not None) == (expected is not None) == (path.stem in WITH_PERSONS)
    if got is not None:
        assert got.dtype == np.uint8
        assert np.array_equal(got, expected)
        with Image.open(path.with_suffix(".jpg")) as photograph:
            assert photograph.size == got.shape[::-1]


@pytest.mark.parametrize("name", WITH_PERSONS)
def test_every_part_is_in_its_class_and_nothing_else_is(name, real):
    """Part by part, without regard to the order of drawing: who lies under a pixel of a class."""
    path = real / f"pascal_part/{name}.mat"
    got = voc10_part.merge(path.name, path.read_bytes())
    for value, names in CLASSES.items():
        union = np.zeros(got.shape, bool)
        for parts in persons(path):
            for _, mask in (part for part in parts if part[0] in names.split()):
                union |= mask == 1
                assert set(np.unique(mask)) == {0, 1}
        assert union[got == value].all()
        others = got[union & (got != value)]
        assert (others > 0).all()  # where parts of two classes overlap


@pytest.mark.parametrize("name", WITH_PERSONS)
def test_parts_cover_the_persons_of_the_label_map_of_voc(name, real):
    """Another annotation: 15 is person there. It has fewer persons, not the one who holds the child in 2008_000726."""
    got = voc10_part.merge(name, (real / f"pascal_part/{name}.mat").read_bytes())
    with Image.open(real / f"voc2012/SegmentationClassAug/{name}.png") as image:
        person = np.array(image) == 15
    assert (got > 0)[person].mean() > 0.9


def test_an_archive_of_the_real_annotations(real, tmp_path, tool):
    """Images without persons get neither a label map nor a line."""
    folder = real / "pascal_part"
    names = sorted(path.stem for path in folder.glob("*.mat"))
    assert len(names) == 9
    images = {f"VOCdevkit/VOC2010/JPEGImages/{name}.jpg": (folder / f"{name}.jpg").read_bytes() for name in names}
    first, second = WITH_PERSONS
    lists = {"train": [name for name in names if name != second], "val": [second]}
    for split, members in lists.items():
        images[f"VOCdevkit/VOC2010/ImageSets/Main/{split}.txt"] = "".join(f"{name}\n" for name in members).encode()
    tar(tmp_path / "VOCtrainval_03-May-2010.tar", images)
    annotations = {f"Annotations_Part/{name}.mat": (folder / f"{name}.mat").read_bytes() for name in names}
    tar(tmp_path / "trainval.tar.gz", annotations, "w:gz")
    assert "train 1, val 1" in prepared(tool, "voc10_part", "--any-count").stdout
    for split, name in (("train", first), ("val", second)):
        text = (tmp_path / f"root/list/{split}.txt").read_text()
        assert text == f"/JPEGImages/{name}.jpg /pascal_person_part_gt/{name}.png\n"
        with Image.open(tmp_path / f"root/pascal_person_part_gt/{name}.png") as made:
            assert made.mode == "P"
            assert np.array_equal(np.array(made), merged(folder / f"{name}.mat"))
    made = sorted(path.stem for path in (tmp_path / "root/pascal_person_part_gt").iterdir())
    assert made == WITH_PERSONS
    checked = tool("prepare_data", "voc10_part", "--root", "root", "--verify")
    assert checked.returncode == 0, checked.stderr
    assert "root/list/val.txt: 1 pairs" in checked.stdout
