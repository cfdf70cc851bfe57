"""Prediction with a deploy net: the release's test protocol."""

import numpy as np

from attscale import prototxt, weights
from attscale.data import transforms
from attscale.nets import scales
from attscale.nets.vgg16 import STRIDE
from attscale.ops.interp import interp


class Predictor:
    """A row's deploy net with weights. Images of any size: the net is reshaped where `test_size` is too small."""

    def __init__(self, row, weights_path=None, *, share_with=None):
        """Weights from a file, or shared with a training net of the same row, whose every step is then seen here."""
        self.row = row
        self.net = prototxt.load(prototxt.deploy_net(row))
        if share_with is not None:
            self.net.share_with(share_with)
        else:
            weights.load(self.net, weights_path, complete=True)

    def forward(self, image):
        """Runs the net on (H, W, 3) uint8 BGR: less the mean, zero-padded bottom and right (release protocol).

        The padded side is the row's test size, or the next 32k + 1 for a larger image.
        """
        height, width = image.shape[:2]
        side = max(self.row.test_size, -(-(max(height, width) - 1) // 32) * 32 + 1)
        if self.net.blobs["data"].data.shape[2:] != (side, side):
            self.net.blobs["data"].reshape(1, 3, side, side)
            self.net.reshape()
        data = self.net.blobs["data"].data
        data[...] = 0
        data[0, :, :height, :width] = image.transpose(2, 0, 1) - np.float32(transforms.MEAN)[:, None, None]
        self.size = height, width
        self.net.forward()

    def scores(self):
        """The merged scores of the last image at full resolution, (classes, H, W), before the softmax."""
        return self._crop(self.net.blobs[prototxt.output_name(self.row)].data[0])

    def labels(self):
        """The predicted class indices of the last image, (H, W) uint8."""
        return self.scores().argmax(axis=0).astype(np.uint8)

    def branch_labels(self):
        """What each scale's own score map would have predicted: {scale: (H, W) uint8}."""
        return {scale: scores.argmax(axis=0).astype(np.uint8) for scale, scores in self._branch_scores()}

    def attention(self):
        """The weight maps of the last image, (S, H, W) float32, summing to 1; None where the net has no attention."""
        if "attention" not in self.net.blobs:
            return None
        return self._upsample(self.net.blobs["attention"].data)

    def _branch_scores(self):
        for scale in self.row.scales:
            name = prototxt.scores_name(self.row, scale)
            yield scale, self._upsample(self.net.blobs[name if scale == scales.FINEST else f"{name}_interp"].data)

    def _upsample(self, blob):
        height, width = blob.shape[2:]
        return self._crop(interp(blob, *((n - 1) * STRIDE + 1 for n in (height, width)))[0])

    def _crop(self, maps):
        return maps[:, : self.size[0], : self.size[1]]
