"""DeepLab-LargeFOV: VGG-16, stride 8, fc6 as a dilated 3x3 convolution (release: DeepLab-LargeFOV train.prototxt)."""

from caffe import layers as L

from attscale.nets.blocks import MSRA
from attscale.nets.geometry import STAGES


def largefov(branch, bottom, trunk):
    """Adds the trunk to `branch`; returns the tops that other layers may use, by name: pool1 ... pool5, fc6, fc7.

    bottom: (N, 3, H, W), BGR less the mean. fc6 and fc7 are (N, 1024 x width, H', W') after ReLU and dropout, at
    stride 8: H' = (H - 1) // 8 + 1 for H = 8k + 1. trunk: `recipe.Trunk`.
    """
    filler = MSRA if trunk.from_scratch else None
    tops = {}
    top = bottom
    if trunk.input_scale != 1:
        top = branch.add("scale", L.Power(top, scale=float(trunk.input_scale)))
    for stage, (depth, channels, dilation, stride) in enumerate(STAGES, start=1):
        for i in range(1, depth + 1):
            top = branch.conv(f"conv{stage}_{i}", top, trunk.channels(channels), dilation=dilation, filler=filler)
            top = branch.relu(f"relu{stage}_{i}", top)
        tops[f"pool{stage}"] = top = branch.pool(f"pool{stage}", top, stride=stride)
    if trunk.pool5a:
        top = branch.pool("pool5a", top, stride=1, kind="AVE")
    for name, kernel_size, dilation in ((6, 3, trunk.fc6_dilation), (7, 1, 1)):
        top = branch.conv(
            f"fc{name}", top, trunk.channels(1024), kernel_size=kernel_size, dilation=dilation, filler=filler
        )
        top = branch.relu(f"relu{name}", top)
        tops[f"fc{name}"] = top = branch.dropout(f"drop{name}", top, trunk.dropout)
    return tops


def classifier(branch, name, bottom, classes, *, lr_mult):
    """The last layer, 1x1, gaussian 0.01 (release), as `name` (`fc8_voc12`): score maps (N, classes, H', W')."""
    filler = {"type": "gaussian", "std": 0.01}
    # The parameters are fc8_w and fc8_b whatever the data set (release of the attention net).
    return branch.conv(name, bottom, classes, kernel_size=1, lr_mult=lr_mult, filler=filler, params="fc8")
