"""Merging the scales' score maps: max, average (both Eltwise), or the paper's attention."""

from caffe import layers as L
from caffe import params as P

from attscale.nets.blocks import python_layer

#: Of att_conv1: the authors' own (docs/release.md, The authors' working copy), one that suits any width, none (zero).
FILLERS = {"gaussian": {"type": "gaussian", "std": 0.005}, "msra": {"type": "msra"}, "constant": None}


def attention_model(branch, features, options, *, dropout, lr_mult):
    """The attention scores (N, S, H', W'), before the softmax: 3x3 with 512 filters, then 1x1 (section 3.2).

    features: S tops of one size, concatenated, as fc7_concat in the release. As `convolutions` otherwise.
    """
    top = branch.add(f"{options.features}_concat", L.Concat(*features))
    return convolutions(branch, "att", top, len(features), options, dropout=dropout, lr_mult=lr_mult)


def convolutions(branch, prefix, top, num_output, options, *, dropout, lr_mult):
    """`<prefix>_conv1`, with ReLU and dropout as in the release, and `<prefix>_fc` (N, num_output, H, W).

    options: `recipe.Attention`, whose fillers and multipliers docs/fidelity.md explains.
    """
    lr_mult = rate(options, lr_mult)
    last = None if options.filler == "constant" else {"type": "gaussian", "std": 0.01}
    kernel_size = 1
    if options.layers == 1:
        kernel_size = options.kernel_size
    else:
        first = FILLERS[options.filler]
        top = branch.conv(
            f"{prefix}_conv1", top, options.filters, kernel_size=options.kernel_size, lr_mult=lr_mult, filler=first
        )
        top = branch.relu(f"{prefix}_relu1", top)
        top = branch.dropout(f"{prefix}_drop1", top, dropout)
    return branch.conv(f"{prefix}_fc", top, num_output, kernel_size=kernel_size, lr_mult=lr_mult, filler=last)


def rate(options, lr_mult):
    """The multiplier of the attention model's rates: its own, or `lr_mult`, the classifier's."""
    return lr_mult if options.lr_mult is None else options.lr_mult


def by_attention(branch, score_maps, attention_scores, *, with_weights):
    """The merged scores, `fc8_fusion`, by equations 1 and 2; `with_weights`, the weights, `attention`, besides."""
    bottoms = (*score_maps, attention_scores)
    if not with_weights:
        return branch.add("fc8_fusion", python_layer("ScaleAttention", *bottoms))
    merged, weights = python_layer("ScaleAttention", *bottoms, ntop=2)
    branch.add("attention", weights)
    return branch.add("fc8_fusion", merged)


def by_max(branch, score_maps):
    return branch.add("fc8_fusion", L.Eltwise(*score_maps, operation=P.Eltwise.MAX))


def by_average(branch, score_maps):
    share = [1 / len(score_maps)] * len(score_maps)
    return branch.add("fc8_fusion", L.Eltwise(*score_maps, operation=P.Eltwise.SUM, coeff=share))
