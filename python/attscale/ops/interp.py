"""Resizing with aligned corners, as the Interp layer of the authors' Caffe fork does it.

Source: shared rule of both forks (deeplab v1 and v2, `interp_layer`, `util/interp`). Output index i of m reads the
source position i * (n - 1) / (m - 1) of n, bilinearly; no anti-aliasing; equal sizes are copied.
"""

import dataclasses
import functools

import numpy as np

from attscale.errors import UserError

#: Multiply-adds of a product: OpenBLAS does so many or fewer on one thread. Where it wakes others, each product leaves
#: them waiting in a loop for 35 ms, in the way of Caffe's own (OpenBLAS 0.3.29, interface/gemm.c).
_SMALL = 1 << 18
_CACHED = 1 << 16  # numbers, 256 KiB: what stays in a core's own cache


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


def _places(n, m):
    """For each of m outputs the lower of its two samples of n, and the weight of the upper one, float64.

    Positions are computed in whole numbers, so that outputs which hit a sample have a weight of exactly 0.
    """
    if m == 1:
        return np.zeros(1, int), np.zeros(1)  # the fork's ratio is 0 for a single output
    low, rest = np.divmod(np.arange(m) * (n - 1), m - 1)
    return low, rest / (m - 1)


@functools.lru_cache(maxsize=64)
def matrix(n, m):
    """The (m, n) float32 matrix that resizes n samples to m; its transpose is the gradient. A row has two numbers."""
    result = np.zeros((m, n), np.float32)
    out, (low, weight) = np.arange(m), _places(n, m)
    result[out, low] = 1 - weight
    result[out, np.minimum(low + 1, n - 1)] += weight
    result.flags.writeable = False
    return result


def interp(blob, height, width, out=None):
    """Resizes (N, C, H, W) float32 to (N, C, height, width); into `out`, where it is given.

    Small maps by products with `matrix`, which is twice as fast as gathering there; others by gathering, whose time
    does not grow with their sides: an eighth of a product's for the image.
    """
    out = _room(out, blob, height, width)
    h, w = blob.shape[-2:]
    if (h, w) == (height, width):
        out[...] = blob
    elif max(h * w * width, h * width * height) <= _SMALL:
        _products(blob, matrix(h, height), matrix(w, width).T, out)
    else:
        _gathered(blob, out)
    return out


def interp_backward(diff, height, width, out=None):
    """Gradient of `interp` by its (N, C, height, width) input, given (N, C, H, W), that by its output."""
    out = _room(out, diff, height, width)
    if diff.shape[-2:] == (height, width):
        out[...] = diff
    else:
        _products(diff, matrix(height, diff.shape[-2]).T, matrix(width, diff.shape[-1]), out)
    return out


def _room(out, blob, height, width):
    return np.empty((*blob.shape[:2], height, width), np.float32) if out is None else out


def _products(blob, left, right, out):
    """left @ map @ right for every map of `blob` (N, C, H, W), a few maps at a time, which stay in cache."""
    rows, columns = blob.shape[2], right.shape[1]
    some = max(1, _CACHED // (rows * columns))
    between = np.empty((min(some, blob.shape[1]), rows, columns), np.float32)
    for maps, results in zip(blob, out, strict=True):
        for c in range(0, len(maps), some):
            part = maps[c : c + some]
            np.matmul(left, np.matmul(part, right, out=between[: len(part)]), out=results[c : c + some])


def _gathered(blob, out):
    """Between two columns, then between two rows, a map at a time."""
    (h, w), (height, width) = blob.shape[2:], out.shape[2:]
    rows, columns = _places(h, height), _places(w, width)
    between, upper = np.empty((h, width), np.float32), np.empty((max(h, height), width), np.float32)
    for maps, results in zip(blob, out, strict=True):
        for source, result in zip(maps, results, strict=True):
            _between(source, 1, *columns, between, upper[:h])
            _between(between, 0, *rows, result, upper[:height])


def _between(source, axis, low, weight, out, upper):
    """Along an axis of `source`, from the samples `low` to the next ones by `weight`; `upper` is room like `out`."""
    np.take(source, low, axis=axis, out=out, mode="clip")  # without a mode, NumPy would make a copy of out first
    if weight.any():
        np.take(source, low + 1, axis=axis, out=upper, mode="clip")  # behind the last sample is the last, by weight 0
        upper -= out
        upper *= (weight if axis else weight[:, None]).astype(np.float32)
        out += upper


def nearest(n, m):
    """The m source indices of n for nearest-neighbour resizing with aligned corners; halves go up."""
    if m == 1:
        return np.zeros(1, int)
    return (2 * np.arange(m) * (n - 1) + (m - 1)) // (2 * (m - 1))
