"""The attention model of Attention to Refine: what it adds to Attention to Scale, an idea of the paper a function.

Each scale's features of several stages, side by side (`multi_stage`), go through a convolution that this scale has to
itself (`diverse_dilation`). What all scales have to say is brought to the finest one's size and concatenated (`fused`).
Two branches read it: one gives the scales' weights (`location`), one a factor for each class (`recalibration`), which
changes the score maps (`recalibrated`) before Attention to Scale's own layer weights and adds them up.

What the paper leaves open: "features from different stages in CNN get upsampled to same size" within each scale, to
`options.stride` of that scale's own input, so that a dilation counts in the scale's own pixels ("large field of view
[...] in small scale stream"); only what the dilated convolutions give is brought to the finest scale. Score maps come
to that resolution, too, for equation 3, so the merged map is finer than each scale's own, at which extra supervision
stays. The dilated convolution has a ReLU and no dropout; the branches have both, as in Attention to Scale. Gradients
of both branches go on into the trunk, as there. Fillers are the ones there, so that factors start around 1/2.
"""

from caffe import layers as L
from caffe import params as P

from attscale.nets.geometry import FINEST, STRIDES, back
from attscale.nets.merge import FILLERS, convolutions, rate


def multi_stage(branch, tops, options):
    """`hyper`, a scale's hypercolumns: its trunk's `options.stages`, concatenated (section 2.1).

    Each is brought by bilinear interpolation to `options.stride` of the scale's own input: 4 is "the size of features
    after two pooling operation", 8k + 1 a side for an input of 32k + 1.
    """
    stages = [
        branch.interp(f"{name}_stage", tops[name], back(FINEST, STRIDES[name], options.stride))
        for name in options.stages
    ]
    return branch.add("hyper", L.Concat(*stages))


def diverse_dilation(branch, hyper, dilation, options, *, lr_mult):
    """`att_dilated`, the 3x3 convolution, with ReLU, that a scale has to itself (section 2.1, figure 2).

    It sees the scale's own resolution; its size stays. Where all dilations are one, it is the ablation's "standard
    convolution instead".
    """
    top = branch.conv(
        "att_dilated",
        hyper,
        options.stage_filters,
        dilation=dilation,
        lr_mult=rate(options, lr_mult),
        filler=FILLERS[options.filler],
    )
    return branch.relu("att_dilated_relu", top)


def fused(branch, features):
    """What both branches read: the scales' features (N, stage_filters, H', W'), at the finest one's size."""
    return branch.add("att_concat", L.Concat(*features))


def location(branch, fused, scales, options, *, dropout, lr_mult):
    """The scales' scores (N, S, H', W'), before equation 2's softmax: "shared across all channels" (section 2.2)."""
    return convolutions(branch, "att", fused, scales, options, dropout=dropout, lr_mult=lr_mult)


def recalibration(branch, fused, classes, options, *, dropout, lr_mult):
    """`recalibration` (N, classes, H', W'), "shared across all scales" (section 2.2).

    "The same architecture as location attention branch", with an output a class. Factors end in "sigmoid activation";
    a bias ("another choice") does not, for between 0 and 1 it could only raise a score.
    """
    top = convolutions(branch, "rec", fused, classes, options, dropout=dropout, lr_mult=lr_mult)
    if options.recalibration == "product":
        return branch.add("recalibration", L.Sigmoid(top))
    return branch.add("recalibration", L.Split(top, ntop=1))  # rec_fc by the name that factors have


def recalibrated(branch, score_map, recalibration, options):
    """Equation 3's bracket for one scale: P x wr, or P + wr for a bias (N, classes, H', W')."""
    operation = {"product": P.Eltwise.PROD, "bias": P.Eltwise.SUM}[options.recalibration]
    return branch.add("recalibrated", L.Eltwise(score_map, recalibration, operation=operation))
