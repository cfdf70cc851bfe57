"""Augmentation in the order and with the meaning of the fork's ImageSegData layer.

[random scale] -> pad bottom and right to the crop (image = mean, label = 255) -> random crop -> mirror -> minus mean.
The forks pad with the exact mean, after the image has become floating point, so what is padded is exactly 0 in the end
(docs/release.md, Data layer). Here it is set to 0 once the mean has been subtracted.
"""

import cv2
import numpy as np

from attscale.datasets import IGNORE


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


def cut(image, label, top, left, mirror, data_out, label_out):
    """Writes the cropped and mirrored sample into the outputs, and 255 into the label where it is padded.

    image (H, W, 3), label (H, W), data_out (3, crop, crop) and label_out (crop, crop), all uint8. Returns what is not
    padding, for `subtract_mean`: (height, first column, column behind the last).
    """
    crop = label_out.shape[0]
    image, label = image[top : top + crop, left : left + crop], label[top : top + crop, left : left + crop]
    height, width = label.shape
    columns = slice(0, width)
    if mirror:
        image, label = cv2.flip(image, 1), cv2.flip(label, 1)
        columns = slice(crop - width, crop)
    if (height, width) != (crop, crop):
        label_out[...] = IGNORE
    cv2.split(image, [out[:height, columns] for out in data_out])  # into them, in a third of extractChannel's time
    label_out[:height, columns] = label
    return height, columns.start, columns.stop


def subtract_mean(data, inside, mean, out):
    """data (N, 3, H, W) uint8 less the BGR `mean`, into `out`, float32 of that shape; 0 where a sample is padded.

    inside: (N, 3) whole numbers, what `cut` returned for each sample.
    """
    out[...] = data  # as floats first: NumPy subtracts bytes from floats in small pieces, which takes twice the time
    out -= np.array(mean, np.float32)[:, None, None]
    for sample, (height, first, behind) in zip(out, inside, strict=True):
        sample[:, height:] = 0
        sample[:, :height, :first] = 0
        sample[:, :height, behind:] = 0
