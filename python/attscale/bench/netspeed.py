"""What a net costs on a device: seconds an iteration, seconds an image, memory; the baseline's and attention's in turn.

Every measurement is a process of its own, `python -m attscale.bench.netspeed TASK`: so its memory is that of one net,
and Caffe, which answers a lack of memory by aborting the process, takes nothing else with it.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from attscale import cli, experiments
from attscale.errors import RunError, UserError
from attscale.options import decode, encode
from attscale.results.ratios import Ratio

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
    """The Card with Caffe's number `gpu`, and the bytes of it in use. Raises RunError where nvidia-smi fails."""
    from attscale.machine import device

    command = ["nvidia-smi", f"--id={device.bus_id(gpu)}", "--query-gpu=name,driver_version,memory.total,memory.used"]
    try:
        done = subprocess.run([*command, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True)
    except OSError as error:
        raise RunError(f"nvidia-smi, which tells card, driver and memory: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise RunError(f"nvidia-smi: {(error.stdout + error.stderr).strip()}") from None
    fields = [field.strip() for field in done.stdout.strip().split(",")]
    if len(fields) != 4 or not all(field.isdecimal() for field in fields[2:]):
        raise RunError(f"nvidia-smi says {done.stdout.strip()!r}, expected name, driver and two numbers of MiB")
    total, used = (int(field) << 20 for field in fields[2:])
    return Card(name=fields[0], driver=fields[1], memory=total), used


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
    command = [sys.executable, "-m", "attscale.bench.netspeed", encode(task)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        cost = decode(Cost, done.stdout.splitlines()[-1])
        return dataclasses.replace(cost, memory=cost.memory - used)
    what = f"{'training' if task.training else 'inference'} of {task.name} at {task.size}"
    raise RunError(_cause(done, what, task))


def _cause(done, what, task):
    from attscale.training import supervise

    lines = done.stderr.splitlines()
    if own := [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]:
        return own[-1]
    if cause := supervise.failed_check(lines):
        smaller = "; try a smaller --batch-size" if "out of memory" in cause and task.batch_size > 1 else ""
        return f"{what}: Caffe stopped: {cause}{smaller}"
    return f"{what} ended with status {done.returncode}" + (f"; its last words: {lines[-1]}" if lines else "")


def run(task):
    """The Cost of the task, measured in this process; on a GPU `memory` is all that is in use on the card."""
    from attscale.machine import device
    from attscale.machine.threads import limit_threads

    row = task.row
    limit_threads(row)
    device.choose(task.gpus)
    seconds, held = (_training if task.training else _inference)(row, task)
    memory = card(task.gpus[0])[1] if task.gpus else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    del held  # until here, for its memory to be seen
    return Cost(seconds=seconds, memory=memory)


def _training(row, task):
    solver = _solver(row, task.data)
    solver.step(1)
    return _timed(lambda: solver.step(1), lambda: _any_weights(solver.net), task.iterations), solver


def _inference(row, task):
    import numpy as np

    from attscale import prototxt
    from attscale.nets import geometry

    net = prototxt.load(prototxt.deploy_net(row))
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 60, (1, 3, task.size, task.size))
    read = net.blobs[geometry.output_name(row)]

    def image():
        net.forward()
        return read.data.max()  # copied back from the card, as prediction needs it

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


def _solver(row, data):
    import caffe
    from google.protobuf import text_format

    from attscale import prototxt

    with tempfile.TemporaryDirectory() as folder:
        message = prototxt.solver(row)
        message.net, message.snapshot_prefix = str(Path(folder, "train.prototxt")), str(Path(folder, "train"))
        Path(message.net).write_text(text_format.MessageToString(prototxt.train_net(row, data)))
        path = Path(folder, "solver.prototxt")
        path.write_text(text_format.MessageToString(message))
        return caffe.get_solver(str(path))


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
    (text,) = argv
    try:
        task = decode(Task, text)
    except UserError as error:
        raise UserError(f"a task: {error}") from None
    print(json.dumps(dataclasses.asdict(run(task))))


if __name__ == "__main__":
    cli.run(main)
