import numpy as np
import pytest

from attscale.errors import UserError
from attscale.ops.interp import SizeRule, interp, interp_backward, nearest
from conftest import check_gradient, input_layer, python_layer

# Typed from docs/release.md, Interp: rule, input, output.
SIZES = [
    ({"shrink_factor": 2}, 321, 161),
    ({"shrink_factor": 2}, 513, 257),
    ({"shrink_factor": 4, "zoom_factor": 3}, 321, 241),
    ({"shrink_factor": 4, "zoom_factor": 3}, 513, 385),
    ({"shrink_factor": 8}, 321, 41),
    ({"shrink_factor": 16}, 321, 21),
    ({"zoom_factor": 2}, 21, 41),
    ({"zoom_factor": 2}, 33, 65),
    ({"shrink_factor": 3, "zoom_factor": 4}, 31, 41),
    ({"shrink_factor": 3, "zoom_factor": 4}, 49, 65),
    ({"zoom_factor": 8}, 41, 321),
    ({"zoom_factor": 8}, 65, 513),
    ({"shrink_factor": 8}, 500, 63),  # (500 - 1) // 8 + 1; the trunk makes 64 of it: such sizes do not line up
    ({"height": 7, "width": 7}, 3, 7),
    ({"zoom_factor": 2, "pad_beg": -1, "pad_end": -2}, 8, 9),  # 5 pixels are left
]


@pytest.mark.parametrize(("rule", "n", "expected"), SIZES)
def test_sizes(rule, n, expected):
    assert SizeRule(**rule).output(n, n) == (expected, expected)


def plain(x, height, width):
    """The fork's rule, pixel by pixel: r = (in - 1) / (out - 1), source i r, floor and lerp."""

    def source(i, n, m):
        position = i * (n - 1) / (m - 1) if m > 1 else 0.0
        low = min(int(np.floor(position + 1e-9)), n - 1)
        return low, min(low + 1, n - 1), position - low

    out = np.zeros((*x.shape[:2], height, width))
    for i in range(height):
        top, bottom, v = source(i, x.shape[2], height)
        for j in range(width):
            left, right, u = source(j, x.shape[3], width)
            above = (1 - u) * x[:, :, top, left] + u * x[:, :, top, right]
            below = (1 - u) * x[:, :, bottom, left] + u * x[:, :, bottom, right]
            out[:, :, i, j] = (1 - v) * above + v * below
    return out


SMALL = [(5, 9, 9, 17), (9, 7, 5, 3), (4, 6, 7, 11), (1, 5, 3, 1), (7, 3, 2, 8), (1, 1, 4, 4)]
LARGE = [(90, 60, 40, 50), (40, 3, 7, 2300), (3, 40, 2300, 7), (1, 2300, 120, 1), (65, 33, 129, 65)]  # are gathered


@pytest.mark.parametrize("sizes", SMALL + LARGE)
def test_agrees_with_the_plain_rule(sizes):
    h, w, height, width = sizes
    padded = np.random.default_rng(0).normal(size=(2, 3, h + 2, w + 3)).astype(np.float32)
    x = padded[:, :, 1:-1, 1:-2]  # as a view, which a crop is
    np.testing.assert_allclose(interp(x, height, width), plain(x, height, width), atol=2e-6)
    out = np.full((2, 3, height, width), np.nan, np.float32)
    assert interp(x, height, width, out=out) is out
    assert np.array_equal(out, interp(x, height, width))


def test_many_maps():
    """More than are done at a time."""
    x = np.random.default_rng(0).normal(size=(2, 700, 9, 7)).astype(np.float32)
    y = interp(x, 17, 20)
    for place in ((0, 0), (1, 314), (0, 699), (1, 699)):
        np.testing.assert_allclose(y[place], plain(x[place][None, None], 17, 20)[0, 0], atol=2e-6)
    backward = interp_backward(y, 9, 7)
    assert np.array_equal(backward[1, 650:], interp_backward(y[1:, 650:], 9, 7)[0])


def test_by_hand():
    x = np.array([[0, 3], [6, 9]], np.float32)[None, None]
    np.testing.assert_allclose(
        interp(x, 4, 4)[0, 0], [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]], atol=1e-6
    )


def test_shrinking_the_image_by_two_is_decimation_to_the_bit():
    x = np.random.default_rng(0).normal(size=(1, 3, 321, 321)).astype(np.float32)
    assert np.array_equal(interp(x, 161, 161), x[:, :, ::2, ::2])


def test_equal_sizes_are_copied():
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 7)).astype(np.float32)
    y = interp(x, 5, 7)
    assert np.array_equal(x, y)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("sizes", [(5, 9, 9, 17), (9, 7, 5, 3), (7, 3, 7, 3), (1, 5, 3, 1)])
def test_backward_is_the_transpose(sizes):
    """<A x, y> = <x, A' y> for every x and y."""
    h, w, height, width = sizes
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, h, w)).astype(np.float32)
    y = rng.normal(size=(2, 3, height, width)).astype(np.float32)
    np.testing.assert_allclose(np.vdot(interp(x, height, width), y), np.vdot(x, interp_backward(y, h, w)), rtol=1e-4)


@pytest.mark.parametrize(
    "rule",
    [
        '{"zoom_factor": 2}',
        '{"shrink_factor": 2}',
        '{"shrink_factor": 4, "zoom_factor": 3}',
        '{"height": 5, "width": 11}',
        '{"height": 9, "width": 13}',
        '{"zoom_factor": 3, "pad_beg": -2, "pad_end": -1}',
    ],
)
def test_gradient_in_caffe(make_net, rule):
    net = make_net(
        "force_backward: true\n" + input_layer("x", (2, 3, 9, 13)) + python_layer("Interp", ["x"], ["y"], rule)
    )
    check_gradient(net, ["y"])


def test_layer_crops_before_it_interpolates(make_net):
    net = make_net(
        input_layer("x", (1, 1, 6, 6))
        + python_layer("Interp", ["x"], ["y"], '{"zoom_factor": 2, "pad_beg": -1, "pad_end": -2}')
    )
    x = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    net.blobs["x"].data[...] = x
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, plain(x[:, :, 1:4, 1:4], 5, 5), atol=1e-5)


@pytest.mark.parametrize(
    ("param", "said"),
    [
        ("{}", "give either shrink_factor"),
        ('{"zoom_factor": 0}', "zoom_factor is 0"),
        ('{"zoom_factor": 2, "height": 3, "width": 3}', "give either"),
        ('{"height": 3}', "height and width come together"),
        ('{"zoom_factor": 2, "pad_end": 1}', "only crop"),
        ('{"zoom": 2}', "unknown key 'zoom'"),
        ('{"zoom_factor": "2"}', "zoom_factor is '2'"),
        ('{"zoom_factor": 2, "pad_beg": -9}', "empty after cropping"),
        ("zoom", "is not JSON"),
    ],
)
def test_bad_parameters_are_named(make_net, param, said):
    with pytest.raises(UserError, match=said):
        make_net(input_layer("x", (1, 1, 6, 6)) + python_layer("Interp", ["x"], ["y"], param))


@pytest.mark.parametrize("size", [(9, 17), (5, 3), (1, 1), (6, 7)])
def test_a_second_bottom_gives_the_size_and_gets_no_gradient(make_net, size):
    """What is taken from it is its size, so a change of its values changes nothing: finite differences are zero."""
    bottoms = input_layer("x", (2, 3, 6, 7)) + input_layer("like", (1, 4, *size))
    net = make_net("force_backward: true\n" + bottoms + python_layer("Interp", ["x", "like"], ["y"]))
    assert net.blobs["y"].data.shape == (2, 3, *size)
    check_gradient(net, ["y"])
    np.testing.assert_allclose(net.blobs["y"].data, plain(net.blobs["x"].data, *size), atol=1e-5)
    net.blobs["like"].reshape(1, 4, 4, 9)
    net.forward()
    assert net.blobs["y"].data.shape == (2, 3, 4, 9)


def test_a_size_is_given_once(make_net):
    bottoms = input_layer("x", (1, 1, 6, 6)) + input_layer("like", (1, 1, 9, 9))
    with pytest.raises(UserError, match="a second bottom gives the size"):
        make_net(bottoms + python_layer("Interp", ["x", "like"], ["y"], '{"zoom_factor": 2}'))


@pytest.mark.parametrize(("n", "m"), [(321, 41), (321, 31), (321, 21), (500, 63), (7, 4), (5, 1), (1, 1), (4, 9)])
def test_nearest_is_the_closest_pixel(n, m):
    got = nearest(n, m)
    for i in range(m):
        position = i * (n - 1) / (m - 1) if m > 1 else 0
        assert abs(got[i] - position) <= min(abs(k - position) for k in range(n)) + 1e-9


def test_label_shrink(make_net):
    """321: by 8 it is label[::8, ::8], by 16 label[::16, ::16] (release); shrink 32, zoom 3 gives 31 by 31."""
    net = make_net(
        input_layer("label", (2, 1, 321, 321))
        + python_layer("LabelShrink", ["label"], ["y8"], '{"shrink_factor": 8}')
        + python_layer("LabelShrink", ["label"], ["y16"], '{"shrink_factor": 16}').replace(
            '"LabelShrink" type', '"b" type'
        )
        + python_layer("LabelShrink", ["label"], ["y32"], '{"shrink_factor": 32, "zoom_factor": 3}').replace(
            '"LabelShrink" type', '"c" type'
        )
    )
    label = np.random.default_rng(0).integers(0, 256, (2, 1, 321, 321)).astype(np.float32)
    net.blobs["label"].data[...] = label
    net.forward()
    assert np.array_equal(net.blobs["y8"].data, label[:, :, ::8, ::8])
    assert np.array_equal(net.blobs["y16"].data, label[:, :, ::16, ::16])
    rows = [round(i * 320 / 30) for i in range(31)]
    assert np.array_equal(net.blobs["y32"].data, label[:, :, rows][:, :, :, rows])
