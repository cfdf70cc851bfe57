"""The share-net: the trunk once per scale with common parameters, and the merge of the score maps."""

import dataclasses
from fractions import Fraction

from attscale.nets import merge, vgg16
from attscale.nets.blocks import Branch
from attscale.nets.geometry import FINEST, back, shrink, suffix


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a share-net gives: merged score map, each scale's own, and those at the finest resolution."""

    merged: object
    own: dict[Fraction, object]
    aligned: dict[Fraction, object]


def share_net(row, net, data, *, classes, scores_name, with_weights):
    """Adds the trunk at every scale of `row` and the merge to `net`; returns `Scores`.

    data: (N, 3, H, W), H = 32k + 1. scores_name: of the classifiers, `fc8_voc12`, suffixed by scale. with_weights:
    also name the attention weights.
    """
    lr_mult = row.solver.final_lr_mult
    root = Branch(net)
    own, aligned, features = {}, {}, []
    for scale in row.scales:
        branch = Branch(net, suffix(scale), shared=len(row.scales) > 1)
        top = data if scale == FINEST else branch.interp("data", data, shrink(scale))
        tops = vgg16.largefov(branch, top, row.trunk)
        own[scale] = vgg16.classifier(branch, scores_name, tops["fc7"], classes, lr_mult=lr_mult)
        aligned[scale] = _at_finest(root, f"{scores_name}{suffix(scale)}", own[scale], scale)
        if row.merge == "attention":
            features.append(_features(row.attention.features, root, tops, aligned[scale], scale))
    maps = list(aligned.values())
    if row.merge is None:
        merged = own[FINEST]
    elif row.merge == "attention":
        scores = merge.attention_model(root, features, row.attention, dropout=row.trunk.dropout, lr_mult=lr_mult)
        merged = merge.by_attention(root, maps, scores, with_weights=with_weights)
    else:
        merged = {"max": merge.by_max, "average": merge.by_average}[row.merge](root, maps)
    return Scores(merged, own, aligned)


def _features(name, root, tops, aligned_scores, scale):
    """One scale's input to the attention model, at the finest resolution."""
    if name == "fc8":
        return aligned_scores
    return _at_finest(root, f"{name}{suffix(scale)}", tops[name], scale)


def _at_finest(root, name, top, scale):
    return top if scale == FINEST else root.interp(f"{name}_interp", top, back(scale))
