"""The training loop: from an experiment and its data to weights in a run's folder; stopped and continued anywhere."""

import contextlib
import functools
import math
import resource
import time
from pathlib import Path

import caffe
import numpy as np

from attscale import progress
from attscale.data import lists, verify
from attscale.data.loader import batch_files
from attscale.errors import DataError, ExperimentError, RunError
from attscale.files import make_folder
from attscale.inference.predictor import Predictor
from attscale.machine import device
from attscale.processes import ProcessDiedError
from attscale.scoring import evaluate, metrics
from attscale.training import snapshots, solvers, stopping
from attscale.training.journal import Journal
from attscale.training.runs import FINAL
from attscale.weights import manifest

#: A loss above this is an explosion: a net that knows nothing has ln(classes), 3 to 5, per head.
EXPLODED = 1e3


def train(model, folder, options, *, rank=0, stop=None, nccl_id=None, measured=False):
    """Trains the Model in `folder`, from its newest good snapshot if there is one, to `folder`/final.caffemodel.

    options: the RunOptions, for all that `model` does not say. rank: of one process for each GPU; nccl_id: theirs.
    Returns the path of the final weights, or None when a signal stopped it: then a snapshot was taken, if there was
    an iteration to keep. stop: the Stop that the process has installed; without one, signals are heard meanwhile.
    measured: only to see what it takes, and so without weights, too.
    Whatever happened in between, the final weights are those of an undisturbed run, bit for bit on a CPU: samples and
    their augmentation depend on seed and position, dropout on seed and iteration, and the solver's state is restored.
    Raises UserError, before anything is built up, for data or weights that are not there; and when the loss is no
    longer a number or has exploded.
    """
    if stop is None:
        with stopping.Stop() as stop:
            return train(model, folder, options, rank=rank, stop=stop, nccl_id=nccl_id, measured=measured)
    folder = Path(folder)
    try:
        run = _begin(model, folder, options, rank, stop, nccl_id, measured)
    except stopping.StoppedError:
        if rank == 0:
            progress.say(f"{stop.asked}: stopped before the first iteration")
        return None
    with run.journal:
        if not run.go(stop):
            return None
    if rank == 0:
        run.demand_sound_weights()
        snapshots.reserve(folder, solvers.weights_bytes(run.solver.net))
        solvers.write_weights(run.solver.net, folder / FINAL, model.name)
    return folder / FINAL


def _begin(model, folder, options, rank, stop, nccl_id, measured):
    """All that comes before the first iteration: a _Run. Raises StoppedError."""
    stop.check()
    if options.weights is None and model.start and not measured:
        raise ExperimentError(
            f"{model.name} starts from {model.start}: name such a file with --weights (without one every "
            f"layer but the last would start at zero and stay there){manifest.advice(model.initial_weights)}"
        )
    say = progress.say if rank == 0 else lambda line: None
    if rank == 0:  # for all of them
        names = [model.list, *([model.dataset.list_of(model.dataset.val)] if options.test_interval else [])]
        for name in names:
            verify.ensure(model.dataset, options.data, name, lambda pairs: _checking(pairs, stop))
    make_folder(folder)
    snapshot = snapshots.newest_good(folder, solvers.fingerprint(model), say)
    stop.check()
    solver = solvers.make(model, folder, options, rank, snapshot.iteration if snapshot else 0)
    if snapshot:
        solvers.restore(solver, snapshot)
    elif options.weights is not None:
        fresh = solvers.start_from(options.weights, solver.net, model)
        say(f"{options.weights}: start of all layers" + (f" but {', '.join(fresh)}" if fresh else ""))
    stop.begin()
    nccl = None
    if nccl_id is not None:
        nccl = caffe.NCCL(solver, nccl_id)
        nccl.bcast()
        solver.add_callback(nccl)
    return _Run(model, folder, options, rank, solver, snapshot, nccl)


class _Run:
    """The loop's own: the solver, what it said since the last record, and where that goes."""

    def __init__(self, model, folder, options, rank, solver, snapshot, nccl):
        self.model, self.folder, self.options, self.rank, self.solver = model, folder, options, rank, solver
        self.nccl = nccl  # it owns the weights' memory on the GPU, and Caffe's solver has no hold of it
        self.fingerprint = solvers.fingerprint(model)
        self.start, kept = (snapshot.iteration, snapshot.kept) if snapshot else (0, snapshots.Kept())
        self.sums = dict(kept.sums) or dict.fromkeys(solver.net.outputs, 0.0)
        self.best = kept.best
        self.passes = solvers.Passes(solver.net)
        self.journal = _Silent() if rank else Journal(folder, self.start)
        self.scorer = None
        if snapshot and not rank:  # a kill may have come before one that was due to go
            snapshots.prune(folder, self.fingerprint, options.keep, self.best and self.best[1])

    def go(self, stop):
        """Runs the iterations that are left; returns whether it came to the last before it was to stop."""
        options, limit, quiet = self.options, self.model.solver.max_iter, self.rank > 0
        self._start_clock()
        shown = {"initial": self.start, "unit": "it", "desc": self.model.name, "smoothing": 0.05, "mininterval": 1}
        with progress.Bar(total=limit, disable=quiet, **shown) as bar:
            for iteration in range(self.start + 1, limit + 1):
                stop.before(iteration)
                self._step(iteration)
                bar.update()
                if iteration % options.log_interval == 0 or iteration == limit:
                    bar.set_postfix(loss=f"{self._log(iteration):.3f}", refresh=False)
                if options.test_interval and iteration % options.test_interval == 0 and not quiet:
                    with bar.pause():
                        self._test(iteration)
                last = stop.after(iteration)
                if (iteration % options.snapshot_interval == 0 and iteration < limit) or last:
                    self._snapshot(iteration)
                if last:
                    if not quiet:
                        progress.say(f"{stop.asked}: stopped after iteration {iteration}, which is kept")
                    return False
        return True

    def _step(self, iteration):
        """One iteration; its dropout is drawn anew, so that it does not depend on where a run was continued."""
        solvers.seed_dropout(self.options.seed, iteration, self.rank)
        self.passes.clear()
        began = time.monotonic()
        try:
            self.solver.step(1)
        except (DataError, ProcessDiedError) as error:
            raise type(error)(f"{error} (iteration {iteration}; earlier snapshots are kept in {self.folder})") from None
        if self.options.ranks > 1:
            device.wait()
        self.inside += time.monotonic() - began - self.passes.ours
        self.images += self.model.batch_size * len(self.passes.losses) * max(1, self.options.ranks)
        self.waited += self.passes.waited
        for number, losses in enumerate(self.passes.losses):
            for head, loss in losses.items():
                if _exploded(loss):
                    self._refuse(iteration, number, head, loss)
                self.sums[head] += loss / len(self.passes.losses)

    def _refuse(self, iteration, number, head, loss):
        loader = self.model.loader(self.options.data, **solvers.sequence(self.options, self.rank))
        batch = (iteration - 1) * self.model.solver.iter_size + number
        files = ", ".join(str(image) for image, _ in batch_files(batch, loader))
        raise RunError(f"iteration {iteration}: {head} is {loss:g} on the batch {files}; {self._way_on()}")

    def _log(self, iteration):
        """Records the iterations since the last record; returns the sum of their mean losses."""
        iterations = (iteration - 1) % self.options.log_interval + 1  # fewer for the last record of the run
        losses = {head: total / iterations for head, total in self.sums.items()}
        seconds = time.monotonic() - self.since
        on_gpu = device.gpu_memory() if self.options.gpus else None
        self.journal.write(
            {
                "iteration": iteration,
                "losses": losses,
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
        self._start_clock()
        return sum(losses.values())

    def _start_clock(self):
        self.since, self.images, self.waited, self.inside = time.monotonic(), 0, 0.0, 0.0

    def _test(self, iteration):
        started = time.monotonic()
        self.scorer = self.scorer or Predictor(self.model, share_with=self.solver.net)
        dataset = self.model.dataset
        pairs = lists.read_split(dataset, self.options.data, dataset.val)
        bar = functools.partial(progress.Bar, unit="image", desc=dataset.val, leave=False)
        result = evaluate.evaluate(self.scorer, pairs, progress=bar)
        score = metrics.mean_iou(result.matrix)
        self.journal.write({"iteration": iteration, "mean_iou": score})
        progress.say(f"iteration {iteration}: mean IOU on {dataset.val} {100 * score:.2f}")
        if self.best is None or score > self.best[0]:
            self.best = (score, iteration)
            self._snapshot(iteration)
        self.since += time.monotonic() - started

    def _snapshot(self, iteration):
        if self.rank:
            return
        self.demand_finite_weights(iteration)
        started = time.monotonic()
        snapshots.reserve(self.folder, solvers.snapshot_bytes(self.solver.net, self.model.solver.type))
        save = functools.partial(solvers.save, self.solver, iteration)
        snapshots.write(self.folder, iteration, self.fingerprint, save, snapshots.Kept(sums=self.sums, best=self.best))
        snapshots.prune(self.folder, self.fingerprint, self.options.keep, self.best and self.best[1])
        self.since += time.monotonic() - started

    def demand_finite_weights(self, iteration):
        """Raises RunError where a weight is infinite or no number: what was kept before must not give way to that."""
        for name, blobs in self.solver.net.params.items():
            if not all(np.isfinite(blob.data).all() for blob in blobs):
                raise RunError(f"iteration {iteration}: weights of {name} are no longer finite; {self._way_on()}")

    def demand_sound_weights(self):
        """The same after the last iteration, and where the loss that comes of the weights has exploded: nobody else
        would pass an image through them."""
        self.demand_finite_weights(self.model.solver.max_iter)
        with solvers.statistics_kept(self.solver.net):
            losses = self.solver.net.forward()
        for head, loss in losses.items():
            if _exploded(float(loss)):
                raise RunError(f"after the last iteration {head} is {float(loss):g}: the weights blew up")

    def _way_on(self):
        """The end of an error whose cause a run that is continued would meet again."""
        snapshot = snapshots.newest_good(self.folder, self.fingerprint, lambda line: None)
        if snapshot is None:
            return "the run stops, and has no snapshot to go on from"
        return (
            f"the run stops. Its newest snapshot is {snapshot.path}; --resume {self.folder} goes on from there, and "
            "ends the same unless it was the files' fault and they are mended"
        )


class _Silent(contextlib.nullcontext):
    """The journal of ranks other than the first."""

    def write(self, record):
        pass


def _exploded(loss):
    return not math.isfinite(loss) or loss > EXPLODED


def _checking(pairs, stop):
    for pair in progress.Bar(pairs, unit="pair", desc="checking the data"):
        stop.check()
        yield pair
