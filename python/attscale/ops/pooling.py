"""Average pooling to a fixed number of bins, whatever the size: PyTorch's AdaptiveAvgPool2d, and its gradient.

Of n pixels, bin i of b is the average from floor(i n / b) to ceil((i + 1) n / b), so that bins may overlap by a pixel,
and are whole pixels where there are more bins than pixels.
"""

import dataclasses
import functools

import numpy as np

from attscale.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bins:
    """How many bins there are along the height, and along the width."""

    bins: int

    def __post_init__(self):
        if self.bins < 1:
            raise UserError(f"AdaptivePool: bins is {self.bins}, expected at least 1")


@functools.lru_cache(maxsize=64)
def matrix(n, bins):
    """The (bins, n) float32 matrix that averages n samples; its transpose is the gradient."""
    result = np.zeros((bins, n), np.float32)
    for i in range(bins):
        start, end = i * n // bins, -(-(i + 1) * n // bins)
        result[i, start:end] = 1 / (end - start)
    result.flags.writeable = False
    return result


def adaptive_average(blob, bins):
    """The averages (N, C, bins, bins) of (N, C, H, W): those of a rectangle are its rows', then its columns'."""
    for axis_length in blob.shape[2:]:
        blob = np.tensordot(blob, matrix(axis_length, bins), (2, 1))  # the axis that is done goes to the end
    return blob


def adaptive_average_backward(diff, height, width):
    """Gradient of `adaptive_average` by its (N, C, height, width) input, given (N, C, bins, bins), by its output."""
    for axis_length in (height, width):
        diff = np.tensordot(diff, matrix(axis_length, diff.shape[2]), (2, 0))
    return diff
