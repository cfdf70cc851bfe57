"""The weighted sum over scales: equations 1 and 2 of Attention to Scale, and their gradient."""

import numpy as np


def softmax(scores):
    """Equation 2: softmax over axis 1 of (N, S, H, W)."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def merge(score_maps, weights, out):
    """Equation 1: out = sum over s of weights[:, s] * score_maps[s].

    score_maps: S arrays (N, C, H, W); weights: (N, S, H, W), shared by all channels; out: (N, C, H, W).
    """
    np.multiply(score_maps[0], weights[:, :1], out=out)
    for s, score_map in enumerate(score_maps[1:], start=1):
        out += score_map * weights[:, s : s + 1]
    return out


def merge_backward(diff, score_maps, weights, weights_diff, maps_out, scores_out):
    """Gradient of `merge` after `softmax`, into the arrays that are to have it; None for what needs none.

    diff: (N, C, H, W) by the merged scores; weights_diff: (N, S, H, W) by the weights themselves, where something
    else uses them too, or None. maps_out: S gradients by the score maps; scores_out: by the attention scores
    (N, S, H, W).
    """
    for s, out in enumerate(maps_out):
        if out is not None:
            np.multiply(diff, weights[:, s : s + 1], out=out)
    if scores_out is None:
        return
    for s, score_map in enumerate(score_maps):
        np.einsum("nchw,nchw->nhw", diff, score_map, out=scores_out[:, s])
    if weights_diff is not None:
        scores_out += weights_diff
    # d w_s / d h_t = w_s (1[s = t] - w_t)
    scores_out -= (weights * scores_out).sum(axis=1, keepdims=True)
    scores_out *= weights
