import dataclasses
import hashlib

import numpy as np
import pytest

from attscale.errors import WeightsError
from attscale.weights import caffemodel, load
from conftest import input_layer


def conv(name, num_output=4, bottom="x", shared=False):
    param = 'param { name: "w" } param { name: "b" }' if shared else ""
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" {param} convolution_param '
        f'{{ num_output: {num_output} kernel_size: 3 weight_filler {{ type: "gaussian" }} }} }}\n'
    )


def text(*layers):
    return input_layer("x", (1, 2, 8, 8)) + "".join(layers)


@pytest.fixture
def saved(make_net, tmp_path):
    """A Caffemodel with the layers a (4 outputs) and b, and the net that it was saved from."""
    net = make_net(text(conv("a"), conv("b", bottom="a")))
    net.save(str(tmp_path / "saved.caffemodel"))
    return caffemodel.read(tmp_path / "saved.caffemodel"), net


def test_what_a_file_says_of_itself(tmp_path):
    layer = caffemodel.Layer("a", "Convolution", (np.float32([[1, 2]]), np.float32([3])))
    caffemodel.write(tmp_path / "w", [layer], name="voc and more")
    weights = caffemodel.read(tmp_path / "w")
    assert (weights.path, weights.name) == (tmp_path / "w", "voc and more")
    assert weights.sha256 == hashlib.sha256((tmp_path / "w").read_bytes()).hexdigest()
    assert weights.layers["a"].shapes == [(1, 2), (1,)]
    assert [blob.tolist() for blob in weights.layers["a"].blobs] == [[[1, 2]], [3]]


def test_by_layer_name(saved, make_net):
    weights, source = saved
    net = make_net(text(conv("a"), conv("c", bottom="a")))
    before = net.params["c"][0].data.copy()
    assert load.load(net, weights, complete=False) == ["c"]
    assert np.array_equal(net.params["a"][0].data, source.params["a"][0].data)
    assert np.array_equal(net.params["c"][0].data, before)


def test_shared_layers_count_as_covered(saved, make_net):
    weights, source = saved
    net = make_net(text(conv("a", shared=True), conv("a_res05", shared=True), conv("b", bottom="a")))
    assert load.load(net, weights, complete=True) == []
    assert np.array_equal(net.params["a_res05"][0].data, source.params["a"][0].data)


def with_layers(weights, **blobs):
    """The Caffemodel with these blobs instead of its layers."""
    layers = {name: caffemodel.Layer(name, "Convolution", values) for name, values in blobs.items()}
    return dataclasses.replace(weights, layers=layers)


def changed(blobs, value):
    """The blobs with another first weight."""
    first = blobs[0].copy()
    first.flat[0] = value
    return (first, *blobs[1:])


C = (np.zeros((5, 4, 3, 3), np.float32), np.zeros(5, np.float32))


@pytest.mark.parametrize(
    ("blobs", "complete", "said"),
    [
        (lambda a, b: {"a": a, "a_res05": changed(a, 7)}, False, "a_res05 differs from a, with which it shares its"),
        (lambda a, b: {"a": changed(a, np.nan)}, False, "layer a holds values that are not finite"),
        (lambda a, b: {"a": a, "c": C, "b": b}, True, "is of another net, with weights for b, which this one lacks"),
        (lambda a, b: {"p": a, "q": b}, False, "no layer of it is in the net: it has p, q; the net has a, a_res05, c"),
        (lambda a, b: {"a": a, "c": a}, False, r"layer c is \[\(4, 2, .*\], expected \[\(5, 4, 3, 3\), \(5,\)\]"),
        (lambda a, b: {"a": a[:1]}, False, r"layer a is \[\(4, 2, 3, 3\)\], expected \[\(4, 2, 3, 3\), \(4,\)\]"),
        (lambda a, b: {"a": a}, True, "has no weights for c; it has a"),
    ],
    ids=["copies that differ", "nan", "other layers", "no layer", "shapes", "blobs", "missing"],
)
def test_what_is_refused_before_anything_is_copied(blobs, complete, said, saved, make_net):
    """Copies of shared parameters that differ are so because the last would win."""
    weights, _ = saved
    net = make_net(text(conv("a", shared=True), conv("a_res05", shared=True), conv("c", num_output=5, bottom="a")))
    before = {name: [blob.data.copy() for blob in layer] for name, layer in net.params.items()}
    spoilt = with_layers(weights, **blobs(*(layer.blobs for layer in weights.layers.values())))
    with pytest.raises(WeightsError, match=f"saved.caffemodel: {said}"):
        load.load(net, spoilt, complete=complete)
    for name, layer in net.params.items():
        assert all(np.array_equal(blob.data, values) for blob, values in zip(layer, before[name], strict=True))


def test_copies_of_shared_parameters_that_agree_are_welcome(saved, make_net):
    weights, _ = saved
    net = make_net(text(conv("a", shared=True), conv("a_res05", shared=True)))
    a = weights.layers["a"].blobs
    assert load.load(net, with_layers(weights, a=a, a_res05=a), complete=True) == []
    assert np.array_equal(net.params["a_res05"][0].data, a[0])


def blob(*dims, data=b"\0" * 4):
    """A blob's message: these dimensions, any whole numbers, and its data."""
    tagged = caffemodel._tagged
    return tagged(7, tagged(1, b"".join(map(caffemodel._varint_bytes, dims)))) + tagged(5, data)


def nested(depth):
    data = b""
    for _ in range(depth):
        data = caffemodel._tagged(7, data)
    return data


@pytest.mark.parametrize(
    "message",
    [
        *(blob(2**40), blob(2**32, 2**32), blob(2**63, 2), blob(2**64 - 1), blob(2**69), blob(*[1] * 100)),
        *(blob(0, 2**63, data=b""), blob(0, 2**40, 2**40, data=b""), blob(1, data=b"\0" * 5), nested(3000)),
    ],
    ids=[
        *("absurd", "beyond int64", "beyond int64 at once", "minus one", "more than a varint", "a hundred axes"),
        *("nothing, but absurd", "nothing, beyond int64", "a fifth byte", "deep"),
    ],
)
def test_blobs_of_absurd_shapes_are_refused(message, tmp_path):
    layer = caffemodel._tagged(1, b"a") + caffemodel._tagged(7, message)
    with pytest.raises(WeightsError, match="w: not a caffemodel, or cut short"):
        caffemodel.decode(caffemodel._tagged(100, layer), "w")


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda data: data[: len(data) // 2], "not a caffemodel, or cut short"),
        (lambda data: b"", "holds no weights"),
        (lambda data: b"<html>404</html>", "not a caffemodel"),
        (lambda data: None, "no such file"),
    ],
    ids=["cut", "empty", "a page", "none"],
)
def test_broken_files_are_named(cut, said, saved, tmp_path):
    data = cut(saved[0].path.read_bytes())
    if data is not None:
        (tmp_path / "w").write_bytes(data)
    with pytest.raises(WeightsError, match=f"/w: {said}"):
        caffemodel.read(tmp_path / "w")
