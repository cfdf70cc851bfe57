"""The training loop: a row, its data and start, to weights in a run folder; stopped and continued at any iteration."""

import contextlib
import dataclasses
import hashlib
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tqdm import tqdm

from attscale import datasets, prototxt
from attscale.data import lists, verify
from attscale.data.loader import batch_files
from attscale.errors import DataError, ExperimentError, RunError, WeightsError
from attscale.files import make_folder, write_text, write_whole
from attscale.inference.predictor import Predictor
from attscale.machine import device
from attscale.scoring import evaluate, metrics
from attscale.training import snapshots, stopping
from attscale.training.journal import Journal
from attscale.training.runs import FINAL
from attscale.weights import load

#: A loss above this is an explosion: a net that knows nothing has ln(classes), 3 to 5, per head.
EXPLODED = 1e3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How to train a row, besides what the row itself says; the fields are those of `runs.RunOptions`."""

    data: str = "data"
    weights: str | None = None
    seed: int = 0
    gpus: tuple[int, ...] = ()
    rank: int = 0  # of one process for each GPU
    test_interval: int = 0
    snapshot_interval: int = 500
    keep: int = 3
    log_interval: int = 20

    @property
    def ranks(self):
        return max(1, len(self.gpus))


def train(row, folder, training, *, stop=None, nccl_id=None):
    """Trains `row` in `folder`, from its newest good snapshot if there is one, to `folder`/final.caffemodel.

    Returns the path of the final weights, or None when a signal stopped it: then a snapshot was taken, if there was
    an iteration to keep. stop: the Stop that the process has installed; without one, signals are heard meanwhile.
    Whatever happened in between, the final weights are those of an undisturbed run, bit for bit on a CPU: samples and
    their augmentation depend on seed and position, dropout on seed and iteration, and the solver's state is restored.
    Raises UserError, before anything is built up, for data or weights that are not there; and when the loss is no
    longer a number or has exploded.
    """
    if stop is None:
        with stopping.Stop() as stop:
            return train(row, folder, training, stop=stop, nccl_id=nccl_id)
    folder = Path(folder)
    try:
        run, start = _begin(row, folder, training, stop, nccl_id)
    except stopping.StoppedError:
        if training.rank == 0:
            _say(f"{stop.asked}: stopped before the first iteration")
        return None
    with run.journal:
        if not run.go(start, stop):
            return None
    if training.rank == 0:
        run.demand_finite_weights(row.solver.max_iter)
        write_whole(folder / FINAL, run.solver.net.save, durable=True)
    return folder / FINAL


def _begin(row, folder, training, stop, nccl_id):
    """All that comes before the first iteration: a _Run and the iteration it goes on from. Raises StoppedError."""
    stop.check()
    if (folder / FINAL).exists():
        raise RunError(f"{folder / FINAL} exists: this run is finished")
    if training.weights is None and row.start:
        raise ExperimentError(
            f"{row.name} starts from {row.start}: name such a file with --weights (without one every "
            "layer but the last would start at zero and stay there)"
        )
    dataset = datasets.find(row.dataset)
    verify.ensure(dataset, training.data, row.split or dataset.train, lambda pairs: _checking(pairs, stop))
    make_folder(folder)
    fingerprint = _fingerprint(row)
    snapshot = snapshots.newest_good(folder, fingerprint, _say)
    start = snapshot.iteration if snapshot else 0
    stop.check()
    solver = _solver(row, folder, training, start)
    if snapshot:
        solver.restore(str(snapshot.path / snapshots.STATE))
        load.load(solver.net, snapshot.path / snapshots.WEIGHTS, complete=True)
    elif training.weights is not None:
        start_from(training.weights, solver.net, row)
    stop.begin()
    if nccl_id is not None:
        nccl = caffe.NCCL(solver, nccl_id)
        nccl.bcast()
        solver.add_callback(nccl)
    return _Run(row, folder, training, solver, fingerprint, snapshot), start


class _Run:
    """The loop's own: the solver, what it said since the last record, and where that goes."""

    def __init__(self, row, folder, training, solver, fingerprint, snapshot):
        self.row, self.folder, self.training, self.solver = row, folder, training, solver
        self.fingerprint = fingerprint
        kept = snapshot.kept if snapshot else {}
        self.sums = kept.get("sums") or dict.fromkeys(solver.net.outputs, 0.0)
        self.best = kept.get("best")  # [mean IOU, iteration]
        self.passes = _Passes(solver.net)
        self.journal = Journal(folder, snapshot.iteration if snapshot else 0) if training.rank == 0 else _Silent()
        self.scorer = None

    def go(self, start, stop):
        """Runs the iterations after `start`; returns whether it came to the last before it was to stop."""
        training, limit = self.training, self.row.solver.max_iter
        self.since, self.images, self.waited, self.inside = time.monotonic(), 0, 0.0, 0.0
        quiet = training.rank > 0
        progress = {"initial": start, "unit": "it", "desc": self.row.name, "smoothing": 0.05, "mininterval": 1}
        with tqdm(total=limit, disable=quiet, **progress) as bar:
            for iteration in range(start + 1, limit + 1):
                stop.before(iteration)
                self._step(iteration)
                bar.update()
                if iteration % training.log_interval == 0:
                    total = sum(self.sums.values()) / training.log_interval
                    bar.set_postfix(loss=f"{total:.3f}", refresh=False)
                    self._log(iteration)
                if training.test_interval and iteration % training.test_interval == 0 and not quiet:
                    self._test(iteration)
                last = stop.after(iteration)
                if (iteration % training.snapshot_interval == 0 and iteration < limit) or last:
                    self._snapshot(iteration)
                if last:
                    if not quiet:
                        _say(f"{stop.asked}: stopped after iteration {iteration}, which is kept")
                    return False
        return True

    def _step(self, iteration):
        """One iteration; its dropout is drawn anew, so that it does not depend on where a run was continued."""
        entropy = [self.training.seed, iteration, self.training.rank]
        caffe.set_random_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        self.passes.clear()
        began = time.monotonic()
        try:
            self.solver.step(1)
        except DataError as error:
            raise DataError(f"{error} (iteration {iteration}; earlier snapshots are kept in {self.folder})") from None
        self.inside += time.monotonic() - began - self.passes.ours
        self.images += self.row.solver.batch_size * len(self.passes.losses)
        self.waited += self.passes.waited
        for number, losses in enumerate(self.passes.losses):
            for head, loss in losses.items():
                if not math.isfinite(loss) or loss > EXPLODED:
                    self._refuse(iteration, number, head, loss)
                self.sums[head] += loss / len(self.passes.losses)

    def _refuse(self, iteration, number, head, loss):
        loader = prototxt.loader_options(self.row, self.training.data, **_sequence(self.training))
        batch = (iteration - 1) * self.row.solver.iter_size + number
        files = ", ".join(str(image) for image, _ in batch_files(batch, loader))
        raise RunError(f"iteration {iteration}: {head} is {loss:g} on the batch {files}; {self._kept()}")

    def _log(self, iteration):
        seconds = time.monotonic() - self.since
        on_gpu = device.gpu_memory() if self.training.gpus else None
        self.journal.write(
            {
                "iteration": iteration,
                "losses": {head: total / self.training.log_interval for head, total in self.sums.items()},
                "lr": self.solver.lr,
                "images_per_second": round(self.images / seconds, 2),
                "seconds": round(seconds, 3),
                "seconds_outside_caffe": round(seconds - self.inside, 4),
                "seconds_waited_for_data": round(self.waited, 3),
                "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                **({"gpu_memory_mib": on_gpu[0]} if on_gpu else {}),
            }
        )
        self.sums = dict.fromkeys(self.sums, 0.0)
        self.since, self.images, self.waited, self.inside = time.monotonic(), 0, 0.0, 0.0

    def _test(self, iteration):
        started = time.monotonic()
        self.scorer = self.scorer or Predictor(self.row, share_with=self.solver.net)
        dataset = datasets.find(self.row.dataset)
        pairs = lists.read_split(dataset, self.training.data, dataset.val)
        result = evaluate.evaluate(self.scorer, pairs, len(dataset.classes))
        score = metrics.mean_iou(result.matrix)
        self.journal.write({"iteration": iteration, "mean_iou": score})
        _say(f"iteration {iteration}: mean IOU on {dataset.val} {100 * score:.2f}")
        if self.best is None or score > self.best[0]:
            self.best = [score, iteration]
            self._snapshot(iteration)
        self.since += time.monotonic() - started

    def _snapshot(self, iteration):
        if self.training.rank:
            return
        self.demand_finite_weights(iteration)
        started = time.monotonic()
        histories = 2 if self.row.solver.type == "Adam" else 1
        snapshots.reserve(self.folder, _snapshot_bytes(self.solver.net, histories))

        def save(folder):
            """Caffe names the files by its own prefix, and has the state name the weights: neither would move."""
            self.solver.snapshot()
            written = f"{_PREFIX}_iter_{iteration}"
            state = caffe_pb2.SolverState.FromString((folder / f"{written}.solverstate").read_bytes())
            state.ClearField("learned_net")
            (folder / snapshots.STATE).write_bytes(state.SerializeToString())
            (folder / f"{written}.solverstate").unlink()
            (folder / f"{written}.caffemodel").rename(folder / snapshots.WEIGHTS)

        snapshots.write(self.folder, iteration, self.fingerprint, save, {"sums": self.sums, "best": self.best})
        snapshots.prune(self.folder, self.fingerprint, self.training.keep, self.best and self.best[1])
        self.since += time.monotonic() - started

    def demand_finite_weights(self, iteration):
        """Raises RunError where a weight is infinite or no number: what was kept before must not give way to that."""
        for name, blobs in self.solver.net.params.items():
            if not all(np.isfinite(blob.data).all() for blob in blobs):
                raise RunError(f"iteration {iteration}: weights of {name} are no longer finite; {self._kept()}")

    def _kept(self):
        """The end of an error whose cause a run that is continued would meet again."""
        snapshot = snapshots.newest_good(self.folder, self.fingerprint, lambda line: None)
        if snapshot is None:
            return "the run stops, and has no snapshot to go on from"
        return (
            f"the run stops. Its newest snapshot is {snapshot.path}; --resume {self.folder} goes on from there, and "
            "ends the same unless it was the files' fault and they are mended"
        )


_PREFIX = "train"


class _Passes:
    """What happens inside of a step, where iter_size passes run: their losses, and the seconds spent on data."""

    def __init__(self, net):
        self._net, self._last = net, len(net.layers) - 1
        self._began = 0.0
        self.clear()
        net.before_forward(self._before)
        net.after_forward(self._after)

    def clear(self):
        self.losses, self.waited = [], 0.0
        self.ours = 0.0  # seconds in these functions, which Caffe calls around every layer

    def _before(self, layer):
        began = time.monotonic()
        if layer == 0:
            self._began = began
        self.ours += time.monotonic() - began

    def _after(self, layer):
        began = time.monotonic()
        if layer == 0:
            self.waited += began - self._began
        if layer == self._last:
            self.losses.append({head: float(self._net.blobs[head].data) for head in self._net.outputs})
        self.ours += time.monotonic() - began


class _Silent(contextlib.nullcontext):
    """The journal of ranks other than the first."""

    def write(self, record):
        pass


def start_from(path, net, row):
    """Copies the weights and says what they leave out. Raises WeightsError for a layer that cannot do without."""
    fresh = load.load(net, path, complete=False)
    if needed := [name for name in prototxt.needs_weights(prototxt.train_net(row)) if name in fresh]:
        raise WeightsError(
            f"{path}: has no weights for {', '.join(needed[:4])}, which {row.name} does not learn from scratch"
        )
    _say(f"{path}: start of all layers" + (f" but {', '.join(fresh)}" if fresh else ""))


def _say(line):
    """A line above the progress bar."""
    tqdm.write(line, file=sys.stderr)


def _checking(pairs, stop):
    for pair in tqdm(pairs, unit="pair", desc="checking the data"):
        stop.check()
        yield pair


def _sequence(training):
    return {"seed": training.seed, "rank": training.rank, "ranks": training.ranks}


def _solver(row, folder, training, start):
    """The solver at iteration `start`. Keeps the prototxts of the run; Caffe reads them with this start's options."""
    data_root = Path(training.data).resolve()
    message = prototxt.solver(row)
    message.net, message.snapshot_prefix = "train.prototxt", f"{snapshots.FOLDER}/{_PREFIX}"
    message.random_seed = training.seed
    if training.rank == 0:
        net = prototxt.train_net(row, data_root, **_sequence(training))
        write_text(folder / "train.prototxt", text_format.MessageToString(net))
        write_text(folder / "deploy.prototxt", text_format.MessageToString(prototxt.deploy_net(row)))
        write_text(folder / "solver.prototxt", text_format.MessageToString(message))
    net = prototxt.train_net(row, data_root, **_sequence(training), first=start * row.solver.iter_size)
    with tempfile.TemporaryDirectory() as temporary:
        message.net = str(Path(temporary, "train.prototxt"))
        message.snapshot_prefix = str(snapshots.partial(folder) / _PREFIX)
        Path(message.net).write_text(text_format.MessageToString(net))
        Path(temporary, "solver.prototxt").write_text(text_format.MessageToString(message))
        return caffe.get_solver(str(Path(temporary, "solver.prototxt")))


def _fingerprint(row):
    """Of the net and the solver's type: what a snapshot has to agree with, whatever data it was trained on."""
    net = prototxt.deploy_net(row)
    net.ClearField("name")
    return hashlib.sha256(f"{row.solver.type} {text_format.MessageToString(net)}".encode()).hexdigest()


def _snapshot_bytes(net, histories):
    """Room for a snapshot: Caffe writes weights for every layer, shared or not, and the histories once for each."""
    every = sum(blob.data.nbytes for blobs in net.params.values() for blob in blobs)
    own = sum(blob.data.nbytes for name in set(load.owners_of(net).values()) for blob in net.params[name])
    return every + 2 * histories * own + (1 << 20)  # the state is there twice for a moment
