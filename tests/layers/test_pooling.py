import numpy as np
import pytest

from attscale.errors import UserError
from attscale.ops.pooling import adaptive_average, adaptive_average_backward
from conftest import check_gradient, input_layer, python_layer


def plain(x, bins):
    """PyTorch's rule, bin by bin: rows floor(i H / b) to ceil((i + 1) H / b), columns likewise."""
    height, width = x.shape[2:]
    out = np.zeros((*x.shape[:2], bins, bins))
    for i in range(bins):
        for j in range(bins):
            top, bottom = int(np.floor(i * height / bins)), int(np.ceil((i + 1) * height / bins))
            left, right = int(np.floor(j * width / bins)), int(np.ceil((j + 1) * width / bins))
            out[:, :, i, j] = x[:, :, top:bottom, left:right].mean((2, 3))
    return out


SIZES = [(41, 41), (6, 6), (7, 13), (5, 4), (1, 1), (12, 3), (2, 65)]


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_the_plain_rule(size, bins):
    x = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
    np.testing.assert_allclose(adaptive_average(x, bins), plain(x, bins), atol=2e-6)


def test_by_hand():
    """Of five pixels two bins have 0, 1, 2 and 2, 3, 4; of two pixels three have 0, 0 and 1, and 1."""
    x = np.array([[1, 2, 3, 5, 7]], np.float32).repeat(5, axis=0)[None, None]
    np.testing.assert_allclose(adaptive_average(x, 2)[0, 0], [[2, 5], [2, 5]], rtol=1e-6)
    x = np.array([[1, 3], [5, 7]], np.float32)[None, None]
    np.testing.assert_allclose(adaptive_average(x, 3)[0, 0], [[1, 2, 3], [3, 4, 5], [5, 6, 7]], rtol=1e-6)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", SIZES)
def test_backward_is_the_transpose(size, bins):
    """<A x, y> = <x, A' y> for every x and y."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, *size)).astype(np.float32)
    y = rng.normal(size=(2, 3, bins, bins)).astype(np.float32)
    backward = adaptive_average_backward(y, *size)
    assert backward.shape == x.shape
    np.testing.assert_allclose(np.vdot(adaptive_average(x, bins), y), np.vdot(x, backward), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_pytorch(size):
    torch = pytest.importorskip("torch", reason="PyTorch is not here: pip install -e '.[bench]'")
    rng = np.random.default_rng(0)
    for bins in (1, 2, 3, 6, 7):
        x = torch.from_numpy(rng.normal(size=(2, 3, *size)).astype(np.float32)).requires_grad_()
        y = torch.nn.functional.adaptive_avg_pool2d(x, bins)
        diff = rng.normal(size=y.shape).astype(np.float32)
        y.backward(torch.from_numpy(diff))
        np.testing.assert_allclose(adaptive_average(x.detach().numpy(), bins), y.detach().numpy(), atol=2e-6)
        np.testing.assert_allclose(adaptive_average_backward(diff, *size), x.grad.numpy(), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("bins", [1, 3, 6])
def test_gradient_in_caffe(make_net, bins):
    layer = python_layer("AdaptivePool", ["x"], ["y"], f'{{"bins": {bins}}}')
    net = make_net("force_backward: true\n" + input_layer("x", (2, 3, 5, 13)) + layer)
    assert net.blobs["y"].data.shape == (2, 3, bins, bins)
    check_gradient(net, ["y"])


def test_the_size_may_change_from_one_pass_to_the_next(make_net):
    net = make_net(input_layer("x", (1, 2, 9, 9)) + python_layer("AdaptivePool", ["x"], ["y"], '{"bins": 2}'))
    net.blobs["x"].reshape(2, 2, 4, 6)
    net.blobs["x"].data[...] = x = np.random.default_rng(0).normal(size=(2, 2, 4, 6))
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, plain(x, 2), atol=2e-6)


@pytest.mark.parametrize(
    ("param", "said"),
    [
        ("{}", "the key 'bins' is missing"),
        ('{"bins": 0}', "bins is 0, expected at least 1"),
        ('{"bins": -2}', "bins is -2, expected at least 1"),
        ('{"bins": 1.5}', "bins is 1.5, expected int"),
        ('{"bins": 2, "size": 3}', "unknown key 'size'"),
        ("two", "is not JSON"),
    ],
)
def test_bad_parameters_are_named(make_net, param, said):
    with pytest.raises(UserError, match=said):
        make_net(input_layer("x", (1, 1, 6, 6)) + python_layer("AdaptivePool", ["x"], ["y"], param))
