"""The rows against the paper's tables, and what sets rows apart."""

import dataclasses
from fractions import Fraction

import pytest

from attscale import experiments, paper
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
    3: [*grid("voc12"), "voc12_msc_largefov"],
    4: [
        *for_the_server("largefov", "msc_largefov", None, None, "average3_esupv", "max3_esupv", "attention3_esupv"),
        *for_the_server("coco_largefov", "coco_msc_largefov", None, None, None, None),
        *for_the_server("coco_attention3_esupv", "coco_attention3_esupv_plus", None),
    ],
    5: grid("voc12_coco"),
    6: [*grid("coco"), "coco_msc_largefov"],
    7: grid("coco"),
}


@pytest.mark.parametrize("table", ROWS)
def test_rows_hold_the_printed_numbers(table):
    cells = [(measure, number) for _, of, measure, number in printed.SCALE if of == table]
    for name, cell in zip(ROWS[table], cells, strict=True):
        if name is not None:
            assert [(c.measure, c.value) for c in experiments.find(name).cells if c.table == table] == [cell]


def test_no_row_has_other_cells():
    cells = [cell for row in experiments.EXPERIMENTS.values() for cell in row.cells]
    design = [cell for cell in cells if cell.value is None]
    assert len(design) == 7  # one layer, 1x1, 256 and 1024 filters, fc6, fc8, four scales: words, not numbers
    assert len(cells) == len(set(cells)) == 5 * 13 + 3 + 9 + 7


def test_rows_differ_in_what_their_names_say():
    two, three = (experiments.find(f"voc12_attention{n}_esupv").scales for n in (2, 3))
    assert two == (1, Fraction(1, 2))
    assert three == (1, Fraction(3, 4), Fraction(1, 2))
    assert experiments.find("voc10_part_attention4_esupv").scales == (*three, Fraction(1, 4))
    assert experiments.find("voc12_largefov").trunk.pool5a
    assert not experiments.find("voc12_largefov_nopool5a").trunk.pool5a
    assert not experiments.find("voc").trunk.pool5a
    assert experiments.find("voc12_coco_max2").initial_weights == "vgg16_20M_coco.caffemodel"
    assert experiments.find("coco").initial_weights == "vgg16_20M.caffemodel"
    assert experiments.find("voc12_msc_largefov").start == "the weights of voc12_largefov"
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
    ],
)
def test_contradictions_in_a_row_are_named(changes, said):
    with pytest.raises(ExperimentError, match=said):
        dataclasses.replace(experiments.find("voc"), **changes)


def test_choices_of_the_attention_model_are_checked():
    for changes, said in (
        ({"features": "fc9"}, "'fc9', expected fc6, fc7 or fc8"),
        ({"layers": 3}, "3 layers, expected 1 or 2"),
        ({"filler": "none"}, "'none', expected msra or constant"),
    ):
        with pytest.raises(ExperimentError, match=said):
            experiments.Attention(**changes)


def test_names_are_unique_and_aliases_lead_somewhere():
    assert len(experiments.EXPERIMENTS) == 87
    for alias, name in experiments.ALIASES.items():
        assert experiments.find(alias).name == name
    best = max(cells[True] for cells in paper.VOC.cells.values())
    assert [cell.value for cell in experiments.find("voc").cells] == [best]
    with pytest.raises(ExperimentError, match="did you mean voc12_attention3_esupv"):
        experiments.find("voc12_atention3_esupv")
