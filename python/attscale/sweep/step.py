"""A step of a sweep, a process of its own: `python -m attscale.sweep.step JOB PARENT`, JOB the JSON of a `Job`.

Every step goes on where an earlier try stopped, and does nothing where one has finished.
"""

import dataclasses
import json
import sys
from pathlib import Path

from attscale import cli, experiments, options, processes
from attscale.errors import DataError, RunError, UserError, reading
from attscale.inference.provenance import CRF
from attscale.results.evaluations import EVALUATION, Evaluation
from attscale.training import runs, supervise

COMPLETE = "complete.json"  # in place of an evaluation, for images whose ground truth VOC's server has
#: What tools/sweep.py takes for options of a run, as people write them.
_SAID = {"data": "--data", "max_iter": "--max-iter", "seed": "--seed", "threads": "--threads"}
_SAID["snapshot_interval"] = "--snapshot-interval"

#: Options that say how a run is computed and kept, not what comes of it: they no longer matter once it is finished.
_MANNER = {"gpus", "threads", "test_interval", "snapshot_interval", "keep", "log_interval"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One step of one experiment of a sweep, whose results are below `root`/<label>; all paths are absolute."""

    step: str  # train, predict, crf or evaluate
    root: str
    run: runs.RunOptions
    place: str = ""  # a folder below root for each seed, where a sweep has several
    after: str | None = None  # the experiment of the same sweep that it starts from
    shard: int = 0  # of `shards` parts of the images to predict, or to put through the CRF
    shards: int = 1
    crf: bool = False  # the experiment is also scored after the CRF, and so score maps are kept
    branches: bool = False  # as scoring.evaluate has it, and so is the next: the net is then run once more
    by_size: bool = False
    processes: int | None = None  # of the CRF; None: one a core

    @property
    def name(self):
        """The experiment's."""
        return self.run.experiment

    @property
    def label(self):
        """What tells the experiment from the others of the sweep: its name, with the seed's folder before it."""
        return str(Path(self.place, self.name))

    @property
    def folder(self):
        """The experiment's run folder."""
        return Path(self.root, self.label)


def main(argv):
    (text,) = processes.adopt(argv)
    job = options.decode(Job, text)
    {"train": train, "predict": predict, "crf": crf, "evaluate": evaluate}[job.step](job)


def check(job):
    """Raises RunError where the experiment's folder holds a run that was begun with other options than the job's."""
    results = runs.FINAL, EVALUATION, COMPLETE
    if not runs.is_begun(job.folder) and not any((job.folder / name).exists() for name in results):
        return
    there = runs.load(job.folder)
    finished = (job.folder / runs.FINAL).exists()
    for field in dataclasses.fields(job.run):
        before, now = getattr(there, field.name), getattr(job.run, field.name)
        if before != now and not (finished and field.name in _MANNER):
            name = _SAID.get(field.name, field.name.replace("_", " "))
            start = " (with or without --coco-stage or --start, say)" if field.name == "weights" else ""
            raise RunError(
                f"{job.folder}: was begun with {name} {_word(before)}, not {_word(now)}{start}; "
                "give what it was begun with, or choose another --out"
            )


def _word(value):
    return "none" if value in (None, ()) else ",".join(map(str, value)) if isinstance(value, tuple) else value


def train(job):
    """Trains, or continues to train, the experiment."""
    check(job)
    if (job.folder / runs.FINAL).exists():
        return
    if runs.is_begun(job.folder):
        supervise.run(job.folder)
    else:
        with runs.begun(job.folder, job.run, sys.argv):
            supervise.run(job.folder)
    if not (job.folder / runs.FINAL).exists():
        raise UserError(f"{job.folder}: stopped before it was finished")


def predict(job):
    """Predicts this shard of the split that the experiment is scored on."""
    from attscale.inference import predictions, sources
    from attscale.prototxt import Model

    row, _, split = scored_on(job)
    images, options = sources.files(_images(job), oriented=False), predictions.Options(scores=job.crf)
    on = {"gpus": job.run.gpus, "threads": job.run.threads}
    predictions.predict(Model.of(row, job.run.data), job.folder / runs.FINAL, images, job.folder / split, options, **on)


def crf(job):
    """Puts this shard of the predictions through the CRF, as tools/crf.py does."""
    from attscale.inference import crf

    row, _, split = scored_on(job)
    score_folder, options = job.folder / split / "scores", crf.PARAMETERS[crf.model_of(row)]
    crf.refine(row, _images(job), score_folder, job.folder / CRF, options, processes=job.processes)


def evaluate(job):
    """Scores the predictions, and those after the CRF, if anyone but VOC's server can; else says that all are there."""
    _, _, split = scored_on(job)
    score = _complete if split == "test" else _score
    score(job, job.folder / split, job.folder, crf=False)
    if job.crf:
        score(job, job.folder / CRF, job.folder / CRF, crf=True)


def _score(job, predictions, folder, *, crf):
    from attscale.data import lists
    from attscale.inference import provenance
    from attscale.scoring import evaluate

    row, dataset, split = scored_on(job)
    pairs = lists.read_split(dataset, job.run.data, split)
    if (job.branches or job.by_size) and not crf:
        predictor = _predictor(job, row)
        tally = evaluate.evaluate(predictor, pairs, branches=job.branches, by_size=job.by_size)
    else:
        pairs = evaluate.of_split(predictions, pairs)
        weights = provenance.attention(predictions, [prediction.stem for prediction, _ in pairs])
        tally = evaluate.evaluate_files(pairs, dataset, weights=weights)
    Evaluation.of(row, tally, split=split, crf=crf, weights=str(job.folder / runs.FINAL)).write(folder)


def _predictor(job, row):
    from attscale.inference import predictions
    from attscale.prototxt import Model
    from attscale.weights import caffemodel

    weights = caffemodel.read(job.folder / runs.FINAL)
    return predictions.load_predictor(Model.of(row, job.run.data), weights, job.run.gpus, job.run.threads)


def _complete(job, predictions, folder, *, crf):
    from attscale.files import write_text

    row, _, split = scored_on(job)
    images = _images(job)
    if missing := [image.stem for image in images if not (predictions / f"{image.stem}.png").exists()]:
        raise DataError(f"{predictions / missing[0]}.png: no such prediction, one of {len(missing)} that are missing")
    record = {"experiment": row.name, "split": split, "images": len(images), "crf": crf}
    write_text(folder / COMPLETE, json.dumps(record, indent=1) + "\n")


def images_of(path):
    """How many images the COMPLETE file `path` says were predicted. Raises UserError."""
    with reading(path):
        return json.loads(path.read_text())["images"]


def _images(job):
    """The images of the job's shard."""
    from attscale.data import lists

    _, dataset, split = scored_on(job)
    return lists.read_images(dataset, job.run.data, split)[job.shard :: job.shards]


def scored_on(job):
    """Experiments that were trained on val as well are for the test set, whose ground truth VOC's server has."""
    row = experiments.find(job.name, job.run.data)
    return row, row.dataset, "test" if row.split == experiments.TRAINVAL else row.dataset.val


if __name__ == "__main__":
    cli.run(main)
