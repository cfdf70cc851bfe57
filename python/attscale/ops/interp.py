"""Resizing with aligned corners, as the Interp layer of the authors' Caffe fork does it.

Source: shared rule of both forks (deeplab v1 and v2, `interp_layer`, `util/interp`). Output index i of m reads the
source position i * (n - 1) / (m - 1) of n, bilinearly; no anti-aliasing; equal sizes are copied.
"""

import dataclasses
import functools

import numpy as np

from attscale.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeRule:
    """How the output size follows from the input's, in the fork's terms.

    shrink alone: (n - 1) // shrink + 1. zoom alone: n + (n - 1)(zoom - 1). Both: shrink first, then zoom, as one
    interpolation from the input. height and width: fixed. pad_beg, pad_end <= 0 crop the input first.
    """

    shrink_factor: int | None = None
    zoom_factor: int | None = None
    height: int | None = None
    width: int | None = None
    pad_beg: int = 0
    pad_end: int = 0

    def __post_init__(self):
        for name in ("shrink_factor", "zoom_factor", "height", "width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"Interp: {name} is {value}, expected at least 1")
        if self.pad_beg > 0 or self.pad_end > 0:
            raise UserError(
                f"Interp: pad_beg and pad_end only crop, so at most 0; got {self.pad_beg} and {self.pad_end}"
            )
        fixed = self.height is not None or self.width is not None
        factors = self.shrink_factor is not None or self.zoom_factor is not None
        if fixed and (self.height is None or self.width is None):
            raise UserError("Interp: height and width come together")
        if fixed == factors:
            raise UserError("Interp: give either shrink_factor, zoom_factor or both, or height and width")

    def crop(self, blob):
        """The view of `blob` (..., H, W) that is interpolated."""
        height, width = blob.shape[-2:]
        return blob[..., -self.pad_beg : height + self.pad_end, -self.pad_beg : width + self.pad_end]

    def output(self, height, width):
        """Output (height, width) for an input of `height` x `width` pixels, before cropping."""
        lost = self.pad_beg + self.pad_end
        if height + lost < 1 or width + lost < 1:
            raise UserError(f"Interp: an input of {height}x{width} is empty after cropping {-lost} pixels")
        if self.height is not None:
            return self.height, self.width
        return self._along(height + lost), self._along(width + lost)

    def _along(self, n):
        if self.shrink_factor is not None:
            n = (n - 1) // self.shrink_factor + 1
        if self.zoom_factor is not None:
            n = n + (n - 1) * (self.zoom_factor - 1)
        return n


@functools.lru_cache(maxsize=64)
def matrix(n, m):
    """The (m, n) float32 matrix that resizes n samples to m; its transpose is the gradient.

    At most two entries a row. Positions are computed in whole numbers, so rows that hit a sample hold one exact 1.
    A product with it is one GEMM, which is faster than gathering, at every size that occurs here.
    """
    result = np.zeros((m, n), np.float32)
    out = np.arange(m)
    if m == 1:
        low, rest = np.zeros(1, int), np.zeros(1, int)  # the fork's ratio is 0 for a single output
    else:
        low, rest = np.divmod(out * (n - 1), m - 1)
    weight = rest / max(m - 1, 1)
    result[out, low] = 1 - weight
    result[out, np.minimum(low + 1, n - 1)] += weight
    result.flags.writeable = False
    return result


def interp(blob, height, width):
    """Resizes (N, C, H, W) float32 to (N, C, height, width)."""
    if blob.shape[-2:] == (height, width):
        return blob.copy()
    return np.matmul(matrix(blob.shape[-2], height), _along_width(blob, matrix(blob.shape[-1], width).T))


def interp_backward(diff, height, width):
    """Gradient of `interp` by its (N, C, height, width) input, given (N, C, H, W), that by its output."""
    if diff.shape[-2:] == (height, width):
        return diff.copy()
    return np.matmul(matrix(height, diff.shape[-2]).T, _along_width(diff, matrix(width, diff.shape[-1])))


def _along_width(blob, right):
    n, c, h, w = blob.shape
    return (np.ascontiguousarray(blob).reshape(n * c * h, w) @ right).reshape(n, c, h, right.shape[1])


def nearest(n, m):
    """The m source indices of n for nearest-neighbour resizing with aligned corners; halves go up."""
    if m == 1:
        return np.zeros(1, int)
    return (2 * np.arange(m) * (n - 1) + (m - 1)) // (2 * (m - 1))
