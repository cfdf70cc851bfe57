"""The rows of Attention to Refine against its tables 1 to 3 and section 3, typed by hand; and what reads the tables."""

import dataclasses
from fractions import Fraction

import pytest

from attscale import experiments, paper, prototxt
from attscale.errors import ExperimentError
from attscale.results import compare, evaluations
from attscale.sweep import plan
from conftest import one_line_error
from helpers import printed
from helpers.results import evaluation, write_run

VGG_STAGES = ("pool2", "pool3", "pool4", "pool5", "fc7")
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")


def on(dataset, *names):
    return [f"{dataset}_{name}" for name in names]


STEPS = ("attention2_esupv_stages", "attention2_esupv_stages_dilated", "refine2_esupv", "refine2_esupv_bias")
#: The rows of a table in the order of print, one for each of its lines.
ROWS = {
    1: on("voc12", "largefov_poly", "max2_poly", "average2_poly", "attention2_esupv_poly", "refine2_esupv"),
    2: on("voc12", "attention2_esupv_poly", *STEPS),
    3: ["ade20k_resnet34", *on("ade20k_resnet34", "attention2_esupv", "psp", "refine2_esupv", "psp_refine2_esupv")],
}
NONE, BOTH, ONES = (), (12, 2), (1, 1)
#: merge, extra supervision, stages, dilations, recalibration, of each row of tables 1 and 2.
VOC = {
    "voc12_largefov_poly": (None, False, NONE, NONE, None),
    "voc12_max2_poly": ("max", False, NONE, NONE, None),
    "voc12_average2_poly": ("average", False, NONE, NONE, None),
    "voc12_attention2_esupv_poly": ("attention", True, NONE, NONE, None),
    "voc12_attention2_esupv_stages": ("attention", True, VGG_STAGES, ONES, None),
    "voc12_attention2_esupv_stages_dilated": ("attention", True, VGG_STAGES, BOTH, None),
    "voc12_refine2_esupv": ("attention", True, VGG_STAGES, BOTH, "product"),
    "voc12_refine2_esupv_bias": ("attention", True, VGG_STAGES, BOTH, "bias"),
}
#: The same of table 3, and whether there is pyramid pooling.
ADE20K = {
    "ade20k_resnet34": (None, False, NONE, NONE, None, False),
    "ade20k_resnet34_attention2_esupv": ("attention", True, NONE, NONE, None, False),
    "ade20k_resnet34_psp": (None, False, NONE, NONE, None, True),
    "ade20k_resnet34_refine2_esupv": ("attention", True, RESNET_STAGES, BOTH, "product", False),
    "ade20k_resnet34_psp_refine2_esupv": ("attention", True, RESNET_STAGES, BOTH, "product", True),
}


def parts(row):
    """What the tables tell rows apart by."""
    attention = row.attention
    return row.merge, row.extra_supervision, attention.stages, attention.dilations, attention.recalibration


@pytest.mark.parametrize("table", ROWS)
def test_rows_hold_the_printed_numbers(table):
    cells = [(measure, number) for _, of, measure, number in printed.REFINE if of == table]
    lines = [cells[i : i + 2] for i in range(0, len(cells), 2)] if table == 3 else [[cell] for cell in cells]
    for name, expected in zip(ROWS[table], lines, strict=True):
        own = [c for c in experiments.find(name).cells if (c.paper, c.table) == (paper.REFINE, table)]
        assert [(cell.measure, cell.value) for cell in own] == expected, name


@pytest.mark.parametrize("name", VOC)
def test_the_rows_of_tables_1_and_2(name):
    """ "Only [...] with 2 scales, i.e., 1x upsample and 0.5x upsample"; "all these experiments use VGG16"."""
    row = experiments.find(name)
    assert parts(row) == VOC[name]
    assert row.scales == ((1,) if row.merge is None else (1, Fraction(1, 2)))
    assert (row.trunk.kind, row.trunk.fc6_dilation, row.trunk.pool5a) == ("vgg16", 12, False)
    assert (row.dataset.name, row.split, row.initial_weights) == ("voc12", None, "vgg16_20M.caffemodel")
    assert (row.crop_size, row.test_size) == (321, 513)


@pytest.mark.parametrize("name", ADE20K)
def test_the_rows_of_table_3(name):
    row = experiments.find(name)
    assert (*parts(row), row.trunk.psp) == ADE20K[name]
    assert row.scales == ((1,) if row.merge is None else (1, Fraction(1, 2)))
    assert (row.trunk.kind, row.trunk.batch_norm, row.initial_weights) == ("resnet34", "train", "resnet34.caffemodel")
    assert len(row.dataset.classes) == 150


@pytest.mark.parametrize("name", [*VOC, *ADE20K])
def test_every_row_trains_by_the_poly_policy_with_its_decoder_at_ten_times_the_rate(name):
    """ "Multiplying (1 - iter / max_iter)^power to base learning rate, where the power is set to 0.9"."""
    row = experiments.find(name)
    solver = prototxt.solver(row)
    assert (solver.type, solver.lr_policy, solver.power) == ("SGD", "poly", pytest.approx(0.9))
    assert row.solver.final_lr_mult == 10
    rates = {
        layer.name: [param.lr_mult for param in layer.param]
        for layer in prototxt.train_net(row).layer
        if layer.type == "Convolution"
    }
    decoder = {"fc8", "psp1", "psp2", "psp3", "psp6", "psp", "att", "rec"}
    for layer, found in rates.items():
        assert found[0] == (10 if layer.split("_")[0] in decoder else 1), layer


def test_rows_of_one_table_differ_in_nothing_else():
    for names in (VOC, ADE20K):
        best = experiments.find([*names][-1])
        for row in map(experiments.find, names):
            assert (row.crop_size, row.test_size) == (best.crop_size, best.test_size)
            same = {"batch_size": best.solver.batch_size, "iter_size": best.solver.iter_size}
            assert row.solver.batch_size * row.solver.iter_size == best.solver.batch_size * best.solver.iter_size
            assert dataclasses.replace(row.solver, **same) == best.solver
            assert dataclasses.replace(row.trunk, psp=best.trunk.psp) == best.trunk


def test_the_steps_of_table_2_on_shapes():
    """From Attention to Scale, one after the other; each is there as prototxts, and starts and trains as all others."""
    names = {"": NONE, "_stages": ONES, "_stages_dilated": BOTH}
    steps = [experiments.find(f"shapes_attention2_esupv{words}") for words in names]
    steps.append(experiments.find("shapes_refine2_esupv"))
    for step, dilations in zip(steps, [*names.values(), BOTH], strict=True):
        assert step.name in experiments.EXPERIMENTS
        assert step.attention.dilations == dilations
        assert step.attention.stages == (VGG_STAGES if dilations else NONE)
        recalibration = "product" if step is steps[-1] else None
        assert dataclasses.replace(step, attention=steps[0].attention) == steps[0]
        assert step.attention.recalibration == recalibration
    assert experiments.find("shapes_refine2_esupv_bias").attention.recalibration == "bias"


@pytest.mark.parametrize("table", ROWS)
def test_a_sweep_takes_a_table(table):
    assert [row.name for row in plan.rows_of([f"refine:{table}"])] == ROWS[table]


def test_a_sweep_of_several_tables_has_each_row_once():
    both = [row.name for row in plan.rows_of(["refine:1", "refine:2"])]
    assert both == [*ROWS[1], *(name for name in ROWS[2] if name not in ROWS[1])]
    assert {row.name for row in plan.rows_of(["1"])}.isdisjoint(both)
    for name in ("refine:4", "refine:0"):
        with pytest.raises(ExperimentError, match=f"no experiment stands for a cell of table {name}"):
            plan.rows_of([name])


def test_the_command_names_a_table_that_is_not_there(tool):
    one_line_error(tool("sweep", "refine:4"), "no experiment stands for a cell of table refine:4")


def lines(folder, table):
    """Paper, here and difference of each line of one of the paper's tables, by what stands first in it."""
    found = evaluations.find([folder])
    (one,) = [t for t in compare.tables(found) if (t.paper, t.number) == (paper.REFINE, table)]
    texts = [line.texts for line in one.lines]
    return {row: (number, here, difference) for row, number, _, here, difference, _ in texts}


def test_what_was_measured_stands_beside_the_printed(tmp_path):
    """One result fills its cells of two tables, and of both measures; the bias' has words, and so no difference."""
    write_run(tmp_path / "refine", evaluation("voc12_refine2_esupv", mean_iou=0.665))
    write_run(tmp_path / "bias", evaluation("voc12_refine2_esupv_bias", mean_iou=0.655))
    write_run(tmp_path / "ade", evaluation("ade20k_resnet34_psp", mean_iou=0.35, pixel_accuracy=0.785))
    one, two, three = (lines(tmp_path, table) for table in (1, 2, 3))
    assert one["Our method"] == ("67.98", "66.50", "-1.48")
    assert one["Attention-to-Scale"] == ("64.74", "not run", "-")
    assert two["Our method (and the extra branch)"] == ("67.98", "66.50", "-1.48")
    assert two["bias instead of product (text)"] == ("about 1 below 67.98 %", "65.50", "-")
    assert three["Baseline + PSP"] == ("36.43", "35.00", "-1.43")
    assert three["Baseline + PSP, pixel accuracy"] == ("78.01", "78.50", "+0.49")
    assert three["Baseline + our attention model + PSP"] == ("38.21", "not run", "-")


def test_a_result_without_pixel_accuracy_fills_the_other_cell_alone(tmp_path):
    write_run(tmp_path / "ade", evaluation("ade20k_resnet34", mean_iou=0.3, pixel_accuracy=None))
    three = lines(tmp_path, 3)
    assert three["ResNet34-dilated8 (Baseline)"] == ("32.67", "30.00", "-2.67")
    assert three["ResNet34-dilated8 (Baseline), pixel accuracy"] == ("76.41", "not run", "-")
