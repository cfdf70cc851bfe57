"""Names and sizes in the nets: the trunk's table, the branches' suffixes, the rules of sizes. Needs no Caffe."""

from fractions import Fraction

from attscale.ops.interp import SizeRule

#: VGG-16, stage by stage: (convolutions, channels, dilation, stride of the pooling that follows)
STAGES = ((2, 64, 1, 2), (2, 128, 1, 2), (3, 256, 1, 2), (3, 512, 1, 1), (3, 512, 2, 1))
STRIDE = 8
#: of MSc's branches
MSC_CHANNELS = 128
FINEST = Fraction(1)


def suffix(scale):
    """'' for 1, '_res075' for 3/4, '_res05' for 1/2 (release)."""
    return "" if scale == FINEST else "_res" + str(float(scale)).replace(".", "")


def scores_name(row, scale=FINEST):
    """The layer that gives a branch's own score map: `fc8_voc12`, `fc8_voc12_res05`."""
    return f"fc8_{row.dataset}{suffix(scale)}"


def output_name(row):
    """The deploy net's output (1, classes, S, S): `fc8_interp`, zoom 8 of the merged scores; MSc's `fc_fusion`."""
    return "fc_fusion" if row.msc else "fc8_interp"


def shrink(scale):
    """The rule that takes the image to `scale`: 3/4 is shrink 4, zoom 3 (release)."""
    return _rule(shrink_factor=scale.denominator, zoom_factor=scale.numerator)


def back(scale):
    """The rule that takes a branch's maps to the finest branch's size: for 3/4 shrink 3, zoom 4 (release)."""
    return _rule(shrink_factor=scale.numerator, zoom_factor=scale.denominator)


def label_shrink(scale):
    """The rule that takes labels to a branch's score map: 8 at scale 1, 16 at 1/2 (release), 32 and zoom 3 at 3/4."""
    return _rule(shrink_factor=STRIDE * scale.denominator, zoom_factor=scale.numerator)


def _rule(**factors):
    return SizeRule(**{name: factor for name, factor in factors.items() if factor != 1})
