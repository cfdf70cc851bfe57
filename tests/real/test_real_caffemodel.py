"""Caffemodels that others trained: LeNet in the old format with its solver state, and two nets of MTCNN in the new."""

import hashlib

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from attscale.weights import caffemodel, load, transplant
from conftest import one_line_error, real_files

MODELS = real_files("caffemodel/*.caffemodel")
FILES = real_files("caffemodel/*")
IMAGES = {
    "lenet_v1": ("data", (1, 1, 28, 28)),
    "det1": ("data12face", (1, 3, 12, 12)),
    "det2": ("data24", (1, 3, 24, 24)),
}
LAST = {"lenet_v1": "ip2", "det1": "conv4-2", "det2": "conv5-3"}
OLD_SHAPE = ("num", "channels", "height", "width")


def message_of(path):
    """The whole file as Caffe's own protobuf class parses it."""
    return caffe_pb2.NetParameter.FromString(path.read_bytes())


def learnt(message):
    """Those of its layers, old or new, that have weights."""
    return [layer for layer in [*message.layers, *message.layer] if layer.blobs]


def shape_of(blob):
    return tuple(blob.shape.dim) if blob.HasField("shape") else tuple(getattr(blob, name) for name in OLD_SHAPE)


@pytest.fixture
def net_of(tmp_path):
    """path -> caffe.Net of the layers that the file describes, less those that need more than its images."""

    def make(path):
        message, (images, shape) = message_of(path), IMAGES[path.stem]
        net, known = caffe_pb2.NetParameter(input=[images]), {images}
        net.input_shape.add(dim=shape)
        for given, layers in ((message.layers, net.layers), (message.layer, net.layer)):
            for layer in given:
                if layer.bottom and known.issuperset(layer.bottom):
                    layers.add().CopyFrom(layer)
                    layers[-1].ClearField("blobs")
                    known.update(layer.top)
        (tmp_path / "net.prototxt").write_text(text_format.MessageToString(net))
        return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)

    return make


def assert_same_parameters(one, other):
    assert list(one.params) == list(other.params)
    for name, blobs in one.params.items():
        for blob, second in zip(blobs, other.params[name], strict=True):
            assert blob.data.shape == second.data.shape
            assert blob.data.tobytes() == second.data.tobytes()


@pytest.mark.parametrize("path", MODELS)
def test_a_caffemodel_is_read_as_caffes_own_class_reads_it(path):
    message, weights = message_of(path), caffemodel.read(path)
    layers = list(weights.layers.values())
    assert weights.name == message.name
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [layer.name for layer in layers] == [layer.name for layer in learnt(message)]
    assert [layer.type for layer in layers] == [str(layer.type) for layer in learnt(message)]
    for layer, second in zip(layers, learnt(message), strict=True):
        for blob, values in zip(layer.blobs, second.blobs, strict=True):
            assert (blob.dtype, blob.shape) == (np.float32, shape_of(values))
            assert blob.tobytes() == np.array(values.data, np.float32).tobytes()


@pytest.mark.parametrize("path", MODELS)
def test_what_is_written_holds_the_same_bits(path, tmp_path):
    """For our reader and for Caffe's class."""
    layers = list(caffemodel.read(path).layers.values())
    caffemodel.write(tmp_path / "written", layers, name="x")
    for layer, second in zip(layers, caffemodel.read(tmp_path / "written").layers.values(), strict=True):
        assert (layer.name, layer.type) == (second.name, second.type)
        for blob, values in zip(layer.blobs, second.blobs, strict=True):
            assert blob.shape == values.shape
            assert blob.tobytes() == values.tobytes()
    expected = caffe_pb2.NetParameter(name="x")
    for layer in learnt(message_of(path)):
        blobs = [{"data": blob.data, "shape": {"dim": shape_of(blob)}} for blob in layer.blobs]
        expected.layer.add(name=layer.name, type=str(layer.type), blobs=blobs)
    assert message_of(tmp_path / "written") == expected


@pytest.mark.parametrize("path", MODELS)
def test_weights_arrive_in_a_net_as_caffe_itself_puts_them_there(path, net_of, tmp_path):
    """Directly, and by way of an imported file: of the old format, that is its upgrade, which Caffe saves alike."""
    expected = net_of(path)
    expected.copy_from(str(path))
    weights, direct = caffemodel.read(path), net_of(path)
    assert load.load(direct, weights, complete=True) == []
    assert_same_parameters(direct, expected)
    layers, lines = transplant.transplant(weights, transplant.Target.of(direct, LAST[path.stem]))
    assert {line.fate for line in lines} <= {"matched", "reshaped"}
    caffemodel.write(tmp_path / "imported", layers)
    imported = net_of(path)
    imported.copy_from(str(tmp_path / "imported"))
    assert_same_parameters(imported, expected)
    expected.save(str(tmp_path / "saved"))
    ours, caffes = learnt(message_of(tmp_path / "imported")), learnt(message_of(tmp_path / "saved"))
    assert [layer.name for layer in ours] == [layer.name for layer in caffes]
    for layer, second in zip(ours, caffes, strict=True):
        assert list(layer.blobs) == list(second.blobs)


def test_lenet_knows_its_digits_through_our_loader(net_of, real):
    """On a blank sheet and on a bar its scores are those by Caffe's loading; the bar is a one."""
    path = real / "caffemodel/lenet_v1.caffemodel"
    images = np.zeros((2, 1, 28, 28), np.float32)
    images[1, 0, 4:24, 13:16] = 1
    scores = []
    for weights in (path, caffemodel.read(path)):
        net = net_of(path)
        net.blobs["data"].reshape(*images.shape)
        net.blobs["data"].data[...] = images
        net.copy_from(str(path)) if weights is path else load.load(net, weights, complete=True)
        scores.append(net.forward()["ip2"].copy())
    assert np.array_equal(*scores)
    assert scores[0][1].argmax() == 1


def test_the_solver_state_is_of_the_weights(real):
    """Momentum for every blob, in its shape, after 10,000 iterations."""
    folder = real / "caffemodel"
    state = caffe_pb2.SolverState.FromString((folder / "lenet_v1.solverstate").read_bytes())
    assert (state.iter, state.learned_net) == (10000, "lenet_iter_10000")
    weights = caffemodel.read(folder / "lenet_v1.caffemodel")
    blobs = [blob for layer in weights.layers.values() for blob in layer.blobs]
    assert [shape_of(blob) for blob in state.history] == [blob.shape for blob in blobs]
    for history, blob in zip(state.history, blobs, strict=True):
        assert len(history.data) == blob.size
        assert np.isfinite(history.data).all()
        assert np.any(history.data)


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_another_net_is_refused_in_one_line(path, tool, real, tmp_path):
    """The solver state too, which is no caffemodel at all."""
    said = "not a caffemodel" if path.suffix == ".solverstate" else "no layer of it is in the net"
    imported = tool("import_weights", path, "shapes", "--out", "w.caffemodel")
    one_line_error(imported, f"{path}: ", said)
    predicted = tool("predict", "shapes", "--weights", path, real / "voc2012/JPEGImages/2008_000003.jpg")
    one_line_error(predicted, f"{path}: ", said)
    assert list(tmp_path.rglob("*.caffemodel")) == list(tmp_path.rglob("*.png")) == []
