"""Nets on ResNet-34 for the tests: a trunk's options, and nets that have nothing but an input and what is tested."""

import dataclasses

import caffe
import numpy as np
from caffe import layers as L

from attscale import experiments, prototxt
from attscale.nets.blocks import Branch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk(experiments.Trunk):
    """A ResNet-34 from fillers, without dropout."""

    from_scratch: bool = True
    dropout: float = 0.0
    batch_norm: str = "train"


def net_of(shape, add, phase=caffe.TRAIN):
    """A caffe.Net: the input `data` of that shape and what `add(branch, data)` puts on it; gradients go all over."""
    return prototxt.load(message_of(shape, add), phase)


def message_of(shape, add):
    net = caffe.NetSpec()
    branch = Branch(net)
    add(branch, branch.add("data", L.Input(shape={"dim": list(shape)})))
    message = net.to_proto()
    message.force_backward = True
    return message


def fill_norms(net, seed=0):
    """Gives every BatchNorm and Scale of the net values of its own."""
    rng = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        if name.endswith("_scale"):
            for blob, (mean, std) in zip(blobs, ((0.6, 0.1), (0, 0.1)), strict=True):
                blob.data[...] = rng.normal(mean, std, blob.data.shape)
        elif len(blobs) == 3:
            blobs[0].data[...] = rng.normal(0, 0.2, blobs[0].data.shape)
            blobs[1].data[...] = rng.uniform(1, 3, blobs[1].data.shape)
            blobs[2].data[...] = 2  # both are divided by it
