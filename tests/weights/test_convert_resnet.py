import numpy as np
import pytest

from attscale.weights import caffemodel, load
from conftest import one_line_error
from helpers import statedicts as made
from helpers.resnet_cases import Trunk, net_of


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_file_of_torchvisions_becomes_the_start_of_a_net(tool, tmp_path, kind):
    """Named as torchvision does it, value by value in a few places; then all of it in the trunk, and nothing else."""
    from attscale.nets import resnet34

    arrays = made.resnet34()
    arrays["layer3.2.conv2.weight"][5, 7, 1, 2] = 3
    arrays["layer4.0.downsample.0.weight"][9, 8, 0, 0] = 4
    if kind == "pth":
        made.save(tmp_path / "w.pth", arrays)
    else:
        (tmp_path / "w.safetensors").write_bytes(made.safetensors(arrays))
    done = tool("convert_resnet", f"w.{kind}")
    assert done.returncode == 0, done.stderr
    assert "layer4_0_downsample          512x256x1x1" in done.stdout
    weights = caffemodel.read(tmp_path / "weights/resnet34.caffemodel")
    assert len(weights.layers) == 3 * 36  # convolution, BatchNorm and Scale
    conv1, theirs = weights.layers["conv1"].blobs[0], arrays["conv1.weight"]
    for ours, channel, std in ((0, 2, 0.225), (1, 1, 0.224), (2, 0, 0.229)):  # B, G, R from R, G, B
        np.testing.assert_allclose(conv1[:, ours], theirs[:, channel] / (255 * std), rtol=1e-6)
    mean, variance, factor = weights.layers["layer2_0_downsample_bn"].blobs
    assert np.array_equal(mean, arrays["layer2.0.downsample.1.running_mean"])
    assert np.array_equal(variance, arrays["layer2.0.downsample.1.running_var"])
    assert factor.tolist() == [1]
    scale, bias = weights.layers["layer1_1_bn2_scale"].blobs
    assert np.array_equal(scale, arrays["layer1.1.bn2.weight"])
    assert np.array_equal(bias, arrays["layer1.1.bn2.bias"])
    assert np.argwhere(weights.layers["layer3_2_conv2"].blobs[0]).tolist() == [[5, 7, 1, 2]]
    assert np.argwhere(weights.layers["layer4_0_downsample"].blobs[0]).tolist() == [[9, 8, 0, 0]]
    net = net_of((1, 3, 33, 33), lambda branch, data: resnet34.resnet34(branch, data, Trunk(from_scratch=False)))
    assert load.load(net, weights, complete=True) == []


def test_other_nets_are_refused_by_name(tool, tmp_path):
    arrays = made.resnet34()
    made.save(tmp_path / "a", {name: array for name, array in arrays.items() if name != "layer3.4.bn1.bias"})
    one_line_error(tool("convert_resnet", "a"), "a: has no layer3.4.bn1.bias, so it is not torchvision's ResNet-34")
    made.save(tmp_path / "b", arrays | {"layer1.0.conv1.weight": np.zeros((64, 64, 1, 1), np.float32)})
    said = "b: layer1.0.conv1.weight is (64, 64, 1, 1), expected (64, 64, 3, 3): not ResNet-34"
    one_line_error(tool("convert_resnet", "b"), said)
    (tmp_path / "c").write_text("<html>")
    one_line_error(tool("convert_resnet", "c"), "c: neither safetensors nor the zip archive of torch.save")
    one_line_error(tool("convert_resnet", "nowhere"), "nowhere: no such file")
    assert not (tmp_path / "weights").exists()
