"""Caffe's side: a net of ours, timed, as a whole and by layers."""

import collections
import tempfile
import time
from pathlib import Path

import numpy as np

from attscale import processes, prototxt
from attscale.bench import machine
from attscale.bench.task import Cost, timed
from attscale.datasets import IGNORE
from attscale.inference.predictor import Predictor
from attscale.machine import device
from attscale.machine.threads import limit_threads
from attscale.prototxt import Model
from attscale.training import runs, solvers


def run(task):
    """The Cost of the task, measured in this process; on a GPU `memory` is all that is in use on the card."""
    model = (Model if task.data else InMemory).of(task.row)
    limit_threads(model, task.threads or None)
    device.choose(task.gpus)
    net, step, finish, held = (_training if task.training else _inference)(model, task)
    step()
    clock = Clock(net) if task.by_layer else None
    seconds = timed(step, finish, task.iterations)
    memory = _on_card(task.gpus[0]) if task.gpus else machine.peak()
    del held  # until here, for its memory to be seen
    if clock is None:
        return Cost(seconds=seconds, memory=memory)
    layers = {name: (forward / task.iterations, back / task.iterations) for name, forward, back in clock.seconds()}
    sgemm = machine.sgemm(task.threads or processes.threads_at_hand())
    return Cost(seconds=seconds, memory=memory, layers=layers, sgemm=sgemm)


def _on_card(gpu):
    from attscale.bench import card

    return card.read(gpu).used


def _training(model, task):
    with tempfile.TemporaryDirectory() as folder:
        options = runs.RunOptions.of(model.row, data=task.data or "data")
        solver = solvers.make(model, Path(folder), options, 0, 0)
    if not task.data:
        fill(solver.net, len(model.dataset.classes))
    return solver.net, lambda: solver.step(1), lambda: _any_weights(solver.net), solver


def _any_weights(net):
    return next(iter(net.params.values()))[0].data.max()


class InMemory(Model):
    """A Model whose training net has its batch in inputs, `data` and `label`."""

    def train_net(self, *_, **__):
        return self.fed_by_hand(self.batch_size, self.crop_size)


def fill(net, classes):
    """A batch of noise, and of labels some of which are ignored."""
    rng = np.random.default_rng(0)
    net.blobs["data"].data[...] = rng.normal(0, 60, net.blobs["data"].data.shape)
    if "label" in net.blobs:
        label = rng.integers(0, classes + 1, net.blobs["label"].data.shape)
        net.blobs["label"].data[...] = np.where(label == classes, IGNORE, label)


def _inference(model, task):
    predictor = Predictor(model, share_with=prototxt.load(model.deploy))  # that is, with random weights
    net, image = predictor.net, np.random.default_rng(0).normal(0, 60, (1, 3, task.size, task.size)).astype(np.float32)
    scores = net.blobs[model.deployed.output]

    def step():
        net.blobs["data"].data[...] = image
        net.forward()
        return scores.data.max()  # copied back from the card, as prediction needs it

    return net, step, lambda: None, predictor


class Clock:
    """Seconds of every layer of a net, forward and backward, in all passes from now on. On the CPU."""

    def __init__(self, net):
        self._names = list(net._layer_names)
        self._began = 0.0
        self._forward, self._backward = collections.Counter(), collections.Counter()
        net.before_forward(self._start)
        net.after_forward(lambda layer: self._stop(self._forward, layer))
        net.before_backward(self._start)
        net.after_backward(lambda layer: self._stop(self._backward, layer))

    def _start(self, layer):
        self._began = time.perf_counter()

    def _stop(self, seconds, layer):
        seconds[layer] += time.perf_counter() - self._began

    def seconds(self):
        """Yields (layer's name, seconds forward, seconds backward)."""
        for number, name in enumerate(self._names):
            yield name, self._forward[number], self._backward[number]
