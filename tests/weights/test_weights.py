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
    """A caffemodel with the layers a (4 outputs) and b."""
    net = make_net(text(conv("a"), conv("b", bottom="a")))
    path = tmp_path / "saved.caffemodel"
    net.save(str(path))
    return path, net


def test_by_layer_name(saved, make_net):
    path, source = saved
    net = make_net(text(conv("a"), conv("c", bottom="a")))
    before = net.params["c"][0].data.copy()
    assert load.load(net, path, complete=False) == ["c"]
    assert np.array_equal(net.params["a"][0].data, source.params["a"][0].data)
    assert np.array_equal(net.params["c"][0].data, before)


def test_shared_layers_count_as_covered(saved, make_net):
    path, source = saved
    net = make_net(text(conv("a", shared=True), conv("a_res05", shared=True), conv("b", bottom="a")))
    assert load.load(net, path, complete=True) == []
    assert np.array_equal(net.params["a_res05"][0].data, source.params["a"][0].data)


def test_values_that_cannot_be_meant_are_refused(saved, make_net, tmp_path):
    """Copies of shared parameters that differ: the last would win. And what is no number."""
    path, _ = saved
    one, other = caffemodel.read(path)
    net = make_net(text(conv("a", shared=True), conv("a_res05", shared=True)))
    before = net.params["a"][0].data.copy()
    copy = caffemodel.Layer("a_res05", "Convolution", one.blobs)
    caffemodel.write(tmp_path / "equal", [one, copy])
    assert load.load(net, tmp_path / "equal", complete=True) == []
    net.params["a"][0].data[...] = before
    changed = tuple(blob.copy() for blob in one.blobs)
    changed[0][0, 0, 0, 0] += 1
    caffemodel.write(tmp_path / "differs", [one, caffemodel.Layer("a_res05", "Convolution", changed)])
    with pytest.raises(WeightsError, match="a_res05 differs from a, with which it shares its parameters"):
        load.load(net, tmp_path / "differs", complete=False)
    changed[0][0, 0, 0, 0] = np.nan
    caffemodel.write(tmp_path / "nan", [caffemodel.Layer("a", "Convolution", changed)])
    with pytest.raises(WeightsError, match="layer a holds values that are not finite"):
        load.load(net, tmp_path / "nan", complete=True)
    caffemodel.write(tmp_path / "more", [one, other])
    with pytest.raises(WeightsError, match="is of another net, with weights for b, which this one lacks"):
        load.load(net, tmp_path / "more", complete=True)
    assert np.array_equal(net.params["a"][0].data, before)


def test_misfits_are_refused_before_anything_is_copied(saved, make_net):
    path, _ = saved
    with pytest.raises(WeightsError, match=r"no layer of it is in the net: it has a, b; the net has p, q"):
        load.load(make_net(text(conv("p"), conv("q"))), path, complete=False)
    net = make_net(text(conv("a"), conv("b", num_output=5, bottom="a")))
    before = net.params["a"][0].data.copy()
    with pytest.raises(WeightsError, match=r"layer b is \[\(4, 4, 3, 3\), \(4,\)\], the net needs \[\(5, 4, 3, 3\)"):
        load.load(net, path, complete=False)
    assert np.array_equal(net.params["a"][0].data, before)
    with pytest.raises(WeightsError, match="has no weights for c; it has a, b"):
        load.load(make_net(text(conv("a"), conv("c", bottom="a"))), path, complete=True)


def test_broken_files_are_named(saved, make_net, tmp_path):
    path, net = saved
    content = path.read_bytes()
    for name, data, said in (
        ("cut", content[: len(content) // 2], "not a caffemodel, or cut short"),
        ("empty", b"", "holds no weights"),
        ("text", b"<html>404</html>", "not a caffemodel"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=f"{name}: {said}"):
            load.load(net, tmp_path / name, complete=False)
    with pytest.raises(WeightsError, match="nowhere: no such file"):
        load.load(net, tmp_path / "nowhere", complete=False)
