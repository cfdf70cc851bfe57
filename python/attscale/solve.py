"""The training loop: a row, its data and start, to weights in a run folder."""

import dataclasses
import json
import math
import time
from pathlib import Path

import caffe
from google.protobuf import text_format
from tqdm import tqdm

from attscale import prototxt, weights
from attscale.data import datasets, verify
from attscale.errors import ExperimentError, UserError, WeightsError
from attscale.files import make_folder, write_text, write_whole

FINAL = "final.caffemodel"
LOG = "log.jsonl"


def train(row, folder, *, data_root="data", weights_path=None, seed=0, log_every=20, keep_every=1000):
    """Trains `row` and writes weights, log and the prototxts that ran below `folder`; returns the final weights' path.

    weights_path: caffemodel to start from; needed unless the row starts from scratch. Every `keep_every` iterations
    the weights so far are kept as train_iter_N.caffemodel. Raises UserError, before anything is built up, for data
    or weights that are not there, and when the loss is no longer a number.
    """
    folder = Path(folder)
    if (folder / FINAL).exists():
        raise UserError(f"{folder / FINAL} exists: this run is finished; choose another --out or remove the folder")
    if weights_path is None and row.initial_weights:
        raise ExperimentError(
            f"{row.name} starts from {row.initial_weights}: name such a file with --weights (without one every "
            "layer but the last would start at zero and stay there)"
        )
    dataset = datasets.find(row.dataset)
    bar = lambda pairs: tqdm(pairs, unit="pair", desc="checking the data")  # noqa: E731
    verify.ensure(dataset, data_root, row.split or dataset.train, bar)
    make_folder(folder)
    solver = _solver(row, folder, data_root, seed)
    if weights_path is not None:
        _start_from(weights_path, solver.net, row)
    heads = list(solver.net.outputs)
    started = time.monotonic()
    with (
        open(folder / LOG, "w", buffering=1) as log,
        tqdm(total=row.solver.max_iter, unit="it", desc=row.name, smoothing=0.05, mininterval=1) as bar,
    ):
        means = dict.fromkeys(heads, 0.0)
        for iteration in range(1, row.solver.max_iter + 1):
            solver.step(1)
            losses = {head: float(solver.net.blobs[head].data) for head in heads}
            for head, loss in losses.items():
                if not math.isfinite(loss):
                    raise UserError(
                        f"iteration {iteration}: {head} is {loss}; the run stops, what was kept before is in {folder}"
                    )
                means[head] += loss / log_every
            bar.update()
            if iteration % log_every == 0:
                bar.set_postfix(loss=f"{sum(means.values()):.3f}", refresh=False)
                record = {"iteration": iteration, "seconds": round(time.monotonic() - started, 2), "losses": means}
                log.write(json.dumps(record) + "\n")
                means = dict.fromkeys(heads, 0.0)
            if iteration % keep_every == 0 and iteration < row.solver.max_iter:
                write_whole(folder / f"train_iter_{iteration}.caffemodel", solver.net.save)
    write_whole(folder / FINAL, solver.net.save)
    return folder / FINAL


def _start_from(path, net, row):
    """Copies the weights and says what they leave out. Raises WeightsError for a layer that cannot do without."""
    fresh = weights.load(net, path, complete=False)
    if needed := [name for name in prototxt.needs_weights(prototxt.train_net(row)) if name in fresh]:
        raise WeightsError(
            f"{path}: has no weights for {', '.join(needed[:4])}, which {row.name} does not learn from scratch"
        )
    tqdm.write(f"{path}: start of all layers" + (f" but {', '.join(fresh)}" if fresh else ""))


def read_log(folder):
    """The log of a run: a list of {"iteration", "seconds", "losses": {head: mean since the record before}}."""
    return [json.loads(line) for line in (Path(folder) / LOG).read_text().splitlines()]


def with_solver(row, **changes):
    """The row with some of its solver's values changed; None changes nothing."""
    changes = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(row, solver=dataclasses.replace(row.solver, **changes))


def _solver(row, folder, data_root, seed):
    """Writes the prototxts of this very run, with absolute paths and the seed, and has Caffe read them."""
    net = prototxt.train_net(row, Path(data_root).resolve(), seed=seed)
    write_text(folder / "train.prototxt", text_format.MessageToString(net))
    write_text(folder / "deploy.prototxt", text_format.MessageToString(prototxt.deploy_net(row)))
    message = prototxt.solver(row)
    message.net, message.snapshot_prefix = str(folder / "train.prototxt"), str(folder / "train")
    message.random_seed = seed
    write_text(folder / "solver.prototxt", text_format.MessageToString(message))
    return caffe.get_solver(str(folder / "solver.prototxt"))
