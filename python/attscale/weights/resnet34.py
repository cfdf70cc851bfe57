"""From torchvision's ResNet-34 to the start of the nets on ResNet-34."""

import numpy as np

from attscale.errors import WeightsError
from attscale.nets.geometry import RESNET34_STAGES
from attscale.weights.caffemodel import Layer

#: What torchvision divides images by, R, G, B, once they are 0 to 1 and less the mean (0.485, 0.456, 0.406).
STD = (0.229, 0.224, 0.225)


def from_state_dict(state):
    """The layers of ResNet-34, up to layer4, from torchvision's StateDict; fc, ImageNet's classes, is left out.

    Our nets take B, G, R from 0 to 255 less the mean: conv1's inputs change places and are divided by 255 std. So the
    mean to subtract is torchvision's, 255 x (0.406, 0.456, 0.485): 103.53, 116.28, 123.675. A BatchNorm becomes
    Caffe's BatchNorm (mean, variance, and the factor 1 that both are divided by) and Scale; eps is 1e-5 in both. Raises
    WeightsError for any other net.
    """
    result = []
    for conv, norm, name, shape in layers():
        weights = _floats(state, f"{name[0]}.weight", shape)
        if conv == "conv1":
            weights = weights[:, ::-1] / (255 * np.array(STD[::-1], np.float32)[:, None, None])
        result.append(Layer(conv, "Convolution", (weights,)))
        mean, variance, scale, bias = (
            _floats(state, f"{name[1]}.{kind}", shape[:1]) for kind in ("running_mean", "running_var", "weight", "bias")
        )
        result.append(Layer(norm, "BatchNorm", (mean, variance, np.ones(1, np.float32))))
        result.append(Layer(f"{norm}_scale", "Scale", (scale, bias)))
    return result


def layers():
    """Yields (our convolution, our BatchNorm, torchvision's names of both, the convolution's shape), in order."""
    yield "conv1", "bn1", ("conv1", "bn1"), (64, 3, 7, 7)
    inputs = 64
    for stage, (blocks, channels, _, _) in enumerate(RESNET34_STAGES, start=1):
        for block in range(blocks):
            ours, theirs = f"layer{stage}_{block}", f"layer{stage}.{block}"
            for number in (1, 2):
                names = f"{theirs}.conv{number}", f"{theirs}.bn{number}"
                yield f"{ours}_conv{number}", f"{ours}_bn{number}", names, (channels, inputs, 3, 3)
                if number == 1 and inputs != channels:
                    names = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
                    yield f"{ours}_downsample", f"{ours}_downsample_bn", names, (channels, inputs, 1, 1)
                inputs = channels


def _floats(state, name, shape):
    if name not in state:
        raise WeightsError(f"{state.path}: has no {name}, so it is not torchvision's ResNet-34")
    if state.shapes[name] != shape:
        raise WeightsError(f"{state.path}: {name} is {state.shapes[name]}, expected {shape}: not ResNet-34")
    return state[name].astype(np.float32)
