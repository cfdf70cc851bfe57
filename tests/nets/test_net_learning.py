"""What a step of training moves: weights shared by the branches, frozen ones, and by how much."""

import caffe
import numpy as np
import pytest

from attscale import experiments, prototxt
from helpers.net_cases import narrow, solver_on, with_inputs

PLAIN = {"type": "SGD", "base_lr": 0.01, "lr_policy": "fixed", "momentum": 0, "iter_size": 1}
CONVS = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"]


@pytest.mark.parametrize("name", ["shapes_max3_esupv", "shapes_average2", "shapes_attention2", "shapes_largefov"])
def test_every_merge_trains(name):
    """Forward and backward run, and the gradient reaches the first layer."""
    message = with_inputs(prototxt.train_net(narrow(experiments.find(name))), 2, 97)
    net = prototxt.load(message, caffe.TRAIN)
    fill(net)
    net.forward()
    net.backward()
    assert np.abs(net.params["conv1_1"][0].diff).max() > 0


def fill(net, seed=0):
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.normal(0, 60, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = rng.integers(0, 5, net.blobs["label"].data.shape)


def same_scale_net(row):
    """The row's training net with every branch at scale 1: the layers that shrink and grow become identities."""
    message = with_inputs(prototxt.train_net(row), 2, 97)
    for layer in message.layer:
        if layer.type == "Python" and layer.python_param.layer == "Interp":
            size = 97 if layer.name.startswith("data") else 13
            layer.python_param.param_str = f'{{"height": {size}, "width": {size}}}'
        if layer.type == "Python" and layer.python_param.layer == "LabelShrink":
            layer.python_param.param_str = '{"shrink_factor": 8}'
    return message


def test_branches_share_weights_bit_for_bit_and_a_step_moves_them_together(tmp_path):
    row = narrow(experiments.find("shapes_attention3_esupv"))
    solver = solver_on(tmp_path, row, same_scale_net(row))
    net = solver.net
    fill(net)
    seen = []
    for _ in range(2):
        net.forward()
        one, *others = (net.blobs[f"fc8_shapes{suffix}"].data.copy() for suffix in ("", "_res075", "_res05"))
        assert np.abs(one).max() > 0
        for other in others:
            assert np.array_equal(one, other)
        seen.append((one, net.params["conv1_1"][0].data.copy()))
        solver.step(1)
        for name in ("conv1_1", "conv5_3", "fc6", "fc7", "fc8_shapes"):
            for suffix in ("_res075", "_res05"):
                for own, other in zip(net.params[name], net.params[name + suffix], strict=True):
                    assert np.array_equal(own.data, other.data)
                    assert own.data.ctypes.data == other.data.ctypes.data
    assert not np.array_equal(seen[0][0], seen[1][0])
    assert not np.array_equal(seen[0][1], seen[1][1])


def values(net, what="data"):
    return {name: [getattr(blob, what).copy() for blob in blobs] for name, blobs in net.params.items()}


def test_frozen_layers_do_not_move_and_the_branches_of_msc_do(tmp_path):
    row = narrow(experiments.find("voc12_msc_largefov"))
    solver = solver_on(tmp_path, row, with_inputs(prototxt.train_net(row), 2, 97), **PLAIN)
    fill(solver.net)
    solver.net.params["fc8_voc12"][1].data[...] = 0.1
    before = values(solver.net)
    solver.step(3)
    for name, blobs in values(solver.net).items():
        moved = [not np.array_equal(old, new) for old, new in zip(before[name], blobs, strict=True)]
        assert moved == ([True, True] if name.endswith(("_conv", "_fc", "_ms")) else [False, False]), name


def test_every_layer_moves_by_its_multipliers(tmp_path):
    """One step: w - lr lr_mult (gradient + decay decay_mult w); classifier and attention 10, 20, the rest 1, 2."""
    row = narrow(experiments.find("voc"))
    message = with_inputs(prototxt.train_net(row), 2, 97)
    solver = solver_on(tmp_path, row, message, **PLAIN, weight_decay=0.05)
    net = solver.net
    fill(net)
    net.blobs["data"].data[...] /= 60
    for name in ("att_fc", "fc8_voc12"):  # large enough for every layer before them to see a gradient
        net.params[name][0].data[...] *= 20
    before = values(net)
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    net.forward()
    net.backward()
    gradients = values(net, "diff")
    solver.step(1)
    for name, (weights, biases) in values(net).items():
        factor = 10 if name.startswith(("fc8_", "att_")) else 1
        for new, old, gradient, lr_mult, decay in (
            (weights, before[name][0], gradients[name][0], factor, 0.05),
            (biases, before[name][1], gradients[name][1], 2 * factor, 0),
        ):
            assert np.abs(gradient).max() > 0, name
            expected = old - 0.01 * lr_mult * (gradient + decay * old)
            np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-6, err_msg=name)


def test_shared_layers_receive_the_sum_over_the_losses(tmp_path):
    """Three equal branches, averaged: the gradient is 1 + S times that of a net with a single branch and loss."""
    row = narrow(experiments.find("shapes_average3_esupv"))
    share = prototxt.load(same_scale_net(row), caffe.TRAIN)
    single_row = narrow(experiments.find("shapes_largefov"))
    single = prototxt.load(with_inputs(prototxt.train_net(single_row), 2, 97), caffe.TRAIN)
    for net in (share, single):
        fill(net)
    for name, blobs in single.params.items():
        for blob, other in zip(blobs, share.params[name], strict=True):
            blob.data[...] = other.data
    for net in (share, single):
        net.forward()
        net.backward()
    for name, blobs in single.params.items():
        for blob, other in zip(blobs, share.params[name], strict=True):
            scale = np.abs(blob.diff).max()
            assert scale > 0
            np.testing.assert_allclose(other.diff, 4 * blob.diff, atol=1e-4 * 4 * scale, err_msg=name)


def test_shared_layers_receive_the_sum_over_the_scales(tmp_path):
    """The attention net's gradients against one single-branch net, run at each scale in turn, and added up."""
    row = narrow(experiments.find("shapes_attention3_esupv"))
    share = prototxt.load(with_inputs(prototxt.train_net(row), 2, 97), caffe.TRAIN)
    fill(share)
    share.params["fc8_shapes"][0].data[...] *= 20
    share.forward()
    share.backward()
    total = {}
    for suffix, size in (("", 97), ("_res075", 73), ("_res05", 49)):
        message = prototxt.deploy_net(narrow(experiments.find("shapes_largefov")), size)
        message.force_backward = True
        single = prototxt.load(message, caffe.TRAIN)
        single.blobs["data"].reshape(2, 3, size, size)
        single.reshape()
        for name, blobs in single.params.items():
            for blob, other in zip(blobs, share.params[name], strict=True):
                blob.data[...] = other.data
        single.blobs["data"].data[...] = share.blobs[f"data{suffix}"].data
        single.forward(end="fc8_shapes")
        assert np.array_equal(single.blobs["fc8_shapes"].data, share.blobs[f"fc8_shapes{suffix}"].data)
        # what reaches fc7 comes from the classifier and, at training time, from the attention model too
        single.blobs["fc7"].diff[...] = fc7_diff(share, suffix)
        single.backward(start="relu7", end="conv1_1")
        for name in (*(f"conv{c}" for c in CONVS), "fc6", "fc7"):
            for i, blob in enumerate(single.params[name]):
                total[name, i] = total.get((name, i), 0) + blob.diff.copy()
    for (name, i), expected in total.items():
        scale = np.abs(expected).max()
        assert scale > 0
        np.testing.assert_allclose(share.params[name][i].diff, expected, atol=1e-4 * scale, err_msg=name)


def fc7_diff(net, suffix):
    """The gradient that arrives at a branch's fc7: Caffe's own, from the last layer that shares the blob in place."""
    return net.blobs[f"fc7{suffix}"].diff
