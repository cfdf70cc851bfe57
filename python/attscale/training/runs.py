"""Run folders: what was asked for, by which versions, and who is at work on it. Knows nothing of Caffe."""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from attscale import options
from attscale.errors import ExperimentError, OutOfMemoryError, RunError, UserError, reading
from attscale.files import clear, make_folder, naming
from attscale.processes import ProcessDiedError

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
PARTIAL = ".partial"  # in SNAPSHOTS: one that is being written
_REPO = Path(__file__).parents[3]
_MOST = {"seed": 2**63 - 1}  # of Caffe's int64; all others are its int32
_PACKAGES = ("matplotlib", "numpy", "opencv-python-headless", "pillow", "protobuf", "scipy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """All that decides the outcome of a training run, and how it is watched and kept."""

    experiment: str  # its name, or that of the edited net
    net: str | None = None  # folder of the edited prototxts, absolute
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

    def __post_init__(self):
        for name, least in {
            **dict.fromkeys(("max_iter", "batch_size", "iter_size", "snapshot_interval", "keep", "log_interval"), 1),
            **dict.fromkeys(("seed", "test_interval"), 0),
            **({"threads": 1} if self.threads is not None else {}),
        }.items():
            value, most = getattr(self, name), _MOST.get(name, 2**31 - 1)
            if not least <= value <= most:
                raise RunError(f"{name} is {value}, expected {least} to {most}")
        if len(set(self.gpus)) < len(self.gpus) or any(not 0 <= gpu < 2**31 for gpu in self.gpus):
            raise RunError(f"gpus are {','.join(map(str, self.gpus))}, expected different numbers from 0")

    @classmethod
    def of(cls, row, **others):
        """The options of `row` with its own iterations and batch; `others`: the rest, `data` at least."""
        solver = row.solver
        own = {"max_iter": solver.max_iter, "batch_size": solver.batch_size, "iter_size": solver.iter_size}
        return cls(experiment=row.name, **(own | others))

    @property
    def ranks(self):
        """How many processes train it: one for each GPU, or one on the CPU."""
        return max(1, len(self.gpus))


def split_batch(own, gpus, batch_size, iter_size):
    """batch_size and iter_size: the net's own images an iteration, shared by the GPUs, unless both are given.

    own: what has its batch_size and iter_size, such as a Solver.
    A batch size alone changes the images an iteration on one device, as in Caffe's own solvers; on several GPUs it
    says how the images are shared. Raises ExperimentError where they do not divide.
    """
    batch = batch_size or own.batch_size
    if iter_size or (batch_size and gpus <= 1):
        return {"batch_size": batch, "iter_size": iter_size or own.iter_size}
    images, at_once = own.batch_size * own.iter_size, batch * max(1, gpus)
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
    """Makes the run folder and its record. Raises RunError where one is there already, or is begun at this moment."""
    folder = Path(folder)
    if (folder / FINAL).exists():
        raise RunError(f"{folder / FINAL} exists: this run is finished; choose another --out or remove the folder")
    _demand_none(folder)
    make_folder(folder)
    record = {
        "options": options.to_values(run_options),
        "command": command,
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    with lock(folder) as file:
        _demand_none(folder)
        with naming(folder / RECORD):
            file.write(json.dumps(record, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())


def is_begun(folder):
    """Whether the run in `folder` has its record; one without a word is of a process that was killed over it."""
    path = Path(folder, RECORD)
    return path.exists() and path.stat().st_size > 0


def _demand_none(folder):
    if is_begun(folder):
        raise RunError(f"{folder} holds a run: continue it with --resume {folder}, or choose another --out")


@contextlib.contextmanager
def begun(folder, run_options, command):
    """As `create`; a run that then fails by its own fault before it has done anything leaves no folder behind.

    One that memory or a signal ended stays: it can be continued.
    """
    folder = Path(folder)
    fresh = not folder.exists() or not any(folder.iterdir())
    create(folder, run_options, command)
    try:
        yield
    except (ProcessDiedError, OutOfMemoryError):
        raise
    except UserError:
        _forget(folder, fresh)
        raise


def load(folder):
    """The RunOptions of the run in `folder`. Raises RunError where there is none."""
    path = Path(folder, RECORD)
    if not is_begun(folder):
        raise RunError(f"{folder}: no run (it has no {RECORD})")
    with reading(path, RunError):
        values = json.loads(path.read_text())["options"]
    try:
        return options.from_values(RunOptions, values)
    except UserError as error:
        raise RunError(f"{path}: {error}") from None


def _forget(folder, fresh):
    """Takes a run back unless there is something to continue. fresh: whether all that is in the folder is the run's."""
    log = folder / LOG
    if any(folder.glob(f"{SNAPSHOTS}/iter_*")) or (log.exists() and log.stat().st_size):
        return
    with contextlib.suppress(RunError), lock(folder):  # or another process has taken it up
        if fresh:
            shutil.rmtree(folder)
        else:
            (folder / RECORD).unlink()


@contextlib.contextmanager
def lock(folder):
    """Holds the run by its record, which is written once and never replaced; yields that file, open to be appended to.

    Raises RunError while another process holds it.
    """
    path = Path(folder, RECORD)
    with naming(path):
        file = open(path, "a")  # noqa: SIM115, closed below
    with file:  # for appending: network file systems lock only what may be written
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise FileNotFoundError
        except (BlockingIOError, FileNotFoundError):  # or it has just taken the run back
            raise RunError(f"{folder}: another process is training this run") from None
        yield file


def tidy(folder):
    """Removes what killed processes of this run have left half-written in its folder. To be called under its lock."""
    clear(folder)
    (Path(folder) / SHARED).unlink(missing_ok=True)
    shutil.rmtree(Path(folder, SNAPSHOTS, PARTIAL), ignore_errors=True)


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
