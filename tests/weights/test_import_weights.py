"""A released caffemodel, written here byte by byte: old `layers`, the forks' layer types and fields.

Their numbers are those of src/caffe/proto/caffe.proto in the v1 fork (TheLegendAli/DeepLab-Context).
"""

import dataclasses
import struct

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from attscale import experiments, prototxt
from attscale.errors import WeightsError
from attscale.nets import geometry
from attscale.weights import caffemodel, load, transplant
from attscale.weights.caffemodel import Layer
from conftest import one_line_error

CONVOLUTION, SOFTMAX_LOSS = 4, 21  # V1LayerParameter.LayerType of stock Caffe
IMAGE_SEG_DATA, INTERP, MAT_WRITE = 39, 41, 43  # the fork's own: stock Caffe has DECONVOLUTION at 39, no others


def varint(value):
    result = b""
    while True:
        low, value = value & 127, value >> 7
        if not value:
            return result + bytes([low])
        result += bytes([low | 128])


def number(field, value):
    return varint(field * 8) + varint(value)


def nested(field, data):
    return varint(field * 8 + 2) + varint(len(data)) + data


def old_blob(values):
    """num, channels, height, width = 1 to 4, ones in front; data = 5, packed floats."""
    shape = (1,) * (4 - values.ndim) + values.shape
    dims = b"".join(number(field, n) for field, n in enumerate(shape, start=1))
    return dims + nested(5, struct.pack(f"<{values.size}f", *values.ravel().tolist()))


def old_layer(name, kind, blobs=(), extra=b""):
    """bottom = 2, top = 3, name = 4, type = 5, blobs = 6; blobs_lr = 7, packed or not; then what `extra` holds."""
    message = nested(2, b"below") + nested(3, name.encode()) + nested(4, name.encode()) + number(5, kind)
    message += b"".join(nested(6, old_blob(blob)) for blob in blobs)
    message += varint(7 * 8 + 5) + struct.pack("<f", 1.0)
    return nested(2, message + extra)


def hole(rate):
    """convolution_param = 10 with num_output = 1, pad = 3, kernel_size = 4 and `hole` = 17, stock's force_nd_im2col."""
    return nested(10, number(1, 8) + number(3, rate) + number(4, 3) + number(17, rate))


def released(net, classifier="fc8_shapes", skip=(), seed=0):
    """Bytes of a whole file for `net`, and the weights in it by layer name."""
    rng = np.random.default_rng(seed)
    owners, drawn = load.owners_of(net), {}
    # image_data_param = 15 with source = 1, batch_size = 4
    data_param = nested(15, nested(1, b"list/train_aug.txt") + number(4, 30))
    content = nested(1, b"released") + old_layer("data", IMAGE_SEG_DATA, extra=data_param)
    for name, blobs in net.params.items():
        if name in skip:
            continue
        if owners[name] == name:
            drawn[name] = [rng.normal(size=blob.data.shape).astype(np.float32) for blob in blobs]
        copies = drawn[owners[name]]
        content += old_layer(name.replace("fc8_shapes", classifier), CONVOLUTION, copies, hole(4))
    content += old_layer("fc8_interp", INTERP, extra=nested(43, number(3, 8)))  # interp_param with zoom_factor = 3
    content += old_layer("write", MAT_WRITE, extra=nested(46, nested(1, b"features/")))  # mat_write_param, prefix = 1
    return content + old_layer("loss", SOFTMAX_LOSS), drawn


@pytest.fixture(params=["shapes_attention3_esupv", "shapes_largefov"])
def row(request):
    return experiments.find(request.param)


@pytest.fixture
def net(row):
    return prototxt.load(prototxt.deploy_net(row, 33))


def test_every_weight_arrives_in_its_place(row, net, tool, tmp_path):
    content, drawn = released(net)
    (tmp_path / "released.caffemodel").write_bytes(content)
    done = tool("import_weights", "released.caffemodel", row.name, "--out", "clean.caffemodel")
    assert done.returncode == 0, done.stderr
    fates = dict(line.split()[:2] for line in done.stdout.splitlines()[:-1])
    assert fates["conv1_1"] == "reshaped"  # the bias was (1, 1, 1, n)
    if row.merge:
        assert fates["conv5_3_res05"] == "shared"
        assert fates["att_fc"] == "reshaped"
    assert load.load(net, caffemodel.read(tmp_path / "clean.caffemodel"), complete=True) == []
    assert sorted(drawn) == sorted(caffemodel.read(tmp_path / "clean.caffemodel").layers)
    for name, blobs in drawn.items():
        for blob, expected in zip(net.params[name], blobs, strict=True):
            assert np.array_equal(blob.data, expected), name


def test_the_released_file_loads_directly_too(net, tmp_path):
    content, drawn = released(net)
    (tmp_path / "released.caffemodel").write_bytes(content)
    load.load(net, caffemodel.read(tmp_path / "released.caffemodel"), complete=True)
    assert np.array_equal(net.params["fc6"][0].data, drawn["fc6"][0])


def test_caffe_itself_reads_what_is_written(net, tmp_path):
    """The writer against Caffe's own parser."""
    values = np.random.default_rng(0).normal(size=net.params["fc6"][0].data.shape).astype(np.float32)
    bias = np.arange(net.params["fc6"][1].data.size, dtype=np.float32)
    caffemodel.write(tmp_path / "w.caffemodel", [Layer("fc6", "Convolution", (values, bias))], name="x")
    net.copy_from(str(tmp_path / "w.caffemodel"))
    assert np.array_equal(net.params["fc6"][0].data, values)
    assert np.array_equal(net.params["fc6"][1].data, bias)


def test_what_caffe_writes_is_read(net, tmp_path):
    net.save(str(tmp_path / "w.caffemodel"))
    layers = caffemodel.read(tmp_path / "w.caffemodel").layers
    assert set(layers) == set(net.params)
    for name, blobs in net.params.items():
        for blob, read in zip(blobs, layers[name].blobs, strict=True):
            assert np.array_equal(blob.data, read)
            assert blob.data.shape == read.shape


def test_a_field_that_a_strict_parser_refuses(tmp_path):
    """The v2 fork's mat_write_param = 145 with prefix = 1, a string; stock Caffe has parameter_param there."""
    blob = nested(7, nested(1, varint(2) + varint(3))) + nested(5, struct.pack("<6f", *range(6)))
    content = nested(100, nested(1, b"a") + nested(2, b"Convolution") + nested(7, blob))
    content += nested(100, nested(1, b"write") + nested(2, b"MatWrite") + nested(145, nested(1, b"features/")))
    with pytest.raises(DecodeError):
        caffe_pb2.NetParameter.FromString(content)
    (tmp_path / "w").write_bytes(content)
    (layer,) = caffemodel.read(tmp_path / "w").layers.values()
    assert (layer.name, layer.type) == ("a", "Convolution")
    assert layer.blobs[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_broken_files(net, tool, tmp_path):
    content, _ = released(net)
    path = tmp_path / "w.caffemodel"
    places = [1, 12, len(content) // 3, len(content) // 2, len(content) - 1]
    for data in (*(content[:place] for place in places), b"<!DOCTYPE html><html>Not Found</html>"):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"w\.caffemodel: not a caffemodel, or cut short"):
            caffemodel.read(path)
    one_line_error(tool("import_weights", path, "shapes", "--out", "o"), "not a caffemodel, or cut short")
    path.write_bytes(b"")
    one_line_error(tool("import_weights", path, "shapes", "--out", "o"), "w.caffemodel: holds no weights")
    one_line_error(tool("import_weights", "nowhere", "shapes", "--out", "o"), "nowhere: no such file")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "blob",
    [
        number(1, 1) + number(2, 1) + number(3, 2) + number(4, 3) + nested(5, struct.pack("<5f", *range(5))),
        nested(7, number(1, 5)) + nested(5, bytes(19)),
        nested(7, number(1, 2**62) + number(1, 2**63)) + nested(5, bytes(20)),
        nested(7, number(1, 0) * 65),
    ],
    ids=["old shape", "part of a number", "shape beyond all memory", "65 axes"],
)
def test_a_blob_whose_shape_and_data_disagree_is_broken(blob, tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(nested(2, nested(4, b"a") + number(5, 4) + nested(6, blob)))
    with pytest.raises(WeightsError, match="not a caffemodel"):
        caffemodel.read(path)


@pytest.mark.parametrize("row", [experiments.find("shapes_attention3_esupv")], ids=["attention"])
def test_the_classifiers_name_and_classes(row, net, tool, tmp_path):
    content, drawn = released(net, classifier="fc8_pascal")
    (tmp_path / "w").write_bytes(content)
    done = tool("import_weights", "w", row.name, "--out", "o")
    one_line_error(done, "the classifier is fc8_pascal, the net's fc8_shapes", "--rename-classifier")
    done = tool("import_weights", "w", row.name, "--out", "o", "--rename-classifier")
    assert ["fc8_shapes", "renamed", "from", "fc8_pascal"] in map(str.split, done.stdout.splitlines())
    load.load(net, caffemodel.read(tmp_path / "o"), complete=True)
    assert np.array_equal(net.params["fc8_shapes"][0].data, drawn["fc8_shapes"][0])
    done = tool("import_weights", "w", row.name, "--out", "fresh", "--fresh-classifier")
    assert done.returncode == 0, done.stderr
    fates = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("fc8_")]
    assert sorted(fates) == [
        *(["fc8_pascal", "not"], ["fc8_pascal_res05", "not"], ["fc8_pascal_res075", "not"]),
        *(["fc8_shapes", "fresh"], ["fc8_shapes_res05", "fresh"], ["fc8_shapes_res075", "fresh"]),
    ]
    assert "fc8_shapes" not in caffemodel.read(tmp_path / "fresh").layers
    for name in ("voc12_max3", "voc10_part_max3"):
        done = tool("import_weights", "w", name, "--out", "x")
        one_line_error(done, "layer conv1_1 is")  # 1/8 of the width: named before the classifier is looked at


def test_wrong_class_counts(tool, tmp_path):
    """21 classes offered to the seven of Person-Part, under either name."""
    part = prototxt.load(prototxt.deploy_net(experiments.find("voc10_part_largefov"), 33))
    for name in ("fc8_voc12", "fc8_voc10_part"):
        layers = [
            Layer(layer, "Convolution", tuple(blob.data for blob in blobs))
            for layer, blobs in part.params.items()
            if not layer.startswith("fc8")
        ]
        classifier = Layer(name, "Convolution", (np.zeros((21, 1024, 1, 1), np.float32), np.zeros(21, np.float32)))
        caffemodel.write(tmp_path / "w", [*layers, classifier])
        done = tool("import_weights", "w", "voc10_part_largefov", "--out", "o")
        one_line_error(done, f"{name} has 21 classes, fc8_voc10_part of the net 7", "--fresh-classifier")


@pytest.mark.parametrize("row", [experiments.find("shapes_attention3_esupv")], ids=["attention"])
def test_what_the_file_lacks(row, net, tool, tmp_path):
    content, _ = released(net, skip=("att_conv1", "att_fc"))
    (tmp_path / "w").write_bytes(content)
    one_line_error(tool("import_weights", "w", row.name, "--out", "o"), "lacks att_conv1, att_fc", "--partial")
    done = tool("import_weights", "w", row.name, "--out", "o", "--partial")
    assert done.returncode == 0, done.stderr
    assert ["att_fc", "missing"] in map(str.split, done.stdout.splitlines())
    assert load.load(net, caffemodel.read(tmp_path / "o"), complete=False) == ["att_conv1", "att_fc"]


@pytest.fixture
def attention():
    """The target, and its layers by name, as a release has them: each branch with a copy."""
    row = experiments.find("shapes_attention3_esupv")
    net = prototxt.load(prototxt.deploy_net(row, 33))
    layers = {
        name: Layer(name, "Convolution", tuple(blob.data.copy() for blob in blobs))
        for name, blobs in net.params.items()
    }
    return transplant.Target.of(net, geometry.scores_name(row)), layers


def refused(path, layers, target, said, **options):
    caffemodel.write(path, layers.values())
    with pytest.raises(WeightsError, match=said):
        transplant.transplant(caffemodel.read(path), target, **options)


def named(layer, name):
    return dataclasses.replace(layer, name=name)


def test_copies_of_shared_layers_must_agree(attention, tmp_path):
    target, layers = attention
    whole = layers["conv3_2_res05"]
    layers["conv3_2_res05"] = dataclasses.replace(whole, blobs=whole.blobs[:1])
    refused(tmp_path / "w", layers, target, "conv3_2_res05 differs from conv3_2,")
    layers["conv3_2_res05"] = whole
    whole.blobs[0][0, 0, 0, 0] += 1
    refused(tmp_path / "w", layers, target, "conv3_2_res05 differs from conv3_2,")


def test_copies_of_a_renamed_classifier_must_agree_too(attention, tmp_path):
    target, layers = attention
    for suffix in ("", "_res075", "_res05"):
        layers[f"fc8_x{suffix}"] = named(layers.pop(f"fc8_shapes{suffix}"), f"fc8_x{suffix}")
    caffemodel.write(tmp_path / "w", layers.values())
    _, lines = transplant.transplant(caffemodel.read(tmp_path / "w"), target, rename_classifier=True)
    assert "not used" not in [line.fate for line in lines]
    layers["fc8_x_res05"].blobs[1][2] += 1
    refused(tmp_path / "w", layers, target, "fc8_x_res05 differs from fc8_x,", rename_classifier=True)


def test_a_classifier_that_cannot_be_told_or_has_no_bias(attention, tmp_path):
    target, layers = attention
    whole = layers["fc8_shapes"]
    layers["fc8_shapes"] = dataclasses.replace(whole, blobs=whole.blobs[:1])
    said = r"layer fc8_shapes is \[\(5, 128, 1, 1\)\], expected \[\(5, 128, 1, 1\), \(5,\)\]"
    refused(tmp_path / "w", layers, target, said)
    for suffix in ("", "_res075", "_res05"):
        del layers[f"fc8_shapes{suffix}"]
    layers |= {name: named(whole, name) for name in ("fc8_a", "fc8_b")}
    for rename in (False, True):
        said = "has no fc8_shapes, and fc8_a, fc8_b may each be the classifier"
        refused(tmp_path / "w", layers, target, said, rename_classifier=rename)


def test_batch_norm_and_scale_keep_their_types_and_places(tool, tmp_path):
    """From a file with a copy for each branch, as Caffe saves it; Caffe's own reader takes what is made of it."""
    name = "shapes_resnet34_psp_refine2_esupv"
    net = prototxt.load(prototxt.deploy_net(experiments.find(name), 33))
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.uniform(0.5, 1.5, blob.data.shape)
    net.save(str(tmp_path / "saved.caffemodel"))
    done = tool("import_weights", "saved.caffemodel", name, "--out", "clean.caffemodel")
    assert done.returncode == 0, done.stderr
    fates = dict(line.split()[:2] for line in done.stdout.splitlines()[:-1])
    assert (fates["bn1"], fates["bn1_scale"], fates["psp6_bn_res05"]) == ("matched", "matched", "shared")
    layers = caffemodel.read(tmp_path / "clean.caffemodel").layers
    kinds = {"bn1": "BatchNorm", "bn1_scale": "Scale", "conv1": "Convolution", "psp_bn": "BatchNorm"}
    assert {layer: layers[layer].type for layer in kinds} == kinds
    other = prototxt.load(prototxt.deploy_net(experiments.find(name), 33))
    other.copy_from(str(tmp_path / "clean.caffemodel"))
    for layer, blobs in net.params.items():
        for blob, copied in zip(blobs, other.params[layer], strict=True):
            assert np.array_equal(blob.data, copied.data), layer
