"""Experiments on a Dask cluster: each trained, predicted and scored, wherever there is room.

A worker that dies gives its step to another, which goes on from the last snapshot: all of an experiment is in files,
on a file system that the workers share. Nothing but names travels through the scheduler.
"""

import contextlib
import dataclasses
import json
import os
import time
from pathlib import Path

from attscale import experiments, options, processes
from attscale.errors import ExperimentError, UserError
from attscale.results.evaluations import EVALUATION
from attscale.sweep.step import COMPLETE, CRF, Job
from attscale.training import journal, runs

SLOT = "slot"  # the resource that a step takes one of: a GPU, or a share of the CPUs
_RETRIES = 2
_SETTLE = 60  # seconds until a file that a worker has written is seen here: network file systems take their time


def rows_of(names, coco_stage=False):
    """The experiments that `names` name, by their names or by a table's number for all that stand for its cells.

    One that starts from another's weights, a second step, brings that one with it, before it; with `coco_stage` those
    that start from MS-COCO bring the experiment that pretrains on it.
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
            chain = [row]  # the experiment, what it starts from, what that one starts from, ...
            while first := chain[-1].initial_row or (chain[-1].stage if coco_stage else None):
                chain.append(experiments.find(first))
            for needed in reversed(chain):
                chosen.setdefault(needed.name, needed)
    return list(chosen.values())


def training_of(row, names, shared, root, weights_folder, **job):
    """The Job that trains `row` in a sweep of the experiments `names`, after the one of them that it starts from.

    shared: options that all runs of the sweep have in common; job: fields of the Job.
    """
    weights, first = None, next((name for name in (row.initial_row, row.stage) if name in names), None)
    if first:
        weights = os.path.join(root, first, runs.FINAL)
    elif row.initial_weights:
        weights = os.path.abspath(os.path.join(weights_folder, row.initial_weights))
    of_row = {name: getattr(row.solver, name) for name in ("max_iter", "batch_size", "iter_size")}
    run = runs.RunOptions(experiment=row.name, weights=weights, **(of_row | shared))
    return Job(step="train", root=root, run=run, after=first, **job)


def stages_of(training, shards):
    """The jobs of an experiment in stages, each for when those before it are done: training, predictions, CRF, scoring.

    Raises UserError where the weights are missing that it starts from.
    """
    row, weights = experiments.find(training.name), training.run.weights
    if weights and not training.after and not os.path.exists(weights):
        stage = f"; --coco-stage trains {row.stage} in its place" if row.stage else ""
        raise UserError(f"{weights}: no such file, from which {row.name} starts (tools/fetch_weights.py{stage})")
    stages = [[training]]
    for step in ("predict", *([CRF] if training.crf else [])):
        stages.append([dataclasses.replace(training, step=step, shard=i, shards=shards) for i in range(shards)])
    return [*stages, [dataclasses.replace(training, step="evaluate")]]


def perform(text, *_after):
    """Runs a job, the JSON of a Job, in a process of its own; called on a worker, with the steps that come before it.

    Raises UserError with the step's own line of error, so that Dask tries again and then says it.
    """
    processes.run("attscale.sweep.step", text)


def submit(client, plans):
    """Submits `stages_of` each of the experiments, after the one that it starts from, if that is among them.

    Returns {experiment's name: the future of its scoring}.
    """
    trained, scored = {}, {}
    for stages in plans:
        name = stages[0][0].name
        first = trained.get(stages[0][0].after)  # none where it was finished by an earlier sweep
        after = [first] if first is not None else []
        for stage in stages:
            after = [_submit(client, job, *after) for job in stage]
            trained.setdefault(name, after[0])
        scored[name] = after[0]
    return scored


def _submit(client, job, *after):
    key = f"{job.step} {job.name}" + (f" {job.shard + 1}/{job.shards}" if job.step in ("predict", CRF) else "")
    return client.submit(
        perform, options.encode(job), *after, key=key, pure=False, retries=_RETRIES, resources={SLOT: 1}
    )


def status(row, root, crf=False):
    """What the files say of an experiment: (state, detail), for the table that is shown while a sweep runs.

    crf: it is done when it has been scored after the CRF as well.
    """
    folder = Path(root, row.name)
    ends = [end(folder), end(folder / CRF)] if crf else [end(folder)]
    if None not in ends:
        return "done", ", with CRF ".join(ends)
    if (folder / runs.FINAL).exists():
        return "trained", ""
    log = [record for record in journal.read(folder) if "losses" in record]
    if log:
        return "training", f"iteration {log[-1]['iteration']}, loss {sum(log[-1]['losses'].values()):.3f}"
    return ("started", "") if (folder / runs.RECORD).exists() else ("waiting", "")


def end(folder):
    """What came of a finished experiment, or of its CRF: a score, or how many images await the server; None before."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return f"mean IOU {100 * json.loads((folder / EVALUATION).read_text())['mean_iou']:.2f}"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return f"{json.loads((folder / COMPLETE).read_text())['images']} images predicted, for VOC's server"
    return None


def watch(client, rows, futures, root, show, *, crf=False, interval=1.0, patience=30.0, settle=_SETTLE):
    """Calls `show(lines)` whenever the table changes, until all futures are done; returns {name: error} of failures.

    An experiment whose result is not in its folder has failed, whatever became of its future. The table says when no
    worker has offered a slot for `patience` seconds.
    """
    shown, ended = None, None
    slots = _Slots(client, patience)
    while True:
        # the futures before the files: a step writes its result before it ends
        states = {name: future.status for name, future in futures.items()}
        found = {row.name: status(row, root, crf) for row in rows}
        errors = {
            name: _failure(futures[name], state)
            for name, state in states.items()
            if state in ("error", "cancelled") and found[name][0] != "done"
        }
        pending = "pending" in states.values()
        # "lost" is a result of no interest that died with its worker, for what counts is in its folder
        missing = [name for name in found if found[name][0] != "done" and name not in errors]
        if not pending:
            ended = ended or time.monotonic()
            if time.monotonic() - ended >= settle:
                errors |= {name: f"ended without a result in {os.path.join(root, name)}" for name in missing}
                missing = []
        found |= {name: ("failed", error) for name, error in errors.items()}
        lines = [f"{name:44} {state:9} {detail}" for name, (state, detail) in found.items()]
        if pending and (warning := slots.warning()):
            lines.append(f"waiting for workers: {warning}")
        if lines != shown:
            show(lines)
            shown = lines
        if not pending and not missing:
            return errors
        time.sleep(interval)


def _failure(future, state):
    if state == "cancelled":
        return "cancelled, or the scheduler is gone; the same command goes on from here"
    return str(future.exception())


class _Slots:
    """Looks, every few seconds, whether any worker offers what every step takes one of."""

    def __init__(self, client, patience):
        self._client, self._patience = client, patience
        self._seen = self._looked = time.monotonic()
        self._warning = None

    def warning(self):
        """What is wrong with the workers, once it has been so for a while; None where one has a slot."""
        now = time.monotonic()
        if now - self._looked >= min(5, self._patience):
            self._looked = now
            workers = self._client.scheduler_info()["workers"].values()
            if any(worker["resources"].get(SLOT, 0) >= 1 for worker in workers):
                self._seen = now
            self._warning = None
            if now - self._seen >= self._patience:
                with_none = f"none of {len(workers)} was started with --resources {SLOT}=1"
                self._warning = with_none if workers else "none is there"
        return self._warning
