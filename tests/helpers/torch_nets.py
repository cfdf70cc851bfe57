"""A second statement of the nets on ResNet-34, in PyTorch's functions, by torchvision's names of the weights.

Written from He et al., Deep Residual Learning, and Zhao et al., Pyramid Scene Parsing Network; shares nothing with
attscale.nets. Needs PyTorch (`pip install -e '.[bench]'`): import it after `pytest.importorskip("torch")`.
"""

import numpy as np
import torch
import torch.nn.functional as F

EPS = 1e-5
#: blocks, channels, stride of the first block, dilation of its first convolution, dilation of all others
RESNET34 = ((3, 64, 1, 1, 1), (4, 128, 2, 1, 1), (6, 256, 1, 1, 2), (3, 512, 1, 2, 4))


def random_state(seed=0, *, calm=False):
    """A state dict of ResNet-34 as torchvision's, drawn so that no layer's output vanishes or explodes.

    calm: a ReLU's inputs are all well above zero, or in a part of the channels all well below. So none changes sides by
    rounding, which would change the gradient by far more: by 1e-2 between float32 and float64 of PyTorch itself.
    """
    rng, state = np.random.default_rng(seed), {}

    def conv(name, outputs, inputs, kernel):
        drawn = rng.normal(0, (2 / (inputs * kernel * kernel)) ** 0.5, (outputs, inputs, kernel, kernel))
        state[f"{name}.weight"] = torch.from_numpy(drawn.astype(np.float32))

    def norm(name, channels):
        scale, bias = rng.uniform(0.3, 0.9, channels), rng.normal(0, 0.1, channels)
        if calm:
            scale, bias = rng.uniform(0.05, 0.15, channels), np.ones(channels)
            if name.endswith("bn1"):  # of the stem few are on, for max pooling has its ties as well
                bias[:: 2 if "." in name else 1] = -1
                bias[::8] = 1
        for kind, drawn in (
            ("weight", scale),
            ("bias", bias),
            ("running_mean", rng.normal(0, 0.1, channels)),
            ("running_var", rng.uniform(0.5, 1.5, channels)),
        ):
            state[f"{name}.{kind}"] = torch.from_numpy(drawn.astype(np.float32))
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, (blocks, channels, *_) in enumerate(RESNET34, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            conv(f"{name}.conv1", channels, inputs, 3)
            norm(f"{name}.bn1", channels)
            conv(f"{name}.conv2", channels, channels, 3)
            norm(f"{name}.bn2", channels)
            if inputs != channels:
                conv(f"{name}.downsample.0", channels, inputs, 1)
                norm(f"{name}.downsample.1", channels)
            inputs = channels
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    return state


def batch_norm(state, name, x, *, training):
    """With the batch's statistics (`training`), which become the running ones, or with these."""
    running = (state[f"{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *running, training=training, momentum=1, eps=EPS)


def resnet34(state, x, *, training):
    """Tops by name of ResNet-34 at stride 8; x: (N, 3, H, W), normalised as torchvision does it."""

    def normalised(conv, norm, x, **options):
        return batch_norm(state, norm, F.conv2d(x, state[f"{conv}.weight"], **options), training=training)

    tops = {"conv1": F.relu(normalised("conv1", "bn1", x, stride=2, padding=3))}
    tops["maxpool"] = x = F.max_pool2d(tops["conv1"], 3, stride=2, padding=1)
    for stage, (blocks, _, stride, first, others) in enumerate(RESNET34, start=1):
        for block in range(blocks):
            name, begins = f"layer{stage}.{block}", block == 0
            one, step = (first, stride) if begins else (others, 1)
            y = F.relu(normalised(f"{name}.conv1", f"{name}.bn1", x, stride=step, dilation=one, padding=one))
            y = normalised(f"{name}.conv2", f"{name}.bn2", y, dilation=others, padding=others)
            if f"{name}.downsample.0.weight" in state:
                x = normalised(f"{name}.downsample.0", f"{name}.downsample.1", x, stride=step)
            x = F.relu(x + y)
        tops[f"layer{stage}"] = x
    return tops


def pyramid(state, x, *, training):
    """Pyramid pooling by the layers' names of ours: state has psp1_conv.weight, psp1_bn.weight and so on."""
    joined = [x]
    for bins in (1, 2, 3, 6):
        y = F.conv2d(F.adaptive_avg_pool2d(x, bins), state[f"psp{bins}_conv.weight"])
        y = F.relu(batch_norm(state, f"psp{bins}_bn", y, training=training))
        joined.append(F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True))
    y = F.conv2d(torch.cat(joined, 1), state["psp_conv.weight"], padding=1)
    return F.relu(batch_norm(state, "psp_bn", y, training=training))
