"""What Caffe can hold: INT_MAX values in a blob; a larger one has it end the process.

The sizes follow from the layers' options alone, so that an image or a batch is refused before a net is built for it.
"""

import bisect
import dataclasses
import math

from attscale import prototxt
from attscale.data.loader import LoaderOptions
from attscale.errors import ExperimentError
from attscale.ops.interp import SizeRule
from attscale.options import decode

#: Values of a blob, and of the buffer in which a convolution unfolds one image (INT_MAX).
VALUES = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class LayerSize:
    """The shapes of a layer's tops, by name; and the values of its buffer, if it is a convolution."""

    name: str
    tops: dict[str, tuple[int, ...]]
    buffer: int = 0

    @property
    def top_values(self):
        """The values of its largest top."""
        return max(map(math.prod, self.tops.values()))

    @property
    def values(self):
        """The most that Caffe needs in one piece for this layer."""
        return max(self.top_values, self.buffer)


def sizes(message, shape=None):
    """A `LayerSize` for every layer of the NetParameter `message`; shape: of its input, instead of its own."""
    blobs, result = {}, []
    for layer in message.layer:
        bottoms = [blobs[name] for name in layer.bottom]
        kind = layer.python_param.layer if layer.type == "Python" else layer.type
        given = [shape or tuple(layer.input_param.shape[0].dim)] if kind == "Input" else None
        tops = given or _RULES[kind](layer, *bottoms)
        if kind == "SoftmaxWithLoss":  # its top is a number; inside it keeps the probabilities
            size = LayerSize(layer.name, {layer.top[0]: bottoms[0]})
        else:
            named = dict(zip(layer.top, tops, strict=False))  # ScaleAttention's second top is named in the test nets
            size = LayerSize(layer.name, named, _buffer(layer, bottoms[0], tops[0]) if kind == "Convolution" else 0)
        blobs.update(zip(layer.top, tops, strict=False))
        result.append(size)
    return result


def excess(message, shape=None):
    """What would be too large, in words, or None. As `sizes`."""
    largest = max(sizes(message, shape), key=lambda size: size.values)
    if largest.values <= VALUES:
        return None
    return f"{largest.name} would need {largest.values:,} values at once, Caffe holds {VALUES:,}"


def largest_side(message):
    """The largest 32k + 1 for which a test net fits on one square image."""
    sides = range(33, 1 << 16, 32)
    return sides[bisect.bisect_left(sides, True, key=lambda n: excess(message, (1, 3, n, n)) is not None) - 1]


def check_batch(row):
    """Raises ExperimentError, with the largest that fits, where the row's batch is too large for its training net."""
    if words := excess(prototxt.train_net(row)):
        one = dataclasses.replace(row, solver=dataclasses.replace(row.solver, batch_size=1))
        fits = VALUES // max(size.top_values for size in sizes(prototxt.train_net(one)))
        raise ExperimentError(f"--batch-size {row.solver.batch_size}: {words}; for {row.name} {fits} is the largest")


def _same(_, *bottoms):
    return [bottoms[0]]


def _convolution(layer, bottom):
    options = layer.convolution_param
    kernel, pad, stride, dilation = _window(options)
    extent = dilation * (kernel - 1) + 1
    return [(bottom[0], options.num_output, *((n + 2 * pad - extent) // stride + 1 for n in bottom[2:]))]


def _window(options):
    """Kernel, pad, stride and dilation of a ConvolutionParameter, the same along both sides."""
    first = lambda values, usual: values[0] if values else usual  # noqa: E731
    return options.kernel_size[0], first(options.pad, 0), first(options.stride, 1), first(options.dilation, 1)


def _buffer(layer, bottom, top):
    """Values of im2col's buffer: Caffe sizes it even where a 1x1 kernel has no use for it."""
    return bottom[1] * layer.convolution_param.kernel_size[0] ** 2 * top[2] * top[3]


def _pooling(layer, bottom):
    options = layer.pooling_param
    return [(*bottom[:2], *(_pooled(n, options.kernel_size, options.pad, options.stride) for n in bottom[2:]))]


def _pooled(n, kernel, pad, stride):
    """Caffe rounds up, but no window begins beyond the image."""
    count = -(-(n + 2 * pad - kernel) // stride) + 1
    return count - 1 if pad and (count - 1) * stride >= n + pad else count


def _concat(_, *bottoms):
    n, _, height, width = bottoms[0]
    return [(n, sum(bottom[1] for bottom in bottoms), height, width)]


def _interp(layer, bottom):
    return [(*bottom[:2], *decode(SizeRule, layer.python_param.param_str).output(*bottom[2:]))]


def _attention(_, *bottoms):
    return [bottoms[0], bottoms[-1]]


def _data(layer):
    options = decode(LoaderOptions, layer.python_param.param_str)
    n, crop = options.batch_size, options.crop_size
    return [(n, 3, crop, crop), (n, 1, crop, crop)]


def _loss(*_):
    return [()]


#: The shapes of a layer's tops from the layer and the shapes of its bottoms, by type.
_RULES = {
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _same,
    "Eltwise": _same,
    "Interp": _interp,
    "LabelShrink": _interp,
    "Pooling": _pooling,
    "Power": _same,
    "ReLU": _same,
    "ScaleAttention": _attention,
    "SegData": _data,
    "SoftmaxWithLoss": _loss,
}
