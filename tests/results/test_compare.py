"""The papers' numbers typed a second time, and which measured results stand beside them."""

import json
import os

import pytest

from attscale import datasets, experiments, paper
from attscale.errors import UserError
from attscale.results import compare, evaluations
from conftest import one_line_error

# table, measure, then the numbers in the order of print: baseline, {1, 0.5}: max, average, attention, each without and
# with extra supervision, then {1, 0.75, 0.5}, then DeepLab-MSc-LargeFOV of the text; - is what the text has in words
SCALE = """
1 mean IOU      51.91 52.90 55.26 52.71 55.17 53.49 55.85 53.02 55.78 52.56 55.72 53.12 56.39 53.72
2 head          81.47
2 torso         59.06
2 upper arms    44.15
2 lower arms    42.50
2 upper legs    38.28
2 lower legs    35.62
2 background    93.65
2 mean IOU      56.39
3 mean IOU      62.28 64.81 67.43 64.86 67.79 65.27 68.24 65.15 67.79 63.92 67.98 64.37 69.08 64.39
4 mean IOU      65.1 67.0 69.6 69.8 70.5 70.6 71.5 72.7 73.6 74.7 75.2 77.5 77.8 75.1 75.7 76.3
5 mean IOU      67.58 69.15 70.01 69.22 70.44 69.90 70.76 69.70 70.06 68.82 70.55 69.47 71.42
6 mean IOU      31.22 32.95 34.70 33.69 35.14 34.03 35.41 33.58 35.08 33.74 35.72 33.42 35.78 31.61
7 person        68.76 70.07 71.06 70.38 71.60 70.66 72.20 69.97 71.43 69.69 71.70 70.14 72.72
"""
REFINE = """
1 mean IOU      61.40 63.88 64.07 64.74 67.98
2 mean IOU      64.74 65.80 66.83 67.98 -
3 mean IOU      32.67
3 accuracy      76.41
3 mean IOU      35.11
3 accuracy      76.82
3 mean IOU      36.43
3 accuracy      78.01
3 mean IOU      37.07
3 accuracy      78.57
3 mean IOU      38.21
3 accuracy      79.29
"""
BEST = "voc10_part_attention3_esupv"


def typed(text, source):
    for line in text.strip().splitlines():
        table, *words = line.split()
        measure = " ".join(word for word in words if word.isalpha())
        numbers = [None if word == "-" else float(word) for word in words if not word.isalpha()]
        measure = {"mean IOU": "mean IOU", "accuracy": "pixel accuracy"}.get(measure, f"IOU of {measure}")
        yield from ((source, int(table), measure, number) for number in numbers)


def test_every_printed_number_is_there_in_the_order_of_print():
    expected = [*typed(SCALE, "attention to scale"), *typed(REFINE, "attention to refine")]
    assert len(expected) == 14 + 8 + 14 + 16 + 13 + 14 + 13 + 5 + 5 + 10
    assert [(c.paper, c.table, c.measure, c.value) for c in paper.cells()] == expected
    assert len(set(paper.cells())) == len(expected)


def test_cells_say_what_they_are():
    by_row = {cell.row: cell for cell in paper.cells() if (cell.paper, cell.table) == (paper.SCALE, 4)}
    assert next(row for row, cell in by_row.items() if cell.crf) == "DeepLab-CRF-COCO-LargeFOV [43]"
    assert sum(cell.crf for cell in by_row.values()) == 9
    assert {cell.split for cell in by_row.values()} == {"test"}
    names = {line.row: line.printed for table in compare.tables([]) for line in table.lines}
    assert names["ParseNet [36]"] == "69.8"
    assert names["upper arms"] == "44.15"
    assert names["Baseline + PSP, pixel accuracy"] == "78.01"
    assert names["bias instead of product (text)"] == "about 1 below 67.98 %"
    assert names["section 4.1, four scales"] == "0.5 below 56.39 %"
    assert str(paper.REFINE_VOC["max"]) == "attention to refine, table 1, Merged with MaxPooling: 63.88 % mean IOU"


def test_every_cell_of_a_row_is_in_a_table():
    shown = {line.cell for table in compare.tables([]) for line in table.lines}
    assert shown >= {cell for row in experiments.EXPERIMENTS.values() for cell in row.cells}
    assert shown >= set(paper.cells())


#: Sections 4.1 to 4.3, and the readme of VOC 2012.
IMAGES = {("voc12", "val"): 1449, ("voc12", "test"): 1456, ("voc10_part", "val"): 1817, ("coco", "val1500"): 1500}


def write(folder, experiment, *, age=0, **changes):
    """An evaluation.json `age` seconds old, of all images of the paper's split; returns its path."""
    dataset = getattr(experiments.EXPERIMENTS.get(str(experiment)), "dataset", "voc12")
    split = changes.get("split", datasets.find(dataset).val)
    values = {
        "experiment": experiment,
        "split": split,
        "crf": False,
        "weights": "runs/x/final.caffemodel",
        "images": IMAGES.get((dataset, split), 9),
        "mean_iou": 0.7,
        "iou": {"background": 0.9, "person": 0.5, "never": None},
    }
    values = {key: value for key, value in {**values, **changes}.items() if value != "left out"}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evaluation.json"
    path.write_text(json.dumps(values))
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def here(folder, table, row, source=paper.SCALE):
    """(here, difference, run) of one line."""
    (found,) = [t for t in compare.tables(evaluations.find([folder])) if (t.paper, t.number) == (source, table)]
    (line,) = [line for line in found.lines if line.row == row]
    return line.here, line.difference, line.run


ATTENTION = "attention, scales {1, 0.75, 0.5}, w/ E-Supv"


def test_the_newest_result_stands_beside_its_cell_with_a_signed_difference(tmp_path):
    assert here(tmp_path, 3, ATTENTION) == ("not run", "-", "-")
    write(tmp_path / "old", "voc12_attention3_esupv", mean_iou=0.75, age=50)
    write(tmp_path / "new", "voc12_attention3_esupv", mean_iou=0.68999, age=10)
    assert here(tmp_path, 3, ATTENTION) == ("69.00", "-0.08", str(tmp_path / "new"))
    write(tmp_path / "newest", "voc", mean_iou=0.7, age=1)  # an alias of the same row
    assert here(tmp_path, 3, ATTENTION) == ("70.00", "+0.92", str(tmp_path / "newest"))
    assert here(tmp_path, 3, "baseline") == ("not run", "-", "-")
    assert here(tmp_path, 5, ATTENTION) == ("not run", "-", "-")
    assert here(tmp_path, 4, "ParseNet [36]") == ("not run", "-", "-")
    assert here(tmp_path, 1, "Our method", paper.REFINE)[1:] == ("-", "-")


def test_table_2_is_by_part_and_table_7_is_of_persons(tmp_path):
    write(tmp_path / "part", BEST, iou={"head": 0.8, "upper arms": 0.5}, mean_iou=0.5639)
    assert here(tmp_path, 2, "head") == ("80.00", "-1.47", str(tmp_path / "part"))
    assert here(tmp_path, 2, "upper arms") == ("50.00", "+5.85", str(tmp_path / "part"))
    assert here(tmp_path, 2, "torso") == ("not run", "-", "-")
    assert here(tmp_path, 2, "average") == ("56.39", "+0.00", str(tmp_path / "part"))
    assert here(tmp_path, 1, ATTENTION) == ("56.39", "+0.00", str(tmp_path / "part"))
    write(tmp_path / "coco", "coco_attention3_esupv", split="val1500", mean_iou=0.36)
    assert here(tmp_path, 7, ATTENTION) == ("50.00", "-22.72", str(tmp_path / "coco"))
    assert here(tmp_path, 6, ATTENTION) == ("36.00", "+0.22", str(tmp_path / "coco"))


def test_a_cell_in_words_has_no_difference(tmp_path):
    write(tmp_path / "fc6", "voc10_part_attention3_esupv_fc6", mean_iou=0.5)
    assert here(tmp_path, 1, "section 4.1, fc6 features") == ("50.00", "-", str(tmp_path / "fc6"))


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "train_aug"},
        {"split": None},
        {"split": "left out"},
        {"crf": True},
        {"experiment": "voc12_attention3_esupv_trainval_aug"},
        {"weights": "runs/voc12_attention3_esupv_trainval_aug/1/final.caffemodel"},
        {"weights": "weights/train2_iter_8000.caffemodel"},
        {"weights": None, "predictions": "out/voc12_attention3_esupv_trainval_aug"},
        {"experiment": "voc12_attention3_esupv_finest"},
        {"although_seen": True},
        {"images": 1448},
    ],
)
def test_what_is_not_the_cells_own_never_counts(tmp_path, changes):
    write(tmp_path, **{"experiment": "voc12_attention3_esupv", **changes})
    shown = [line for table in compare.tables(evaluations.find([tmp_path])) for line in table.lines if line.result]
    assert shown == []


def test_table_4_takes_test_scores_with_crf_where_the_paper_has_it(tmp_path):
    name, row = "voc12_coco_attention3_esupv_trainval_aug", "DeepLab-CRF-COCO-LargeFOV-Attention"
    write(tmp_path / "plain", name, split="test")
    assert here(tmp_path, 4, row)[0] == "not run"
    write(tmp_path / "crf", name, split="test", crf=True, mean_iou=0.76)
    assert here(tmp_path, 4, row) == ("76.00", "+0.90", str(tmp_path / "crf"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean_iou": "left out"}, ["'mean_iou' is missing"]),
        ({"mean_iou": 69.08}, ["'mean_iou' is 69.08", "from 0 to 1"]),
        ({"mean_iou": float("nan")}, ["'mean_iou' is nan"]),
        ({"mean_iou": None}, ["'mean_iou' is None"]),
        ({"mean_iou": True}, ["'mean_iou' is True"]),
        ({"experiment": "voc13"}, ["'experiment' is 'voc13'"]),
        ({"experiment": ["voc"]}, ["'experiment'"]),
        ({"iou": {"a": "b"}}, ["'iou'", "null for each class"]),
        ({"iou": []}, ["'iou' is []"]),
        ({"images": 1.5}, ["'images' is 1.5"]),
        ({"split": 3}, ["'split' is 3", "text"]),
        ({"crf": "yes"}, ["'crf' is 'yes'"]),
        ({"matrix": [[1]]}, ["'matrix'", "3 rows"]),
        ({"matrix": [[1, 2, 3], [1, 2, 3], [1, 2, -3]]}, ["'matrix'", "counts"]),
        ({"attention_by_size": [[4, 8, 1, [0.5]]]}, ["'attention_by_size'", "3 weights"]),
    ],
)
def test_broken_results_name_file_and_key(tmp_path, changes, said):
    path = write(tmp_path, **{"experiment": "voc", **changes})
    with pytest.raises(UserError) as caught:
        evaluations.find([tmp_path])
    for part in (str(path), *said):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_tool_writes_markdown(tmp_path, tool):
    run = tmp_path / "runs" / "a|b <script>"
    write(run, "voc12_attention3_esupv")
    done = tool("compare")
    assert done.returncode == 0, done.stderr
    assert f"| {ATTENTION} | 69.08 | - | 70.00 | +0.92 | runs/a\\|b &lt;script> |" in done.stdout
    assert done.stdout.count("\n## Attention to Scale, table ") == 7
    assert done.stdout.count("\n## Attention to Refine, table ") == 3
    columns = "| row | paper | release | here | difference | run |"
    assert done.stdout.count(columns) == 10
    written = tool("compare", "runs", "--out", "sub/out.md")
    assert written.stdout == "sub/out.md: results 1\n"
    assert (tmp_path / "sub/out.md").read_text() == done.stdout


def test_the_tool_without_results_and_with_bad_ones(tmp_path, tool):
    done = tool("compare")
    assert done.returncode == 0, done.stderr
    assert "| baseline | 62.28 | - | not run | - | - |" in done.stdout
    one_line_error(tool("compare", "nowhere"), "nowhere: no such folder")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/evaluation.json").write_text('{"experiment": "voc", ')
    one_line_error(tool("compare"), "runs/evaluation.json", "not JSON")
    (tmp_path / "runs/evaluation.json").write_text("[]")
    one_line_error(tool("compare"), "runs/evaluation.json", "'experiment'")
