"""docs/results.md says what the files beside it hold; kept runs; the page of runs that were made up."""

import dataclasses
import json
import re

import pytest
from PIL import Image

from attscale.ablation import kept, page, pictures
from attscale.ablation.studies import STUDIES
from attscale.errors import UserError
from conftest import REPO
from helpers.ablation_runs import kept_of

FOLDER = REPO / "docs/results"


@pytest.fixture
def folder(tmp_path):
    """Two seeds: the baseline at 50 and 52, attention at 53 and 55.5, max at 53 and 55."""
    study = STUDIES["shapes"]
    for net, scores in {
        "largefov": (0.50, 0.52), "attention3_esupv": (0.53, 0.555), "max3_esupv": (0.53, 0.55),
    }.items():  # fmt: skip
        for seed, score in enumerate(scores):
            one = kept_of(study, net, seed, score)
            if net == study.shown:
                one = dataclasses.replace(one, crf=dataclasses.replace(one.evaluation, crf=True, mean_iou=score + 0.1))
            kept.write(tmp_path, study, one)
    return tmp_path


def line(text, *begin):
    (found,) = (one for one in text.splitlines() if one.startswith("| " + " | ".join(begin) + " |"))
    return [cell.strip() for cell in found.strip("|").split("|")][len(begin) :]


def test_the_sheet_is_shown_where_there_is_one(folder):
    (street := folder / "camvid_maps.png").touch()
    kept.write(folder, STUDIES["camvid"], kept_of(STUDIES["camvid"], "attention3_esupv_narrow", 0, 0.5))
    text = page.page(folder)
    assert f"({folder.name}/{street.name})" in text
    assert "shapes_maps.png" not in text
    run = "runs/ablation/camvid/seed0/camvid_attention3_esupv_narrow/final.caffemodel"
    assert f"    python tools/visualize.py camvid_attention3_esupv_narrow --weights {run}" in text


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
    printed = ["53.12", "56.39", "64.37", "69.08", "69.47", "71.42", "33.42", "35.78"]  # tables 1, 3, 5 and 6
    assert line(text, "1, 0.75, 0.5", "attention") == [*printed, "", "54.25"]
    assert line(text, "`average2`") == ["not run", "0", "", ""]
    assert "on `attention3_esupv`, with VOC's parameters: 54.25 ± 1.77 before, 64.25 ± 1.77 after, +10.00" in text


def test_claims(folder):
    """Attention less max: 0 and 0.5, half-width 3.18, so undecided. Scale 1: 0.7 - 0.2 for both seeds, so it holds."""
    text = page.page(folder)
    better = "Three scales merged by attention, with extra supervision, are better than one"
    assert line(text, better)[2].startswith("+3.25 (+0.07 to +6.43) holds")
    over_max = "Attention is better than max: three scales, with extra supervision"
    assert line(text, over_max)[2:] == ["+0.25 (-2.93 to +3.43) **undecided**"]
    assert "Attention over three scales with extra supervision is the best" not in text  # of others there is no run
    begin = "Scale 1 has more weight on the smallest objects than on the largest"
    assert line(text, begin)[2:] == ["+0.500 (+0.500 to +0.500) weight holds"]
    assert "### Extra supervision" not in text  # of nets without it there is no run
    assert "On average" not in text


def test_averages(tmp_path):
    """Of attention above max and average: 1 over max, 3 over average in each of four cells; seed 1 lacks one net."""
    study = STUDIES["shapes"]
    scores = {"attention": 0.54, "max": 0.53, "average": 0.51, "largefov": 0.5}
    for net in study.nets:
        for seed in (0, 1) if net != "max2" else (0,):
            kept.write(tmp_path, study, kept_of(study, net, seed, scores[re.match("[a-z]*", net)[0]]))
    text = page.page(tmp_path)
    assert line(text, "Attention is better than max and average (8 pairs of nets)")[1:] == [
        "+0.57 Person-Part, +0.52 VOC, +0.64 VOC from COCO, +0.33 MS-COCO",  # by hand from tables 1, 3, 5 and 6
        "+2.00 **undecided**",
    ]
    several = line(text, "Several scales merged by attention are better than one (4 pairs of nets)")
    assert several[1].split(", ")[1] == "+4.46 VOC"
    assert several[2] == "+4.00 (+4.00 to +4.00) holds, smaller than 1 of the paper's 4"


def test_an_open_interval_may_still_be_short_of_the_papers_gains(tmp_path):
    """Two seeds with gains of 0.01 and 0.03: +0.02 +- 12.706 x 0.01. The paper has 2.97 and more, and 0.06 to 1.10."""
    study = STUDIES["shapes"]
    for net, scores in {
        "largefov": (0.50, 0.52), "average3_esupv": (0.5001, 0.5203), "attention3_esupv": (0.5, 0.5224),
    }.items():  # fmt: skip
        for seed, score in enumerate(scores):
            one = kept_of(study, net, seed, score)
            one = dataclasses.replace(one, crf=one.evaluation) if net == study.shown else one
            kept.write(tmp_path, study, one)
    text = page.page(tmp_path)
    several = "Three scales merged by average, with extra supervision, are better than one"
    assert line(text, several)[2:] == ["+0.02 (-0.11 to +0.15) **undecided**, smaller than the paper's"]
    # less average: -0.01 and 0.21, mean 0.10 and +- 12.706 x 0.11; no gain of the paper's is above 1.50
    over = "Attention is better than average: three scales, with extra supervision"
    assert line(text, over)[2:] == ["+0.10 (-1.30 to +1.50) **undecided**"]


def test_a_claim_that_holds_may_be_short_of_some_of_the_papers_gains(folder):
    """Attention less one scale: up to 6.43; the paper has 4.48, 6.80, 3.84 and 4.56."""
    above = "Three scales merged by attention, with extra supervision, are better than one"
    assert line(page.page(folder), above)[2:] == ["+3.25 (+0.07 to +6.43) holds, smaller than 1 of the paper's 4"]


def test_words_with_numbers_from_the_runs(folder):
    """In the fixture attention has 53 and 55.5, max 53 and 55, the baseline 50 and 52; a scale's map half of its net's.

    Attention less max's scale 1: 26.5 and 28, mean 27.25, deviation 1.061, so +-9.53.
    """
    claim = "Attention is better than max: three scales, with extra supervision"
    kept.write(folder, STUDIES["camvid"], kept_of(STUDIES["camvid"], "max3_esupv_narrow", 0, 0.4))
    for words, numbers in (
        ("{shapes: attention3_esupv} {shapes: attention3_esupv@0.5}, {shapes:\nlargefov}", "54.25 27.12, 51.00"),
        ("{shapes: attention3_esupv - largefov}", "+3.25 (+0.07 to +6.43)"),
        ("{shapes: attention3_esupv - max3_esupv@1}", "+27.25 (+17.72 to +36.78)"),
        (f"{{shapes | {claim}}}", "+0.25 (-2.93 to +3.43)"),
        ("{camvid, train: max3_esupv_narrow - max3_esupv_narrow@0.5}", "+25.00"),  # 50 less 25
        (f"{{paper | {claim}}}", "+0.61 Person-Part, +1.29 VOC, +1.36 VOC from COCO, +0.70 MS-COCO"),
    ):
        (folder / "meaning.md").write_text(f"## What\n\nIt is {words}, so.\n")
        assert f"\n## What\n\nIt is {numbers}, so.\n\n## The papers' claims" in page.page(folder)


@pytest.mark.parametrize(
    "field",
    ["", "54.25", "shapes", "shapes: max2", "shapes: attention5", "shape: max2", "shapes: max3_esupv@0.7",
     "shapes: max2 - largefov", "shapes | no such claim", "camvid | Diverse dilations help", "shapes | "],
)  # fmt: skip
def test_words_whose_numbers_are_not_there(folder, field):
    (folder / "meaning.md").write_text(f"So it is {{{field}}}.\n")
    with pytest.raises(UserError, match=r"meaning\.md: \{.*\} is no number of the runs beside it"):
        page.page(folder)


def test_sizes(folder):
    text = page.page(folder)
    assert line(text, "net", "8 to 16") == ["16 to 32", "32 to 64"]
    assert line(text, "`max3_esupv`", "10.0") == ["25.0", "50.0"]
    assert line(text, "`attention3_esupv`", "1") == ["0.70", "0.30", "0.20"]


def test_no_run_at_all(tmp_path):
    text = page.page(tmp_path)
    assert "No run can tell yet." in text
    assert f"Not run yet, or not all of it: {', '.join(f'`{name}`' for name in STUDIES)};" in text
    assert "\n| `" not in text


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


def test_a_study_beside_another_and_one_of_streets(tmp_path):
    """Fourth scales at 52 beside 54; streets: a trunk of 30, 90 seconds each, then 31 and 33 from it."""
    table, design = STUDIES["shapes"], STUDIES["shapes_design"]
    kept.write(tmp_path, table, kept_of(table, "attention3_esupv", 0, 0.54))
    kept.write(tmp_path, table, kept_of(table, "max2", 0, 0.4))
    kept.write(tmp_path, design, kept_of(design, "attention4_esupv", 0, 0.52))
    for name, net, score in (
        ("camvid_trunk", "largefov_narrow", 0.30),
        ("camvid", "largefov_narrow", 0.31),
        ("camvid", "attention3_esupv_narrow", 0.33),
    ):
        kept.write(tmp_path, STUDIES[name], kept_of(STUDIES[name], net, 0, score))
    (tmp_path / page.OTHERS).write_text('[[net]]\nname = "A"\nmean_iou = 60.5\non = "val"\nsource = "B"\n')
    text = page.page(tmp_path)
    sections = {part.splitlines()[0]: part for part in text.split("\n## ")}
    about = sections[design.title]
    assert line(about, "`attention3_esupv`", "54.00", "1")[0] == ""
    assert line(about, "`attention4_esupv`", "52.00", "1")[0] == "-2.00"
    assert "`max2`" not in about  # is of the other study, and not its base
    assert "+2.00" in next(one for one in text.splitlines() if one.startswith("| A fourth scale, 0.25"))
    streets = sections[STUDIES["camvid"].title]
    assert line(streets, "`attention3_esupv_narrow`", "33.00", "1")[:2] == ["+2.00", "90.00"]
    assert line(streets, "`attention3_esupv_narrow`", "16.50") == [
        "16.50",
        "16.50",
        "33.00",
        "+16.50",
    ]  # branches, merged
    assert line(streets, "`largefov_narrow`", "31.0") == ["31.0"] * 10  # by class
    assert line(streets, "`attention3_esupv_narrow`", "1", "0.20") == ["0.60"] * 10  # weights by class
    assert line(streets, "`attention3_esupv_narrow`", "1", "0.50")[2] == "0.90"  # by height
    best = "`camvid_attention3_esupv_narrow` of camvid, seed 0: the best of 3 runs, and so a little too good"
    assert line(text, best) == ["33.00", "val, 480x360", "3 minutes beside other runs, its trunk included"]
    assert "chosen beforehand" not in text
    long = STUDIES["camvid_long"]
    kept.write(tmp_path, long, kept_of(long, "attention3_esupv_narrow", 0, 0.32))
    best = "`camvid_attention3_esupv_narrow` of camvid_long, seed 0: chosen beforehand"
    text = page.page(tmp_path)
    assert line(text, best)[0] == "32.00"
    assert "the best of 4 runs" in text
    assert line(text, "A", "60.50") == ["val", "B"]
    assert "0123456+ |" in text


def test_runs_of_two_trunks(folder):
    study = STUDIES["shapes_refine"]
    kept.write(folder, study, kept_of(study, "refine2_esupv", 1, 0.5, start="another"))
    with pytest.raises(UserError, match=r"started from other weights than .*, whose trunk it shares"):
        page.page(folder)


def test_a_file_at_another_place(folder):
    (folder / "shapes/seed1/largefov.json").rename(folder / "shapes/seed1/max2.json")
    with pytest.raises(UserError, match="net is largefov, expected max2"):
        page.page(folder)
