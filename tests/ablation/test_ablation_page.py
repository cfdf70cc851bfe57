"""docs/results.md says what the files beside it hold; kept runs; the page of runs that were made up."""

import dataclasses
import json

import pytest
from PIL import Image

from attscale.ablation import kept, page, pictures
from attscale.ablation.claims import CLAIMS
from attscale.ablation.kept import Kept
from attscale.ablation.studies import STUDIES
from attscale.errors import UserError
from conftest import REPO
from helpers.ablation_runs import evaluation_of

FOLDER = REPO / "docs/results"


def made_up(study, net, seed, score):
    numbers = {"iterations": study.max_iter, "images": 1, "crop_size": 193, "seconds": 90.0, "commit": "0123456789"}
    return Kept(study=study.name, net=net, seed=seed, evaluation=evaluation_of(study, net, score), **numbers)


@pytest.fixture
def folder(tmp_path):
    """Two seeds: the baseline at 50 and 52, attention at 53 and 55.5, max at 53 and 55."""
    study = STUDIES["shapes"]
    for net, scores in {
        "largefov": (0.50, 0.52), "attention3_esupv": (0.53, 0.555), "max3_esupv": (0.53, 0.55),
    }.items():  # fmt: skip
        for seed, score in enumerate(scores):
            one = made_up(study, net, seed, score)
            if net in study.crf:
                one = dataclasses.replace(one, crf=dataclasses.replace(one.evaluation, crf=True, mean_iou=score + 0.1))
            kept.write(tmp_path, study, one)
    return tmp_path


def line(text, *begin):
    (found,) = (one for one in text.splitlines() if one.startswith("| " + " | ".join(begin) + " |"))
    return [cell.strip() for cell in found.strip("|").split("|")][len(begin) :]


def test_the_page_is_written_from_the_files():
    assert (REPO / "docs/results.md").read_text() == page.page(FOLDER)


def test_what_is_kept_is_read(folder):
    found = kept.find(folder, STUDIES["shapes"])
    assert {net: [*runs] for net, runs in found.items() if runs} == {
        "largefov": [0, 1], "attention3_esupv": [0, 1], "max3_esupv": [0, 1],
    }  # fmt: skip
    assert found["attention3_esupv"][1].crf.mean_iou == pytest.approx(0.655)


def test_scores_and_differences(folder):
    """Attention less baseline: 3 and 3.5, mean 3.25, deviation 0.354; t for one degree is 12.706, so +-3.18."""
    text = page.page(folder)
    assert line(text, "`largefov`", "51.00 ± 1.41", "2")[0] == ""
    assert line(text, "`attention3_esupv`", "54.25 ± 1.77", "2")[0] == "+3.25 (+0.07 to +6.43)"
    assert line(text, "`attention3_esupv`", "54.25 ± 1.77", "2")[2:] == ["+4.48", "+6.80"]  # tables 1 and 3
    assert line(text, "`average2`") == ["not run", "0", "", "", "", ""]
    assert "The dense CRF on `attention3_esupv`: 54.25 ± 1.77 before, 64.25 ± 1.77 after, +10.00" in text


def test_claims(folder):
    """Attention less max: 0 and 0.5, half-width 3.18, so undecided. Scale 1: 0.7 - 0.2 for both seeds, so it holds."""
    text = page.page(folder)
    better = "Three scales merged by attention, with extra supervision, are better than one scale"
    shapes = [one for one in text.splitlines() if one.startswith(f"| {better}") and "| shapes |" in one]
    assert [cell.strip() for cell in shapes[0].strip("|").split("|")][4:] == ["+3.25 (+0.07 to +6.43)", "2", "holds"]
    other = [
        one
        for one in text.splitlines()
        if one.startswith("| Attention is better than max: three") and "| shapes |" in one
    ]
    assert [cell.strip() for cell in other[0].strip("|").split("|")][4:] == [
        "+0.25 (-2.93 to +3.43)",
        "2",
        "**undecided**",
    ]
    begin = "Scale 1 has more weight on the smallest objects than on the largest"
    assert line(text, begin)[-3:] == ["+0.500 (+0.500 to +0.500) weight", "2", "holds"]
    assert text.count("not run | 0") >= 1


def test_sizes(folder):
    text = page.page(folder)
    assert line(text, "net", "8 to 16") == ["16 to 32", "32 to 64"]
    assert line(text, "`max3_esupv`", "10.0") == ["25.0", "50.0"]
    assert line(text, "`attention3_esupv`", "1") == ["0.70", "0.30", "0.20"]


def test_no_run_at_all(tmp_path):
    text = page.page(tmp_path)
    assert text.count("Not run yet.") == len(STUDIES)
    assert text.count("not run") == len(CLAIMS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.pop("seed"), "the key 'seed' is missing"),
        (lambda values: values["evaluation"].update(mean_iou=53), "mean_iou is 53.0, expected a share from 0 to 1"),
        (lambda values: values.update(iterations="many"), "iterations"),
    ],
)
def test_a_broken_file_is_named(folder, change, words):
    path = folder / "shapes/seed1/largefov.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=words) as caught:
        page.page(folder)
    assert str(path) in str(caught.value)


def test_the_pictures_that_the_page_shows_are_drawn(folder):
    drawn = [path.name for path in pictures.draw(folder)]
    assert drawn == ["claims.png", "shapes_sizes.png"]
    shown = [line.split("/")[-1].rstrip(")") for line in page.page(folder).splitlines() if line.startswith("![")]
    assert shown == drawn
    for name in drawn:
        with Image.open(folder / name) as image:
            assert image.width > 500


def test_nothing_is_drawn_without_runs(tmp_path):
    assert list(pictures.draw(tmp_path)) == []
    assert "![" not in page.page(tmp_path)
