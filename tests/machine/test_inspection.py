"""Costs against numbers worked out from the layers' sizes."""

import shutil

import pytest

from attscale import experiments
from attscale.machine import inspection
from attscale.prototxt import Model
from conftest import one_line_error

# layer, outputs, inputs, kernel, side at 321 (pooling by 2 rounds up: 321, 161, 81, 41)
CONVOLUTIONS = [
    ("conv1_1", 64, 3, 3, 321),
    ("conv1_2", 64, 64, 3, 321),
    ("conv2_1", 128, 64, 3, 161),
    ("conv2_2", 128, 128, 3, 161),
    ("conv3_1", 256, 128, 3, 81),
    ("conv3_2", 256, 256, 3, 81),
    ("conv3_3", 256, 256, 3, 81),
    ("conv4_1", 512, 256, 3, 41),
    *((f"conv{name}", 512, 512, 3, 41) for name in ("4_2", "4_3", "5_1", "5_2", "5_3")),
    ("fc6", 1024, 512, 3, 41),
    ("fc7", 1024, 1024, 1, 41),
    ("fc8_voc12", 21, 1024, 1, 41),
]


def by_name(layers):
    return {layer.name: layer for layer in layers}


def test_largefov_at_321():
    layers = by_name(inspection.inspect(Model.of(experiments.find("voc12_largefov"))))
    for name, outputs, inputs, kernel, side in CONVOLUTIONS:
        cost = layers[name].cost
        assert layers[name].shapes == ((1, outputs, side, side),)
        assert cost.parameters == outputs * inputs * kernel**2 + outputs
        assert cost.multiply_adds == outputs * inputs * kernel**2 * side**2
        assert cost.memory == 4 * outputs * side**2
    assert layers["relu1_1"].cost == inspection.Cost()  # in place, and not counted
    assert layers["fc8_interp"].cost == inspection.Cost(0, 4 * 21 * 321**2, 4 * 21 * 321**2)
    total = inspection.total(layers.values())
    assert total.parameters == 20_505_429
    convolutions = sum(o * i * k**2 * side**2 for _, o, i, k, side in CONVOLUTIONS)
    assert total.multiply_adds == convolutions + 4 * 21 * 321**2


def test_the_attention_net_shares_its_trunk():
    layers = inspection.inspect(Model.of(experiments.find("voc")), 65)
    named, totals = by_name(layers), inspection.totals(layers)
    assert list(totals) == ["1", "0.75", "0.5", "merge"]
    assert totals["1"].parameters == 20_505_429
    assert totals["0.75"].parameters == totals["0.5"].parameters == 0
    assert totals["merge"].parameters == 512 * 3072 * 9 + 512 + 3 * 512 + 3
    assert named["conv3_1_res05"].shared_with == "conv3_1"
    # 65 pixels: 49 at scale 0.75 and 33 at 0.5; conv1_2 costs 64 x 64 x 9 at each of them
    for suffix, side in (("", 65), ("_res075", 49), ("_res05", 33)):
        assert named[f"conv1_2{suffix}"].cost.multiply_adds == 64 * 64 * 9 * side**2
    assert named["fc8_fusion"].cost.multiply_adds == 3 * 21 * 9**2  # three maps of 21 classes, 9 by 9
    assert named["fc8_fusion"].shapes == ((1, 21, 9, 9), (1, 3, 9, 9))  # the merged scores and the weights
    assert named["fc8_fusion"].cost.memory == 4 * (21 + 3) * 9**2


def test_max_and_msc():
    named = by_name(inspection.inspect(Model.of(experiments.find("voc12_max2")), 33))
    assert named["fc8_fusion"].cost.multiply_adds == 2 * 21 * 5**2
    named = by_name(inspection.inspect(Model.of(experiments.find("voc12_msc_largefov")), 33))
    assert named["data_conv"].cost.multiply_adds == 128 * 3 * 9 * 33**2  # stride 1 in the test net


def test_resnet34_with_pyramid_pooling():
    """By hand at 65: conv1 is 33 a side, layer1 17, layer2 to layer4 9; of 33 at scale 1/2, 17, 9 and 5."""
    layers = inspection.inspect(Model.of(experiments.find("ade20k_resnet34_psp_refine2_esupv")), 65)
    named, totals = by_name(layers), inspection.totals(layers)
    expected = {"conv1": (64, 3, 7, 33, 17), "layer1_0_conv1": (64, 64, 3, 17, 9), "layer2_0_conv1": (128, 64, 3, 9, 5)}
    expected |= {"layer2_0_downsample": (128, 64, 1, 9, 5), "layer4_2_conv2": (512, 512, 3, 9, 5)}
    expected |= {"psp3_conv": (512, 512, 1, 3, 3), "psp_conv": (512, 5 * 512, 3, 9, 5)}
    for name, (outputs, inputs, kernel, *sides) in expected.items():
        assert named[name].cost.parameters == outputs * inputs * kernel**2
        for suffix, side in zip(("", "_res05"), sides, strict=True):
            assert named[name + suffix].cost.multiply_adds == outputs * inputs * kernel**2 * side**2
    for name in ("bn1", "psp6_bn_res05"):
        assert named[name].cost == inspection.Cost()  # statistics do not learn
    assert named["psp_bn_scale"].cost.parameters == 2 * 512
    assert {named[f"psp1_interp{suffix}"].group for suffix in ("", "_res05")} == {"1", "0.5"}
    # torchvision's 21,797,672 less fc; four convolutions and one, with scale and bias; the classifier
    pyramid = 4 * 512 * 512 + 512 * 5 * 512 * 9 + 5 * 2 * 512
    assert totals["1"].parameters == 21_797_672 - 513_000 + pyramid + 150 * 513
    assert totals["0.5"].parameters == 0
    # two dilated convolutions on layer1 to layer4, and the two branches
    hyper = 64 + 128 + 256 + 512
    branches = 2 * (2 * 256 * 9 * 512 + 512) + 2 * 513 + 150 * 513
    assert totals["merge"].parameters == 2 * (hyper * 9 * 256 + 256) + branches


def test_the_command(tool):
    done = tool("inspect_net", "voc", "--size", "33")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["conv1_1", "Convolution", "1", "1x64x33x33", "1,792", "1,881,792", "0.27"] in lines
    assert next(line for line in lines if line[:1] == ["conv1_1_res05"])[-3] == "shared"
    assert "1x21x5x5, 1x3x5x5" in done.stdout
    table = done.stdout.splitlines()[:-1]
    assert len({len(line) for line in table if line}) == 1  # aligned
    assert lines[-1][:2] == ["against", "voc12_largefov:"]
    # (20,505,429 + 14,158,339) / 20,505,429
    assert "1.69 x parameters" in done.stdout


def test_bad_input(tool):
    one_line_error(tool("inspect_net", "vox"), "no experiment 'vox'")
    one_line_error(tool("inspect_net", "voc", "--size", "320"), "the size is 320, expected 32k + 1")
    # conv1_2 unfolds 64 channels x 9 x 2049^2 values; at 1/8 of the width 8 x 9 x 100001^2
    for name, size, values, fits in (
        ("voc", 2049, "2,418,278,976", "voc12_attention3_esupv 1921"),
        ("shapes", 100001, "720,014,400,072", "shapes_attention3_esupv 5441"),
    ):
        said = f"the size is {size}: conv1_2 would need {values} values at once, Caffe holds 2,147,483,647; for {fits}"
        one_line_error(tool("inspect_net", name, "--size", size), said)


def test_caffes_own_picture(tool, tmp_path, monkeypatch):
    if shutil.which("dot"):
        assert tool("inspect_net", "shapes_largefov", "--size", "33", "--draw", "net.png").returncode == 0
        assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "net.png").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))  # no `dot` there
    with pytest.raises(inspection.UserError, match="`dot` is not installed: apt-get install graphviz"):
        inspection.draw(Model.of(experiments.find("shapes_largefov")), tmp_path / "net.png")
    assert not (tmp_path / "net.png").exists()
