"""Measurements in processes of their own, and in turn.

So the memory of each is that of one net, what one leaves in a cache helps none, and Caffe, which answers a lack of
memory by aborting the process, takes nothing else with it.
"""

import dataclasses
import time

from attscale import experiments, processes
from attscale.errors import OutOfMemoryError, UserError
from attscale.options import decode, encode

CAFFE, EAGER, CHANNELS_LAST, COMPILED = "caffe", "eager", "channels-last", "compiled"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One measurement: training or inference of one net, at random weights, which cost what trained ones do."""

    name: str  # of the experiment
    training: bool
    size: int  # of an image, in pixels
    batch_size: int = 1
    iter_size: int = 1
    iterations: int  # timed, after one that is not: that one allocates, and cuDNN chooses its algorithms
    engine: str = CAFFE  # or how PyTorch does it
    net: str = ""  # for PyTorch: the file with the net, as `peer.write` leaves it
    gpus: tuple[int, ...] = ()  # none: CPU
    data: str = ""  # folder of the data sets, for training by SegData; none: a batch in memory
    threads: int = 0  # 0: what suits the net
    stock: str = ""  # what of ours is left to stock Caffe, as CAFFE_STOCK has it
    by_layer: bool = False  # also how long each layer takes

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

    @property
    def title(self):
        """What is measured, for people."""
        kind = "training step" if self.training else "inference"
        batch = f", batch {self.batch_size}" if self.batch_size > 1 else ""
        batch += f" x {self.iter_size}" if self.iter_size > 1 else ""
        return f"{self.name}, {kind} at {self.size}{batch}"

    @property
    def environment(self):
        """What libraries read when they are loaded."""
        threads = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        return threads | ({"CAFFE_STOCK": self.stock} if self.stock else {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a task took: seconds an iteration or image; bytes on the card, or of the process where there is none."""

    seconds: float
    memory: int
    layers: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)  # seconds (forward, backward)
    sgemm: float = 0.0  # GFLOP/s, where layers were measured


def in_turn(tasks, rounds, *, progress=iter, may_fail=lambda task: False):
    """({Task: its Cost in each round}, {Task: why it failed}).

    A task that `may_fail` is left out once it has. Raises UserError with the one-line cause for any other.
    """
    costs, failed = {task: [] for task in tasks}, {}
    for task in progress([task for _ in range(rounds) for task in costs]):
        if task in failed:
            continue
        try:
            costs[task].append(_in_process(task))
        except UserError as error:
            if not may_fail(task):
                raise
            failed[task] = str(error)
            del costs[task]
    return costs, failed


def _in_process(task):
    used = _used(task)
    try:
        cost = decode(Cost, processes.run("attscale.bench.child", encode(task)))
    except UserError as error:
        smaller = isinstance(error, OutOfMemoryError) and task.batch_size > 1
        raise type(error)(f"{task.title}: {error}{'; try a smaller --batch-size' if smaller else ''}") from None
    return dataclasses.replace(cost, memory=cost.memory - used)


def _used(task):
    """Bytes on the card before there is a net."""
    if not task.gpus:
        return 0
    from attscale.bench import card

    return card.read(task.gpus[0]).used


def timed(step, finish, count):
    """Seconds a step. `finish` waits for what a card has still to do: an update is started there, and one goes on."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    finish()
    return (time.perf_counter() - started) / count
