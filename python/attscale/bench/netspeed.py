"""What a net costs on a device: seconds an iteration, seconds an image, memory; the baseline's and attention's in turn.

Every measurement is a process of its own, `python -m attscale.bench.netspeed TASK PARENT`: so its memory is that of one
net, and Caffe, which answers a lack of memory by aborting the process, takes nothing else with it. `caffe time` knows
neither memory nor what an iteration has besides its passes: batches one after another, images, the solver's update.
"""

import dataclasses
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from attscale import cli, datasets, experiments, processes, prototxt
from attscale.bench import speeds
from attscale.errors import OutOfMemoryError, RunError, UserError, reading
from attscale.machine import device
from attscale.machine.threads import limit_threads
from attscale.options import decode, encode
from attscale.prototxt import Model
from attscale.results.ratios import Ratio
from attscale.training import runs, solvers

BASELINE, ATTENTION = "voc12_largefov", "voc12_attention3_esupv"
_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One measurement: training or inference of one net, at random weights, which cost what trained ones do."""

    name: str
    training: bool
    size: int  # of an image, in pixels
    batch_size: int = 1
    iter_size: int = 1
    iterations: int  # timed, after one that is not: that one allocates, and cuDNN chooses its algorithms
    gpus: tuple[int, ...] = ()  # none: CPU
    data: str = ""  # folder of the data sets, for training

    @property
    def row(self):
        """The experiment from scratch at this size, learning nothing: with rate 0 no loss can explode."""
        row = experiments.find(self.name)
        split = {"batch_size": self.batch_size, "iter_size": self.iter_size}
        return dataclasses.replace(
            row,
            trunk=dataclasses.replace(row.trunk, from_scratch=True),
            pretraining=None,
            crop_size=self.size,
            test_size=self.size,
            solver=dataclasses.replace(row.solver, base_lr=0.0, **split),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a task took: seconds an iteration or image; bytes on the card, or of the process where there is none."""

    seconds: float
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What is measured on, as its driver says it."""

    name: str
    driver: str
    memory: int  # bytes


def card(gpu):
    """The Card with Caffe's number `gpu`, and the bytes of it in use, by nvidia-smi. Raises RunError."""
    query = ["nvidia-smi", f"--id={device.bus_id(gpu)}", "--query-gpu=name,driver_version,memory.total,memory.used"]
    query.append("--format=csv,noheader,nounits")
    with reading("nvidia-smi", RunError):
        done = subprocess.run(query, stdout=subprocess.PIPE, text=True, check=True)
        name, driver, total, used = done.stdout.strip().split(", ")
        return Card(name=name, driver=driver, memory=int(total) << 20), int(used) << 20


def compare(*, on, crop, image, batch_size, iter_size, iterations, rounds, progress=iter):
    """Baseline and attention net on the first GPU, or `on` the "cpu": lines of Markdown, and the Ratios.

    crop, image: pixels of training and inference, 32k + 1. Raises UserError where there is no GPU, or too small a one.
    """
    gpus = (0,) if on == "gpu" else ()
    device.demand(gpus)
    found = card(0)[0] if gpus else None
    dataset = datasets.find("voc12")
    with tempfile.TemporaryDirectory() as data:
        speeds.make_photos(Path(data, dataset.root), 40, source=dataset.list_of(dataset.train))
        split = {"batch_size": batch_size, "iter_size": iter_size}
        round_tasks = tasks(data, gpus=gpus, crop=crop, image=image, iterations=iterations, **split)
        costs = measure(round_tasks, rounds, progress=progress)
    return list(table(costs, found)), ratios(costs, found.name if found else "the CPU")


def tasks(data, *, gpus, crop, image, batch_size, iter_size, iterations):
    """The four Tasks of a round: training at `crop`, then inference at `image` pixels, the baseline first in each."""
    common = {"gpus": gpus, "iterations": iterations}
    split = {"batch_size": batch_size, "iter_size": iter_size, "data": str(data)}
    return [
        *(Task(name=name, training=True, size=crop, **split, **common) for name in (BASELINE, ATTENTION)),
        *(Task(name=name, training=False, size=image, **common) for name in (BASELINE, ATTENTION)),
    ]


def measure(round_tasks, rounds, *, progress=iter):
    """{Task: its Cost in each round}. Raises UserError with the one-line cause where a measurement fails."""
    costs = {task: [] for task in round_tasks}
    for _ in progress(range(rounds)):
        for task in costs:
            costs[task].append(_in_process(task))
    return costs


def _in_process(task):
    used = card(task.gpus[0])[1] if task.gpus else 0
    try:
        cost = decode(Cost, processes.run("attscale.bench.netspeed", encode(task)))
    except UserError as error:
        what = f"{'training' if task.training else 'inference'} of {task.name} at {task.size}"
        smaller = isinstance(error, OutOfMemoryError) and task.batch_size > 1
        raise type(error)(f"{what}: {error}{'; try a smaller --batch-size' if smaller else ''}") from None
    return dataclasses.replace(cost, memory=cost.memory - used)


def run(task):
    """The Cost of the task, measured in this process; on a GPU `memory` is all that is in use on the card."""
    model = Model.of(task.row)
    limit_threads(model)
    device.choose(task.gpus)
    seconds, held = (_training if task.training else _inference)(model, task)
    memory = card(task.gpus[0])[1] if task.gpus else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    del held  # until here, for its memory to be seen
    return Cost(seconds=seconds, memory=memory)


def _training(model, task):
    with tempfile.TemporaryDirectory() as folder:
        solver = solvers.make(model, Path(folder), runs.RunOptions.of(model.row, data=task.data), 0, 0)
    solver.step(1)
    return _timed(lambda: solver.step(1), lambda: _any_weights(solver.net), task.iterations), solver


def _inference(model, task):
    net = prototxt.load(model.deploy)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 60, (1, 3, task.size, task.size))
    scores = net.blobs[model.deployed.output]

    def image():
        net.forward()
        return scores.data.max()  # copied back from the card, as prediction needs it

    image()
    return _timed(image, lambda: None, task.iterations), net


def _timed(step, finish, count):
    """Seconds a step. `finish` waits for what a card has still to do: Caffe starts an update and goes on."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    finish()
    return (time.perf_counter() - started) / count


def _any_weights(net):
    return next(iter(net.params.values()))[0].data.max()


def ratios(costs, where):
    """Attention's images a second beside the baseline's, as Ratios; `where` names the device."""
    result = []
    for kind in (True, False):
        baseline, attention = _pair(costs, kind)
        images = baseline.batch_size * baseline.iter_size
        result.append(
            Ratio(
                name=f"{'training' if kind else 'inference'} on {where}, {ATTENTION}",
                rates=tuple(images / cost.seconds for cost in costs[attention]),
                beside=BASELINE,
                beside_rates=tuple(images / cost.seconds for cost in costs[baseline]),
                cores=os.cpu_count(),
            )
        )
    return result


def table(costs, found=None):
    """The Markdown of docs/gpu.md: medians, and their range over the rounds, of both nets and of their ratio.

    found: the Card, or None for a CPU.
    """
    rounds = len(next(iter(costs.values())))
    where = f"{found.name}, {found.memory / _GIB:.0f} GiB, driver {found.driver}" if found else "CPU"
    yield f"{where}; medians of {rounds} round{'s' * (rounds > 1)} (range):"
    yield from ("", f"| | {BASELINE} | {ATTENTION} | ratio |", "|---|---|---|---|")
    for kind in (True, False):
        baseline, attention = _pair(costs, kind)
        if kind:
            split = f"{baseline.batch_size} x {baseline.iter_size} images of {baseline.size}x{baseline.size}"
            words = f"training, s an iteration of {split}", "memory in training, GiB"
        else:
            words = f"inference, s an image of {baseline.size}x{baseline.size}", "memory in inference, GiB"
        ours, theirs = costs[attention], costs[baseline]
        yield _line(words[0], [cost.seconds for cost in theirs], [cost.seconds for cost in ours])
        yield _line(words[1], [cost.memory / _GIB for cost in theirs], [cost.memory / _GIB for cost in ours])


def _pair(costs, training):
    return (task for name in (BASELINE, ATTENTION) for task in costs if (task.name, task.training) == (name, training))


def _line(words, theirs, ours):
    columns = theirs, ours, [one / other for one, other in zip(ours, theirs, strict=True)]
    return f"| {words} | " + " | ".join(map(_range, columns)) + " |"


def _range(values):
    middle, least, most = (f"{value:.3g}" for value in (median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def main(argv):
    (text,) = processes.adopt(argv)
    print(encode(run(decode(Task, text))))


if __name__ == "__main__":
    cli.run(main)
