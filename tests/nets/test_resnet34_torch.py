"""ResNet-34 and pyramid pooling in Caffe against PyTorch, with the same weights, through conversion and file."""

import caffe
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not here: pip install -e '.[bench]'")

from attscale.nets import psp, resnet34  # noqa: E402
from attscale.weights import caffemodel, load, statedict  # noqa: E402
from attscale.weights import resnet34 as conversion  # noqa: E402
from helpers import torch_nets  # noqa: E402
from helpers.resnet_cases import Trunk, fill_norms, net_of  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, R, G, B
#: Pixels: the paper's crop is slow, PyTorch's float64 above all; the smaller one meets padding in every layer, too.
SIZES = [113, pytest.param(321, marks=pytest.mark.slow)]
FACTOR = 255 * np.reshape(STD, (3, 1, 1))  # conv1's weights are torchvision's divided by it
TOPS = {
    **{"conv1": "conv1", "maxpool": "maxpool", "layer1": "layer1_2_sum", "layer2": "layer2_3_sum"},
    **{"layer3": "layer3_5_sum", "layer4": "layer4_2_sum"},
}


def check_close(got, expected, what, tolerance=1e-3):
    """Within the tolerance of the largest value."""
    expected = expected.detach().numpy() if torch.is_tensor(expected) else expected
    assert got.shape == expected.shape, what
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max(), what


def leaves(state, dtype=torch.float64):
    """The state in that precision, with gradients for all that is learned."""
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    return {name: tensor if "running" in name else tensor.requires_grad_() for name, tensor in state.items()}


def pictures(count, size, seed=0):
    """Random images as torchvision normalises them (N, 3, H, W), R G B; and as our nets take them, B G R."""
    rgb = np.random.default_rng(seed).random((count, 3, size, size), np.float32) - np.reshape(MEAN, (3, 1, 1))
    return torch.from_numpy(rgb / FACTOR * 255), 255 * rgb[:, ::-1]


def trunk_of(state, folder, shape, statistics):
    """The trunk in Caffe with a state dict's weights, saved by PyTorch, read, converted, written, loaded."""
    torch.save(state, folder / "resnet34.pth")
    caffemodel.write(folder / "w", conversion.from_state_dict(statedict.read(folder / "resnet34.pth")))
    net = net_of(shape, lambda branch, data: resnet34.resnet34(branch, data, Trunk(batch_norm=statistics)))
    load.load(net, caffemodel.read(folder / "w"), complete=True)
    return net


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("statistics", ["train", "frozen"])
def test_every_stage_is_pytorchs(tmp_path, statistics, size):
    state, (theirs, ours) = torch_nets.random_state(), pictures(1, size)
    net = trunk_of(state, tmp_path, ours.shape, statistics)
    net.blobs["data"].data[...] = ours
    net.forward()
    with torch.no_grad():
        tops = torch_nets.resnet34(state, theirs.float(), training=statistics == "train")
    for name, blob in TOPS.items():
        check_close(net.blobs[blob].data, tops[name], name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("statistics", ["train", "frozen"])
def test_gradients_are_pytorchs(tmp_path, statistics, size):
    """Those of the image and of every weight, at full width."""
    state, (theirs, ours) = torch_nets.random_state(calm=True), pictures(1, size)
    with torch.no_grad():
        torch_nets.resnet34(state, theirs.float(), training=True)  # its statistics become the running ones
    net = trunk_of(state, tmp_path, ours.shape, statistics)
    state, theirs = leaves({k: v for k, v in state.items() if not k.startswith("fc")}), theirs.requires_grad_()
    top = torch_nets.resnet34(state, theirs, training=statistics == "train")["layer4"]
    direction = np.random.default_rng(1).normal(size=top.shape).astype(np.float32)
    top.backward(torch.from_numpy(direction))
    net.blobs["data"].data[...] = ours
    net.forward()
    net.backward(layer4_2_sum=direction)
    check_close(net.blobs["data"].diff, (theirs.grad.numpy() / FACTOR)[:, ::-1], "image")
    compared = 0
    for conv, norm, (their_conv, their_norm), _ in conversion.layers():
        by_weights = state[f"{their_conv}.weight"].grad.numpy()
        if conv == "conv1":
            by_weights = (by_weights * FACTOR)[:, ::-1]
        check_close(net.params[conv][0].diff, by_weights, conv)
        for blob, kind in zip(net.params[f"{norm}_scale"], ("weight", "bias"), strict=True):
            check_close(blob.diff, state[f"{their_norm}.{kind}"].grad, f"{norm} {kind}")
        compared += 1
    assert compared == 36  # 33 convolutions of 3x3 and 7x7, and 3 projections


def test_statistics_move_as_pytorchs_but_for_their_weights(tmp_path):
    """PyTorch has 0.9 old + 0.1 new; Caffe, after one pass, (0.999 old + new) / 1.999, as the factor was 1."""
    state, (theirs, ours) = torch_nets.random_state(), pictures(2, 33)
    net = trunk_of(state, tmp_path, ours.shape, "train")
    net.blobs["data"].data[...] = ours
    net.forward()
    features = torch.nn.functional.conv2d(theirs.float(), state["conv1.weight"], stride=2, padding=3)
    mean, variance, factor = (blob.data for blob in net.params["bn1"])
    assert factor == pytest.approx(1.999)
    for sums, old, new in (
        (mean, state["bn1.running_mean"], features.mean((0, 2, 3))),
        (variance, state["bn1.running_var"], features.var((0, 2, 3))),  # by n - 1, as both have it
    ):
        check_close(sums / 1.999, (0.999 * old + new) / 1.999, "statistics")


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["train", "test"])
@pytest.mark.parametrize("size", [(41, 41), (13, 8), (4, 5)])
def test_pyramid_pooling_is_pytorchs_at_any_size(size, phase):
    """Forward, and the gradients of the features and of all weights."""
    trunk = Trunk(width=1 / 8)
    shape = (2, trunk.channels(512), *size)
    net = net_of(shape, lambda branch, data: psp.pyramid(branch, data, trunk, lr_mult=10), phase)
    fill_norms(net, calm=True)
    state = {}
    for name, blobs in net.params.items():
        values = [torch.from_numpy(value.data.copy()).double() for value in blobs]
        if name.endswith("_scale"):
            kinds = ("weight", "bias")
        elif len(values) == 3:
            kinds, values = ("running_mean", "running_var"), [values[0] / values[2], values[1] / values[2]]
        else:
            kinds = ("weight",)
        state.update({f"{name.removesuffix('_scale')}.{kind}": v for kind, v in zip(kinds, values, strict=True)})
    state = leaves(state)
    rng = np.random.default_rng(0)
    features = np.maximum(rng.normal(size=shape), 0).astype(np.float32)
    net.blobs["data"].data[...] = features
    features = torch.from_numpy(features).double().requires_grad_()
    top = torch_nets.pyramid(state, features, training=phase == caffe.TRAIN)
    net.forward()
    check_close(net.blobs["psp_conv"].data, top, "top")
    direction = rng.normal(size=top.shape).astype(np.float32)
    top.backward(torch.from_numpy(direction))
    net.backward(psp_conv=direction)
    check_close(net.blobs["data"].diff, features.grad, "features")
    for name, blobs in net.params.items():
        if len(blobs) == 3:
            continue
        kinds = ("weight", "bias") if name.endswith("_scale") else ("weight",)
        for value, kind in zip(blobs, kinds, strict=True):
            check_close(value.diff, state[f"{name.removesuffix('_scale')}.{kind}"].grad, f"{name} {kind}")
