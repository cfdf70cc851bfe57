"""SegData: images and label maps of a segmentation set, augmented and prefetched."""

import caffe

from attscale.data.lists import check_pairs, read_list
from attscale.data.loader import BatchLoader, LoaderOptions
from attscale.options import decode


class SegData(caffe.Layer):
    """No bottoms. Tops: data (N, 3, crop, crop), BGR less the mean; label (N, 1, crop, crop), class index or 255.

    param_str: the fields of `attscale.data.loader.LoaderOptions`. Background workers load ahead, so the solver
    only copies a finished batch. Source: the fork's ImageSegData layer, for the order of the transforms.
    """

    def setup(self, bottom, top):
        self.options = decode(LoaderOptions, self.param_str)
        check_pairs(read_list(self.options.root, self.options.source), self.options.source)
        self.loader = BatchLoader(self.options)

    def reshape(self, bottom, top):
        n, crop = self.options.batch_size, self.options.crop_size
        top[0].reshape(n, 3, crop, crop)
        top[1].reshape(n, 1, crop, crop)

    def forward(self, bottom, top):
        self.loader.read(top[0].data, top[1].data[:, 0])

    def backward(self, top, propagate_down, bottom):
        pass
