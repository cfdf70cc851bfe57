"""The share-net: the trunk once per scale with common parameters, and the merge of the score maps."""

import dataclasses
from fractions import Fraction

from attscale.nets import merge, psp, refine, resnet34, vgg16
from attscale.nets.blocks import Branch
from attscale.nets.geometry import FINEST, back, merged_stride, refines, shrink, suffix


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a share-net gives: merged score map, each scale's own, and those at the merged one's resolution."""

    merged: object
    own: dict[Fraction, object]
    aligned: dict[Fraction, object]


def _vgg16(branch, data, trunk, *, lr_mult):
    return vgg16.largefov(branch, data, trunk)


def _resnet34(branch, data, trunk, *, lr_mult):
    """The decoder learns at `lr_mult`; without pyramid pooling it is the classifier alone, as `psp` has it."""
    tops = resnet34.resnet34(branch, data, trunk)
    head = psp.pyramid(branch, tops["layer4"], trunk, lr_mult=lr_mult) if trunk.psp else tops["layer4"]
    return {**tops, "head": head}


#: The trunks by `Trunk.kind`: from the data (N, 3, H, W) to tops by name; and the one that the classifier reads.
TRUNKS = {"vgg16": (_vgg16, "fc7"), "resnet34": (_resnet34, "head")}


def share_net(row, net, data, *, classes, scores_name, with_weights):
    """Adds the trunk at every scale of `row` and the merge to `net`; returns `Scores`.

    data: (N, 3, H, W), H = 32k + 1. scores_name: of the classifiers, `fc8_voc12`, suffixed by scale. with_weights:
    also name the attention weights.
    """
    lr_mult, root = row.solver.final_lr_mult, Branch(net)
    trunk, penultimate = TRUNKS[row.trunk.kind]
    own, aligned, features = {}, {}, []
    for scale in row.scales:
        branch = Branch(net, suffix(scale), shared=len(row.scales) > 1)
        tops = trunk(branch, branch.interp("data", data, shrink(scale)), row.trunk, lr_mult=lr_mult)
        own[scale] = vgg16.classifier(branch, scores_name, tops[penultimate], classes, lr_mult=lr_mult)
        rule = back(scale, to=merged_stride(row))
        aligned[scale] = root.interp(f"{scores_name}{suffix(scale)}_interp", own[scale], rule)
        if row.merge == "attention":
            features.append(_features(row, net, {**tops, "fc8": aligned[scale]}, scale))
    if row.merge is None:
        merged = own[FINEST]
    elif row.merge == "attention":
        merged = _by_attention(row, net, aligned, features, classes, with_weights=with_weights)
    else:
        merged = {"max": merge.by_max, "average": merge.by_average}[row.merge](root, list(aligned.values()))
    return Scores(merged, own, aligned)


def _features(row, net, tops, scale):
    """One scale's input to the attention model, at the merged map's resolution."""
    options, root = row.attention, Branch(net)
    if not refines(row):
        if options.features == "fc8":
            return tops["fc8"]
        return root.interp(f"{options.features}{suffix(scale)}_interp", tops[options.features], back(scale))
    branch = Branch(net, suffix(scale))  # its convolution is not shared
    dilation = options.dilations[row.scales.index(scale)]
    top = refine.multi_stage(branch, tops, options)
    top = refine.diverse_dilation(branch, top, dilation, options, lr_mult=row.solver.final_lr_mult)
    return root.interp(f"att_dilated{suffix(scale)}_interp", top, back(scale))


def _by_attention(row, net, score_maps, features, classes, *, with_weights):
    """The weighted sum of the score maps, {scale: (N, classes, H', W')}, which may be recalibrated before."""
    options, root = row.attention, Branch(net)
    model = {"dropout": row.trunk.dropout, "lr_mult": row.solver.final_lr_mult}
    if not refines(row):
        weights = merge.attention_model(root, features, options, **model)
    else:
        fused = refine.fused(root, features)
        weights = refine.location(root, fused, len(row.scales), options, **model)
        if options.recalibration is not None:
            factors = refine.recalibration(root, fused, classes, options, **model)
            score_maps = {
                scale: refine.recalibrated(Branch(net, suffix(scale)), score_map, factors, options)
                for scale, score_map in score_maps.items()
            }
    return merge.by_attention(root, list(score_maps.values()), weights, with_weights=with_weights)
