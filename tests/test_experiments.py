"""The rows against the paper's tables, and what sets rows apart."""

import dataclasses
from fractions import Fraction

import pytest

from attscale import experiments, paper, recipe
from attscale.errors import ExperimentError
from helpers import printed


def grid(prefix):
    merges = [
        f"{merge}{scales}{esupv}" for scales in (2, 3) for merge in experiments.MERGES for esupv in ("", "_esupv")
    ]
    return [f"{prefix}_{name}" for name in ("largefov", *merges)]


def for_the_server(*names):
    return [name and f"voc12_{name}_trainval_aug" for name in names]


#: The rows that stand for a table's cells, in the order of print; None: for a method of others.
ROWS = {
    1: [*grid("voc10_part"), "voc10_part_msc_largefov"],
    2: 8 * ["voc10_part_attention3_esupv"],  # the best model, part by part
    3: [*grid("voc12"), "voc12_msc_largefov"],
    4: [
        *for_the_server(
            "largefov_pool5a", "msc_largefov", None, None, "average3_esupv", "max3_esupv", "attention3_esupv"
        ),
        *for_the_server("coco_largefov_pool5a", "coco_msc_largefov", None, None, None, None),
        *for_the_server("coco_attention3_esupv", "coco_attention3_esupv_plus", None),
    ],
    5: grid("voc12_coco"),
    6: [*grid("coco"), "coco_msc_largefov_nopool5a"],
    7: grid("coco"),
}


@pytest.mark.parametrize("table", ROWS)
def test_rows_hold_the_printed_numbers(table):
    cells = [(measure, number) for _, of, measure, number in printed.SCALE if of == table]
    expected = {
        name: [cell for other, cell in zip(ROWS[table], cells, strict=True) if other == name] for name in ROWS[table]
    }
    for name in filter(None, expected):
        assert [(c.measure, c.value) for c in experiments.find(name).cells if c.table == table] == expected[name]


def test_no_row_has_other_cells():
    cells = [cell for row in experiments.EXPERIMENTS.values() for cell in row.cells]
    design = [cell for cell in cells if cell.value is None]
    assert len(design) == 8  # one layer, 1x1, 256 and 1024 filters, fc6, fc8, four scales; a bias: words, not numbers
    ours = 5 * 13 + 3 + 9 + 7 + 8
    refine = 5 + 5 + 2 * 5  # tables 1 to 3, the last with two measures
    assert len(cells) == len(set(cells)) == ours + refine


def test_every_start_is_a_known_file_or_another_experiment():
    files = {"vgg16_20M.caffemodel", "vgg16_20M_coco.caffemodel", "DeepLab_Attention_COCO_init.caffemodel"}
    files |= {"resnet34.caffemodel"}
    for row in experiments.EXPERIMENTS.values():
        for other in filter(None, (row.initial_row, row.coco_stage, row.baseline)):
            assert other in experiments.EXPERIMENTS, row.name
        assert row.initial_row is None or row.initial_weights is None
        assert row.initial_weights in files or row.initial_row or row.pretraining is None


def test_every_table_has_a_baseline_that_differs_in_nothing_but_scales():
    """Tables 1, 3, 5, 6 and 7, and table 4, whose own baselines are the released nets, with pool5a. The authors took
    the 30 images of attention over three scales as 3 x 10, those of a baseline as 10 x 3."""
    for prefix in ("voc10_part", "voc12", "voc12_coco", "coco"):
        for suffix in ("", "_trainval_aug") if prefix.startswith("voc12") else ("",):
            several = experiments.find(f"{prefix}_attention3_esupv{suffix}")
            single = experiments.find(several.baseline)
            assert single.name == f"{prefix}_largefov{suffix}"
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
    sizes = {(row.dataset.name, row.test_size) for row in experiments.EXPERIMENTS.values()}
    assert sizes == {
        ("voc12", 513),
        ("voc10_part", 513),
        ("coco", 641),
        ("coco_voc", 641),
        ("shapes", 257),
        ("ade20k", 513),
    }


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
        ({"attention": recipe.Attention(filler="constant")}, "without fillers start from the release's"),
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
        ({"layers": 3}, "3 layers, expected 1 or 2"),
        ({"filler": "none"}, "'none', expected gaussian, msra or constant"),
    ):
        with pytest.raises(ExperimentError, match=said):
            recipe.Attention(**changes)
    with pytest.raises(ExperimentError, match="'fc9', expected fc7 or fc6 or fc8"):
        dataclasses.replace(experiments.find("voc"), attention=recipe.Attention(features="fc9"))


def test_names_are_unique_and_aliases_lead_somewhere():
    assert len(experiments.EXPERIMENTS) == 117
    for alias, name in experiments.ALIASES.items():
        assert experiments.find(alias).name == f"{name}_attention3_esupv"
    best = max(cells[True] for cells in paper.VOC.cells.values())
    assert [cell.value for cell in experiments.find("voc").cells] == [best]
    with pytest.raises(ExperimentError, match="did you mean voc12_attention3_esupv"):
        experiments.find("voc12_atention3_esupv")
