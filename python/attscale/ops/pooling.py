"""Average pooling to a fixed number of bins, whatever the size: PyTorch's AdaptiveAvgPool2d, and its gradient.

Of n pixels, bin i of b is the average from floor(i n / b) to ceil((i + 1) n / b), so that bins may overlap by a pixel,
and are whole pixels where there are more bins than pixels. Each map has its own products, too small for BLAS to wake
threads (`attscale.ops.interp`).
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
    height, width = blob.shape[2:]
    return np.matmul(np.matmul(matrix(height, bins), blob), matrix(width, bins).T)


def adaptive_average_backward(diff, height, width):
    """Gradient of `adaptive_average` by its (N, C, height, width) input, given (N, C, bins, bins), by its output."""
    bins = diff.shape[2]
    return np.matmul(matrix(height, bins).T, np.matmul(diff, matrix(width, bins)))
