"""The data sets' files, against numbers typed from the papers and the pages of the sets."""

import pytest

from attscale import datasets
from attscale.errors import ExperimentError


@pytest.mark.parametrize(
    ("name", "classes", "some", "sizes"),
    [
        ("voc12", 21, {0: "background", 1: "aeroplane", 15: "person", 20: "tvmonitor"},
         {"train": 1464, "val": 1449, "train_aug": 10_582, "trainval_aug": 12_031, "test": 1456}),
        ("voc10_part", 7, {1: "head", 6: "lower legs"}, {"train": 1716, "val": 1817}),
        ("coco", 81, {1: "person", 41: "wine glass", 80: "toothbrush"}, {"train10k": 10_000, "val1500": 1500}),
        ("coco_voc", 21, {15: "person"}, {}),
        ("ade20k", 150, {0: "wall", 12: "person", 149: "flag"}, {"train": 20_210, "val": 2000}),
        ("shapes", 5, {4: "star"}, {"train": 1500, "val": 150}),
    ],
)  # fmt: skip
def test_classes_and_sizes(name, classes, some, sizes):
    dataset = datasets.find(name)
    assert dataset.name == name
    assert len(dataset.classes) == len(set(dataset.classes)) == classes
    assert {index: dataset.classes[index] for index in some} == some
    assert dataset.sizes == sizes
    assert {dataset.train, dataset.val} <= set(dataset.splits)


def test_every_set_is_in_this_table():
    assert datasets.names() == ("ade20k", "coco", "coco_voc", "shapes", "voc10_part", "voc12")


def test_what_is_not_there_is_named():
    with pytest.raises(ExperimentError, match=r"no data set 'voc'; known are ade20k, coco, .*voc12"):
        datasets.find("voc")
    with pytest.raises(ExperimentError, match=r"voc12 has no split 'minival'; it has train, train_aug, val"):
        datasets.find("voc12").list_of("minival")
