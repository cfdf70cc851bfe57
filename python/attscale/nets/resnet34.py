"""ResNet-34 at stride 8, the trunk of Attention to Refine's nets on ADE20K ("ResNet34-dilated8").

Its last two stages keep the resolution and are dilated instead. Source: CSAILVision/semantic-segmentation-pytorch; its
early versions have that name, and `models.py` of commit 309fdf4 makes it of torchvision's ResNet-34 (ResnetDilated).
"""

from caffe import layers as L
from caffe import params as P

from attscale.nets.blocks import MSRA
from attscale.nets.geometry import RESNET34_STAGES

_STEM = 64  # channels


def resnet34(branch, bottom, trunk):
    """Adds the trunk to `branch`; returns the tops that others may use, by name: conv1, maxpool, layer1 to layer4.

    bottom: (N, 3, H, W), BGR less the mean, H = 32k + 1. conv1, after its ReLU, is (N, 64 x width, H', W') at stride 2,
    H' = (H - 1) / 2 + 1; maxpool and layer1 (64) have stride 4, layer2 (128), layer3 (256) and layer4 (512) have stride
    8. trunk: `recipe.Trunk`; its batch_norm is "train" or "frozen", as `Branch.batch_norm` has it.
    """
    top = bottom
    if trunk.input_scale != 1:
        top = branch.add("scale", L.Power(top, scale=float(trunk.input_scale)))
    top = _normalised(branch, "conv1", "bn1", top, _STEM, trunk, kernel_size=7, stride=2)
    tops = {"conv1": branch.relu("relu1", top)}
    # At H = 32k + 1 Caffe's pooling, which rounds sizes up, gives what PyTorch's gives, which rounds down.
    tops["maxpool"] = top = branch.pool("maxpool", tops["conv1"], stride=2)
    inputs = _STEM
    for stage, (blocks, channels, stride, (first, others)) in enumerate(RESNET34_STAGES, start=1):
        for i in range(blocks):
            begins = i == 0
            top = _block(
                branch,
                f"layer{stage}_{i}",
                top,
                channels,
                trunk,
                stride=stride if begins else 1,
                dilations=(first if begins else others, others),
                project=begins and inputs != channels,
            )
        tops[f"layer{stage}"], inputs = top, channels
    return tops


def _block(branch, name, bottom, channels, trunk, *, stride, dilations, project):
    """A basic block: two 3x3 convolutions, and the bottom added; with `project`, through a 1x1 convolution."""
    first, second = dilations
    top = _normalised(branch, f"{name}_conv1", f"{name}_bn1", bottom, channels, trunk, stride=stride, dilation=first)
    top = branch.relu(f"{name}_relu1", top)
    top = _normalised(branch, f"{name}_conv2", f"{name}_bn2", top, channels, trunk, dilation=second)
    if project:
        names = f"{name}_downsample", f"{name}_downsample_bn"
        bottom = _normalised(branch, *names, bottom, channels, trunk, kernel_size=1, stride=stride)
    top = branch.add(f"{name}_sum", L.Eltwise(bottom, top, operation=P.Eltwise.SUM))
    return branch.relu(f"{name}_relu2", top)


def _normalised(branch, conv, norm, bottom, channels, trunk, **options):
    """A convolution without bias, and its BatchNorm."""
    filler = MSRA if trunk.from_scratch else None
    top = branch.conv(conv, bottom, trunk.channels(channels), filler=filler, bias=False, **options)
    return branch.batch_norm(norm, top, statistics=trunk.batch_norm)
