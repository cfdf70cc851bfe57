"""Names and sizes in the nets: the trunk's table, the branches' suffixes, the rules of sizes. Needs no Caffe."""

from fractions import Fraction

from attscale.ops.interp import SizeRule

#: VGG-16, stage by stage: (convolutions, channels, dilation, stride of the pooling that follows)
STAGES = ((2, 64, 1, 2), (2, 128, 1, 2), (3, 256, 1, 2), (3, 512, 1, 1), (3, 512, 2, 1))
STRIDE = 8
#: ResNet-34: (blocks, channels, stride of the first block, dilations of its first convolution and of all others). Where
#: a stage lost its stride, the first convolution has half the dilation, as it still reads the map of the stage before.
RESNET34_STAGES = ((3, 64, 1, (1, 1)), (4, 128, 2, (1, 1)), (6, 256, 1, (1, 2)), (3, 512, 1, (2, 4)))
#: The tops of the trunks and their heads that others may read, and at which stride of the input each is.
STRIDES = {
    **{"pool1": 2, "pool2": 4, "pool3": 8, "pool4": 8, "pool5": 8, "fc6": 8, "fc7": 8},
    **{"conv1": 2, "maxpool": 4, "layer1": 4, "layer2": 8, "layer3": 8, "layer4": 8, "head": 8},
}
#: of MSc's branches
MSC_CHANNELS = 128
#: The deploy nets' outputs (1, classes, S, S): the merged scores zoomed, and MSc's.
OUTPUTS = ("fc8_interp", "fc_fusion")
FINEST = Fraction(1)


def suffix(scale):
    """'' for 1, '_res075' for 3/4, '_res05' for 1/2 (release)."""
    return "" if scale == FINEST else "_res" + str(float(scale)).replace(".", "")


def scores_name(row, scale=FINEST):
    """The layer that gives a branch's own score map: `fc8_voc12`, `fc8_voc12_res05`."""
    return f"fc8_{row.dataset.name}{suffix(scale)}"


def refines(row):
    """Whether the attention model is that of Attention to Refine; otherwise it is that of Attention to Scale."""
    return bool(row.attention.stages)


def merged_stride(row):
    """Pixels of the image from one score of the merged map to the next: 8, or the refining attention model's."""
    return row.attention.stride if refines(row) else STRIDE


def shrink(scale):
    """The rule that takes the image to `scale`: 3/4 is shrink 4, zoom 3 (release)."""
    return _rule(scale)


def back(scale, stride=STRIDE, to=STRIDE):
    """The rule that takes a branch's maps, at `stride` of its own input, to `to` at the finest; None where it is there.

    For 3/4 shrink 3, zoom 4 (release); from 8 to 4 at the finest zoom 2, at 3/4 shrink 3, zoom 8.
    """
    return _rule(Fraction(stride, to) / scale)


def label_shrink(scale, stride=STRIDE):
    """The rule that takes labels to a branch's score map: 8 at scale 1, 16 at 1/2 (release), 32 and zoom 3 at 3/4."""
    return _rule(scale / stride)


def _rule(ratio):
    """The rule that makes a map `ratio` times as fine, as one interpolation; None for 1."""
    factors = {"shrink_factor": ratio.denominator, "zoom_factor": ratio.numerator}
    factors = {name: factor for name, factor in factors.items() if factor != 1}
    return SizeRule(**factors) if factors else None
