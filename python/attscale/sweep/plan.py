"""Experiments on a Dask cluster: each trained, predicted and scored, wherever there is room.

A worker that dies gives its step to another, which goes on from the last snapshot: all of an experiment is in files,
on a file system that the workers share. Nothing but names travels through the scheduler.
"""

import dataclasses
import itertools
import os

from attscale import experiments, options, paper, processes
from attscale.errors import ExperimentError, UserError
from attscale.prepare import sets
from attscale.sweep.step import CRF, Job, scored_on
from attscale.training import runs

SLOT = "slot"  # the resource that a step takes one of: a GPU, or a share of the CPUs
_RETRIES = 2


def rows_of(names, coco_stage=False, data="data"):
    """The experiments that `names` name, by their names or by a table for all that stand for its cells.

    A table is a number, of Attention to Scale, or `refine:1`, of Attention to Refine. data: of the data sets.

    One that starts from another's weights, a second step, brings that one with it, before it. So do those that start
    from MS-COCO with the experiment that pretrains on it, with `coco_stage` or where that one is named as well.
    """
    named = {row.name: row for name in names for row in _named(name, data)}
    chosen = {}
    for row in named.values():
        chain = [row]  # the experiment, what it starts from, what that one starts from, ...
        while first := chain[-1].initial_row or _coco_stage_of(chain[-1], named, coco_stage):
            chain.append(experiments.find(first, data))
        for needed in reversed(chain):
            chosen.setdefault(needed.name, needed)
    return list(chosen.values())


def _named(name, data):
    number = name.removeprefix("refine:")
    if not number.isdigit():
        return [experiments.find(name, data)]
    table = (paper.SCALE if number == name else paper.REFINE, int(number))
    cells = [(row, cell) for row in experiments.EXPERIMENTS.values() for cell in row.cells]
    rows = {row.name: row for row, cell in cells if (cell.paper, cell.table) == table}
    if not rows:
        raise ExperimentError(f"no experiment stands for a cell of table {name}")
    return list(rows.values())


def _coco_stage_of(row, named, coco_stage):
    return row.coco_stage if coco_stage or row.coco_stage in named else None


def is_coco_stage(name):
    """Whether an experiment is there for its weights alone, and so is neither predicted nor scored."""
    return name in {other.coco_stage for other in experiments.EXPERIMENTS.values()}


def trainings(rows, places, shared, root, weights_folder, *, start=None, **job):
    """The Jobs that train `rows` with each seed; places: {seed: its folder below `root`}.

    The rest as `training_of`, but that {seed} in `start` is the seed. Raises UserError where nothing would start there.
    """
    if start and all(row.initial_weights or row.initial_row for row in rows):
        raise UserError(f"--start {start}: none of the experiments would start from scratch")
    names, made = [row.name for row in rows], []
    for (seed, place), row in itertools.product(places.items(), rows):
        own = {"start": start and start.replace("{seed}", str(seed)), "place": place}
        made.append(training_of(row, names, shared | {"seed": seed}, root, weights_folder, **own, **job))
    return made


def training_of(row, names, shared, root, weights_folder, *, start=None, place="", **job):
    """The Job that trains `row` in a sweep of the experiments `names`, after the one of them that it starts from.

    shared: options that all runs of the sweep have in common; start: the caffemodel of those that would otherwise
    start from scratch; place, job: fields of the Job.
    """
    weights, first = None, next((name for name in (row.initial_row, row.coco_stage) if name in names), None)
    if first:
        weights = os.path.join(root, place, first, runs.FINAL)
    elif row.initial_weights:
        weights = os.path.abspath(os.path.join(weights_folder, row.initial_weights))
    elif start:
        weights = os.path.abspath(start)
    run = runs.RunOptions.of(row, weights=weights, **shared)
    return Job(step="train", root=root, run=run, place=place, after=first, **job)


def demand_data(training):
    """Looks for the lists that an experiment is trained and scored on. Raises DataError that says what to fetch."""
    row, dataset, split = scored_on(training)
    for name in [row.list] if is_coco_stage(row.name) else [row.list, dataset.list_of(split)]:
        sets.demand(dataset, name, training.run.data)


def steps_of(training, shards):
    """The jobs of an experiment: lists, of training, predictions, CRF, scoring, each for when those before are done.

    Raises UserError where the weights are missing that it starts from.
    """
    row, weights = experiments.find(training.name, training.run.data), training.run.weights
    if weights and not training.after and not os.path.exists(weights):
        stage = f"; --coco-stage trains {row.coco_stage} in its place" if row.coco_stage else ""
        hint = f"tools/fetch_weights.py{stage}" if row.initial_weights else "--start"
        raise UserError(f"{weights}: no such file, from which {row.name} starts ({hint})")
    if is_coco_stage(row.name):
        return [[training]]
    # what runs the net anyway needs no label maps, but the CRF and VOC's server do
    runs_the_net = (training.branches or training.by_size) and row.split != experiments.TRAINVAL
    sharded = ["predict", CRF] if training.crf else [] if runs_the_net else ["predict"]
    parts = (
        [dataclasses.replace(training, step=step, shard=i, shards=shards) for i in range(shards)] for step in sharded
    )
    return [[training], *parts, [dataclasses.replace(training, step="evaluate")]]


def perform(text, *_after):
    """Runs a job, the JSON of a Job, in a process of its own; called on a worker, with the steps that come before it.

    Raises UserError with the step's own line of error, so that Dask tries again and then says it.
    """
    processes.run("attscale.sweep.step", text)


def submit(client, plans):
    """Submits `steps_of` each of the experiments, after the one that it starts from, if that is among them.

    Returns {a Job's label: the future of the experiment's scoring}.
    """
    trained, scored = {}, {}
    for steps in plans:
        training = steps[0][0]
        first = trained.get((training.place, training.after))  # none where it was finished by an earlier sweep
        after = [first] if first is not None else []
        for jobs in steps:
            after = [_submit(client, job, *after) for job in jobs]
            trained.setdefault((training.place, training.name), after[0])
        scored[training.label] = after[0]
    return scored


def _submit(client, job, *after):
    key = f"{job.step} {job.label}" + (f" {job.shard + 1}/{job.shards}" if job.step in ("predict", CRF) else "")
    return client.submit(
        perform, options.encode(job), *after, key=key, pure=False, retries=_RETRIES, resources={SLOT: 1}
    )
