"""Run folders: what was asked for, by which versions, and who is at work on it. Knows nothing of Caffe."""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import os
import subprocess
import time
from pathlib import Path

from attscale import experiments, options
from attscale.errors import ExperimentError, RunError, UserError, reading
from attscale.files import make_folder, write_text

#: What is in the folder of a run, besides the prototxts that run, which go by `prototxt.FILES`.
RECORD = "run.json"  # what was asked for
CAFFE = "caffe.json"  # the Caffe that trains it: `machine.build.caffe_build`, at the last start
LOG = "log.jsonl"
BOARD = "tensorboard"
PLOT = "losses.png"
CONSOLE = "console.log"  # what its processes said
SNAPSHOTS = "snapshots"
FINAL = "final.caffemodel"
SHARED = ".shared"  # between the processes of a start
_REPO = Path(__file__).parents[3]
_PACKAGES = ("matplotlib", "numpy", "opencv-python-headless", "pillow", "protobuf", "scipy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """All that decides the outcome of a training run, and how it is watched and kept."""

    experiment: str
    data: str  # folder of the data sets, absolute
    weights: str | None = None  # caffemodel to start from, absolute
    seed: int = 0
    max_iter: int
    batch_size: int
    iter_size: int
    gpus: tuple[int, ...] = ()  # none: CPU
    threads: int | None = None
    test_interval: int = 0  # iterations; 0: never
    snapshot_interval: int = 500  # iterations
    keep: int = 3  # snapshots, besides the best
    log_interval: int = 20  # iterations

    @classmethod
    def of(cls, row, **others):
        """The options of `row` with its own iterations and batch; `others`: the rest, `data` at least."""
        solver = row.solver
        own = {"max_iter": solver.max_iter, "batch_size": solver.batch_size, "iter_size": solver.iter_size}
        return cls(experiment=row.name, **(own | others))

    @property
    def row(self):
        """The experiment, with this run's iterations and batch."""
        row = experiments.find(self.experiment)
        own = {"max_iter": self.max_iter, "batch_size": self.batch_size, "iter_size": self.iter_size}
        return dataclasses.replace(row, solver=dataclasses.replace(row.solver, **own))

    @property
    def ranks(self):
        """How many processes train it: one for each GPU, or one on the CPU."""
        return max(1, len(self.gpus))


def split_batch(row, gpus, batch_size, iter_size):
    """batch_size and iter_size: the row's images an iteration, shared by the GPUs, unless both are given.

    A batch size alone changes the images an iteration on one device, as in Caffe's own solvers; on several GPUs it
    says how the images are shared. Raises ExperimentError where they do not divide.
    """
    batch = batch_size or row.solver.batch_size
    if iter_size or (batch_size and gpus <= 1):
        return {"batch_size": batch, "iter_size": iter_size or row.solver.iter_size}
    images, at_once = row.solver.batch_size * row.solver.iter_size, batch * max(1, gpus)
    if images % at_once:
        raise ExperimentError(
            f"{images} images an iteration are no multiple of {gpus} GPUs times batches of {batch}: "
            "give --batch-size or --iter-size"
        )
    return {"batch_size": batch, "iter_size": images // at_once}


def splits(batch_size, iter_size):
    """(batch_size, iter_size) and every smaller batch with as many images an iteration, the largest first."""
    images = batch_size * iter_size
    return [(n, images // n) for n in range(batch_size, 0, -1) if images % n == 0]


def create(folder, run_options, command):
    """Makes the run folder and its record. Raises RunError where one is there already."""
    folder = Path(folder)
    if (folder / FINAL).exists():
        raise RunError(f"{folder / FINAL} exists: this run is finished; choose another --out or remove the folder")
    if (folder / RECORD).exists():
        raise RunError(f"{folder} holds a run: continue it with --resume {folder}, or choose another --out")
    make_folder(folder)
    record = {
        "options": options.to_values(run_options),
        "command": command,
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def load(folder):
    """The RunOptions of the run in `folder`. Raises RunError where there is none."""
    path = Path(folder, RECORD)
    if not path.exists():
        raise RunError(f"{folder}: no run (it has no {RECORD})")
    with reading(path, RunError):
        values = json.loads(path.read_text())["options"]
    try:
        return options.from_values(RunOptions, values)
    except UserError as error:
        raise RunError(f"{path}: {error}") from None


def forget(folder):
    """Takes the record of a run back that failed before it had done anything: the folder is free to be used again."""
    folder = Path(folder)
    log = folder / LOG
    if not any(folder.glob(f"{SNAPSHOTS}/iter_*")) and not (log.exists() and log.stat().st_size):
        (folder / RECORD).unlink(missing_ok=True)


@contextlib.contextmanager
def lock(folder):
    """Holds the run: raises RunError while another process does."""
    with open(Path(folder, RECORD), "r+") as file:  # network file systems lock only what may be written
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: another process is training this run") from None
        yield


def versions():
    """What makes the numbers, besides Caffe: this project's commit, and packages."""
    return {
        "attscale": _commit(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _commit():
    """The commit of the checkout, with a + where files differ from it; None outside of a checkout.

    An image has no checkout: what it was built from is in ATTSCALE_COMMIT.
    """
    if built_from := os.environ.get("ATTSCALE_COMMIT"):
        return built_from
    try:
        describe = ["git", "-C", str(_REPO), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        done = subprocess.run(describe, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return None
    return done.stdout.strip() or None
