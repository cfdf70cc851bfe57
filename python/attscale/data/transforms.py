"""Augmentation in the order and with the meaning of the fork's ImageSegData layer.

[random scale] -> pad bottom and right to the crop (image = mean, label = 255) -> random crop -> mirror -> minus mean.
"""

import cv2
import numpy as np

from attscale.datasets import IGNORE

#: BGR mean of the original release, in grey levels.
MEAN = (104.008, 116.669, 122.675)


def scaled(image, factor):
    """The image (H, W, 3) scaled by `factor`, linearly; sizes are truncated (v2 fork)."""
    return _resized(image, factor, cv2.INTER_LINEAR)


def scaled_label(label, factor):
    """The label map (H, W) scaled by `factor` to the same size as its image; each pixel is the nearest's class."""
    return _resized(label, factor, cv2.INTER_NEAREST)


def _resized(array, factor, interpolation):
    if factor == 1:
        return array
    height, width = array.shape[:2]
    size = max(1, int(width * factor)), max(1, int(height * factor))
    return cv2.resize(array, size, interpolation=interpolation)


def draw_scale(rng, scales, scale_range):
    """A factor: one of the list `scales`, each equally likely; or uniform in `scale_range`; 1 where both are empty."""
    if scale_range:
        return rng.uniform(*scale_range)
    return scales[rng.integers(len(scales))] if scales else 1


def draw_crop(rng, height, width, crop):
    """Top-left corner of the crop; 0 along a side that is no longer than the crop (it is padded instead)."""
    return rng.integers(max(height - crop, 0) + 1), rng.integers(max(width - crop, 0) + 1)


def cut(image, label, top, left, mirror, mean, data_out, label_out):
    """Writes the padded, cropped and mirrored sample into the outputs; the mean is still to be subtracted.

    image (H, W, 3), label (H, W), data_out (3, crop, crop) and label_out (crop, crop), all uint8. Padding is the mean
    rounded to whole grey levels, as in the fork, where it is a colour of the image.
    """
    crop = label_out.shape[0]
    image, label = image[top : top + crop, left : left + crop], label[top : top + crop, left : left + crop]
    height, width = label.shape
    columns = slice(0, width)
    if mirror:
        image, label = cv2.flip(image, 1), cv2.flip(label, 1)
        columns = slice(crop - width, crop)
    if (height, width) != (crop, crop):
        data_out[...] = np.rint(mean).astype(np.uint8)[:, None, None]
        label_out[...] = IGNORE
    for channel, out in enumerate(data_out):
        out[:height, columns] = cv2.extractChannel(image, channel)
    label_out[:height, columns] = label


def subtract_mean(data, mean, out):
    """data (N, 3, H, W) uint8 less the BGR `mean`, into `out`, float32 of that shape."""
    np.subtract(data, np.array(mean, np.float32)[:, None, None], out=out)
