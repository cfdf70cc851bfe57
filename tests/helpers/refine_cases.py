"""Small rows with the attention model of Attention to Refine, and their training nets, filled."""

import dataclasses

import numpy as np

from attscale import experiments, prototxt
from attscale.recipe import Attention
from helpers.net_cases import narrow, with_inputs

STAGES = ("pool2", "pool3", "pool4", "pool5", "fc7")
SUFFIXES = ("", "_res05")


def on_resnet(row, **changes):
    """The row on ResNet-34 at 1/16 width from scratch."""
    trunk = dataclasses.replace(row.trunk, kind="resnet34", **changes)
    attention = dataclasses.replace(row.attention, features="head")
    solver = dataclasses.replace(row.solver, batch_size=2)  # for pyramid pooling's statistics
    return dataclasses.replace(row, trunk=trunk, attention=attention, solver=solver)


def refining(base="shapes_attention2_esupv", **changes):
    """The row `base` at 1/16 width with the whole model, but for these changes of its attention."""
    row = narrow(experiments.find(base))
    options = {
        "stages": STAGES,
        "dilations": (12, 2),
        "stage_filters": 12,
        "recalibration": "product",
        "filters": 16,
        "filler": "msra",
    }
    return dataclasses.replace(row, attention=Attention(**{**options, **changes}))


def train_net(row, size=97, batch=2):
    """The row's training net as a message with plain inputs for SegData."""
    return with_inputs(prototxt.train_net(row), batch, size)


def fill(net, seed=0, classes=5):
    """Images and labels for a training net, and last layers whose outputs differ from place to place."""
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.normal(0, 60, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = rng.integers(0, classes, net.blobs["label"].data.shape)
    for name in ("att_fc", "rec_fc"):
        if name in net.params:
            net.params[name][0].data[...] *= 20
