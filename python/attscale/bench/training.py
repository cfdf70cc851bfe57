"""What training costs besides Caffe's own work: memory over many iterations, and time outside of the solver."""

import contextlib
import dataclasses
import tempfile
import threading
from pathlib import Path

from attscale import experiments
from attscale.bench import speeds
from attscale.data import shapes
from attscale.errors import RunError
from attscale.machine import device
from attscale.machine.threads import limit_threads
from attscale.prototxt import Model
from attscale.training import journal, loop, runs

#: What is allowed: growth of memory after the first WARM iterations, and the share of time outside of Caffe.
MOST_GROWTH, MOST_OUTSIDE, WARM = 0.02, 0.02, 100
_EVERY = 20  # iterations from record to record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """MiB resident, of the trainer and its loaders together, by iteration; and seconds in all and outside of Caffe."""

    memory: tuple[tuple[int, float], ...]
    seconds: float
    outside: float  # of the solver's steps, and in what they call of ours after every layer
    waited: float  # for data, inside of Caffe's forward

    @property
    def growth(self):
        """The most memory after the first WARM iterations beside the most until then, less 1."""
        warm = max(mib for iteration, mib in self.memory if iteration <= WARM)
        return max(mib for iteration, mib in self.memory if iteration >= WARM) / warm - 1


def measure(iterations):
    """The Cost of that many iterations of the narrow `shapes` net, on the CPU, on freshly made images.

    Raises RunError for so few that nothing comes after the first WARM.
    """
    if iterations < 2 * WARM:
        raise RunError(f"{iterations} iterations, expected at least {2 * WARM}: memory is looked at after {WARM}")
    row = experiments.find("shapes")
    model = Model.of(row).having(max_iter=iterations)
    limit_threads(model)
    device.choose(())
    with tempfile.TemporaryDirectory() as folder, _Memory(folder) as memory:
        shapes.make(Path(folder, "data/shapes"), train=50, val=2, seed=0)
        options = runs.RunOptions.of(
            row, max_iter=iterations, data=f"{folder}/data", log_interval=_EVERY, snapshot_interval=WARM // 2
        )
        if loop.train(model, folder, options) is None:
            raise KeyboardInterrupt
        log = journal.read(folder)
    total = {name: sum(record[name] for record in log) for name in ("seconds", "seconds_outside_caffe")}
    return Cost(
        memory=tuple(memory.seen),
        seconds=total["seconds"],
        outside=total["seconds_outside_caffe"],
        waited=sum(record["seconds_waited_for_data"] for record in log),
    )


def lines(cost):
    """What was measured, with what is allowed beside it."""
    yield f"memory after the first {WARM} iterations: {cost.growth:+.2%} (at most {MOST_GROWTH:.0%})"
    yield (
        f"time outside of Caffe's forward, backward and update: {cost.outside / cost.seconds:.2%} "
        f"(at most {MOST_OUTSIDE:.0%}); waiting for data, inside of forward: {cost.waited / cost.seconds:.2%}"
    )


class _Memory:
    """Looks every second at the memory of this process and its children, and how far the run's log is."""

    def __init__(self, run):
        self.seen = []  # (iteration, MiB)
        self._run, self._done = run, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(1):
            log = Path(self._run, runs.LOG)
            iteration = _EVERY * len(log.read_text().splitlines()) if log.exists() else 0
            mib = 0
            children = Path(f"/proc/self/task/{threading.main_thread().native_id}/children").read_text().split()
            for pid in ("self", *children):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    mib += speeds.resident(pid)
            self.seen.append((iteration, mib))
