"""Table 1's whole net of Attention to Refine against a second statement, in PyTorch: values and gradients."""

import dataclasses

import caffe
import numpy as np
import pytest

from attscale import prototxt
from helpers.refine_cases import STAGES, SUFFIXES, refining, train_net

torch = pytest.importorskip("torch", reason="PyTorch is in the optional group bench")
F = torch.nn.functional

#: VGG-16: convolutions, their dilation and the stride of the pooling, by stage
VGG = ((2, 1, 2), (2, 1, 2), (3, 1, 2), (3, 1, 1), (3, 2, 1))


@pytest.fixture(autouse=True)
def plain_convolutions(monkeypatch):
    """Winograd's sums are in another order, which is 2e-6 a layer and more than 1e-5 after sixteen."""
    monkeypatch.setenv("CAFFE_STOCK", "winograd")


def resized(maps, side):
    return F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=True)


class Net:
    """The model on the parameters {name: (weights, bias)}, without dropout."""

    def __init__(self, params, row):
        self.params, self.row = params, row

    def conv(self, name, x, dilation=1):
        weights, bias = self.params[name]
        pad = dilation * (weights.shape[-1] // 2)
        return F.conv2d(x, weights, bias, padding=pad, dilation=dilation)

    def trunk(self, x):
        """{name: top} of one scale, and its own score map."""
        tops = {}
        x = x * float(self.row.trunk.input_scale)
        for stage, (depth, dilation, stride) in enumerate(VGG, start=1):
            for i in range(1, depth + 1):
                x = F.relu(self.conv(f"conv{stage}_{i}", x, dilation))
            tops[f"pool{stage}"] = x = F.max_pool2d(x, 3, stride, 1)
        x = F.relu(self.conv("fc6", x, self.row.trunk.fc6_dilation))
        tops["fc7"] = F.relu(self.conv("fc7", x))
        return tops, self.conv("fc8_shapes", tops["fc7"])

    def branch(self, prefix, x):
        return self.conv(f"{prefix}_fc", F.relu(self.conv(f"{prefix}_conv1", x)))

    def forward(self, data, label):
        """(attention, recalibration, merged, the sum of the 1 + S losses)."""
        model = self.row.attention
        size, half = data.shape[-1], (data.shape[-1] + 1) // 2
        quarter = (size + 3) // 4
        maps, features, loss = [], [], 0
        for suffix, side, dilation in zip(SUFFIXES, (size, half), model.dilations, strict=True):
            tops, own = self.trunk(resized(data, side))
            step = 8 * (size - 1) // (side - 1)
            loss = loss + F.cross_entropy(own, label[:, ::step, ::step], ignore_index=255)
            hyper = torch.cat([resized(tops[name], (side + 3) // 4) for name in STAGES], dim=1)
            features.append(resized(F.relu(self.conv(f"att_dilated{suffix}", hyper, dilation)), quarter))
            maps.append(resized(own, quarter))
        both = torch.cat(features, dim=1)
        location = torch.softmax(self.branch("att", both), dim=1)
        recalibration = self.branch("rec", both)
        if model.recalibration == "product":
            recalibration = torch.sigmoid(recalibration)
            maps = [scores * recalibration for scores in maps]
        else:
            maps = [scores + recalibration for scores in maps]
        merged = sum(location[:, s : s + 1] * scores for s, scores in enumerate(maps))
        loss = loss + F.cross_entropy(merged, label[:, ::4, ::4], ignore_index=255)
        return location, recalibration, merged, loss


def filled(row, size, batch):
    """The row's training net with images, labels (some ignored), and weights of its own that keep the signal's size."""
    net = prototxt.load(train_net(row, size, batch), caffe.TRAIN)
    rng = np.random.default_rng(0)
    net.blobs["data"].data[...] = rng.normal(0, 60, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = rng.choice([0, 1, 2, 3, 4, 255], net.blobs["label"].data.shape)
    for name, (weights, bias) in net.params.items():
        gain = 2 if name in ("att_fc", "rec_fc") else 1
        weights.data[...] = gain * rng.normal(0, np.sqrt(2 / weights.data[0].size), weights.data.shape)
        bias.data[...] = rng.normal(0, 0.1, bias.data.shape)
    return net


def check(row, *, size, batch, tolerance):
    """Both nets on the same images with the same weights; Caffe counts in float32, the second statement in float64.

    tolerance: of a gradient's distance, by its length. Where two values of a pooling window are closer than float32
    can tell, the gradient goes to the other one; at full width PyTorch in float32 is up to 0.7 % away from itself.
    """
    net = filled(row, size, batch)
    net.forward()
    net.backward()
    own = {name: blobs for name, blobs in net.params.items() if not (name.endswith("_res05") and "dilated" not in name)}
    params = {
        name: [torch.tensor(blob.data, dtype=torch.float64, requires_grad=True) for blob in blobs]
        for name, blobs in own.items()
    }
    data = torch.tensor(net.blobs["data"].data, dtype=torch.float64)
    label = torch.tensor(net.blobs["label"].data[:, 0], dtype=torch.int64)
    location, recalibration, merged, loss = Net(params, row).forward(data, label)
    loss.backward()
    weights = net.blobs["att_fc"].data.astype(np.float64)
    weights = np.exp(weights) / np.exp(weights).sum(axis=1, keepdims=True)
    assert weights.std() > 0.05
    for found, expected in (
        (weights, location),
        (net.blobs["recalibration"].data, recalibration),
        (net.blobs["fc8_fusion"].data, merged),
        (sum(net.blobs[name].data for name in ("loss_fusion", "loss", "loss_res05")), loss),
    ):
        expected = expected.detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    for name, blobs in own.items():
        for blob, parameter in zip(blobs, params[name], strict=True):
            expected = parameter.grad.numpy()
            distance = np.linalg.norm(blob.diff - expected) / np.linalg.norm(expected)
            assert distance < tolerance, (name, distance)


@pytest.mark.parametrize("kind", ["product", "bias"])
@pytest.mark.parametrize("dilations", [(12, 2), (2, 12), (1, 1)])
def test_equals_pytorch(kind, dilations):
    check(refining(recalibration=kind, dilations=dilations), size=97, batch=2, tolerance=1e-5)


@pytest.mark.slow
def test_equals_pytorch_at_full_width():
    row = refining(stage_filters=512, filters=512)
    row = dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, width=1, fc6_dilation=12))
    check(row, size=161, batch=1, tolerance=1e-2)
