"""What came of one run of a study: a file of JSON, docs/results/<study>/seed<N>/<net>.json."""

import dataclasses
import json
from pathlib import Path

from attscale import options
from attscale.ablation.studies import STUDIES
from attscale.errors import UserError, reading
from attscale.files import write_text
from attscale.results import evaluations
from attscale.results.evaluations import Evaluation
from attscale.training import journal, runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """A run and its scores on val."""

    study: str
    net: str
    seed: int
    iterations: int
    images: int  # an iteration
    crop_size: int
    seconds: float  # of training, beside other runs on the same cores
    commit: str | None  # of the code that trained it
    evaluation: Evaluation
    crf: Evaluation | None = None  # after the CRF


def path_of(folder, study, net, seed):
    """Where the file is below `folder`."""
    return Path(folder, study.name, f"seed{seed}", f"{net}.json")


def is_finished(study, net, run):
    """Whether the run folder holds all that `of_run` reads."""
    ends = [run, run / "crf"] if net in study.crf else [run]
    return all((end / evaluations.EVALUATION).exists() for end in ends)


def of_run(study, net, seed, run):
    """The Kept of a finished run folder. Raises UserError for a broken one."""
    asked = runs.load(run)
    with reading(run / runs.RECORD):
        record = json.loads((run / runs.RECORD).read_text())
    return Kept(
        study=study.name,
        net=net,
        seed=seed,
        iterations=asked.max_iter,
        images=asked.batch_size * asked.iter_size,
        crop_size=study.experiment(net).crop_size,
        seconds=round(sum(line.get("seconds", 0) for line in journal.read(run)), 1),
        commit=record["versions"]["attscale"],
        evaluation=_without_paths(run),
        crf=_without_paths(run / "crf") if net in study.crf else None,
    )


def _without_paths(folder):
    found = evaluations.read(folder / evaluations.EVALUATION)
    return dataclasses.replace(found, weights=None, predictions=None)


def write(folder, study, kept):
    """Keeps it below `folder`; returns the file's path."""
    path = path_of(folder, study, kept.net, kept.seed)
    write_text(path, options.encode(kept) + "\n")
    return path


def read(path):
    """The Kept in a file. Raises UserError that names it."""
    with reading(path):
        text = Path(path).read_text(encoding="utf-8")
    try:
        return options.decode(Kept, text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def find(folder, study):
    """{net: {seed: Kept}} of the runs of a study that are below `folder`."""
    paths = {(net, seed): path_of(folder, study, net, seed) for net in study.nets for seed in study.seeds}
    found = {net: {} for net in study.nets}
    for (net, seed), path in paths.items():
        if path.exists():
            found[net][seed] = read(path)
    return found


def find_all(folder):
    """{study's name: as `find`} of all studies."""
    return {name: find(folder, study) for name, study in STUDIES.items()}
