from pathlib import Path

import numpy as np
import pytest

from attscale import experiments, prototxt
from attscale.errors import WeightsError
from attscale.weights import caffemodel, convert, load
from attscale.weights.caffemodel import Layer
from conftest import one_line_error


def test_which_taps_and_filters_are_kept():
    assert convert.spread(7, 3) == [0, 3, 6]
    assert convert.spread(7, 4) == [0, 2, 4, 6]
    assert convert.every(8, 2) == [0, 4]
    assert convert.every(4096, 1024)[:3] == [0, 4, 8]


def test_fc6_by_hand():
    """Each weight holds 1000 output + 100 input + 10 row + column: of 8 outputs 0 and 4 stay, of rows 0, 3 and 6."""
    o, i, y, x = np.indices((8, 2, 7, 7))
    weights_, bias = convert.fc6_to_convolution(1000 * o + 100 * i + 10 * y + x, np.arange(8), channels=2, kernel=3)
    assert weights_.shape == (2, 2, 3, 3)
    assert weights_[0, 0].tolist() == [[0, 3, 6], [30, 33, 36], [60, 63, 66]]
    assert weights_[1, 1].tolist() == [[4100, 4103, 4106], [4130, 4133, 4136], [4160, 4163, 4166]]
    assert bias.tolist() == [0, 4]


def test_fc7_reads_the_filters_that_fc6_keeps():
    o, i = np.indices((8, 8))
    weights_, bias = convert.fc7_to_convolution(10 * o + i, np.arange(8), channels=4)
    assert weights_.shape == (4, 4, 1, 1)
    assert weights_[:, :, 0, 0].tolist() == [[0, 2, 4, 6], [20, 22, 24, 26], [40, 42, 44, 46], [60, 62, 64, 66]]
    assert bias.tolist() == [0, 2, 4, 6]


def test_other_nets_are_refused_by_name(tool, tmp_path):
    def layer(name, shape):
        return Layer(name, "Convolution", (np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)))

    caffemodel.write(tmp_path / "a", [layer("conv1_1", (64, 3, 3, 3))])
    one_line_error(tool("convert_vgg", "a"), "a: has no layer conv1_2, so it is not the 16-layer VGG net")
    caffemodel.write(tmp_path / "b", [layer("conv1_1", (96, 3, 11, 11))])
    one_line_error(
        tool("convert_vgg", "b"), "layer conv1_1 is [(96, 3, 11, 11), (96,)], expected [(64, 3, 3, 3), (64,)]"
    )
    one_line_error(tool("convert_vgg", "nowhere"), "nowhere: no such file")
    assert not (tmp_path / "weights").exists()


def vgg16(fc6=(1, 1, 4096, 25088)):
    """A Caffemodel in the old format's shapes, all zero: pages that nobody writes to take no memory."""
    shapes, inputs = [], 3
    for stage, (depth, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for i in range(1, depth + 1):
            shapes.append((f"conv{stage}_{i}", (channels, inputs, 3, 3), channels))
            inputs = channels
    shapes += [("fc6", fc6, 4096), ("fc7", (1, 1, 4096, 4096), 4096), ("fc8", (1, 1, 1000, 4096), 1000)]
    layers = {
        name: Layer(name, "4", (np.zeros(shape, np.float32), np.zeros((1, 1, 1, outputs), np.float32)))
        for name, shape, outputs in shapes
    }
    return caffemodel.Caffemodel(Path("w"), "VGG_ILSVRC_16_layers", "", layers)


def test_old_shapes_are_those_of_the_net():
    vgg = vgg16()
    vgg.layers["fc6"].blobs[0][0, 0, 20, 7 * 49 + 3 * 7 + 6] = 1  # filter 20, channel 7, tap (3, 6)
    vgg.layers["fc7"].blobs[1][0, 0, 0, 20] = 2
    made = {layer.name: layer.blobs for layer in convert.largefov_from_vgg(vgg)}
    assert list(made)[-3:] == ["conv5_3", "fc6", "fc7"]
    assert len(made) == 15
    assert [blob.shape for blob in made["conv2_1"]] == [(128, 64, 3, 3), (128,)]
    assert [blob.shape for blob in made["fc6"]] == [(1024, 512, 3, 3), (1024,)]
    assert [blob.shape for blob in made["fc7"]] == [(1024, 1024, 1, 1), (1024,)]
    assert np.argwhere(made["fc6"][0]).tolist() == [[5, 7, 1, 2]]
    assert np.argwhere(made["fc7"][1]).tolist() == [[5]]


def test_a_net_that_is_largefov_already_is_refused_at_fc6():
    said = r"w: layer fc6 is \[\(1024, 512, 3, 3\), .*\], expected \[\(4096, 512, 7, 7\), \(4096,\)\]"
    with pytest.raises(WeightsError, match=said):
        convert.largefov_from_vgg(vgg16(fc6=(1024, 512, 3, 3)))


@pytest.mark.slow
def test_a_net_of_real_size_becomes_largefovs_start(tool, tmp_path):
    """550 MB in, 80 MB out, which voc12_largefov takes for everything but its classifier."""
    rng = np.random.default_rng(0)
    layers, inputs = [], 3
    for name, channels in (
        *(("conv1_1", 64), ("conv1_2", 64), ("conv2_1", 128), ("conv2_2", 128)),
        *(("conv3_1", 256), ("conv3_2", 256), ("conv3_3", 256)),
        *((f"conv{stage}_{i}", 512) for stage in (4, 5) for i in (1, 2, 3)),
    ):
        layers.append((name, (channels, inputs, 3, 3)))
        inputs = channels
    layers += [("fc6", (1, 1, 4096, 25088)), ("fc7", (1, 1, 4096, 4096)), ("fc8", (1, 1, 1000, 4096))]
    drawn = {name: rng.random(shape, np.float32) for name, shape in layers}
    biases = {name: rng.random(max(shape[0], shape[-2] if shape[0] == 1 else 0), np.float32) for name, shape in layers}
    caffemodel.write(tmp_path / "vgg", [Layer(name, "x", (drawn[name], biases[name])) for name, _ in layers])
    done = tool("convert_vgg", "vgg", "--out", "start")
    assert done.returncode == 0, done.stderr
    net = prototxt.load(prototxt.deploy_net(experiments.find("voc12_largefov"), 33))
    assert load.load(net, caffemodel.read(tmp_path / "start"), complete=False) == ["fc8_voc12"]
    assert np.array_equal(net.params["conv4_2"][0].data, drawn["conv4_2"])
    # filter 5 of fc6 is VGG's 20th; its tap (1, 2) on channel 7 is VGG's (3, 6)
    assert net.params["fc6"][0].data[5, 7, 1, 2] == drawn["fc6"][0, 0, 20, 7 * 49 + 3 * 7 + 6]
    assert net.params["fc7"][0].data[5, 9, 0, 0] == drawn["fc7"][0, 0, 20, 36]
    assert net.params["fc7"][1].data[5] == biases["fc7"][20]
