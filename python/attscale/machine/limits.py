"""What Caffe can hold: INT_MAX values in one piece; a larger one has it end the process.

So an image or a batch that is too large is refused before a net is built for it.
"""

import math

from attscale import datasets
from attscale.errors import ExperimentError
from attscale.nets.geometry import MSC_CHANNELS, STAGES, STRIDE, output_name

#: Values of a blob, and of the buffer in which a convolution unfolds one image (INT_MAX).
VALUES = 2**31 - 1


def pieces(row, height, width, *, training=False):
    """Which layers' tops may be the largest of the row's deploy or training net, {name: values an image}; buffers too.

    At the image's size are the first top, the deploy net's output and MSc's first branch; what reads several scales may
    be as large. A buffer holds one image, unfolded: nine values for each that a 3x3 convolution reads.
    """
    pixels = height * width
    channels = row.trunk.channels(STAGES[0][1])
    classes = len(datasets.find(row.dataset).classes)
    tops, buffers = {"conv1_1": channels * pixels}, {"conv1_2": 3**2 * channels * pixels}
    if row.merge == "attention":
        model = row.attention
        features = classes if model.features == "fc8" else row.trunk.channels(1024)
        values = len(row.scales) * features * math.prod((side - 1) // STRIDE + 1 for side in (height, width))
        tops[f"{model.features}_concat"] = values
        buffers["att_conv1" if model.layers == 2 else "att_fc"] = model.kernel_size**2 * values
    if not training:
        tops[output_name(row)] = classes * pixels
        if row.msc:
            tops["data_conv"] = MSC_CHANNELS * pixels
    return tops, buffers


def largest(row, n, height, width, **phase):
    """The layer that needs the largest piece for n images, and its values. As `pieces`."""
    tops, buffers = pieces(row, height, width, **phase)
    values = {name: n * values for name, values in tops.items()} | buffers
    return max(values.items(), key=lambda item: item[1])


def excess(row, n, height, width, **phase):
    """What would be too large, in words, or None. As `largest`."""
    name, values = largest(row, n, height, width, **phase)
    return None if values <= VALUES else f"{name} would need {values:,} values at once, Caffe holds {VALUES:,}"


def largest_side(row):
    """The largest 32k + 1 for which the row's deploy net fits on one square image."""
    return max(side for side in range(33, 1 << 16, 32) if excess(row, 1, side, side) is None)


def check_batch(row):
    """Raises ExperimentError, with the largest that fits, where the row's batch is too large for its training net."""
    batch, crop = row.solver.batch_size, (row.crop_size, row.crop_size)
    if words := excess(row, batch, *crop, training=True):
        tops, _ = pieces(row, *crop, training=True)
        fits = VALUES // max(tops.values())
        raise ExperimentError(f"--batch-size {batch}: {words}; for {row.name} {fits} is the largest")
