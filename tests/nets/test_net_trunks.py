"""The trunk, the branches and the heads of the released nets, layer by layer, typed from docs/release.md."""

import dataclasses
import json
from fractions import Fraction

import pytest

from attscale import experiments, prototxt
from helpers.net_cases import layers


def sizes(layer):
    """(kernel, pad, stride, dilation) of a convolution, absent fields at Caffe's defaults."""
    param = layer.convolution_param
    fields = (param.kernel_size, param.pad or [0], param.stride or [1], param.dilation or [1])
    assert [len(field) for field in fields] == [1, 1, 1, 1], layer.name
    return tuple(field[0] for field in fields)


def pooling(layer):
    param = layer.pooling_param
    return (param.PoolMethod.Name(param.pool), param.kernel_size, param.stride, param.pad)


def check_largefov(net, classifier, *, suffix="", pool5a=False, shared=False, frozen=False):
    """The trunk of the release, layer after layer from `data` to the classifier, as docs/release.md has it.

    net: layers by name; shared: parameters named, `conv1_1_w`; frozen: lr 0 throughout, as under MSc's branches.
    """
    convolutions = {  # channels, then kernel, pad, stride, dilation
        **dict.fromkeys(("conv1_1", "conv1_2"), (64, 3, 1, 1, 1)),
        **dict.fromkeys(("conv2_1", "conv2_2"), (128, 3, 1, 1, 1)),
        **dict.fromkeys(("conv3_1", "conv3_2", "conv3_3"), (256, 3, 1, 1, 1)),
        **dict.fromkeys(("conv4_1", "conv4_2", "conv4_3"), (512, 3, 1, 1, 1)),
        **dict.fromkeys(("conv5_1", "conv5_2", "conv5_3"), (512, 3, 2, 1, 2)),
        "fc6": (1024, 3, 12, 1, 12),
        "fc7": (1024, 1, 0, 1, 1),
        classifier: (21, 1, 0, 1, 1),
    }
    pools = {  # kind, kernel, stride, pad; by the layer before it
        "conv1_2": ("pool1", "MAX", 3, 2, 1),
        "conv2_2": ("pool2", "MAX", 3, 2, 1),
        "conv3_3": ("pool3", "MAX", 3, 2, 1),
        "conv4_3": ("pool4", "MAX", 3, 1, 1),
        "conv5_3": ("pool5", "MAX", 3, 1, 1),
    }
    top = f"data{suffix}"
    for name, expected in convolutions.items():
        layer = net[name + suffix]
        assert (layer.type, list(layer.bottom), list(layer.top)) == ("Convolution", [top], [layer.name])
        assert (layer.convolution_param.num_output, *sizes(layer)) == expected, layer.name
        multipliers = [(10, 1), (20, 0)] if name == classifier else [(1, 1), (2, 0)]
        if frozen:
            multipliers = [(0, 1), (0, 0)]
        assert [(p.lr_mult, p.decay_mult) for p in layer.param] == multipliers, layer.name
        bare = "fc8" if name == classifier else name
        assert [p.name for p in layer.param] == ([f"{bare}_w", f"{bare}_b"] if shared else ["", ""])
        top = layer.name
        if name == classifier:
            break
        relu = net[name.replace("conv", "relu").replace("fc", "relu") + suffix]
        assert (relu.type, list(relu.bottom), list(relu.top)) == ("ReLU", [top], [top])
        if name.startswith("fc"):
            drop = net[name.replace("fc", "drop") + suffix]
            assert (drop.type, list(drop.bottom), list(drop.top)) == ("Dropout", [top], [top])
            assert drop.dropout_param.dropout_ratio == 0.5
        if name in pools:
            pool_name, *expected = pools[name]
            pool = net[pool_name + suffix]
            assert (pool.type, list(pool.bottom), list(pool.top)) == ("Pooling", [top], [pool.name])
            assert pooling(pool) == tuple(expected), pool.name
            top = pool.name
        if name == "conv5_3" and pool5a:
            assert list(net[f"pool5a{suffix}"].bottom) == [top]
            assert pooling(net[f"pool5a{suffix}"]) == ("AVE", 3, 1, 1)
            top = f"pool5a{suffix}"
    assert (f"pool5a{suffix}" in net) == pool5a
    filler = net[classifier + suffix].convolution_param.weight_filler
    assert (filler.type, filler.std) == ("gaussian", pytest.approx(0.01))


def both_nets(row):
    """The layers of the row's training and deploy net, by name."""
    return layers(prototxt.train_net(row)), layers(prototxt.deploy_net(row))


def check_attention_trunks(row):
    for net in both_nets(row):
        for suffix in ("", "_res075", "_res05"):
            check_largefov(net, "fc8_voc12", suffix=suffix, shared=True)


def check_msc_trunk(row):
    for net in both_nets(row):
        check_largefov(net, "fc8_voc12", pool5a=True, frozen=True)


@pytest.mark.parametrize(("name", "pool5a"), [("voc12_largefov", False), ("voc12_largefov_pool5a", True)])
def test_largefov_is_the_authors_baseline_and_with_pool5a_the_release(name, pool5a):
    train, deploy = both_nets(experiments.find(name))
    for net in (train, deploy):
        check_largefov(net, "fc8_voc12", pool5a=pool5a)
    assert list(train)[-2:] == ["label_shrink", "loss"]
    assert train["label_shrink"].python_param.param_str == '{"shrink_factor": 8}'
    assert train["loss"].loss_param.ignore_label == 255
    assert list(deploy["fc8_interp"].bottom) == ["fc8_voc12"]
    assert deploy["fc8_interp"].python_param.param_str == '{"zoom_factor": 8}'


@pytest.mark.parametrize(
    ("name", "check"), [("voc12_attention3_esupv", check_attention_trunks), ("voc12_msc_largefov", check_msc_trunk)]
)
@pytest.mark.parametrize("field", ["fc6_dilation", "pool5a", "dropout", "width"])
def test_the_check_of_the_trunk_notices_every_option(name, check, field):
    row = experiments.find(name)
    other = {"fc6_dilation": 6, "pool5a": not row.trunk.pool5a, "dropout": 0.4, "width": Fraction(1, 2)}[field]
    check(row)
    with pytest.raises((AssertionError, KeyError)):
        check(dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, **{field: other})))


def test_attention_net_is_the_authors():
    """Layer by layer as exper/voc12/config/vgg128_noup_pool3_20M_largewin_attention4/train.prototxt has it; names are
    the release's where weights depend on them, else ours (docs/fidelity.md)."""
    row = experiments.find("voc12_attention3_esupv")
    check_attention_trunks(row)
    net = layers(prototxt.train_net(row))
    for name, bottom, rule in (
        ("data_res075", "data", {"shrink_factor": 4, "zoom_factor": 3}),
        ("data_res05", "data", {"shrink_factor": 2}),
        ("fc7_res075_interp", "fc7_res075", {"zoom_factor": 4, "shrink_factor": 3}),
        ("fc7_res05_interp", "fc7_res05", {"zoom_factor": 2}),
        ("fc8_voc12_res075_interp", "fc8_voc12_res075", {"zoom_factor": 4, "shrink_factor": 3}),
        ("fc8_voc12_res05_interp", "fc8_voc12_res05", {"zoom_factor": 2}),
    ):
        assert list(net[name].bottom) == [bottom]
        assert json.loads(net[name].python_param.param_str) == rule
    assert list(net["fc7_concat"].bottom) == ["fc7", "fc7_res075_interp", "fc7_res05_interp"]
    att_conv1, att_fc = net["att_conv1"], net["att_fc"]
    assert (att_conv1.convolution_param.num_output, *sizes(att_conv1)) == (512, 3, 1, 1, 1)
    assert (att_fc.convolution_param.num_output, *sizes(att_fc)) == (3, 1, 0, 1, 1)
    for layer, std in ((att_conv1, 0.005), (att_fc, 0.01)):
        filler = layer.convolution_param.weight_filler
        assert (filler.type, filler.std) == ("gaussian", pytest.approx(std))
        assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(10, 1), (20, 0)]
    assert net["att_drop1"].dropout_param.dropout_ratio == 0.5
    options = json.loads(net["data"].python_param.param_str)
    assert (options["batch_size"], options["crop_size"], options["mirror"]) == (3, 321, True)
    assert list(net["fc8_fusion"].bottom) == [
        "fc8_voc12",
        "fc8_voc12_res075_interp",
        "fc8_voc12_res05_interp",
        "att_fc",
    ]
    heads = {name: layer for name, layer in net.items() if layer.type == "SoftmaxWithLoss"}
    assert {name: list(layer.bottom) for name, layer in heads.items()} == {
        "loss_fusion": ["fc8_fusion", "label_shrink"],
        "loss": ["fc8_voc12", "label_shrink"],
        "loss_res075": ["fc8_voc12_res075_interp", "label_shrink"],
        "loss_res05": ["fc8_voc12_res05", "label_shrink_res05"],
    }
    for layer in heads.values():
        assert layer.loss_param.ignore_label == 255
        assert not layer.loss_weight  # one, by default
    assert not any(layer.type == "SoftmaxWithLoss" for layer in prototxt.deploy_net(experiments.find("voc")).layer)


def test_msc_largefov_is_the_releases():
    """Branches X on data and pool1 to pool4: X_conv, X_fc, X_ms at lr 1 and 2 over a trunk at lr 0."""
    check_msc_trunk(experiments.find("voc12_msc_largefov"))
    train, deploy = both_nets(experiments.find("voc12_msc_largefov"))
    table = [  # branch, stride in training, zoom at test time, std of X_fc, std of X_ms
        ("data", 8, 1, 0.001, 0.01),
        ("pool1", 4, 2, 0.001, 0.01),
        ("pool2", 2, 4, 0.001, 0.01),
        ("pool3", 1, 8, 0.001, 0.01),  # authors' copy; None in DeepLab's release
        ("pool4", 1, 8, 0.005, 0.01),
    ]
    for name, stride, zoom, fc_std, ms_std in table:
        conv, fc, ms = (train[f"{name}_{part}"] for part in ("conv", "fc", "ms"))
        assert list(conv.bottom) == [name]
        for layer, shape, std in (
            (conv, (128, 3, 1, stride), 0.001),
            (fc, (128, 1, 0, 1), fc_std),
            (ms, (21, 1, 0, 1), ms_std),
        ):
            param = layer.convolution_param
            found = (param.num_output, *param.kernel_size, *(param.pad or [0]), *(param.stride or [1]))
            assert found == shape, layer.name
            assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(1, 1), (2, 0)]
            if std is None:
                assert (param.weight_filler.type, param.weight_filler.value) == ("constant", 0)
            else:
                assert (param.weight_filler.type, param.weight_filler.std) == ("gaussian", pytest.approx(std))
        for part in ("conv", "fc"):
            assert train[f"{name}_{part}_drop"].dropout_param.dropout_ratio == 0.5
        assert not deploy[f"{name}_conv"].convolution_param.stride
        if zoom > 1:
            assert deploy[f"{name}_ms_interp"].python_param.param_str == f'{{"zoom_factor": {zoom}}}'
    fused = [f"{name}_ms" for name, *_ in table]
    assert list(train["fc_fusion"].bottom) == [*fused, "fc8_voc12"]
    zoomed = [f"{name}_interp" for name in (*fused[1:], "fc8_voc12")]
    assert list(deploy["fc_fusion"].bottom) == ["data_ms", *zoomed]
    assert deploy["fc8_voc12_interp"].python_param.param_str == '{"zoom_factor": 8}'
    assert list(train["loss"].bottom) == ["fc_fusion", "label_shrink"]
