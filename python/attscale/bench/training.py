"""What training costs besides Caffe's own work: memory over many iterations, and time outside of the solver."""

import contextlib
import dataclasses
import tempfile
import threading
from pathlib import Path

from attscale import experiments
from attscale.bench.machine import resident
from attscale.data import shapes
from attscale.errors import RunError
from attscale.machine import device
from attscale.machine.threads import limit_threads
from attscale.prototxt import Model
from attscale.results.benchmarks import Findings, Ratio
from attscale.training import journal, loop, runs

EXPERIMENT, WARM = "shapes", 100
#: What is asked of memory after the first WARM iterations beside that until then, and of the time outside of Caffe.
MEMORY, OUTSIDE = 1.02, 0.02
_EVERY = 20  # iterations from record to record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """MiB resident, of the trainer and its loaders together, by iteration; and seconds in all and outside of Caffe."""

    memory: tuple[tuple[int, float], ...]
    seconds: float
    outside: float  # of the solver's steps, and in what they call of ours after every layer
    waited: float  # for data, inside of Caffe's forward


def costs(*, iterations, progress=iter):
    """The findings of `measure`; a run of training shows its own progress."""
    return findings(measure(iterations))


def measure(iterations):
    """The Cost of that many iterations of the narrow `shapes` net, on the CPU, on freshly made images.

    Raises RunError for so few that nothing comes after the first WARM.
    """
    if iterations < 2 * WARM:
        raise RunError(f"{iterations} iterations, expected at least {2 * WARM}: memory is looked at after {WARM}")
    row = experiments.find(EXPERIMENT)
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


def findings(cost):
    """The most memory after the first WARM iterations beside the most until then, and the shares of time."""
    until = max(mib for iteration, mib in cost.memory if iteration <= WARM)
    later = max(mib for iteration, mib in cost.memory if iteration >= WARM)
    names = f"memory after {WARM} iterations", f"until then of {EXPERIMENT}"
    whole = {"beside": f"the training of {EXPERIMENT}", "beside_values": (cost.seconds,), "unit": "s"}
    return Findings(
        ratios=(
            Ratio(name=names[0], values=(later,), beside=names[1], beside_values=(until,), unit="MiB", at_most=MEMORY),
            Ratio(name="time outside of Caffe", values=(cost.outside,), at_most=OUTSIDE, **whole),
            Ratio(name="waiting for data", values=(cost.waited,), **whole),
        ),
        notes=("Outside of Caffe is what is not forward, backward and update; data are waited for inside of forward.",),
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
                    mib += resident(pid)
            self.seen.append((iteration, mib))
