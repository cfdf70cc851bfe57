import numpy as np
import pytest

from attscale.errors import UserError
from conftest import check_gradient, input_layer, python_layer

SHAPE = (2, 3, 5, 7)  # batch, classes, odd height and width


def net_text(scales, *, weights=False, channels=None, shape=SHAPE):
    n, _, h, w = shape
    text = "force_backward: true\n"
    names = [f"f{s}" for s in range(scales)]
    for name in names:
        text += input_layer(name, shape)
    text += input_layer("h", (n, channels or scales, h, w))
    return text + python_layer("ScaleAttention", [*names, "h"], ["g", "w"] if weights else ["g"])


def plain(maps, scores):
    """Equations 1 and 2 for every position i and class c, in float64."""
    scales, (n, c, h, w) = len(maps), maps[0].shape
    merged, weights = np.zeros((n, c, h, w)), np.zeros((n, scales, h, w))
    for b in range(n):
        for y in range(h):
            for x in range(w):
                total = sum(np.exp(float(scores[b, t, y, x])) for t in range(scales))
                for s in range(scales):
                    weights[b, s, y, x] = np.exp(float(scores[b, s, y, x])) / total
                    for k in range(c):
                        merged[b, k, y, x] += weights[b, s, y, x] * float(maps[s][b, k, y, x])
    return merged, weights


def filled(net, scales, seed=0):
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].data.shape) * 2
    return [net.blobs[f"f{s}"].data.copy() for s in range(scales)], net.blobs["h"].data.copy()


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_agrees_with_equations_1_and_2(make_net, scales):
    net = make_net(net_text(scales, weights=True))
    maps, scores = filled(net, scales)
    net.forward()
    merged, weights = plain(maps, scores)
    np.testing.assert_allclose(net.blobs["g"].data, merged, atol=1e-5)
    np.testing.assert_allclose(net.blobs["w"].data, weights, atol=1e-5)


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_gradients_agree_with_the_equations(make_net, scales):
    """Central differences of the plain float64 statement, everywhere, against Caffe's backward pass: to 1e-5."""
    shape = (1, 2, 3, 1)
    net = make_net(net_text(scales, shape=shape))
    maps, scores = filled(net, scales)
    net.forward()
    diff = np.random.default_rng(1).normal(size=shape)
    net.backward(g=diff.astype(np.float32))
    arrays = [m.astype(np.float64) for m in maps] + [scores.astype(np.float64)]
    for array, name in zip(arrays, net.inputs, strict=True):
        for place in np.ndindex(array.shape):
            kept, values = array[place], []
            for change in (1e-4, -1e-4):
                array[place] = kept + change
                values.append(np.sum(plain(arrays[:-1], arrays[-1])[0] * diff.astype(np.float32)))
            array[place] = kept
            assert net.blobs[name].diff[place] == pytest.approx((values[0] - values[1]) / 2e-4, abs=1e-5)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_gradient_in_caffe(make_net, scales, weights):
    net = make_net(net_text(scales, weights=weights))
    check_gradient(net, ["g", "w"] if weights else ["g"])


def eltwise(scales, operation, coeff=""):
    bottoms = " ".join(f'bottom: "f{s}"' for s in range(scales))
    return (
        f'layer {{ name: "e" type: "Eltwise" {bottoms} top: "e" eltwise_param {{ operation: {operation} {coeff} }} }}\n'
    )


def test_average_pooling_is_a_special_case(make_net):
    """Equal attention scores: w = 1/S (section 3.2), and the Eltwise layer of the average nets gives the same."""
    net = make_net(net_text(3) + eltwise(3, "SUM", "coeff: 0.3333333333 " * 3))
    filled(net, 3)
    net.blobs["h"].data[...] = 1.7
    net.forward()
    np.testing.assert_allclose(net.blobs["g"].data, net.blobs["e"].data, atol=1e-5)


def test_max_pooling_is_a_special_case(make_net):
    """All attention on the scale with the largest score, which for one class is the maximum."""
    shape = (2, 1, 5, 7)
    net = make_net(net_text(3, shape=shape) + eltwise(3, "MAX"))
    maps, _ = filled(net, 3)
    best = np.stack(maps).argmax(axis=0)[:, 0]
    for s in range(3):
        net.blobs["h"].data[:, s] = np.where(best == s, 100, -100)
    net.forward()
    np.testing.assert_allclose(net.blobs["g"].data, net.blobs["e"].data, atol=1e-5)


def test_huge_scores_do_not_overflow(make_net):
    net = make_net(net_text(2, weights=True))
    filled(net, 2)
    net.blobs["h"].data[:, 0], net.blobs["h"].data[:, 1] = 1e4, -1e4
    net.forward()
    assert np.array_equal(net.blobs["g"].data, net.blobs["f0"].data)
    assert np.all(net.blobs["w"].data[:, 0] == 1)


def test_a_wrong_number_of_attention_channels_is_named(make_net):
    with pytest.raises(UserError, match="2x4x5x7, expected 2x3x5x7 for 3 score maps"):
        make_net(net_text(3, channels=4))


def test_score_maps_of_different_sizes_are_named(make_net):
    text = input_layer("a", (1, 2, 5, 5)) + input_layer("b", (1, 2, 3, 3)) + input_layer("h", (1, 2, 5, 5))
    with pytest.raises(UserError, match="score map 1 is 1x2x3x3, the first is 1x2x5x5"):
        make_net(text + python_layer("ScaleAttention", ["a", "b", "h"], ["g"]))
