"""From the plain 16-layer VGG net to the start of DeepLab-LargeFOV."""

import numpy as np

from attscale.errors import WeightsError
from attscale.nets.geometry import STAGES
from attscale.weights.caffemodel import Layer
from attscale.weights.load import fit

FC_CHANNELS = 1024  # of LargeFOV's fc6 and fc7, from VGG's 4096
KERNEL = 3  # of LargeFOV's fc6, from VGG's 7


def spread(n, m):
    """m of the indices 0 .. n - 1, evenly spaced from the first to the last: taps of a kernel that keep its extent."""
    return [i * (n - 1) // (m - 1) for i in range(m)]


def every(n, m):
    """Every (n / m)-th of n indices, m of them, from the first on; m divides n."""
    return list(range(0, n, n // m))


def fc6_to_convolution(weights, bias, *, channels, kernel):
    """VGG's fc6, (outputs, inputs, 7, 7), to (channels, inputs, kernel, kernel), and its bias."""
    keep, taps = every(len(weights), channels), spread(weights.shape[2], kernel)
    return np.ascontiguousarray(weights[keep][:, :, taps][:, :, :, taps]), bias[keep]


def fc7_to_convolution(weights, bias, *, channels):
    """VGG's fc7, (outputs, inputs), to (channels, channels, 1, 1) on the outputs kept of fc6, and its bias."""
    outputs, inputs = every(weights.shape[0], channels), every(weights.shape[1], channels)
    return np.ascontiguousarray(weights[outputs][:, inputs])[:, :, None, None], bias[outputs]


def largefov_from_vgg(weights):
    """The layers conv1_1 to conv5_3, fc6 and fc7 of LargeFOV, from VGG_ILSVRC_16_layers as a Caffemodel.

    The release gives vgg16_20M.caffemodel without the recipe. DeepLab's paper says that fc6 is subsampled from 7x7 to
    a smaller kernel and that 1024 of the 4096 filters are kept; which ones is our choice: every fourth, and the taps
    0, 3 and 6. fc8, ImageNet's 1000 classes, is left out. Raises WeightsError for any other net.
    """

    def blobs(name, outputs, *inputs):
        if name not in weights.layers:
            raise WeightsError(f"{weights.path}: has no layer {name}, so it is not the 16-layer VGG net")
        return fit(weights, name, [(outputs, *inputs), (outputs,)])

    result, inputs = [], 3
    for stage, (depth, channels, _, _) in enumerate(STAGES, start=1):
        for i in range(1, depth + 1):
            name = f"conv{stage}_{i}"
            result.append(Layer(name, "Convolution", blobs(name, channels, inputs, 3, 3)))
            inputs = channels
    fc6 = fc6_to_convolution(*blobs("fc6", 4096, inputs, 7, 7), channels=FC_CHANNELS, kernel=KERNEL)
    fc7 = fc7_to_convolution(*blobs("fc7", 4096, 4096), channels=FC_CHANNELS)
    return [*result, Layer("fc6", "Convolution", fc6), Layer("fc7", "Convolution", fc7)]
