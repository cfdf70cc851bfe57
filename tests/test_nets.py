"""The share-net as Caffe builds it: names, sizes, shared weights. Expectations are typed from the release's facts."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from google.protobuf import text_format

from attscale import experiments, prototxt
from attscale.nets.blocks import Branch

CONVS = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"]


def layers(message):
    return {layer.name: layer for layer in message.layer}


def caffe_net(tmp_path, message, phase):
    import caffe

    path = tmp_path / f"{message.name}.prototxt"
    path.write_text(text_format.MessageToString(message))
    return caffe.Net(str(path), phase)


def with_inputs(message, batch, size):
    """The training net with plain inputs for SegData."""
    del message.layer[0]
    for name, channels in (("label", 1), ("data", 3)):
        layer = type(message)().layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=[batch, channels, size, size])
        message.layer.insert(0, layer)
    return message


def narrow(row):
    """The row at 1/16 width from scratch, without dropout, on 97 pixels."""
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 16), from_scratch=True, dropout=0.0, fc6_dilation=2)
    attention = dataclasses.replace(row.attention, filters=16)
    return dataclasses.replace(row, trunk=trunk, attention=attention, pretraining=None, crop_size=97, test_size=97)


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
    """The trunk of the release, layer after layer from `data` to the classifier, as original-release.md has it.

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


def test_largefov_is_the_releases():
    train, deploy = both_nets(experiments.find("voc12_largefov"))
    for net in (train, deploy):
        check_largefov(net, "fc8_voc12", pool5a=True)
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


def test_attention_net_is_the_releases():
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
        "loss_res075": ["fc8_voc12_res075", "label_shrink_res075"],
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
        ("pool3", 1, 8, 0.001, None),
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


def test_design_choices_of_the_attention_model():
    def net(name):
        return layers(prototxt.train_net(experiments.find(f"voc10_part_attention{name}")))

    one = net("3_esupv_onelayer")
    assert "att_conv1" not in one
    assert (one["att_fc"].convolution_param.num_output, *one["att_fc"].convolution_param.kernel_size) == (3, 3)
    assert list(net("3_esupv_kernel1")["att_conv1"].convolution_param.kernel_size) == [1]
    assert net("3_esupv_filters1024")["att_conv1"].convolution_param.num_output == 1024
    assert list(net("3_esupv_fc6")["fc6_concat"].bottom) == ["fc6", "fc6_res075_interp", "fc6_res05_interp"]
    fc8 = "fc8_voc10_part"
    maps = [fc8, f"{fc8}_res075_interp", f"{fc8}_res05_interp"]
    assert list(net("3_esupv_fc8")["fc8_concat"].bottom) == maps
    four = net("4_esupv")
    assert four["att_fc"].convolution_param.num_output == 4
    assert [p.name for p in four["conv1_1_res025"].param] == ["conv1_1_w", "conv1_1_b"]
    assert list(four["loss_res025"].bottom) == [f"{fc8}_res025", "label_shrink_res025"]


def test_the_releases_supervision_and_start_are_options():
    finest = layers(prototxt.train_net(experiments.find("voc12_attention3_esupv_finest")))
    assert list(finest["loss_res075"].bottom) == ["fc8_voc12_res075_interp", "label_shrink"]
    assert list(finest["loss_res05"].bottom) == ["fc8_voc12_res05", "label_shrink_res05"]
    assert "label_shrink_res075" not in finest
    zero = layers(prototxt.train_net(experiments.find("voc12_coco_attention3_esupv_zeroattention")))
    for name in ("att_conv1", "att_fc"):
        assert not zero[name].convolution_param.HasField("weight_filler")
        assert [p.lr_mult for p in zero[name].param] == [1, 2]
    usual = layers(prototxt.train_net(experiments.find("voc")))
    assert usual["att_conv1"].convolution_param.weight_filler.type == "msra"
    assert [p.lr_mult for p in usual["att_fc"].param] == [10, 20]


def test_what_the_data_layer_reads():
    def param_str(name):
        return prototxt.train_net(experiments.find(name)).layer[0].python_param.param_str

    assert '"source": "list/trainval_aug.txt"' in param_str("voc12_attention3_esupv_trainval_aug")
    assert '"source": "list/train_aug.txt"' in param_str("voc")
    assert '"scale_range": [0.6, 1.4]' in param_str("voc12_coco_attention3_esupv_plus_trainval_aug")
    assert "scale" not in param_str("voc")
    assert '"classes": 81' in param_str("coco")
    assert prototxt.solver(experiments.find("voc12_attention3_esupv_trainval_aug")).max_iter == 8000


def test_without_extra_supervision_there_is_one_loss():
    for name in ("voc12_max3", "voc12_average2", "voc12_attention3"):
        net = prototxt.train_net(experiments.find(name))
        assert [layer.name for layer in net.layer if layer.type == "SoftmaxWithLoss"] == ["loss_fusion"]


@pytest.mark.parametrize(("size", "expected"), [(321, (41, 31, 21)), (513, (65, 49, 33))])
def test_sizes_line_up_at_full_width(tmp_path, size, expected):
    import caffe

    net = caffe_net(tmp_path, prototxt.deploy_net(experiments.find("voc"), size), caffe.TEST)
    names = ("fc8_voc12", "fc8_voc12_res075", "fc8_voc12_res05")
    assert tuple(net.blobs[name].data.shape[2] for name in names) == expected
    assert net.blobs["fc8_voc12_res075_interp"].data.shape == net.blobs["fc8_voc12"].data.shape
    assert net.blobs["fc8_voc12_res05_interp"].data.shape == (1, 21, expected[0], expected[0])
    assert net.blobs["attention"].data.shape == (1, 3, expected[0], expected[0])
    assert net.blobs["fc8_interp"].data.shape == (1, 21, size, size)


# By hand: VGG-16's convolutions 14,714,688; fc6 9 x 512 x 1024 + 1024; fc7 1024 x 1024 + 1024; fc8 21 x 1024 + 21.
LARGEFOV = 14_714_688 + 4_719_616 + 1_049_600 + 21_525
# On 3, 64, 128, 256 and 512 channels 9 x 128 weights each, and five times 128 + (128 x 128 + 128) + (128 x 21 + 21).
MSC = (3 + 64 + 128 + 256 + 512) * 9 * 128 + 5 * (128 + 16_512 + 2_709)
ATTENTION = 3072 * 9 * 512 + 512 + 512 * 3 + 3


@pytest.mark.parametrize(
    ("name", "count"),
    [("largefov", LARGEFOV), ("msc_largefov", LARGEFOV + MSC), ("attention3_esupv", LARGEFOV + ATTENTION)],
)
def test_parameter_count_at_full_width(tmp_path, name, count):
    import caffe

    net = caffe_net(tmp_path, prototxt.deploy_net(experiments.find(f"voc12_{name}"), 33), caffe.TEST)
    blobs = {blob.data.ctypes.data: blob.data.size for blobs in net.params.values() for blob in blobs}  # shared: once
    assert sum(blobs.values()) == count


KINDS = [
    "voc12_largefov",
    "voc10_part_msc_largefov",
    "voc12_max2",
    "voc12_average3_esupv",
    "coco_attention3_esupv",
    "voc10_part_attention4_esupv",
    "voc10_part_attention3_esupv_fc8",
]
OTHERS = [name for name in experiments.EXPERIMENTS if name not in KINDS]


@pytest.mark.parametrize("name", [*KINDS, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_every_net_loads_at_full_width_and_size(tmp_path, name):
    """The training net at its crop and the deploy net at its test size, and the sizes of the branches' scores."""
    import caffe

    row = experiments.find(name)
    expected = {
        193: {"": 25, "_res075": 19, "_res05": 13},
        257: {"": 33, "_res075": 25, "_res05": 17},
        321: {"": 41, "_res075": 31, "_res05": 21, "_res025": 11},
        513: {"": 65, "_res075": 49, "_res05": 33, "_res025": 17},
    }
    for message, phase, size in (
        (with_inputs(prototxt.train_net(row), 1, row.crop_size), caffe.TRAIN, row.crop_size),
        (prototxt.deploy_net(row), caffe.TEST, row.test_size),
    ):
        net = caffe_net(tmp_path, message, phase)
        for scale in row.scales:
            suffix = "" if scale == 1 else "_res" + {0.75: "075", 0.5: "05", 0.25: "025"}[float(scale)]
            assert net.blobs[f"fc8_{row.dataset}{suffix}"].data.shape[2] == expected[size][suffix]
    assert net.blobs[prototxt.output_name(row)].data.shape[2] == row.test_size


@pytest.mark.parametrize("name", ["shapes_max3_esupv", "shapes_average2", "shapes_attention2", "shapes_largefov"])
def test_every_merge_trains(tmp_path, name):
    """Forward and backward run, and the gradient reaches the first layer."""
    import caffe

    message = with_inputs(prototxt.train_net(narrow(experiments.find(name))), 2, 97)
    net = caffe_net(tmp_path, message, caffe.TRAIN)
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
    import caffe

    row = narrow(experiments.find("shapes_attention3_esupv"))
    net_path = tmp_path / "net.prototxt"
    net_path.write_text(text_format.MessageToString(same_scale_net(row)))
    solver_message = prototxt.solver(row)
    solver_message.net, solver_message.snapshot_prefix = str(net_path), str(tmp_path / "s")
    (tmp_path / "solver.prototxt").write_text(text_format.MessageToString(solver_message))
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
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


def solver_of(tmp_path, row, message, **changes):
    """A plain SGD solver of lr 0.01 without momentum on the net `message`."""
    import caffe

    net_path, path = tmp_path / "net.prototxt", tmp_path / "solver.prototxt"
    net_path.write_text(text_format.MessageToString(message))
    solver = prototxt.solver(row)
    for name, value in {"type": "SGD", "base_lr": 0.01, "lr_policy": "fixed", "momentum": 0, **changes}.items():
        setattr(solver, name, value)
    for name in ("momentum2", "gamma", "stepsize", "power", "iter_size"):
        solver.ClearField(name)
    solver.net, solver.snapshot_prefix = str(net_path), str(tmp_path / "s")
    path.write_text(text_format.MessageToString(solver))
    return caffe.get_solver(str(path))


def values(net, what="data"):
    return {name: [getattr(blob, what).copy() for blob in blobs] for name, blobs in net.params.items()}


def test_frozen_layers_do_not_move_and_the_branches_of_msc_do(tmp_path):
    row = narrow(experiments.find("voc12_msc_largefov"))
    solver = solver_of(tmp_path, row, with_inputs(prototxt.train_net(row), 2, 97))
    fill(solver.net)
    solver.net.params["fc8_voc12"][1].data[...] = 0.1
    before = values(solver.net)
    solver.step(3)
    for name, blobs in values(solver.net).items():
        moved = [not np.array_equal(old, new) for old, new in zip(before[name], blobs, strict=True)]
        if name == "pool3_ms":
            assert moved == [True, True]  # from zero
        assert moved == ([True, True] if name.endswith(("_conv", "_fc", "_ms")) else [False, False]), name


def test_every_layer_moves_by_its_multipliers(tmp_path):
    """One step: w - lr lr_mult (gradient + decay decay_mult w); classifier and attention 10, 20, the rest 1, 2."""
    row = narrow(experiments.find("voc"))
    message = with_inputs(prototxt.train_net(row), 2, 97)
    solver = solver_of(tmp_path, row, message, weight_decay=0.05)
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
    import caffe

    row = narrow(experiments.find("shapes_average3_esupv"))
    share = caffe_net(tmp_path, same_scale_net(row), caffe.TRAIN)
    single_row = narrow(experiments.find("shapes_largefov"))
    single = caffe_net(tmp_path, with_inputs(prototxt.train_net(single_row), 2, 97), caffe.TRAIN)
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
    import caffe

    row = narrow(experiments.find("shapes_attention3_esupv"))
    share = caffe_net(tmp_path, with_inputs(prototxt.train_net(row), 2, 97), caffe.TRAIN)
    fill(share)
    share.params["fc8_shapes"][0].data[...] *= 20
    share.forward()
    share.backward()
    total = {}
    for suffix, size in (("", 97), ("_res075", 73), ("_res05", 49)):
        message = prototxt.deploy_net(narrow(experiments.find("shapes_largefov")), size)
        message.force_backward = True
        single = caffe_net(tmp_path, message, caffe.TRAIN)
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


def test_a_taken_layer_name_is_refused():
    import caffe
    from caffe import layers as L

    branch = Branch(caffe.NetSpec())
    top = branch.add("data", L.Input(shape={"dim": [1]}))
    with pytest.raises(ValueError, match="'data' is already defined"):
        branch.relu("data", top)


def test_solvers_hold_the_papers_values():
    """Section 4: batch 30, lr 0.001, x0.1 after 2000 iterations, momentum 0.9, decay 0.0005; 6000 by the release."""
    row = experiments.find("voc")
    message = prototxt.solver(row)
    assert row.solver.batch_size * message.iter_size == 30
    assert (message.type, message.lr_policy, message.stepsize, message.max_iter) == ("SGD", "step", 2000, 6000)
    values = (message.base_lr, message.gamma, message.momentum, message.weight_decay)
    np.testing.assert_allclose(values, (0.001, 0.1, 0.9, 0.0005), rtol=1e-6)
