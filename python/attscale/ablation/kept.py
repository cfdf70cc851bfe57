"""What came of one run of a study: a file of JSON, docs/results/<study>/seed<N>/<net>.json."""

import dataclasses
import hashlib
import json
from pathlib import Path

from attscale import options
from attscale.ablation.studies import STUDIES
from attscale.errors import UserError, reading
from attscale.files import write_text
from attscale.results import evaluations
from attscale.results.evaluations import Evaluation
from attscale.scoring.evaluate import BANDS
from attscale.training import journal, runs

SEEN = "train"  # the folder, in a run's, of its scores on the images that it trained on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """A run and its scores on val."""

    study: str
    net: str
    seed: int
    iterations: int
    images: int  # an iteration
    seconds: float  # of training, beside other runs on the same machine
    commit: str | None  # of the code that trained it; a + behind it where files differed
    start: str | None = None  # sha256 of the weights that it started from; None: from scratch
    evaluation: Evaluation
    crf: Evaluation | None = None  # after the CRF
    seen: Evaluation | None = None  # on the images that it trained on


def path_of(folder, study, net, seed):
    """Where the file is below `folder`."""
    return Path(folder, study.name, f"seed{seed}", f"{net}.json")


def is_finished(study, net, run):
    """Whether the run folder holds all that `of_run` reads."""
    ends = [run, *([run / "crf"] if net == study.shown else []), *([run / SEEN] if study.seen else [])]
    return all((end / evaluations.EVALUATION).exists() for end in ends)


def of_run(study, net, seed, run):
    """The Kept of a finished run folder. Raises UserError for a broken one, and for one of other options."""
    asked = runs.load(run)
    with reading(run / runs.RECORD):
        record = json.loads((run / runs.RECORD).read_text())
    start = None
    if asked.weights:
        with reading(asked.weights):
            start = hashlib.sha256(Path(asked.weights).read_bytes()).hexdigest()
    one = Kept(
        study=study.name,
        net=net,
        seed=asked.seed,
        iterations=asked.max_iter,
        images=asked.batch_size * asked.iter_size,
        seconds=round(sum(line.get("seconds", 0) for line in journal.read(run)), 1),
        commit=record["versions"]["attscale"],
        start=start,
        evaluation=_without_paths(run),
        crf=_without_paths(run / "crf") if net == study.shown else None,
        seen=_without_paths(run / SEEN) if study.seen else None,
    )
    _check(one, study, net, seed, run)
    return one


def _without_paths(folder):
    found = evaluations.read(folder / evaluations.EVALUATION)
    return dataclasses.replace(found, weights=None, predictions=None)


def write(folder, study, kept):
    """Keeps it below `folder`; returns the file's path."""
    path = path_of(folder, study, kept.net, kept.seed)
    write_text(path, options.encode(kept) + "\n")
    return path


def read(path, study, net, seed):
    """The Kept in a file. Raises UserError that names it, also where it is of another run than these say."""
    with reading(path):
        text = Path(path).read_text(encoding="utf-8")
    try:
        one = options.decode(Kept, text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    _check(one, study, net, seed, path)
    return one


def _check(one, study, net, seed, place):
    found = {"study": one.study, "net": one.net, "seed": one.seed, "iterations": one.iterations}
    found |= {"experiment": one.evaluation.experiment, "start": "weights" if one.start else "scratch"}
    wanted = {"study": study.name, "net": net, "seed": seed, "iterations": study.max_iter}
    wanted |= {"experiment": study.experiment(net).name, "start": "weights" if study.start else "scratch"}
    for key, value in wanted.items():
        if found[key] != value:
            raise UserError(f"{place}: {key} is {found[key]}, expected {value}")
    if (one.seen is not None) != study.seen:
        wanted = "are to be" if study.seen else "are not to be"
        raise UserError(f"{place}: scores on the images that it trained on {wanted} there")
    for key, measured in _measured(one.evaluation, study, study.experiment(net)).items():
        if not measured:
            raise UserError(f"{place}: {key} of its evaluation is missing, or not of {net}")


def _measured(evaluation, study, row):
    """What the page reads of every run, and whether it is there."""
    scales = tuple(map(float, row.scales))
    weighs, objects = row.merge == "attention", study.by_size
    return {
        "scales": evaluation.scales == scales,
        "pixel_accuracy": evaluation.pixel_accuracy is not None,
        "iou": list(evaluation.iou) == list(row.dataset.classes),
        "mean_iou_of_branches": set(evaluation.mean_iou_of_branches) == {f"{scale:g}" for scale in scales},
        "iou_by_size": len(evaluation.iou_by_size) >= 3 or not objects,
        "attention_by_size": len(evaluation.attention_by_size) >= 3 or not (weighs and objects),
        "attention_by_class": all(evaluation.attention_by_class.values())
        and bool(evaluation.attention_by_class) == weighs,
        "attention_by_height": len(evaluation.attention_by_height) == BANDS * weighs
        and all(evaluation.attention_by_height),
    }


def find(folder, study):
    """{net: {seed: Kept}} of the runs of a study that are below `folder`."""
    paths = {(net, seed): path_of(folder, study, net, seed) for net in study.nets for seed in study.seeds}
    found = {net: {} for net in study.nets}
    for (net, seed), path in paths.items():
        if path.exists():
            found[net][seed] = read(path, study, net, seed)
    return found


def find_all(folder):
    """{study's name: as `find`} of all studies.

    Raises UserError where runs of one seed started from different trunks, one of which has been trained anew.
    """
    found = {name: find(folder, study) for name, study in STUDIES.items()}
    first = {}
    for name, study in STUDIES.items():
        for net, by_seed in found[name].items():
            for seed, one in by_seed.items():
                path = path_of(folder, study, net, seed)
                trunk, other = first.setdefault((study.start, seed), (one.start, path))
                if one.start != trunk:
                    raise UserError(f"{path}: started from other weights than {other}, whose trunk it shares")
    return found
