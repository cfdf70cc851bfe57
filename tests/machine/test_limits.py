"""The largest piece, judged by a small net, against the shapes that Caffe comes to."""

import math

import caffe
import pytest

from attscale import experiments, prototxt
from attscale.errors import ExperimentError
from attscale.machine import limits
from attscale.prepare import own
from attscale.prototxt import Model
from helpers.net_cases import EACH_KIND, KINDS, narrow, with_inputs

#: The widest merge of each trunk; how a net is put together does not depend on its width.
WIDE = ("voc10_part_attention4_esupv", "ade20k_resnet34_psp_refine2_esupv")


def largest_in_caffe(net, message):
    """Of all tops, of what a loss keeps inside, and of the buffers in which a convolution unfolds one image."""
    pieces = {}
    for layer in message.layer:
        shape, bottoms = net.blobs[layer.top[0]].shape, [net.blobs[name].shape for name in layer.bottom]
        pieces[layer.name] = max(math.prod(net.blobs[top].shape) for top in layer.top)
        if layer.type == "SoftmaxWithLoss":
            pieces[layer.name] = math.prod(bottoms[0])
        if layer.type == "Convolution":
            buffer = bottoms[0][1] * layer.convolution_param.kernel_size[0] ** 2 * math.prod(shape[2:])
            pieces[layer.name] = max(pieces[layer.name], buffer)
    return max(pieces.items(), key=lambda piece: piece[1])


def check(row, side):
    message = prototxt.deploy_net(row, side)
    net = prototxt.load(message)
    small = limits.small(Model.of(row))
    for n, height, width in ((1, side, side), (1, side + 32, side), (2, side, side + 64), (12, side, side)):
        net.blobs["data"].reshape(n, 3, height, width)
        net.reshape()
        assert limits.largest(small, n, height, width) == largest_in_caffe(net, message)
    for n in (1, 12):
        message = with_inputs(prototxt.train_net(row), n, side)
        net = prototxt.load(message, caffe.TRAIN)
        assert limits.largest(limits.small_training(Model.of(row)), n, side, side) == largest_in_caffe(net, message)


@pytest.mark.parametrize("name", KINDS)
def test_narrow_nets(name):
    """Whose first layers have fewer channels than there are classes."""
    check(narrow(experiments.find(name)), 97)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in WIDE else pytest.mark.slow) for name in sorted(experiments.EXPERIMENTS)],
)
def test_nets_at_full_width(name):
    check(experiments.find(name), 97)


@pytest.mark.parametrize(
    ("name", "batch", "said"),
    [
        # conv1_1 has 64 x 321^2 = 6,594,624 values for an image: 325 of them fit into 2^31 - 1, 326 do not
        ("voc", 326, "conv1_1 would need 2,149,847,424 values at once, .* for voc12_attention3_esupv 325 is"),
        # at 1/8 of the width on 193 pixels 8 x 193^2 = 297,992
        ("shapes", 7207, "conv1_1 would need 2,147,628,344 values .* for shapes_attention3_esupv 7206 is the largest"),
    ],
)
def test_the_largest_batch(name, batch, said):
    model = Model.of(experiments.find(name))
    limits.check_batch(model.having(batch_size=batch - 1))
    with pytest.raises(ExperimentError, match=f"--batch-size {batch}: {said}"):
        limits.check_batch(model.having(batch_size=batch))


@pytest.mark.parametrize("name", EACH_KIND)
def test_the_batches_of_all_experiments_fit(name):
    limits.check_batch(Model.of(experiments.find(name)))


# By hand: 64 channels x 9 for every pixel of 321x321, or a 1/8 of them; for attention over four scales 4 x 1024 x 9 at
# stride 8, which is as many a pixel, and 41 is more than 321 / 8.
@pytest.mark.parametrize(
    ("name", "layer", "values"),
    [
        ("voc", "conv1_2", 576 * 321**2),
        ("voc10_part_attention4_esupv", "att_conv1", 36864 * 41**2),
        ("shapes", "conv1_2", 72 * 321**2),
    ],
)
def test_the_largest_piece_by_hand(name, layer, values):
    assert limits.largest(limits.small(Model.of(experiments.find(name))), 1, 321, 321) == (layer, values)


def test_what_owners_of_large_photographs_are_told():
    """prepare/own.py has no Caffe to ask, so its two numbers are held against what Caffe comes to."""
    names = {"Attention to Refine": "voc12_refine2_esupv", "Attention to Scale": "voc"}
    sides = {
        paper: limits.largest_side(limits.small(Model.of(experiments.find(name)))) for paper, name in names.items()
    }
    assert sides == own.LARGEST


def test_the_largest_side():
    assert (
        limits.largest_side(limits.small(Model.of(experiments.find("voc")))) == 1921
    )  # 576 x 1921^2 = 2.13e9 values, x 1953^2 = 2.20e9
