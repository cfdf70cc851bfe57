"""Which measured results stand beside the papers' numbers, and how the tables are written."""

import pytest

from attscale import experiments, paper
from attscale.results import compare, evaluations
from conftest import one_line_error
from helpers import printed
from helpers.results import evaluation, write_run

BEST = "voc10_part_attention3_esupv"
ATTENTION = "attention, scales {1, 0.75, 0.5}, w/ E-Supv"


def test_every_printed_number_is_there_in_the_order_of_print():
    expected = printed.SCALE + printed.REFINE
    assert len(expected) == 14 + 8 + 14 + 16 + 13 + 14 + 13 + 5 + 5 + 10
    assert [(c.paper, c.table, c.measure, c.value) for c in paper.cells()] == expected
    assert len(set(paper.cells())) == len(expected)


def test_cells_say_what_they_are():
    by_row = {cell.row: cell for cell in paper.cells() if (cell.paper, cell.table) == (paper.SCALE, 4)}
    assert next(row for row, cell in by_row.items() if cell.crf) == "DeepLab-CRF-COCO-LargeFOV [43]"
    assert sum(cell.crf for cell in by_row.values()) == 9
    assert {cell.split for cell in by_row.values()} == {"test"}
    names = {line.texts[0]: line.texts[1] for table in compare.tables([]) for line in table.lines}
    assert names["ParseNet [36]"] == "69.8"
    assert names["upper arms"] == "44.15"
    assert names["Baseline + PSP, pixel accuracy"] == "78.01"
    assert names["bias instead of product (text)"] == "about 1 below 67.98 %"
    assert names["section 4.1, four scales"] == "0.5 below 56.39 %"
    assert str(paper.REFINE_VOC["max"]) == "attention to refine, table 1, Merged with MaxPooling: 63.88 % mean IOU"


def test_every_cell_of_an_experiment_is_in_a_table():
    shown = [line.cell for table in compare.tables([]) for line in table.lines]
    assert len(shown) == len(set(shown))
    assert set(shown) == {*paper.cells(), *(cell for row in experiments.EXPERIMENTS.values() for cell in row.cells)}


def here(folder, table, row, source=paper.SCALE):
    """(here, difference, run) of one line."""
    (found,) = [t for t in compare.tables(evaluations.find([folder])) if (t.paper, t.number) == (source, table)]
    (texts,) = [line.texts for line in found.lines if line.texts[0] == row]
    return texts[3:]


def test_the_newest_result_stands_beside_its_cell_with_a_signed_difference(tmp_path):
    assert here(tmp_path, 3, ATTENTION) == ("not run", "-", "-")
    write_run(tmp_path / "old", evaluation("voc12_attention3_esupv", mean_iou=0.75), age=50)
    write_run(tmp_path / "new", evaluation("voc12_attention3_esupv", mean_iou=0.68999), age=10)
    assert here(tmp_path, 3, ATTENTION) == ("69.00", "-0.08", str(tmp_path / "new"))
    write_run(tmp_path / "newest", evaluation("voc", mean_iou=0.7), age=1)  # an alias of the same experiment
    assert here(tmp_path, 3, ATTENTION) == ("70.00", "+0.92", str(tmp_path / "newest"))
    assert here(tmp_path, 3, "baseline") == ("not run", "-", "-")
    assert here(tmp_path, 5, ATTENTION) == ("not run", "-", "-")
    assert here(tmp_path, 4, "ParseNet [36]") == ("not run", "-", "-")
    assert here(tmp_path, 1, "Our method", paper.REFINE)[1:] == ("-", "-")


def test_table_2_is_by_part_and_table_7_is_of_persons(tmp_path):
    write_run(tmp_path / "part", evaluation(BEST, iou={"head": 0.8, "upper arms": 0.5}, mean_iou=0.5639, matrix=None))
    assert here(tmp_path, 2, "head") == ("80.00", "-1.47", str(tmp_path / "part"))
    assert here(tmp_path, 2, "upper arms") == ("50.00", "+5.85", str(tmp_path / "part"))
    assert here(tmp_path, 2, "torso") == ("not run", "-", "-")
    assert here(tmp_path, 2, "average") == ("56.39", "+0.00", str(tmp_path / "part"))
    assert here(tmp_path, 1, ATTENTION) == ("56.39", "+0.00", str(tmp_path / "part"))
    write_run(tmp_path / "coco", evaluation("coco", iou={"person": 0.5}, mean_iou=0.36, matrix=None))
    assert here(tmp_path, 7, ATTENTION) == ("50.00", "-22.72", str(tmp_path / "coco"))
    assert here(tmp_path, 6, ATTENTION) == ("36.00", "+0.22", str(tmp_path / "coco"))


def test_a_cell_in_words_has_no_difference(tmp_path):
    write_run(tmp_path / "fc6", evaluation("voc10_part_attention3_esupv_fc6", mean_iou=0.5))
    assert here(tmp_path, 1, "section 4.1, fc6 features") == ("50.00", "-", str(tmp_path / "fc6"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"split": "train_aug"}, "of train_aug, the paper's is of val"),
        ({"split": None}, "of no split of the data set, the paper's is of val"),
        ({"crf": True}, "after the CRF, the paper's is before it"),
        ({"although_seen": True}, "whether it was trained on these images was not looked at (--although-seen)"),
        ({"images": 1448}, "of 1448 images, val has 1449"),
        ({"experiment": "voc12_attention3_esupv_own"}, "no cell of the papers is of voc12_attention3_esupv_own"),
        ({"experiment": "voc12_attention3_esupv_trainval_aug"}, "of val, the paper's is of test"),
    ],
)
def test_what_is_not_the_cells_own_never_counts(tmp_path, changes, why):
    """Which it is, and why, is said."""
    write_run(tmp_path / "r", evaluation(**{"experiment": "voc12_attention3_esupv", **changes}))
    found = evaluations.find([tmp_path])
    tables = compare.tables(found)
    assert sum(table.measured for table in tables) == (why is None)
    assert [*compare.left_out(tables, found)] == ([(tmp_path / "r", why)] if why else [])
    assert (f"\n- {tmp_path / 'r'}: {why}\n" in compare.markdown(tables, found)) == (why is not None)


def test_the_older_of_two_results_is_left_out(tmp_path):
    write_run(tmp_path / "old", evaluation("voc12_attention3_esupv"), age=50)
    write_run(tmp_path / "new", evaluation("voc12_attention3_esupv"), age=10)
    found = evaluations.find([tmp_path])
    assert [*compare.left_out(compare.tables(found), found)] == [(tmp_path / "old", f"{tmp_path / 'new'} is newer")]


def test_table_4_takes_test_scores_with_crf_where_the_paper_has_it(tmp_path):
    name, row = "voc12_coco_attention3_esupv_trainval_aug", "DeepLab-CRF-COCO-LargeFOV-Attention"
    test = {"split": "test", "images": 1456}
    write_run(tmp_path / "plain", evaluation(name, **test))
    assert here(tmp_path, 4, row)[0] == "not run"
    write_run(tmp_path / "crf", evaluation(name, crf=True, mean_iou=0.76, **test))
    assert here(tmp_path, 4, row) == ("76.00", "+0.90", str(tmp_path / "crf"))


def test_the_tool_writes_markdown(tmp_path, tool):
    write_run(tmp_path / "runs/ours", evaluation("voc12_attention3_esupv", mean_iou=0.7))
    done = tool("compare")
    assert done.returncode == 0, done.stderr
    assert f"| {ATTENTION} | 69.08 | - | 70.00 | +0.92 | runs/ours |" in done.stdout
    assert "| baseline | 62.28 | - | not run | - | - |" in done.stdout
    assert done.stdout.count("\n## Attention to Scale, table ") == 7
    assert done.stdout.count("\n## Attention to Refine, table ") == 3
    assert done.stdout.count("| row | paper | release | here | difference | run |") == 10
    written = tool("compare", "runs", "--out", "sub/out.md")
    assert written.stdout == "sub/out.md: results 1\n"
    assert (tmp_path / "sub/out.md").read_text() == done.stdout


def test_the_tool_without_results_and_with_bad_ones(tmp_path, tool):
    done = tool("compare")
    assert done.returncode == 0, done.stderr
    assert "not run" in done.stdout
    one_line_error(tool("compare", "nowhere"), "nowhere: no such folder")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/evaluation.json").write_text('{"experiment": "voc", ')
    one_line_error(tool("compare"), "runs/evaluation.json", "not JSON")


def test_a_folder_may_be_called_anything():
    assert compare._escaped("a|<b>") == "a\\|&lt;b>"
