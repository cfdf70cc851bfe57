"""Pyramid pooling, which may stand between ResNet-34 and the classifier; without it the classifier reads layer4.

Sources: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017; CSAILVision/semantic-segmentation-pytorch, `models.py`:
class PPMBilinear (commit 039fb76, PSPBilinear before), and for the plain decoder C1Bilinear of the early 309fdf4, which
is the classifier alone. It belongs to the decoder, which starts from fillers and learns at a rate of its own.
"""

from caffe import layers as L

from attscale.nets.blocks import MSRA, python_layer
from attscale.ops.pooling import Bins

BINS = (1, 2, 3, 6)
#: of each bin's convolution, and of the last
_CHANNELS = 512


def pyramid(branch, bottom, trunk, *, lr_mult):
    """Pyramid pooling: (N, 512 x width, H, W) after dropout, from layer4 (N, 512 x width, H, W) of any size.

    The features are averaged over 1x1, 2x2, 3x3 and 6x6 bins, each map goes through a 1x1 convolution and comes back by
    bilinear interpolation with aligned corners (PyTorch's own when that code was written), and all are joined by a 3x3
    convolution. trunk.dropout is 0.1 in the source. Trained statistics need two images a pass or more: of one, the
    bin 1x1 has one value a channel, whose variance is zero.
    """
    joined = [bottom]
    for bins in BINS:
        name = f"psp{bins}"
        top = branch.add(f"{name}_pool", python_layer("AdaptivePool", bottom, options=Bins(bins=bins)))
        top = _convolution(branch, name, top, _CHANNELS, trunk, kernel_size=1, lr_mult=lr_mult)
        joined.append(branch.interp_like(f"{name}_interp", top, bottom))
    top = branch.add("psp_concat", L.Concat(*joined))
    top = _convolution(branch, "psp", top, _CHANNELS, trunk, lr_mult=lr_mult)
    return branch.dropout("psp_drop", top, trunk.dropout)


def _convolution(branch, name, bottom, channels, trunk, *, kernel_size=3, lr_mult):
    """`<name>_conv` without bias, `<name>_bn` and `<name>_relu`."""
    top = branch.conv(
        f"{name}_conv",
        bottom,
        trunk.channels(channels),
        kernel_size=kernel_size,
        lr_mult=lr_mult,
        filler=MSRA,
        bias=False,
    )
    top = branch.batch_norm(f"{name}_bn", top, statistics="train", lr_mult=lr_mult)
    return branch.relu(f"{name}_relu", top)
