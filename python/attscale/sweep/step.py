"""A step of a sweep, a process of its own: `python -m attscale.sweep.step JOB PARENT`, JOB the JSON of a `Job`.

Every step goes on where an earlier try stopped, and does nothing where one has finished.
"""

import dataclasses
import json
import sys
from pathlib import Path

from attscale import cli, experiments, options, processes
from attscale.errors import DataError, RunError, UserError
from attscale.training import runs, supervise

STEPS = ("train", "predict", "crf", "evaluate")
EVALUATION = "evaluation.json"
COMPLETE = "complete.json"  # in its place, for images whose ground truth VOC's server has
CRF = "crf"  # folder of a row's label maps after the CRF, and of their scores

#: What decides a run's outcome, and what only how it is computed, which no longer matters once it is finished: fields
#: of runs.RunOptions, by the name that they go by here.
_OUTCOME = {
    **{"experiment": "experiment", "data": "--data", "weights": "weights", "max_iter": "--max-iter", "seed": "--seed"},
    **{"batch_size": "batch_size", "iter_size": "iter_size"},
}
_MANNER = {"gpus": "GPU", "threads": "--threads", "snapshot_interval": "--snapshot-interval"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One step of one row: all paths absolute, the row's results below `root`/<name>."""

    name: str
    step: str  # one of STEPS
    root: str
    data: str
    weights: str | None = None
    max_iter: int | None = None
    snapshot_interval: int = 500
    gpu: bool = False
    threads: int | None = None
    seed: int = 0
    shard: int = 0  # of `shards` parts of the images to predict, or to put through the CRF
    shards: int = 1
    crf: bool = False  # the row is also scored after the CRF, and so score maps are kept
    processes: int | None = None  # of the CRF; None: one a core

    @property
    def folder(self):
        """The row's run folder."""
        return Path(self.root, self.name)


def main(argv):
    processes.die_with_parent(int(argv[1]))
    job = options.decode(Job, argv[0])
    {"train": train, "predict": predict, "crf": crf, "evaluate": evaluate}[job.step](job)


def run_options(job):
    """The runs.RunOptions of the job's row."""
    row = experiments.find(job.name)
    return runs.RunOptions(
        experiment=row.name,
        data=job.data,
        weights=job.weights,
        seed=job.seed,
        max_iter=job.max_iter or row.solver.max_iter,
        batch_size=row.solver.batch_size,
        iter_size=row.solver.iter_size,
        gpus=(0,) if job.gpu else (),
        threads=job.threads,
        snapshot_interval=job.snapshot_interval,
    )


def check(job):
    """Raises RunError where the row's folder holds a run that was begun with other options than the job's.

    What a finished run was computed on, and how often it took a snapshot, makes no difference.
    """
    if not any((job.folder / name).exists() for name in (runs.RECORD, runs.FINAL, EVALUATION, COMPLETE)):
        return
    there, asked = runs.load(job.folder), run_options(job)
    finished = (job.folder / runs.FINAL).exists()
    for field, name in (_OUTCOME if finished else _OUTCOME | _MANNER).items():
        values = [getattr(options, field) for options in (there, asked)]
        if values[0] != values[1]:
            raise RunError(
                f"{job.folder}: was begun with {name} {_word(values[0])}, not {_word(values[1])}; "
                "give what it was begun with, or choose another --out"
            )


def _word(value):
    return "none" if value in (None, ()) else value[0] if isinstance(value, tuple) else value


def train(job):
    """Trains, or continues to train, the row."""
    check(job)
    if (job.folder / runs.FINAL).exists():
        return
    if not (job.folder / runs.RECORD).exists():
        runs.create(job.folder, run_options(job), sys.argv)
    supervise.run(job.folder)
    if not (job.folder / runs.FINAL).exists():
        raise UserError(f"{job.folder}: stopped before it was finished")


def predict(job):
    """Predicts this shard of the split that the row is scored on."""
    from attscale.inference import predictions

    row, _, split = _scored_on(job)
    weights = job.folder / runs.FINAL
    output = predictions.output(job.folder / split, row, weights, with_scores=job.crf)
    predictor = predictions.predictor(row, weights, (0,) if job.gpu else (), job.threads)
    predictions.predict(predictor, predictions.files(_images(job), oriented=False), output)


def crf(job):
    """Puts this shard of the predictions through the CRF, as tools/crf.py does."""
    from attscale.inference import crf, predictions, scores

    row, dataset, split = _scored_on(job)
    folder = job.folder / split
    pairs = [(image, scores.name(folder / "scores", image)) for image in _images(job)]
    made_by = predictions.record_of_scores(folder, row)
    setting = crf.PARAMETERS[crf.model_of(row)]
    crf.run(pairs, job.folder / CRF, len(dataset.classes), setting, made_by=made_by, processes=job.processes)


def evaluate(job):
    """Scores the predictions, and those after the CRF, if anyone but VOC's server can; else says that all are there."""
    _, _, split = _scored_on(job)
    score = _complete if split == "test" else _score
    score(job, job.folder / split, job.folder, crf=False)
    if job.crf:
        score(job, job.folder / CRF, job.folder / CRF, crf=True)


def _score(job, predictions, folder, *, crf):
    from attscale.data import lists
    from attscale.files import write_text
    from attscale.scoring import evaluate

    row, dataset, split = _scored_on(job)
    pairs = evaluate.of_split(predictions, lists.read_split(dataset, job.data, split))
    matrix = evaluate.evaluate_files(pairs, len(dataset.classes))
    report = {
        "experiment": row.name,
        "split": split,
        "weights": str(job.folder / runs.FINAL),
        "images": len(pairs),
        "crf": crf,
        **evaluate.scores_of(matrix, dataset.classes),
    }
    write_text(folder / "evaluation.md", evaluate.markdown(report))
    write_text(folder / EVALUATION, json.dumps(report, indent=1) + "\n")  # last: a row that has it is finished


def _complete(job, predictions, folder, *, crf):
    from attscale.files import write_text

    row, _, split = _scored_on(job)
    images = _images(job)
    if missing := [image.stem for image in images if not (predictions / f"{image.stem}.png").exists()]:
        raise DataError(f"{predictions / missing[0]}.png: no such prediction, one of {len(missing)} that are missing")
    record = {"experiment": row.name, "split": split, "images": len(images), "crf": crf}
    write_text(folder / COMPLETE, json.dumps(record, indent=1) + "\n")


def _images(job):
    """The images of the job's shard."""
    from attscale.data import lists

    _, dataset, split = _scored_on(job)
    return lists.read_images(dataset, job.data, split)[job.shard :: job.shards]


def _scored_on(job):
    """Rows that were trained on val as well are for the test set, whose ground truth VOC's server has."""
    from attscale import datasets

    row = experiments.find(job.name)
    dataset = datasets.find(row.dataset)
    return row, dataset, "test" if row.split == "trainval_aug" else dataset.val


if __name__ == "__main__":
    cli.run(main)
