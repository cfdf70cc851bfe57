"""Convolutions of docker/fast beside stock Caffe's, and beside the definition in float64."""

import itertools

import caffe
import numpy as np
import pytest
import threadpoolctl

from helpers import fastcaffe

pytestmark = fastcaffe.needed

_NET = """
force_backward: true
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {n} dim: {c} dim: {h} dim: {w} }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
  num_output: {k} kernel_size: 3 pad: {pad} dilation: {dilation} }} }}
"""


def passes(tmp_path, *, n=1, c=16, k=16, h=9, w=9, pad=1, dilation=1, seed=0):
    """Random input, weights and gradient through a convolution: {name: array} of what goes in and what comes out."""
    path = tmp_path / f"{c}_{k}_{h}_{w}_{dilation}.prototxt"
    path.write_text(_NET.format(n=n, c=c, k=k, h=h, w=w, pad=pad, dilation=dilation))
    net = caffe.Net(str(path), caffe.TRAIN)
    rng = np.random.default_rng(seed)
    weights, bias = net.params["conv"]
    for blob in (net.blobs["data"], weights, bias):
        blob.data[...] = rng.normal(size=blob.data.shape)
    net.forward()
    net.blobs["conv"].diff[...] = rng.normal(size=net.blobs["conv"].diff.shape)
    weights.diff[...], bias.diff[...] = 1, 1  # what is there is added to
    net.backward()
    return {
        "data": net.blobs["data"].data.copy(),
        "weights": weights.data.copy(),
        "bias": bias.data.copy(),
        "diff": net.blobs["conv"].diff.copy(),
        "forward": net.blobs["conv"].data.copy(),
        "by data": net.blobs["data"].diff.copy(),
        "by weights": weights.diff.copy(),
        "by bias": bias.diff.copy(),
    }


def close(ours, theirs, share=1e-5):
    """Compares what comes out, in shares of the largest value."""
    for name in ("forward", "by data", "by weights", "by bias"):
        error = np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max()
        assert error < share, f"{name}: {error:.1e}"


# Odd sizes: below a tile, one more than tiles have, prime; paddings from none to more than the dilation; images of less
# than a dilation; dilations whose phases lie beside each other in a vector (from 8 on) and those whose tiles do.
@pytest.mark.parametrize(
    "shape",
    [
        {"h": 41, "w": 43},
        {"h": 5, "w": 4, "n": 3},
        {"h": 17, "w": 97, "c": 8, "k": 21},
        {"h": 19, "w": 23, "pad": 0},
        {"h": 18, "w": 23, "pad": 2},
        {"h": 41, "w": 37, "pad": 2, "dilation": 2},
        {"h": 29, "w": 31, "pad": 4, "dilation": 3, "n": 2},
        {"h": 41, "w": 33, "pad": 4, "dilation": 4},
        {"h": 53, "w": 47, "pad": 7, "dilation": 7},
        {"h": 65, "w": 41, "pad": 12, "dilation": 12},
        {"h": 41, "w": 41, "pad": 6, "dilation": 9},
        {"h": 9, "w": 10, "c": 1024, "k": 600},  # more filters than are kept transformed
    ],
    ids=str,
)
def test_equals_stock(shape, tmp_path, monkeypatch):
    with threadpoolctl.threadpool_limits(3, user_api="openmp"):
        ours = passes(tmp_path, **shape)
    monkeypatch.setenv("CAFFE_STOCK", "winograd")
    close(ours, passes(tmp_path, **shape))


def test_equals_the_definition(tmp_path):
    found = passes(tmp_path, h=13, w=10, c=9, k=8, pad=2, dilation=2)
    data = np.pad(found["data"].astype(float), [(0, 0), (0, 0), (2, 2), (2, 2)])
    weights, diff = found["weights"].astype(float), found["diff"].astype(float)
    forward = np.zeros(found["forward"].shape) + found["bias"][:, None, None]
    by_data, by_weights = np.zeros(data.shape), np.ones(weights.shape)
    for y, x in itertools.product(range(3), range(3)):
        part = np.s_[:, :, 2 * y : 2 * y + 13, 2 * x : 2 * x + 10]
        forward += np.einsum("kc,nchw->nkhw", weights[:, :, y, x], data[part])
        by_data[part] += np.einsum("kc,nkhw->nchw", weights[:, :, y, x], diff)
        by_weights[:, :, y, x] += np.einsum("nkhw,nchw->kc", diff, data[part])
    theirs = {
        "forward": forward,
        "by data": by_data[:, :, 2:-2, 2:-2],
        "by weights": by_weights,
        "by bias": 1 + diff.sum(axis=(0, 2, 3)),
    }
    close(found, theirs, share=3e-6)


def test_the_number_of_threads_changes_no_bit(tmp_path):
    found = []
    for threads in (1, 2, 3):
        with threadpoolctl.threadpool_limits(threads, user_api="openmp"):
            found.append(passes(tmp_path, h=41, w=37, c=24, k=40, n=2, pad=2, dilation=2))
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in other)


def test_weights_that_are_changed_in_place_are_seen(tmp_path):
    """A view of the weights that was taken earlier writes past everything that Caffe could notice."""
    path = tmp_path / "net.prototxt"
    path.write_text(_NET.format(n=1, c=8, k=8, h=16, w=16, pad=1, dilation=1))
    net = caffe.Net(str(path), caffe.TEST)
    weights = net.params["conv"][0].data
    net.blobs["data"].data[...] = 1
    weights[...] = 0
    weights[3, 5, 1, 1] = 1
    net.forward()
    assert net.blobs["conv"].data.sum() == pytest.approx(256, rel=1e-5)  # one filter passes one channel on
    weights[3, 5, 1, 1] = 2
    net.forward()
    assert net.blobs["conv"].data.sum() == pytest.approx(512, rel=1e-5)
    weights[3, 5, 1, 1], weights[3, 5, 0, 1] = 0, 2  # the same numbers at other places: the first line sees padding
    net.forward()
    assert net.blobs["conv"].data.sum() == pytest.approx(480, rel=1e-5)


@pytest.mark.parametrize(
    "setting", ["kernel_size: 5 pad: 2", "kernel_size: 3 pad: 1 stride: 2", "kernel_size: 3 group: 2"]
)
def test_other_convolutions_are_stock_caffes_bit_for_bit(setting, tmp_path, monkeypatch):
    path = tmp_path / "net.prototxt"
    path.write_text(
        _NET.format(n=2, c=16, k=16, h=16, w=15, pad=1, dilation=1).replace(
            "kernel_size: 3 pad: 1 dilation: 1", setting
        )
    )
    scores = []
    for stock in ("", "winograd"):
        monkeypatch.setenv("CAFFE_STOCK", stock)
        caffe.set_random_seed(1)
        net = caffe.Net(str(path), caffe.TEST)
        rng = np.random.default_rng(0)
        net.params["conv"][0].data[...] = rng.normal(size=net.params["conv"][0].data.shape)
        net.blobs["data"].data[...] = rng.normal(size=net.blobs["data"].data.shape)
        scores.append(net.forward()["conv"].copy())
    assert np.array_equal(*scores)
    assert np.abs(scores[0]).max() > 1
