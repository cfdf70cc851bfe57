"""Equation 3 of Attention to Refine, and its variant with a bias, against a plain statement: values and gradients."""

import caffe
import numpy as np
import pytest

from attscale import prototxt
from conftest import check_gradient
from helpers.net_cases import layers
from helpers.refine_cases import fill, refining, train_net

KINDS = ["product", "bias", None]
SHAPE = (2, 5, 3, 4)  # images, classes, height, width
MAPS = ("fc8_shapes_interp", "fc8_shapes_res05_interp")


def plain(maps, location, branch, kind):
    """Equations 1 to 4, position by position, in float64.

    maps: P^s, S times (N, C, H, W); location: wl (N, S, H, W), before the softmax; branch: what the recalibrating
    branch's last convolution gives (N, C, H, W).
    """
    result = np.zeros(maps[0].shape)
    for n, c, y, x in np.ndindex(result.shape):
        weights = np.exp(location[n, :, y, x].astype(np.float64))
        weights /= weights.sum()
        for s, weight in enumerate(weights):
            score = float(maps[s][n, c, y, x])
            if kind == "product":
                score *= 1 / (1 + np.exp(-float(branch[n, c, y, x])))
            elif kind == "bias":
                score += float(branch[n, c, y, x])
            result[n, c, y, x] += weight * score
    return result


def merge_alone(kind):
    """The training net's layers from score maps, att_fc and rec_fc to the merged map, with inputs for those."""
    kept = layers(prototxt.train_net(refining(recalibration=kind)))
    kept = [layer for name, layer in kept.items() if name.startswith("recalibrat") or name == "fc8_fusion"]
    message = caffe.proto.caffe_pb2.NetParameter(force_backward=True)
    inputs = [*MAPS, "att_fc", *(["rec_fc"] if kind else [])]
    for name in inputs:
        layer = message.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=(SHAPE[0], 2, *SHAPE[2:]) if name == "att_fc" else SHAPE)
    message.layer.extend(kept)
    return prototxt.load(message, caffe.TRAIN)


def arrays(net):
    """Maps, location and, if the net has it, what the recalibrating branch gives."""
    return [net.blobs[name].data.copy() for name in (*MAPS, "att_fc", "rec_fc") if name in net.blobs]


@pytest.mark.parametrize("kind", KINDS)
def test_merged_map_is_equation_3s(kind):
    """In the whole net, from its images on."""
    net = prototxt.load(train_net(refining(recalibration=kind)), caffe.TRAIN)
    fill(net)
    net.params["fc8_shapes"][0].data[...] *= 20
    net.forward()
    one, half, location, *branch = arrays(net)
    assert np.ptp(one) > 1
    assert np.ptp(location) > 1
    assert all(np.ptp(array) > 1 for array in branch)
    expected = plain([one, half], location, *(branch or [None]), kind)
    np.testing.assert_allclose(net.blobs["fc8_fusion"].data, expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [("product", 4 * 0.5), ("bias", 4 + 0.0), (None, 4)])
def test_a_branch_that_says_nothing(kind, expected):
    """Zeros from both branches: weights of 1/2, a factor of sigmoid(0) = 1/2, a bias of 0; for scores of 3 and 5."""
    net = merge_alone(kind)
    for name, value in zip(MAPS, (3, 5), strict=True):
        net.blobs[name].data[...] = value
    net.forward()
    np.testing.assert_allclose(net.blobs["fc8_fusion"].data, expected, rtol=1e-6)


def test_a_bias_may_lower_a_score():
    """It goes through no sigmoid: "predict bias per position in each channel instead of multiplication"."""
    net = merge_alone("bias")
    net.blobs["rec_fc"].data[...] = -7
    net.forward()
    np.testing.assert_allclose(net.blobs["fc8_fusion"].data, -7, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_equations(kind):
    """Central differences of the plain statement, in float64, at every input, against Caffe's backward pass: 1e-5."""
    net = merge_alone(kind)
    rng = np.random.default_rng(0)
    for name in net.inputs:
        net.blobs[name].data[...] = 2 * rng.normal(size=net.blobs[name].data.shape)
    net.forward()
    diff = rng.normal(size=SHAPE).astype(np.float32)
    net.backward(fc8_fusion=diff)
    values = [array.astype(np.float64) for array in arrays(net)]

    def objective():
        one, half, location, *branch = values
        return np.sum(plain([one, half], location, *(branch or [None]), kind) * diff)

    for name, array in zip(net.inputs, values, strict=True):
        for place in rng.choice(array.size, 24, replace=False):
            place = np.unravel_index(place, array.shape)
            kept, found = array[place], []
            for change in (1e-4, -1e-4):
                array[place] = kept + change
                found.append(objective())
            array[place] = kept
            assert net.blobs[name].diff[place] == pytest.approx((found[0] - found[1]) / 2e-4, abs=1e-5), (name, place)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_inside_of_caffe(kind):
    check_gradient(merge_alone(kind), ["fc8_fusion"])
