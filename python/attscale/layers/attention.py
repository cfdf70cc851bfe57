"""ScaleAttention: the paper's softmax over scales and the weighted sum of the score maps."""

import caffe

from attscale.errors import UserError
from attscale.ops import attention as ops


class ScaleAttention(caffe.Layer):
    """Equations 1 and 2 of the paper.

    Bottoms: S score maps (N, C, H, W), then the attention scores (N, S, H, W), before the softmax.
    Tops: the merged scores (N, C, H, W) and, optionally, the weights (N, S, H, W), which sum to 1 over S.
    """

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        *maps, scores = _blobs(bottom)
        n, c, h, w = maps[0].shape
        for s, score_map in enumerate(maps):
            if tuple(score_map.shape) != (n, c, h, w):
                raise UserError(
                    f"ScaleAttention: score map {s} is {_shape(score_map)}, the first is {_shape(maps[0])}; "
                    "bring all to the finest resolution with Interp"
                )
        if tuple(scores.shape) != (n, len(maps), h, w):
            raise UserError(
                f"ScaleAttention: the attention scores are {_shape(scores)}, expected {n}x{len(maps)}x{h}x{w} for "
                f"{len(maps)} score maps of {_shape(maps[0])}"
            )
        top[0].reshape(n, c, h, w)
        if len(top) == 2:
            top[1].reshape(n, len(maps), h, w)

    def forward(self, bottom, top):
        *maps, scores = _blobs(bottom)
        self.weights = ops.softmax(scores.data)
        ops.merge([score_map.data for score_map in maps], self.weights, out=top[0].data)
        if len(top) == 2:
            top[1].data[...] = self.weights

    def backward(self, top, propagate_down, bottom):
        weights_diff = top[1].diff if len(top) == 2 else None
        maps = [blob.data for blob in _blobs(bottom)[:-1]]
        *maps_out, scores_out = (
            blob.diff if wanted else None for blob, wanted in zip(_blobs(bottom), propagate_down, strict=True)
        )
        ops.merge_backward(top[0].diff, maps, self.weights, weights_diff, maps_out, scores_out)


def _blobs(vector):
    return [vector[i] for i in range(len(vector))]  # pycaffe's vectors can be indexed, but not iterated over


def _shape(blob):
    return "x".join(map(str, blob.shape))
