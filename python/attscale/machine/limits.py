"""What Caffe can hold: INT_MAX values in one piece; a larger one has it end the process.

So an image or a batch that is too large is refused before a net is built for it, by the shapes of a smaller one.
"""

import caffe

from attscale import prototxt
from attscale.errors import ExperimentError

#: Values of a blob, and of the buffer in which a convolution unfolds one image (INT_MAX).
VALUES = 2**31 - 1
_SMALL = 65  # pixels a side of the net that the others are judged by


def small(model):
    """The model's deploy net on a small image, for the functions below."""
    return prototxt.load(model.deploy_net(_SMALL))


def small_training(model):
    """Its training net, without data."""
    return prototxt.load(model.fed_by_hand(1, _SMALL), caffe.TRAIN)


def pieces(net, height, width):
    """How large pieces are for an image of that size, (height, width) = 32k + 1: {top: values an image}; and buffers.

    net: one of the above, or a deploy net on any image. A buffer holds one image, unfolded: nine values for each that a
    3x3 convolution reads.
    """
    before = net.blobs["data"].shape[2:]
    names = list(net.blobs)
    tops, buffers = {}, {}
    for number, name in enumerate(net._layer_names):
        for top in (names[index] for index in net._top_ids(number)):
            shape = net.blobs[top].shape
            if len(shape) != 4:
                continue
            sides = [
                (n - 1) * (to - 1) // (of - 1) + 1 for n, to, of in zip(shape[2:], (height, width), before, strict=True)
            ]
            tops[top] = shape[1] * sides[0] * sides[1]
            if net.layers[number].type == "Convolution" and (kernel := net.params[name][0].shape)[2] > 1:
                buffers[name] = kernel[1] * kernel[2] * kernel[3] * sides[0] * sides[1]
    return tops, buffers


def largest(net, n, height, width):
    """The layer or blob that needs the largest piece for n images, and its values. As `pieces`."""
    tops, buffers = pieces(net, height, width)
    values = {name: n * values for name, values in tops.items()}
    values |= {name: size for name, size in buffers.items() if size > values.get(name, 0)}
    return max(values.items(), key=lambda item: item[1])


def excess(net, n, height, width):
    """What would be too large, in words, or None. As `largest`."""
    name, values = largest(net, n, height, width)
    return None if values <= VALUES else f"{name} would need {values:,} values at once, Caffe holds {VALUES:,}"


def largest_side(net):
    """The largest 32k + 1 for which the deploy net fits on one square image."""
    side = _SMALL
    while excess(net, 1, side + 32, side + 32) is None:
        side += 32
    return side


def check_batch(model):
    """Raises ExperimentError, with the largest that fits, where the model's batch is too large for its training net."""
    net, crop = small_training(model), (model.crop_size, model.crop_size)
    if words := excess(net, model.batch_size, *crop):
        tops, _ = pieces(net, *crop)
        fits = VALUES // max(tops.values())
        raise ExperimentError(f"--batch-size {model.batch_size}: {words}; for {model.name} {fits} is the largest")
