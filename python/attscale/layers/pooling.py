"""AdaptivePool: average pooling to a fixed number of bins, which stock Caffe lacks."""

import caffe

from attscale.ops import pooling as ops
from attscale.options import decode


class AdaptivePool(caffe.Layer):
    """Averages over bins x bins parts of the map. Bottom (N, C, H, W), top (N, C, bins, bins).

    param_str: the fields of `attscale.ops.pooling.Bins`. Source: PyTorch's AdaptiveAvgPool2d.
    """

    def setup(self, bottom, top):
        self.bins = decode(ops.Bins, self.param_str).bins

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape[:2], self.bins, self.bins)

    def forward(self, bottom, top):
        top[0].data[...] = ops.adaptive_average(bottom[0].data, self.bins)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = ops.adaptive_average_backward(top[0].diff, *bottom[0].shape[2:])
