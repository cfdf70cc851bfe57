"""PyTorch's side: the same nets, by an interpreter of the layers that ours are made of. Needs torch, and no Caffe."""

import contextlib
import json
import signal
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from attscale import processes
from attscale.bench import machine
from attscale.bench.task import CHANNELS_LAST, COMPILED, Cost, timed
from attscale.datasets import IGNORE
from attscale.errors import UserError
from attscale.ops.interp import SizeRule, nearest
from attscale.options import decode

#: Seconds in which torch.compile has to be done.
PATIENCE = 600


class Net(torch.nn.Module):
    """A net from its layers, dicts with the fields of Caffe's LayerParameter. Raises UserError for a strange layer.

    forward(data, label): {name: top} of the tops that no layer reads: losses in training, scores in testing. A top is
    let go when its last reader has run, as it would be in a function that somebody had written.
    """

    def __init__(self, layers):
        super().__init__()
        self.weights = torch.nn.ParameterDict()
        self._steps, self._channels = [], {"data": 3, "label": 1}
        last = {bottom: number for number, layer in enumerate(layers) for bottom in layer.get("bottom", ())}
        for number, layer in enumerate(layers):
            kind = layer["python_param"]["layer"] if layer["type"] == "Python" else layer["type"]
            if kind in ("Input", "SegData"):
                continue
            if kind not in _LAYERS:
                raise UserError(f"{layer['name']}: the type {kind} is none of those in PyTorch: {', '.join(_LAYERS)}")
            bottoms, tops = layer["bottom"], layer["top"]
            function = _LAYERS[kind](self, layer)
            unread = [bottom for bottom in bottoms if last[bottom] == number and bottom not in tops]
            self._steps.append((function, bottoms, tops, unread))
            for top in tops:
                self._channels.setdefault(top, self._channels[bottoms[0]])

    def forward(self, data, label=None):
        blobs = {"data": data, "label": label}
        for function, bottoms, tops, unread in self._steps:
            made = function(*[blobs[bottom] for bottom in bottoms])
            blobs.update(zip(tops, made if len(tops) > 1 else (made,), strict=True))
            del made
            for bottom in unread:
                del blobs[bottom]
        return {name: blob for name, blob in blobs.items() if name not in ("data", "label")}

    def _convolution(self, layer):
        options = layer["convolution_param"]
        kernel, channels = options["kernel_size"][0], self._channels[layer["bottom"][0]]
        self._channels[layer["top"][0]] = options["num_output"]
        outputs, name = options["num_output"], layer["name"]
        named = [param.get("name", f"{name}_{end}") for param, end in zip(layer["param"], "wb", strict=True)]
        weights, bias = named
        if weights not in self.weights:  # else shared with another scale's layer
            std = (2 / (channels * kernel * kernel)) ** 0.5
            self.weights[weights] = torch.nn.Parameter(std * torch.randn(outputs, channels, kernel, kernel))
            self.weights[bias] = torch.nn.Parameter(torch.zeros(outputs))
        pad, stride, dilation = (
            options.get(key, [usual])[0] for key, usual in (("pad", 0), ("stride", 1), ("dilation", 1))
        )
        return lambda x: F.conv2d(x, self.weights[weights], self.weights[bias], stride, pad, dilation)

    def _dropout(self, layer):
        ratio = layer["dropout_param"]["dropout_ratio"]
        return lambda x: F.dropout(x, ratio, self.training)

    def _concat(self, layer):
        self._channels[layer["top"][0]] = sum(self._channels[bottom] for bottom in layer["bottom"])
        return lambda *parts: torch.cat(parts, 1)


def _relu(net, layer):
    in_place = layer["top"] == layer["bottom"]
    return lambda x: F.relu(x, inplace=in_place)


def _pooling(net, layer):
    options = layer["pooling_param"]
    if options.get("pool", "MAX") != "MAX":
        raise UserError(f"{layer['name']}: pooling is {options['pool']}, expected MAX")
    size = options["kernel_size"], options.get("stride", 1), options.get("pad", 0)
    return lambda x: F.max_pool2d(x, *size, ceil_mode=True)  # as Caffe rounds


def _power(net, layer):
    scale = layer["power_param"]["scale"]
    return lambda x: x * scale


def _interp(net, layer):
    rule = _rule(layer)

    def resized(x, like=None):
        size = like.shape[2:] if rule is None else rule.output(*x.shape[2:])
        x = x if rule is None else rule.crop(x)
        return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)

    return resized


def _label_shrink(net, layer):
    rule = _rule(layer)

    def shrunken(label):
        label = rule.crop(label)
        rows, columns = map(nearest, label.shape[2:], rule.output(*label.shape[2:]))
        return label[:, :, torch.from_numpy(rows)][:, :, :, torch.from_numpy(columns)]

    return shrunken


def _rule(layer):
    text = layer["python_param"].get("param_str")
    return decode(SizeRule, text) if text else None


def _attention(net, layer):
    with_weights = len(layer["top"]) == 2

    def merged(*bottoms):
        *maps, scores = bottoms
        weights = torch.softmax(scores, 1)
        result = sum(weights[:, s : s + 1] * scores for s, scores in enumerate(maps))
        return (result, weights) if with_weights else result

    return merged


def _loss(net, layer):
    return lambda scores, label: F.cross_entropy(scores, label[:, 0].long(), ignore_index=IGNORE)


_LAYERS = {
    "Convolution": Net._convolution,
    "ReLU": _relu,
    "Pooling": _pooling,
    "Dropout": Net._dropout,
    "Power": _power,
    "Concat": Net._concat,
    "Interp": _interp,
    "LabelShrink": _label_shrink,
    "ScaleAttention": _attention,
    "SoftmaxWithLoss": _loss,
}


def run(task):
    """The Cost of the task, measured in this process; on a GPU `memory` is all that is in use on the card.

    Raises UserError where torch.compile needs more than PATIENCE seconds.
    """
    torch.manual_seed(0)
    torch.set_num_threads(task.threads or processes.threads_at_hand())
    torch.backends.cudnn.allow_tf32 = False  # float32, as Caffe
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", task.gpus[0]) if task.gpus else torch.device("cpu")
    layout = torch.channels_last if task.engine in (CHANNELS_LAST, COMPILED) else torch.contiguous_format
    net = Net(json.loads(Path(task.net).read_text())).to(device, memory_format=layout).train(task.training)
    rng = np.random.default_rng(0)
    shape = (task.batch_size if task.training else 1, 3, task.size, task.size)
    data = torch.from_numpy(rng.normal(0, 60, shape).astype(np.float32)).to(device, memory_format=layout)
    called = torch.compile(net) if task.engine == COMPILED else net
    if task.training:
        classes = len(task.row.dataset.classes)
        label = rng.integers(0, classes + 1, (shape[0], 1, *shape[2:]))
        label = torch.from_numpy(np.where(label == classes, IGNORE, label)).to(device)
        step = _training(net, called, data, label, task.row.solver)
    else:
        step = _inference(called, data)
    with _patience(PATIENCE if task.engine == COMPILED else 0):
        step()
    seconds = timed(step, torch.cuda.synchronize if task.gpus else lambda: None, task.iterations)
    if task.gpus:
        from attscale.bench import card

        return Cost(seconds=seconds, memory=card.read(task.gpus[0]).used)
    return Cost(seconds=seconds, memory=machine.peak())


def _training(net, called, data, label, solver):
    """A step of SGD with momentum and decay, learning nothing, as the Task says."""
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.0, momentum=solver.momentum, weight_decay=solver.weight_decay, fused=True
    )

    def step():
        optimizer.zero_grad(set_to_none=True)
        sum(called(data, label).values()).backward()
        optimizer.step()

    return step


def _inference(called, data):
    @torch.inference_mode()
    def step():
        return [top.max().item() for top in called(data).values()]

    return step


@contextlib.contextmanager
def _patience(seconds):
    """Ends what is inside with a UserError after so many seconds; 0: never."""

    def stop(*_):
        raise UserError(f"torch.compile is not done after {seconds} s")

    usual = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
