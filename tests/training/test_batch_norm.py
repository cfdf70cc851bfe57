"""Training with BatchNorm: its statistics go on where a run was stopped, and into the files of weights."""

import dataclasses

import numpy as np
import pytest

from attscale import experiments, prototxt
from attscale.data.images import read_image
from attscale.inference.predictor import Predictor
from attscale.prototxt import Model
from attscale.training import runs
from attscale.weights import caffemodel, load
from helpers.training_runs import assert_same_losses, assert_same_weights, train_row

OFTEN = {"snapshot_interval": 2, "log_interval": 1, "keep": 9}


def narrow(**changes):
    """ResNet-34 with pyramid pooling and all of the second paper's model, on 65 pixels, by SGD with momentum."""
    row = experiments.find("shapes_resnet34_psp_refine2_esupv")
    solver = dataclasses.replace(row.solver, **{"type": "SGD", "max_iter": 6, "iter_size": 2, **changes})
    trunk = dataclasses.replace(row.trunk, dropout=0.1)
    return dataclasses.replace(row, trunk=trunk, solver=solver, crop_size=65)


@pytest.fixture(params=["SGD", "Adam"])
def row(request):
    return narrow(type=request.param)


def test_statistics_continue_as_if_never_stopped(row, mini, tmp_path):
    train_row(row, tmp_path / "a", mini, **OFTEN)
    train_row(row, tmp_path / "b", mini, **OFTEN)
    (tmp_path / "b" / runs.FINAL).unlink()
    snapshots = sorted((tmp_path / "b" / runs.SNAPSHOTS).glob("iter_*"))
    assert [path.name for path in snapshots] == ["iter_00000002", "iter_00000004"]
    train_row(row, tmp_path / "b", mini, **OFTEN)
    assert_same_weights(tmp_path / "b", tmp_path / "a")
    assert_same_losses(tmp_path / "b", tmp_path / "a")
    # Caffe's factor: 1 + 0.999 + 0.999^2 ... of six iterations of two passes over two scales, which share it
    layers = caffemodel.read(tmp_path / "a" / runs.FINAL).layers
    for name in ("bn1", "layer4_2_bn2", "psp1_bn"):
        assert layers[name].blobs[2] == pytest.approx(sum(0.999**n for n in range(6 * 2 * 2)), rel=1e-5)


def test_final_weights_hold_all_that_testing_needs(mini, tmp_path):
    """By type, as Caffe's own reader takes them; scores by them are those of the net in training."""
    row = narrow()
    path = train_row(row, tmp_path / "r", mini, **OFTEN)
    weights = caffemodel.read(path)
    types = {layer.name: layer.type for layer in prototxt.deploy_net(row).layer}
    assert all(layer.type == types[name] for name, layer in weights.layers.items())
    assert {layer.type for layer in weights.layers.values()} == {"Convolution", "BatchNorm", "Scale"}
    ours, caffes = Predictor(Model.of(row), weights), prototxt.load(prototxt.deploy_net(row))
    caffes.copy_from(str(path))
    image = read_image(mini / "JPEGImages/2.jpg")
    ours.forward(image)
    caffes.blobs["data"].data[...] = ours.net.blobs["data"].data
    caffes.forward()
    assert np.ptp(ours.scores()) > 0
    assert np.array_equal(ours.net.blobs["fc8_interp"].data, caffes.blobs["fc8_interp"].data)
    assert load.load(caffes, weights, complete=True) == []
