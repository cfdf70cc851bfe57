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
from attscale.errors import ExperimentError, RunError, UserError
from attscale.files import make_folder, write_text

RECORD, FINAL = "run.json", "final.caffemodel"
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

    @property
    def row(self):
        """The experiment, with this run's iterations and batch."""
        row = experiments.find(self.experiment)
        changes = {name: getattr(self, name) for name in ("max_iter", "batch_size", "iter_size")}
        return dataclasses.replace(row, solver=dataclasses.replace(row.solver, **changes))


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


def create(folder, run_options, command):
    """Makes the run folder and its record. Raises RunError where one is there already."""
    folder = Path(folder)
    if (folder / FINAL).exists():
        raise RunError(f"{folder / FINAL} exists: this run is finished; choose another --out or remove the folder")
    if (folder / RECORD).exists():
        raise RunError(f"{folder} holds a run: continue it with --resume {folder}, or choose another --out")
    make_folder(folder)
    record = {
        "options": json.loads(options.encode(run_options)),
        "command": command,
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def load(folder):
    """The RunOptions of the run in `folder`. Raises RunError where there is none."""
    path = Path(folder, RECORD)
    try:
        record = json.loads(path.read_text())
        return options.decode(RunOptions, json.dumps(record["options"]))
    except FileNotFoundError:
        raise RunError(f"{folder}: no run (it has no {RECORD})") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: not a run's record: {error}") from None
    except UserError as error:
        raise RunError(f"{path}: {error}") from None


def forget(folder):
    """Takes the record of a run back that failed before it had done anything: the folder is free to be used again."""
    folder = Path(folder)
    log = folder / "log.jsonl"
    if not any(folder.glob("snapshots/iter_*")) and not (log.exists() and log.stat().st_size):
        (folder / RECORD).unlink(missing_ok=True)


@contextlib.contextmanager
def lock(folder):
    """Holds the run: raises RunError while another process does."""
    with open(Path(folder, RECORD)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: another process is training this run") from None
        yield


def versions():
    """What made the numbers: Caffe's source and patches, this project's commit, and packages."""
    build = Path(_REPO, "build/caffe/BUILD")
    return {
        "caffe": build.read_text().splitlines() if build.exists() else None,
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
        done = subprocess.run(describe, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
