"""The rows against the paper's tables, typed here once more in the order of print."""

import dataclasses
from fractions import Fraction

import pytest

from attscale import experiments, paper
from attscale.errors import ExperimentError

# table, prefix of the rows' names, measure, then baseline and max, average, attention without and with supervision
TABLES = """
1 voc10_part  mean IOU      51.91  52.90 55.26 52.71 55.17 53.49 55.85  53.02 55.78 52.56 55.72 53.12 56.39
3 voc12       mean IOU      62.28  64.81 67.43 64.86 67.79 65.27 68.24  65.15 67.79 63.92 67.98 64.37 69.08
5 voc12_coco  mean IOU      67.58  69.15 70.01 69.22 70.44 69.90 70.76  69.70 70.06 68.82 70.55 69.47 71.42
6 coco        mean IOU      31.22  32.95 34.70 33.69 35.14 34.03 35.41  33.58 35.08 33.74 35.72 33.42 35.78
7 coco        IOU of person 68.76  70.07 71.06 70.38 71.60 70.66 72.20  69.97 71.43 69.69 71.70 70.14 72.72
"""
ROWS = [
    "largefov",
    *(f"{merge}{scales}{esupv}" for scales in (2, 3) for merge in experiments.MERGES for esupv in ("", "_esupv")),
]


@pytest.mark.parametrize("line", TABLES.strip().splitlines())
def test_grids_hold_the_printed_numbers(line):
    table, prefix, *words = line.split()
    numbers = [float(word) for word in words if word[0].isdigit()]
    measure = " ".join(word for word in words if not word[0].isdigit())
    for suffix, number in zip(ROWS, numbers, strict=True):
        row = experiments.find(f"{prefix}_{suffix}")
        assert [(c.value, c.measure) for c in row.cells if c.table == int(table)] == [(number, measure)]


def test_the_rest_of_the_tables():
    expected = {
        "voc10_part_msc_largefov": (1, 53.72),
        "voc12_msc_largefov": (3, 64.39),
        "coco_msc_largefov": (6, 31.61),
        "voc12_largefov_pool5a_trainval_aug": (4, 65.1),
        "voc12_msc_largefov_trainval_aug": (4, 67.0),
        "voc12_average3_esupv_trainval_aug": (4, 70.5),
        "voc12_max3_esupv_trainval_aug": (4, 70.6),
        "voc12_attention3_esupv_trainval_aug": (4, 71.5),
        "voc12_coco_largefov_pool5a_trainval_aug": (4, 72.7),
        "voc12_coco_msc_largefov_trainval_aug": (4, 73.6),
        "voc12_coco_attention3_esupv_trainval_aug": (4, 75.1),
        "voc12_coco_attention3_esupv_plus_trainval_aug": (4, 75.7),
    }
    for name, cell in expected.items():
        assert [(c.table, c.value) for c in experiments.find(name).cells] == [cell]
    design = [row for row in experiments.EXPERIMENTS.values() for c in row.cells if c.table == 1 and c.value is None]
    assert len(design) == 7  # one layer, 1x1, 256 and 1024 filters, fc6, fc8, four scales: words, not numbers
    cells = [cell for row in experiments.EXPERIMENTS.values() for cell in row.cells]
    assert len(cells) == len(set(cells)) == 5 * 13 + 3 + 9 + 7 + 8  # table 2: seven parts and their average


def test_every_cell_that_is_not_another_groups_has_an_experiment():
    """Table 4's seven lines of other people, as printed, and the other paper's are the only ones without."""
    ours = {cell for row in experiments.EXPERIMENTS.values() for cell in row.cells}
    without = [cell for cell in paper.cells() if cell.paper == paper.SCALE and cell not in ours]
    assert [(cell.table, cell.value) for cell in without] == [
        (4, value) for value in (69.6, 69.8, 74.7, 75.2, 77.5, 77.8, 76.3)
    ]


def test_every_start_is_a_known_file_or_another_experiment():
    files = {"vgg16_20M.caffemodel", "vgg16_20M_coco.caffemodel", "DeepLab_Attention_COCO_init.caffemodel"}
    for row in experiments.EXPERIMENTS.values():
        for other in filter(None, (row.initial_row, row.stage, row.baseline)):
            assert other in experiments.EXPERIMENTS, row.name
        assert row.initial_row is None or row.initial_weights is None
        assert row.initial_weights in files or row.initial_row or row.pretraining is None


def test_every_table_has_a_baseline_that_differs_in_nothing_but_scales():
    """Tables 1, 3, 5, 6 and 7, and table 4, whose own baselines are the released nets, with pool5a. The authors took
    the 30 images of attention over three scales as 3 x 10, those of a baseline as 10 x 3."""
    for prefix in ("voc10_part", "voc12", "voc12_coco", "coco"):
        for suffix in ("", "_trainval_aug") if prefix.startswith("voc12") else ("",):
            single = experiments.find(f"{prefix}_largefov{suffix}")
            several = experiments.find(f"{prefix}_attention3_esupv{suffix}")
            assert (single.solver.batch_size, single.solver.iter_size) == (10, 3)
            solver = dataclasses.replace(single.solver, batch_size=3, iter_size=10)
            same = {"scales": several.scales, "merge": "attention", "extra_supervision": True, "cells": several.cells}
            assert dataclasses.replace(single, solver=solver, **same) == several


def test_the_second_step_on_trainval_aug():
    """Release, solver2 and its script: 8000 iterations, from the same net's weights of the first step."""
    rows = [row for row in experiments.EXPERIMENTS.values() if row.split == "trainval_aug"]
    assert len(rows) == 14
    for row in rows:
        assert row.solver.max_iter == 8000
        if not row.one_step:
            first = experiments.find(row.initial_row)
            assert f"{first.name}_trainval_aug" == row.name
            assert (first.split, first.solver.max_iter) == (None, 6000)
    one_step = experiments.find("voc12_coco_attention3_esupv_onestep_trainval_aug")
    assert (one_step.initial_row, one_step.initial_weights) == (None, "vgg16_20M_coco.caffemodel")


def test_all_of_the_release_in_one_experiment():
    """Typed from the author's train net: scale_factor 0.6, 0.8, 1, 1.2, 1.4; lr 1 and no fillers in the attention."""
    row = experiments.find("voc12_coco_attention3_esupv_zeroattention_plus_trainval_aug")
    assert row.random_scale == (0.6, 0.8, 1, 1.2, 1.4)
    assert not row.uniform
    assert (row.attention.filler, row.attention.lr_mult) == ("constant", 1)
    assert (row.supervise_at, row.split) == ("finest", "trainval_aug")
    assert experiments.find(row.initial_row).initial_weights == "DeepLab_Attention_COCO_init.caffemodel"


def test_scale_three_quarters_is_supervised_as_in_the_authors_files():
    own = {row.name for row in experiments.EXPERIMENTS.values() if row.supervise_at == "own"}
    assert own == {"voc12_attention3_esupv_own"}


def test_the_attention_layers_start_as_in_the_authors_files():
    """att_conv1 512 filters, gaussian 0.005, at the classifier's lr 10 and 20."""
    for name in ("voc", "part", "coco", "voc12_coco_attention3_esupv"):
        attention = experiments.find(name).attention
        assert (attention.filler, attention.lr_mult, attention.filters) == ("gaussian", None, 512)


def test_mscoco_is_padded_to_641():
    sizes = {(row.dataset, row.test_size) for row in experiments.EXPERIMENTS.values()}
    assert sizes == {("voc12", 513), ("voc10_part", 513), ("coco", 641), ("coco_voc", 641), ("shapes", 257)}


def test_rows_differ_in_what_their_names_say():
    two, three = (experiments.find(f"voc12_attention{n}_esupv").scales for n in (2, 3))
    assert two == (1, Fraction(1, 2))
    assert three == (1, Fraction(3, 4), Fraction(1, 2))
    assert experiments.find("voc10_part_attention4_esupv").scales == (*three, Fraction(1, 4))
    assert not experiments.find("voc12_largefov").trunk.pool5a
    assert experiments.find("voc12_largefov_pool5a").trunk.pool5a
    assert experiments.find("voc12_msc_largefov").trunk.pool5a
    assert not experiments.find("voc").trunk.pool5a
    assert experiments.find("voc12_coco_max2").initial_weights == "vgg16_20M_coco.caffemodel"
    assert experiments.find("coco").initial_weights == "vgg16_20M.caffemodel"
    assert experiments.find("voc12_msc_largefov").start == "the weights of voc12_largefov_pool5a"
    assert experiments.find("voc12_msc_largefov").initial_weights is None
    assert experiments.find("shapes").initial_weights is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scales": (Fraction(1, 2), Fraction(1))}, "expected 1 and then ever coarser ones"),
        ({"merge": None}, "merge is None for 3 scales"),
        ({"merge": "sum"}, "merge is sum"),
        ({"crop_size": 320}, "crop_size is 320, expected 32k"),
        ({"scales": (Fraction(1),), "merge": None}, "extra supervision is for several scales"),
        ({"supervise_at": "coarsest"}, "supervise_at is 'coarsest', expected own or finest"),
        ({"pretraining": "jft"}, "pretraining is 'jft'"),
        ({"pretraining": None}, "from scratch, and no other does"),
        ({"attention": experiments.Attention(filler="constant")}, "without fillers start from the release's"),
        ({"msc": True}, "MSc-LargeFOV has one scale"),
        ({"one_step": True}, "one_step is for trainval_aug"),
        ({"uniform": True}, "uniform draws between two factors"),
    ],
)
def test_contradictions_in_a_row_are_named(changes, said):
    with pytest.raises(ExperimentError, match=said):
        dataclasses.replace(experiments.find("voc"), **changes)


def test_choices_of_the_attention_model_are_checked():
    for changes, said in (
        ({"features": "fc9"}, "'fc9', expected fc6, fc7 or fc8"),
        ({"layers": 3}, "3 layers, expected 1 or 2"),
        ({"filler": "none"}, "'none', expected gaussian, msra or constant"),
    ):
        with pytest.raises(ExperimentError, match=said):
            experiments.Attention(**changes)


def test_names_are_unique_and_aliases_lead_somewhere():
    assert len(experiments.EXPERIMENTS) == 101
    for alias, name in experiments.ALIASES.items():
        assert experiments.find(alias).name == name
    best = max(cells[True] for cells in paper.VOC.cells.values())
    assert [cell.value for cell in experiments.find("voc").cells] == [best]
    with pytest.raises(ExperimentError, match="did you mean voc12_attention3_esupv"):
        experiments.find("voc12_atention3_esupv")
