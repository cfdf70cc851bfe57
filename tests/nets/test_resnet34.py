"""ResNet-34 at stride 8 and its heads: layer by layer, sizes, shared parameters, and every block in plain NumPy."""

from fractions import Fraction

import caffe
import numpy as np
import pytest
from caffe import layers as L

from attscale.nets import psp, resnet34
from attscale.nets.blocks import Branch
from attscale.nets.geometry import STRIDES
from attscale.prototxt.model import needs_weights
from attscale.weights.load import owners_of
from helpers.net_cases import layers
from helpers.resnet_cases import Trunk, fill_norms, message_of, net_of

NARROW = Fraction(1, 16)
# block, channels, stride, dilations of its two convolutions, whether a 1x1 convolution brings the bottom to its size.
# Typed from the early repository's words (309fdf4): a 3x3 convolution that has lost its stride gets half the stage's
# dilation (2 in layer3, 4 in layer4), every other 3x3 convolution of the stage all of it.
BLOCKS = [
    *((f"layer1_{i}", 64, 1, (1, 1), False) for i in range(3)),
    ("layer2_0", 128, 2, (1, 1), True),
    *((f"layer2_{i}", 128, 1, (1, 1), False) for i in range(1, 4)),
    ("layer3_0", 256, 1, (1, 2), True),
    *((f"layer3_{i}", 256, 1, (2, 2), False) for i in range(1, 6)),
    ("layer4_0", 512, 1, (2, 4), True),
    *((f"layer4_{i}", 512, 1, (4, 4), False) for i in range(1, 3)),
]


def with_pyramid(**options):
    """The trunk with these options, and the pyramid on its layer4, for `net_of`."""

    def add(branch, data):
        trunk = Trunk(**options)
        psp.pyramid(branch, resnet34.resnet34(branch, data, trunk)["layer4"], trunk, lr_mult=10)

    return add


def check_convolution(net, name, bottom, expected, *, lr_mult=1):
    """Outputs, kernel, pad, stride and dilation; no bias; BatchNorm and Scale in place; returns the blob."""
    layer = net[name]
    param = layer.convolution_param
    fields = (param.kernel_size, param.pad or [0], param.stride or [1], param.dilation or [1])
    assert (layer.type, list(layer.bottom)) == ("Convolution", [bottom])
    assert (param.num_output, *(field[0] for field in fields)) == expected, name
    assert not param.bias_term
    assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(lr_mult, 1)]
    norm = f"{name}_bn" if name.endswith("downsample") else name.replace("conv", "bn")
    for kind, suffix, multipliers in (("BatchNorm", "", [(0, 0)] * 3), ("Scale", "_scale", [(lr_mult, 1)] * 2)):
        layer = net[norm + suffix]
        assert (layer.type, list(layer.bottom), list(layer.top)) == (kind, [name], [name])
        assert [(p.lr_mult, p.decay_mult) for p in layer.param] == multipliers
    assert net[f"{norm}_scale"].scale_param.bias_term
    return name


def test_the_trunk_layer_by_layer():
    net = layers(message_of((1, 3, 33, 33), lambda branch, data: resnet34.resnet34(branch, data, Trunk())))
    top = check_convolution(net, "conv1", "data", (64, 7, 3, 2, 1))
    assert list(net["relu1"].top) == ["conv1"]
    pool = net["maxpool"].pooling_param
    assert (pool.pool, pool.kernel_size, pool.stride, pool.pad) == (pool.MAX, 3, 2, 1)
    assert list(net["maxpool"].bottom) == [top]
    top = "maxpool"
    for name, channels, stride, (first, second), projected in BLOCKS:
        inside = check_convolution(net, f"{name}_conv1", top, (channels, 3, first, stride, first))
        assert list(net[f"{name}_relu1"].top) == [inside]
        inside = check_convolution(net, f"{name}_conv2", inside, (channels, 3, second, 1, second))
        if projected:
            top = check_convolution(net, f"{name}_downsample", top, (channels, 1, 0, stride, 1))
        assert (f"{name}_downsample" in net) == projected
        assert (net[f"{name}_sum"].type, list(net[f"{name}_sum"].bottom)) == ("Eltwise", [top, inside])
        top = f"{name}_sum"
        assert (net[f"{name}_relu2"].type, list(net[f"{name}_relu2"].top)) == ("ReLU", [top])
    assert sum(layer.type == "Convolution" for layer in net.values()) == 36


@pytest.mark.parametrize("size", [321, 241, 161, 33])
def test_sizes_are_those_of_the_strides(size):
    """321 and its 3/4 and 1/2; at 32k + 1 and its parts every map is (n - 1) / stride + 1."""
    tops = {}

    def add(branch, data):
        tops.update(resnet34.resnet34(branch, data, Trunk(width=NARROW)))
        tops["psp"] = psp.pyramid(branch, tops["layer4"], Trunk(width=NARROW), lr_mult=1)
        for name, top in tops.items():
            branch.add(f"{name}_is", L.Power(top))

    net = net_of((1, 3, size, size), add)
    strides = {"conv1": 2, "maxpool": 4, "layer1": 4, "layer2": 8, "layer3": 8, "layer4": 8, "psp": 8}
    channels = {"conv1": 4, "maxpool": 4, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32, "psp": 32}
    assert tops.keys() == channels.keys()
    for name, stride in strides.items():
        side = (size - 1) // stride + 1
        assert net.blobs[f"{name}_is"].data.shape == (1, channels[name], side, side), name
        assert STRIDES.get(name, stride) == stride  # what is brought to another map's size is told by it


def test_parameters_are_torchvisions_in_number():
    """21 797 672 that are learned, as torchvision has them, less fc's 512 x 1000 + 1000."""
    net = net_of((1, 3, 33, 33), lambda branch, data: resnet34.resnet34(branch, data, Trunk()))
    learned = [blobs for blobs in net.params.values() if len(blobs) < 3]
    assert sum(blob.data.size for blobs in learned for blob in blobs) == 21_797_672 - 513_000


def test_the_pyramid_layer_by_layer():
    net = layers(message_of((1, 3, 33, 33), with_pyramid(dropout=0.1)))
    for bins in (1, 2, 3, 6):
        pool = net[f"psp{bins}_pool"]
        assert (pool.python_param.layer, pool.python_param.param_str) == ("AdaptivePool", f'{{"bins": {bins}}}')
        assert list(pool.bottom) == ["layer4_2_sum"]
        top = check_convolution(net, f"psp{bins}_conv", f"psp{bins}_pool", (512, 1, 0, 1, 1), lr_mult=10)
        assert list(net[f"psp{bins}_interp"].bottom) == [top, "layer4_2_sum"]
    assert list(net["psp_concat"].bottom) == ["layer4_2_sum", *(f"psp{bins}_interp" for bins in (1, 2, 3, 6))]
    top = check_convolution(net, "psp_conv", "psp_concat", (512, 3, 1, 1, 1), lr_mult=10)
    assert list(net["psp_relu"].top) == [top]
    assert net["psp_drop"].dropout_param.dropout_ratio == pytest.approx(0.1)


@pytest.mark.parametrize(("statistics", "globally"), [("train", False), ("frozen", True)])
def test_statistics_are_the_batchs_or_frozen(statistics, globally):
    message = message_of((1, 3, 33, 33), with_pyramid(batch_norm=statistics))
    norms = {layer.name: layer.batch_norm_param for layer in message.layer if layer.type == "BatchNorm"}
    assert len(norms) == 36 + 5
    for name, norm in norms.items():
        # Left out, it is for the phase to say: the batch's in training, the average in testing. No file has the
        # pyramid's, which so cannot be frozen.
        frozen = globally and not name.startswith("psp")
        assert norm.HasField("use_global_stats") == frozen == norm.use_global_stats, name


@pytest.mark.parametrize(("scratch", "convolutions"), [(True, 0), (False, 36)])
def test_what_needs_weights(scratch, convolutions):
    """A start from weights leaves no convolution of the trunk to a filler, and every one of the head."""
    message = message_of((1, 3, 33, 33), with_pyramid(from_scratch=scratch))
    needy = needs_weights(message)
    assert len(needy) == convolutions
    assert not any(name.startswith("psp") for name in needy)


def test_scales_share_all_parameters_and_statistics():
    """After a pass over both scales each layer has one set of blobs, and statistics of two batches."""

    def add(branch, data):
        for suffix, top in (("", data), ("_res05", L.Pooling(data, pool=1, kernel_size=1, stride=2))):
            twin = Branch(branch.net, suffix, shared=True)
            resnet34.resnet34(twin, twin.add("image", L.Power(top)), Trunk(width=NARROW))

    net = net_of((2, 3, 65, 65), add)
    owners = owners_of(net)
    assert all(owner == name.removesuffix("_res05") for name, owner in owners.items())
    assert len(owners) == 2 * len(set(owners.values())) == 2 * 3 * 36
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(2, 3, 65, 65))
    net.forward()
    assert net.params["layer4_2_bn2"][2].data == pytest.approx(0.999 + 1)
    names = {p.name for p in layers(message_of((2, 3, 65, 65), add))["bn1_res05"].param}
    assert names == {"bn1_mean", "bn1_variance", "bn1_factor"}


# --- every block once more, in plain NumPy


def convolved(x, weights, stride, dilation):
    """A convolution padded so that the stride alone changes the size, tap by tap."""
    kernel = weights.shape[2]
    pad = dilation * (kernel - 1) // 2
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = ((n - dilation * (kernel - 1) - 1) // stride + 1 for n in x.shape[2:])
    result = 0
    for i in range(kernel):
        for j in range(kernel):
            taps = x[:, :, i * dilation :, j * dilation :][:, :, : stride * height : stride, : stride * width : stride]
            result = result + np.einsum("oc,nchw->nohw", weights[:, :, i, j], taps)
    return result


class Plain:
    """The trunk on a net's parameters, with the batch's statistics or the stored ones."""

    def __init__(self, net, statistics):
        self.params = {name: [blob.data.astype(np.float64) for blob in blobs] for name, blobs in net.params.items()}
        self.statistics = statistics

    def normalised(self, conv, norm, x, stride=1, dilation=1):
        x = convolved(x, self.params[conv][0], stride, dilation)
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        if self.statistics == "frozen":
            mean, variance = (sums / self.params[norm][2] for sums in self.params[norm][:2])
        scale, bias = self.params[f"{norm}_scale"]
        mean, deviation, scale, bias = (
            np.reshape(value, (-1, 1, 1)) for value in (mean, np.sqrt(variance + 1e-5), scale, bias)
        )
        return (x - mean) / deviation * scale + bias

    def block(self, name, x, stride, dilations, projected):
        first, second = dilations
        y = np.maximum(self.normalised(f"{name}_conv1", f"{name}_bn1", x, stride, first), 0)
        y = self.normalised(f"{name}_conv2", f"{name}_bn2", y, dilation=second)
        if projected:
            x = self.normalised(f"{name}_downsample", f"{name}_downsample_bn", x, stride)
        return np.maximum(x + y, 0)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("statistics", ["train", "frozen"])
def test_every_block_in_plain_numpy(statistics, phase):
    """Each block is given what Caffe had before it, so that a block that is wrong is named."""
    trunk = Trunk(width=NARROW, batch_norm=statistics)
    net = net_of((2, 3, 65, 65), lambda branch, data: resnet34.resnet34(branch, data, trunk), phase)
    fill_norms(net)
    plain = Plain(net, "frozen" if phase == caffe.TEST else statistics)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(2, 3, 65, 65))
    net.forward()
    blobs = {name: blob.data for name, blob in net.blobs.items()}
    stem = np.maximum(plain.normalised("conv1", "bn1", blobs["data"], stride=2), 0)
    np.testing.assert_allclose(blobs["conv1"], stem, atol=1e-4)
    padded = np.pad(stem, ((0, 0), (0, 0), (1, 1), (1, 1)))  # zeros, which no ReLU's output is below
    pooled = np.max([padded[:, :, i : i + 33 : 2, j : j + 33 : 2] for i in range(3) for j in range(3)], axis=0)
    np.testing.assert_allclose(blobs["maxpool"], pooled, atol=1e-4)
    before = "maxpool"
    for name, _, stride, dilations, projected in BLOCKS:
        expected = plain.block(name, blobs[before], stride, dilations, projected)
        before = f"{name}_sum"
        np.testing.assert_allclose(blobs[before], expected, atol=1e-4 * np.abs(expected).max(), err_msg=name)
