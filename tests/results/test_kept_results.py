"""docs/results: the page says what the files beside it hold."""

import re
from statistics import mean, stdev

import pytest

from attscale.results import evaluations
from conftest import REPO

FOLDER = REPO / "docs/results"
PAGE = (FOLDER / "README.md").read_text()
STEPS = {
    "base: attention-to-scale": "attention2_esupv",
    "+ several stages": "attention2_esupv_stages",
    "+ diverse dilations": "attention2_esupv_stages_dilated",
    "+ recalibration: the whole model": "refine2_esupv",
}


def row(name):
    """The numbers in the table's line of that name, as texts."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    return re.findall(r"\d+\.\d+", line.removeprefix(f"| {name} |"))


def score(path, key="mean_iou"):
    return 100 * getattr(evaluations.read(FOLDER / path), key)


@pytest.mark.parametrize("name", STEPS)
def test_the_steps_of_attention_to_refine(name):
    seeds = [score(f"shapes_refine/{STEPS[name]}_seed{seed}.json") for seed in (0, 1, 2)]
    rounded = [float(f"{value:.2f}") for value in seeds]
    assert row(name)[:5] == [f"{value:.2f}" for value in (*seeds, mean(rounded), stdev(rounded))]


def test_the_whole_model_beside_the_base():
    said = re.search(r"is (\S+) ahead of the base on average, by seeds (\S+), (\S+) and (\S+):", PAGE)
    whole, base = (
        [round(score(f"shapes_refine/{net}_seed{seed}.json"), 2) for seed in (0, 1, 2)]
        for net in ("refine2_esupv", "attention2_esupv")
    )
    differences = [one - other for one, other in zip(whole, base, strict=True)]
    assert said.groups() == (f"{mean(differences):.2f}", *(f"{difference:+.2f}" for difference in differences))


def test_recalibration_has_come_to_one():
    least = float(re.search(r"on average at least (\S+) for every", PAGE)[1])
    found = [evaluations.read(FOLDER / f"shapes_refine/refine2_esupv_seed{seed}.json") for seed in (0, 1, 2)]
    assert round(min(min(means) for one in found for means in one.recalibration.values()), 3) == least


def test_camvid():
    path = "camvid/attention3_esupv_narrow.json"
    assert row("three scales merged by attention") == [f"{score(path):.2f}", f"{score(path, 'pixel_accuracy'):.2f}"]
    branches = evaluations.read(FOLDER / path).mean_iou_of_branches
    assert row("scale 1, 0.75, 0.5 alone") == [f"{100 * branches[scale]:.2f}" for scale in ("1", "0.75", "0.5")]
    crf = "camvid/attention3_esupv_narrow_crf.json"
    assert row("after the CRF, with VOC's parameters") == [f"{score(crf):.2f}", f"{score(crf, 'pixel_accuracy'):.2f}"]
    iou = evaluations.read(FOLDER / path).iou
    for name in ("road", "sky", "tree"):
        assert re.search(rf"{name} {100 * iou[name]:.2f}", PAGE, re.IGNORECASE)
    assert iou["pole"] == iou["sign symbol"] == 0
