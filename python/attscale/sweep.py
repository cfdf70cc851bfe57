"""Rows of `attscale.experiments` on a Dask cluster: each trained, predicted and scored, wherever there is room.

A worker that dies gives its step to another, which goes on from the last snapshot: all of a row is in files, on a
file system that the workers share. Nothing but names travels through the scheduler.
"""

import json
import os
import subprocess
import sys
import time

from attscale import experiments, journal, options, runs
from attscale.errors import ExperimentError, UserError
from attscale.rowjob import Job

SLOT = "slot"  # the resource that a step takes one of: a GPU, or a share of the CPUs
_RETRIES = 2


def rows_of(names):
    """The rows that `names` name: experiments, or a table's number for the rows that stand for its cells.

    A row that starts from another's weights (MSc's second step) brings that one with it, before it.
    """
    chosen = {}
    for name in names:
        if name.isdigit():
            rows = [row for row in experiments.EXPERIMENTS.values() if any(c.table == int(name) for c in row.cells)]
            if not rows:
                raise ExperimentError(f"no experiment stands for a cell of table {name}")
        else:
            rows = [experiments.find(name)]
        for row in rows:
            if row.msc:
                chosen[base_of(row).name] = base_of(row)
            chosen[row.name] = row
    return list(chosen.values())


def base_of(row):
    """The row whose weights an MSc row starts from."""
    return experiments.find(row.name.replace("_msc_largefov", "_largefov"))


def jobs_of(row, shared, weights_folder, shards):
    """The steps of `row`: training, predictions in so many shards, scoring."""
    weights = None
    if row.msc:
        weights = str(Job(name=base_of(row).name, step="train", **shared).folder / runs.FINAL)
    elif row.initial_weights:
        weights = os.path.abspath(os.path.join(weights_folder, row.initial_weights))
        if not os.path.exists(weights):
            raise UserError(f"{weights}: no such file, from which {row.name} starts (python tools/fetch_weights.py)")
    job = {"name": row.name, "weights": weights, **shared}
    predictions = [Job(step="predict", shard=i, shards=shards, **job) for i in range(shards)]
    return Job(step="train", **job), predictions, Job(step="evaluate", **job)


def perform(text, *_after):
    """Runs a job, the JSON of a Job, in a process of its own; called on a worker, with the steps that come before it.

    Raises RuntimeError with the step's own line of error, so that Dask tries again and then says it.
    """
    command = [sys.executable, "-m", "attscale.rowjob", text, str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"ended with status {done.returncode}")


def submit(client, steps):
    """Submits `jobs_of`'s steps of all rows, each after those it needs; {row's name: the future of its scoring}."""
    trained, scored = {}, {}
    for training, predictions, scoring in steps:
        base = [trained[name] for name in trained if training.weights and f"/{name}/{runs.FINAL}" in training.weights]
        first = _submit(client, training, *base)
        shards = [_submit(client, prediction, first) for prediction in predictions]
        trained[training.name] = first
        scored[training.name] = _submit(client, scoring, *shards)
    return scored


def _submit(client, job, *after):
    key = f"{job.step} {job.name}" + (f" {job.shard + 1}/{job.shards}" if job.step == "predict" else "")
    return client.submit(
        perform, options.encode(job), *after, key=key, pure=False, retries=_RETRIES, resources={SLOT: 1}
    )


def status(row, root):
    """What the files say of a row: (state, detail), for the table that is shown while a sweep runs."""
    folder = Job(name=row.name, step="train", root=root, data="").folder
    score = result(folder)
    if score is not None:
        return "done", f"mean IOU {100 * score:.2f}"
    if (folder / runs.FINAL).exists():
        return "trained", ""
    log = [record for record in journal.read(folder) if "losses" in record]
    if log:
        return "training", f"iteration {log[-1]['iteration']}, loss {sum(log[-1]['losses'].values()):.3f}"
    return ("started", "") if (folder / runs.RECORD).exists() else ("waiting", "")


def result(folder):
    """The mean IOU of a scored row, or None."""
    try:
        return json.loads((folder / "evaluation.json").read_text())["mean_iou"]
    except (OSError, ValueError, KeyError):
        return None


def watch(rows, futures, root, show, interval=1.0):
    """Calls `show(lines)` whenever the table changes, until all futures are done; returns {name: error} of failures."""
    shown = None
    while True:
        unfinished = [name for name, future in futures.items() if not future.done()]
        errors = {name: str(future.exception()) for name, future in futures.items() if future.status == "error"}
        lines = []
        for row in rows:
            state, detail = ("failed", errors[row.name]) if row.name in errors else status(row, root)
            lines.append(f"{row.name:44} {state:9} {detail}")
        if lines != shown:
            show(lines)
            shown = lines
        if not unfinished:
            return errors
        time.sleep(interval)
