"""Nets on ResNet-34 for the tests: a trunk's options, and nets that have nothing but an input and what is tested."""

import dataclasses

import caffe
import numpy as np
from caffe import layers as L

from attscale import prototxt, recipe
from attscale.nets.blocks import Branch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk(recipe.Trunk):
    """A ResNet-34 from fillers, without dropout."""

    kind: str = "resnet34"
    from_scratch: bool = True
    dropout: float = 0.0

    def __post_init__(self):
        """Frozen statistics beside fillers are refused in earnest; here they are filled by hand."""


def net_of(shape, add, phase=caffe.TRAIN):
    """A caffe.Net: the input `data` of that shape and what `add(branch, data)` puts on it; gradients go all over.

    Fillers draw the same weights each time.
    """
    caffe.set_random_seed(0)
    return prototxt.load(message_of(shape, add), phase)


def message_of(shape, add):
    net = caffe.NetSpec()
    branch = Branch(net)
    add(branch, branch.add("data", L.Input(shape={"dim": list(shape)})))
    message = net.to_proto()
    message.force_backward = True
    return message


def fill_norms(net, seed=0, *, calm=False):
    """Gives every BatchNorm and Scale of the net values of its own; calm: as `torch_nets.random_state` has it."""
    rng = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        if name.endswith("_scale"):
            scale, bias = (blob.data for blob in blobs)
            scale[...] = rng.uniform(0.05, 0.15, scale.shape) if calm else rng.normal(0.6, 0.1, scale.shape)
            bias[...] = 2 * (np.arange(bias.size) % 2) - 1 if calm else rng.normal(0, 0.1, bias.shape)
        elif len(blobs) == 3:
            blobs[0].data[...] = rng.normal(0, 0.2, blobs[0].data.shape)
            blobs[1].data[...] = rng.uniform(1, 3, blobs[1].data.shape)
            blobs[2].data[...] = 2  # both are divided by it
