"""Interp and LabelShrink: the fork's resizing, which stock Caffe lacks."""

import caffe

from attscale.errors import UserError
from attscale.ops import interp as ops
from attscale.options import decode


class Interp(caffe.Layer):
    """Bilinear resizing with aligned corners. Bottom (N, C, H, W), top (N, C, H', W').

    param_str: the fields of `attscale.ops.interp.SizeRule`; or none, and a second bottom (., ., H', W') gives the size
    alone, without a gradient. Source: the fork's Interp layer.
    """

    def setup(self, bottom, top):
        if len(bottom) == 1:
            self.rule = decode(ops.SizeRule, self.param_str)
        elif self.param_str:
            raise UserError(f"Interp: a second bottom gives the size, so param_str {self.param_str!r} has to go")

    def reshape(self, bottom, top):
        n, c, h, w = bottom[0].shape
        if len(bottom) == 2:
            _, _, height, width = bottom[1].shape
            self.rule = ops.SizeRule(height=height, width=width)
        top[0].reshape(n, c, *self.rule.output(h, w))

    def forward(self, bottom, top):
        out = top[0].data
        ops.interp(self.rule.crop(bottom[0].data), *out.shape[2:], out=out)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            diff = bottom[0].diff
            inner = self.rule.crop(diff)
            if inner.shape != diff.shape:
                diff[...] = 0
            ops.interp_backward(top[0].diff, *inner.shape[2:], out=inner)
        if len(bottom) == 2 and propagate_down[1]:
            bottom[1].diff[...] = 0


class LabelShrink(Interp):
    """Nearest-neighbour shrinking of a label map, with Interp's sizes. Bottom and top (N, 1, H, W); no gradient.

    Where the size is 8k+1, shrinking by 8 is `label[::8, ::8]`, just as the fork's Interp does it. At other sizes
    the fork would blend class indices; this layer takes the nearest one (docs/fidelity.md).
    """

    def forward(self, bottom, top):
        label = self.rule.crop(bottom[0].data)
        rows = ops.nearest(label.shape[2], top[0].shape[2])
        columns = ops.nearest(label.shape[3], top[0].shape[3])
        top[0].data[...] = label[:, :, rows[:, None], columns]

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down):
            raise UserError("LabelShrink has no gradient: labels are not learned")
