"""Shared by the tests of nets: layers by name, rows that are small enough to train, nets that are fed by hand."""

import dataclasses
from fractions import Fraction

import caffe
import pytest
from google.protobuf import text_format

from attscale import experiments, prototxt

KINDS = [
    "voc12_largefov",
    "voc10_part_msc_largefov",
    "voc12_max2",
    "voc12_average3_esupv",
    "coco_attention3_esupv",
    "voc10_part_attention4_esupv",
    "voc10_part_attention3_esupv_fc8",
    "voc12_attention2_esupv_stages_dilated",
    "voc12_refine2_esupv_bias",
    "ade20k_resnet34",
    "ade20k_resnet34_psp_refine2_esupv",
]
#: Names of experiments, one of each kind; the others are for slow tests.
EACH_KIND = [
    pytest.param(name, marks=() if name in KINDS else pytest.mark.slow) for name in sorted(experiments.EXPERIMENTS)
]


def layers(message):
    return {layer.name: layer for layer in message.layer}


def with_inputs(message, batch, size):
    """The training net with plain inputs for SegData."""
    del message.layer[0]
    for name, channels in (("label", 1), ("data", 3)):
        layer = type(message)().layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=[batch, channels, size, size])
        message.layer.insert(0, layer)
    return message


def solver_on(folder, row, message, **changes):
    """The row's solver, but for some fields, on the net `message`; its files are in `folder`."""
    net_path, path = folder / "train.prototxt", folder / "solver.prototxt"
    net_path.write_text(text_format.MessageToString(message))
    solver = prototxt.solver(row)
    for name, value in {"net": str(net_path), "snapshot_prefix": str(folder / "s"), **changes}.items():
        setattr(solver, name, value)
    path.write_text(text_format.MessageToString(solver))
    return caffe.get_solver(str(path))


def narrow(row):
    """The row at 1/16 width from scratch, without dropout, on 97 pixels."""
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 16), from_scratch=True, dropout=0.0, fc6_dilation=2)
    attention = dataclasses.replace(row.attention, filters=16, stage_filters=12, filler="msra")
    return dataclasses.replace(
        row, trunk=trunk, attention=attention, pretraining=None, crop_size=97, test_size=97, split=None
    )
