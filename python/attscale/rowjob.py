"""A step of a sweep's row, in a process of its own: `python -m attscale.rowjob JOB PARENT`, JOB the JSON of a `Job`.

Every step goes on where an earlier try stopped, and does nothing where one has finished.
"""

import dataclasses
import json
import sys
from pathlib import Path

from attscale import cli, experiments, options, processes, runs, supervise
from attscale.errors import UserError

STEPS = ("train", "predict", "evaluate")


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
    shard: int = 0  # of `shards` parts of the images to predict
    shards: int = 1

    @property
    def folder(self):
        """The row's run folder."""
        return Path(self.root, self.name)


def main(argv):
    processes.die_with_parent(int(argv[1]))
    job = options.decode(Job, argv[0])
    {"train": train, "predict": predict, "evaluate": evaluate}[job.step](job)


def train(job):
    """Trains, or continues to train, the row."""
    row = experiments.find(job.name)
    if (job.folder / runs.FINAL).exists():
        return
    if not (job.folder / runs.RECORD).exists():
        run = runs.RunOptions(
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
        runs.create(job.folder, run, sys.argv)
    supervise.run(job.folder)
    if not (job.folder / runs.FINAL).exists():
        raise UserError(f"{job.folder}: stopped before it was finished")


def predict(job):
    """Predicts this shard of the split that the row is scored on."""
    from attscale import predict
    from attscale.data import lists

    row, dataset, split = _scored_on(job)
    images = lists.read_images(dataset, job.data, split)[job.shard :: job.shards]
    weights = job.folder / runs.FINAL
    output = predict.output(job.folder / split, row, weights)
    predictor = predict.predictor(row, weights, (0,) if job.gpu else (), job.threads)
    predict.predict(predictor, predict.files(images, oriented=False), output)


def evaluate(job):
    """Scores the predictions, if anyone but VOC's server can."""
    from attscale import evaluate
    from attscale.data import lists
    from attscale.files import write_text

    row, dataset, split = _scored_on(job)
    if split == "test":
        return
    pairs = evaluate.of_split(job.folder / split, lists.read_split(dataset, job.data, split))
    matrix = evaluate.evaluate_files(pairs, len(dataset.classes))
    report = {
        "experiment": row.name,
        "split": split,
        "weights": str(job.folder / runs.FINAL),
        "images": len(pairs),
        "crf": False,
        **evaluate.scores_of(matrix, dataset.classes),
    }
    write_text(job.folder / "evaluation.json", json.dumps(report, indent=1) + "\n")
    write_text(job.folder / "evaluation.md", evaluate.markdown(report))


def _scored_on(job):
    """Rows that were trained on val as well are for the test set, whose ground truth VOC's server has."""
    from attscale.data import datasets

    row = experiments.find(job.name)
    dataset = datasets.find(row.dataset)
    return row, dataset, "test" if row.split == "trainval_aug" else dataset.val


if __name__ == "__main__":
    cli.run(main)
