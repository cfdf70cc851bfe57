"""The nets of Attention to Refine: which layer reads what, sizes, rates; and where it is Attention to Scale."""

import dataclasses
import json

import caffe
import numpy as np
import pytest

from attscale import experiments, prototxt
from helpers.net_cases import layers, narrow, solver_on
from helpers.refine_cases import STAGES, SUFFIXES, Attention, fill, on_resnet, refining, train_net


@pytest.fixture(autouse=True)
def plain_convolutions(monkeypatch):
    """Winograd's sums are in another order, which is 2e-6 a layer and more than 1e-5 after sixteen."""
    monkeypatch.setenv("CAFFE_STOCK", "winograd")


def full_width(**changes):
    """Table 1's net on VOC 2012 at full width."""
    row = experiments.find("voc12_attention2_esupv")
    options = {"stages": STAGES, "dilations": (12, 2), "stage_filters": 512, "recalibration": "product"}
    return dataclasses.replace(row, attention=Attention(**{**options, **changes}))


def convolution(layer):
    """(channels, kernel, pad, dilation)."""
    param = layer.convolution_param
    return (param.num_output, *param.kernel_size, *(param.pad or [0]), *(param.dilation or [1]))


def test_the_net_of_table_1_layer_by_layer():
    """From the trunks' stages to the losses, as sections 2.1, 2.2 and 3 have it."""
    net = layers(prototxt.train_net(full_width()))
    for suffix in SUFFIXES:
        for name in ("pool3", "pool4", "pool5", "fc7"):  # from stride 8 to 4
            stage = net[f"{name}_stage{suffix}"]
            assert list(stage.bottom) == [name + suffix]
            assert (stage.python_param.layer, json.loads(stage.python_param.param_str)) == (
                "Interp",
                {"zoom_factor": 2},
            )
        stages = [f"pool2{suffix}", *(f"{name}_stage{suffix}" for name in ("pool3", "pool4", "pool5", "fc7"))]
        assert list(net[f"hyper{suffix}"].bottom) == stages
        assert list(net[f"att_dilated{suffix}"].bottom) == [f"hyper{suffix}"]
        relu = net[f"att_dilated_relu{suffix}"]
        assert (relu.type, list(relu.bottom)) == ("ReLU", [f"att_dilated{suffix}"])
    assert convolution(net["att_dilated"]) == (512, 3, 12, 12)
    assert convolution(net["att_dilated_res05"]) == (512, 3, 2, 2)
    assert json.loads(net["att_dilated_res05_interp"].python_param.param_str) == {"zoom_factor": 2}
    assert list(net["att_concat"].bottom) == ["att_dilated", "att_dilated_res05_interp"]
    for prefix, outputs in (("att", 2), ("rec", 21)):
        assert list(net[f"{prefix}_conv1"].bottom) == ["att_concat"]
        assert convolution(net[f"{prefix}_conv1"]) == (512, 3, 1, 1)
        assert list(net[f"{prefix}_relu1"].bottom) == [f"{prefix}_conv1"]
        assert net[f"{prefix}_drop1"].dropout_param.dropout_ratio == 0.5
        assert list(net[f"{prefix}_fc"].bottom) == [f"{prefix}_conv1"]
        assert convolution(net[f"{prefix}_fc"]) == (outputs, 1, 0, 1)
    assert (net["recalibration"].type, list(net["recalibration"].bottom)) == ("Sigmoid", ["rec_fc"])
    for suffix, zoom in (("", 2), ("_res05", 4)):
        name = f"fc8_voc12{suffix}_interp"
        assert list(net[name].bottom) == [f"fc8_voc12{suffix}"]
        assert json.loads(net[name].python_param.param_str) == {"zoom_factor": zoom}
        assert list(net[f"recalibrated{suffix}"].bottom) == [name, "recalibration"]
    assert list(net["fc8_fusion"].bottom) == ["recalibrated", "recalibrated_res05", "att_fc"]


def test_every_rate_and_filler():
    """Decoder at 10 times the encoder's rate, biases twice; fillers as Attention to Scale's."""
    net = layers(prototxt.train_net(full_width()))
    learned = {name: layer for name, layer in net.items() if layer.param}
    decoder = {"fc8_voc12", "fc8_voc12_res05", "att_dilated", "att_dilated_res05"}
    decoder |= {"att_conv1", "att_fc", "rec_conv1", "rec_fc"}
    assert decoder < set(learned)
    for name, layer in learned.items():
        factor = 10 if name in decoder else 1
        assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(factor, 1), (2 * factor, 0)], name
        filler = layer.convolution_param.weight_filler
        std = 0.005 if "dilated" in name or name.endswith("conv1") else 0.01
        assert (filler.type, filler.std) == (("gaussian", pytest.approx(std)) if name in decoder else ("constant", 1))


def test_bias_is_added_without_a_sigmoid():
    product, bias, neither = (
        layers(prototxt.train_net(full_width(recalibration=kind))) for kind in ("product", "bias", None)
    )
    assert [product["recalibrated"].eltwise_param.operation, bias["recalibrated"].eltwise_param.operation] == [0, 1]
    assert "Sigmoid" not in {layer.type for layer in bias.values()}
    assert not [name for name in neither if name.startswith("rec")]
    assert list(neither["fc8_fusion"].bottom) == ["fc8_voc12_interp", "fc8_voc12_res05_interp", "att_fc"]


@pytest.mark.parametrize(("dilations", "pads"), [((12, 2), (12, 2)), ((2, 12), (2, 12)), ((1, 1), (1, 1))])
def test_dilations_are_in_the_order_of_the_scales(dilations, pads):
    """Section 3's "2 for small scale and 12 for large scale", section 2.1's other way round, the ablation's ones."""
    net = layers(prototxt.train_net(full_width(dilations=dilations)))
    for suffix, dilation, pad in zip(SUFFIXES, dilations, pads, strict=True):
        assert convolution(net[f"att_dilated{suffix}"]) == (512, 3, pad, dilation)


def test_a_dilation_sees_what_is_so_far_away():
    """An impulse in `hyper` comes out of scale 1's convolution 12 places away, out of scale 1/2's 2 places away."""
    net = prototxt.load(train_net(refining(dilations=(12, 2)), size=225, batch=1), caffe.TRAIN)
    for suffix, side, dilation in (("", 57, 12), ("_res05", 29, 2)):
        hyper, top = net.blobs[f"hyper{suffix}"], net.blobs[f"att_dilated{suffix}"]
        assert hyper.data.shape[2:] == top.data.shape[2:] == (side, side)
        middle = side // 2
        hyper.data[...] = 0
        hyper.data[0, 0, middle, middle] = 1
        net.params[f"att_dilated{suffix}"][0].data[...] = 1
        net.forward(start=f"att_dilated{suffix}", end=f"att_dilated_relu{suffix}")
        found = {tuple(place - middle) for place in np.argwhere(top.data[0, 0])}
        assert found == {(dilation * y, dilation * x) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def test_scales_share_the_trunk_and_not_the_dilated_convolution(tmp_path):
    row = refining()
    solver = solver_on(tmp_path, row, train_net(row))
    params = solver.net.params
    fill(solver.net)
    before = {name: blobs[0].data.copy() for name, blobs in params.items()}
    solver.step(2)
    assert all(not np.array_equal(params[name][0].data, old) for name, old in before.items())
    for name in ("conv1_1", "conv5_3", "fc6", "fc7", "fc8_shapes"):
        assert params[name][0].data.ctypes.data == params[f"{name}_res05"][0].data.ctypes.data
    one, half = (params[f"att_dilated{suffix}"][0].data for suffix in SUFFIXES)
    assert one.ctypes.data != half.ctypes.data
    moved = [array - before[f"att_dilated{suffix}"] for array, suffix in ((one, ""), (half, "_res05"))]
    assert not np.allclose(*moved)


@pytest.mark.parametrize("size", [33, 65, 97, 321])
def test_sizes_line_up(size):
    """By hand: a map at stride s of an input of 32k + 1 has 32k / s + 1; the input at 1/2 has 16k + 1."""
    k = (size - 1) // 32
    expected = {"pool2": 8, "pool5": 4, "fc7": 4, "fc7_stage": 8, "hyper": 8, "att_dilated": 8, "fc8_shapes": 4}
    expected |= {f"{name}_res05": half // 2 for name, half in expected.items()}
    same = ("fc8_shapes_interp", "fc8_shapes_res05_interp", "att_dilated_res05_interp", "att_fc", "recalibration")
    expected |= dict.fromkeys((*same, "recalibrated", "recalibrated_res05", "fc8_fusion"), 8)
    row = refining()
    train = prototxt.load(train_net(row, size=size), caffe.TRAIN)
    deploy = prototxt.load(prototxt.deploy_net(row, size))
    for net in (train, deploy):
        found = {name: net.blobs[name].data.shape[2:] for name in expected}
        assert found == {name: (steps * k + 1, steps * k + 1) for name, steps in expected.items()}
    labels = {"label_shrink_fusion": 8, "label_shrink": 4, "label_shrink_res05": 2}
    assert {name: train.blobs[name].data.shape[2:] for name in labels} == {
        name: (steps * k + 1, steps * k + 1) for name, steps in labels.items()
    }
    assert deploy.blobs["attention"].data.shape == (1, 2, 8 * k + 1, 8 * k + 1)
    assert deploy.blobs["recalibration"].data.shape == (1, 5, 8 * k + 1, 8 * k + 1)
    assert deploy.blobs["fc8_interp"].data.shape == (1, 5, size, size)
    assert train.forward()


def test_deploy_net_takes_the_shape_of_an_image():
    net = prototxt.load(prototxt.deploy_net(refining(), 65))
    net.blobs["data"].reshape(2, 3, 65, 129)
    net.reshape()
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 60, (2, 3, 65, 129))
    net.forward()
    assert net.blobs["fc8_interp"].data.shape == (2, 5, 65, 129)
    np.testing.assert_allclose(net.blobs["attention"].data.sum(axis=1), 1, rtol=1e-5)
    assert 0 < net.blobs["recalibration"].data.min() < net.blobs["recalibration"].data.max() < 1


@pytest.mark.parametrize(("stride", "side"), [(2, 49), (4, 25), (8, 13)])
def test_other_resolutions_and_scales(stride, side):
    """Three scales, and stages finer than the resolution, which are interpolated down to it."""
    row = refining("shapes_attention3_esupv", stages=("pool1", "pool2", "fc6"), stride=stride, dilations=(6, 4, 2))
    net = prototxt.load(train_net(row), caffe.TRAIN)
    for name in ("hyper", "att_dilated_res075_interp", "fc8_shapes_res075_interp", "fc8_fusion"):
        assert net.blobs[name].data.shape[2:] == (side, side)
    own = {2: 37, 4: 19, 8: 10}[stride]  # of 73 pixels, at 3/4
    assert net.blobs["hyper_res075"].data.shape[2:] == (own, own)
    assert net.forward()
    deploy = prototxt.load(prototxt.deploy_net(row))
    assert deploy.blobs["attention"].data.shape == (1, 3, side, side)
    assert deploy.blobs["fc8_interp"].data.shape == (1, 5, 97, 97)


@pytest.mark.parametrize("psp", [False, True])
@pytest.mark.parametrize("stages", [("layer1", "layer2", "layer3", "layer4"), ("layer1", "head"), ()])
def test_on_resnet34(psp, stages):
    """Table 3's nets: the classifier and, without stages, the attention model read what the decoder gives."""
    simple = {} if stages else {"dilations": (), "recalibration": None}
    row = on_resnet(refining(stages=stages, **simple), psp=psp)
    message = train_net(row)
    tops = layers(message)
    for suffix in SUFFIXES:
        head = f"psp_relu{suffix}" if psp else f"layer4_2_relu2{suffix}"
        assert list(tops[f"fc8_shapes{suffix}"].bottom) == list(tops[head].top)
    if not stages:
        assert list(tops["head_concat"].bottom) == [tops["fc8_shapes"].bottom[0], "head_res05_interp"]
    net = prototxt.load(message, caffe.TRAIN)
    fill(net)
    assert net.forward()
    net.backward()
    for name in ("conv1", "layer4_2_conv2", "att_fc", "fc8_shapes", *(["psp6_conv"] if psp else [])):
        assert np.abs(net.params[name][0].diff).max() > 0, name
    deploy = prototxt.load(prototxt.deploy_net(row, 129))
    side = 33 if stages else 17
    assert deploy.blobs["attention"].data.shape == (1, 2, side, side)
    assert deploy.blobs["fc8_interp"].data.shape == (1, 5, 129, 129)


@pytest.mark.parametrize(
    ("stride", "supervise_at", "expected"),
    [
        (
            4,
            "finest",
            {
                "loss_fusion": ["fc8_fusion", "label_shrink_fusion"],
                "loss": ["fc8_shapes", "label_shrink"],
                "loss_res075": ["fc8_shapes_res075_interp", "label_shrink_fusion"],
                "loss_res05": ["fc8_shapes_res05", "label_shrink_res05"],
            },
        ),
        (
            8,
            "own",
            {
                "loss_fusion": ["fc8_fusion", "label_shrink"],
                "loss": ["fc8_shapes", "label_shrink"],
                "loss_res075": ["fc8_shapes_res075", "label_shrink_res075"],
                "loss_res05": ["fc8_shapes_res05", "label_shrink_res05"],
            },
        ),
    ],
)
def test_one_plus_s_losses_each_at_its_maps_size(stride, supervise_at, expected):
    """ "The total loss function is sum of 1+S cross entropy loss functions" (section 2.2)."""
    row = refining("shapes_attention3_esupv", stride=stride, dilations=(6, 4, 2))
    net = layers(prototxt.train_net(dataclasses.replace(row, supervise_at=supervise_at)))
    heads = {name: list(layer.bottom) for name, layer in net.items() if layer.type == "SoftmaxWithLoss"}
    assert heads == expected
    shrinks = {layer: json.loads(net[layer].python_param.param_str)["shrink_factor"] for _, layer in heads.values()}
    usual = {"label_shrink": 8, "label_shrink_res05": 16, "label_shrink_res075": 32, "label_shrink_fusion": 4}
    assert shrinks == {name: usual[name] for name in shrinks}


@pytest.mark.parametrize("kind", ["product", "bias", None])
@pytest.mark.parametrize("layer_count", [1, 2])
def test_one_stage_without_recalibration_is_attention_to_scale(kind, layer_count):
    """fc7 alone at stride 8, through convolutions that pass it on, a factor of one or a bias of zero: scores, losses
    and every gradient of Attention to Scale, to 1e-5."""
    row = narrow(experiments.find("shapes_attention2_esupv"))
    row = dataclasses.replace(row, attention=dataclasses.replace(row.attention, layers=layer_count))
    channels = row.trunk.channels(1024)
    ours = refining(
        stages=("fc7",), stride=8, stage_filters=channels, recalibration=kind, layers=layer_count, dilations=(3, 2)
    )
    scale, refine = (prototxt.load(message, caffe.TRAIN) for message in (train_net(row), train_net(ours)))
    fill(scale)
    for name in ("data", "label"):
        refine.blobs[name].data[...] = scale.blobs[name].data
    for name, blobs in scale.params.items():
        for blob, other in zip(refine.params[name], blobs, strict=True):
            blob.data[...] = other.data
    for suffix in SUFFIXES:
        weights, bias = refine.params[f"att_dilated{suffix}"]
        weights.data[...] = 0
        weights.data[range(channels), range(channels), 1, 1] = 1
        bias.data[...] = 0
    if kind is not None:
        weights, bias = refine.params["rec_fc"]
        weights.data[...] = 0
        bias.data[...] = {"product": 100, "bias": 0}[kind]  # sigmoid(100) is 1
    for net in (scale, refine):
        net.forward()
        net.backward()
    for name in ("fc8_shapes", "att_fc", "fc8_fusion", "loss", "loss_res05", "loss_fusion"):
        np.testing.assert_allclose(refine.blobs[name].data, scale.blobs[name].data, atol=1e-5, err_msg=name)
    for name, blobs in scale.params.items():
        for blob, other in zip(refine.params[name], blobs, strict=True):
            assert np.abs(other.diff).max() > 0, name
            np.testing.assert_allclose(blob.diff, other.diff, atol=1e-5 * np.abs(other.diff).max(), err_msg=name)


def test_parameter_count_at_full_width():
    """Trunk and classifier as LargeFOV has them, once; by hand from section 2's description."""
    net = prototxt.load(prototxt.deploy_net(full_width(), 33))
    blobs = {blob.data.ctypes.data: blob.data.size for blobs in net.params.values() for blob in blobs}
    largefov = 14_714_688 + 4_719_616 + 1_049_600 + 21_525
    hyper = 128 + 256 + 512 + 512 + 1024
    branches = 2 * (2 * 512 * 9 * 512 + 512) + (512 * 2 + 2) + (512 * 21 + 21)
    assert sum(blobs.values()) == largefov + 2 * (hyper * 9 * 512 + 512) + branches
