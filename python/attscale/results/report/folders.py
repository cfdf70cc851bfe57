"""What a run left in its folder: scores, scores after the CRF, losses, pictures."""

import dataclasses
import math
from pathlib import Path

from attscale.errors import UserError
from attscale.results import evaluations
from attscale.results.report.markup import clean
from attscale.training import journal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A folder with a log, an evaluation, or both."""

    folder: Path
    result: evaluations.Result | None
    crf: evaluations.Result | None
    log: tuple  # (iteration, {head: loss}), ever later
    seed: int | None

    @property
    def name(self):
        return clean(str(self.folder if self.folder.name else self.folder.resolve()))

    def images(self, *patterns):
        """Paths of the pictures that `patterns` match, each once."""
        return list(dict.fromkeys(path for pattern in patterns for path in sorted(self.folder.glob(pattern))))


def find(folders=()):
    """The Runs in and below `folders` (default: `runs`). Raises UserError for what is broken, file and key."""
    found = {result.path.parent: result for result in evaluations.find(folders)}
    at = {*found, *(path.parent for path in evaluations.files(folders, journal.LOG))}
    at = {folder for folder in at if not (folder.name == "crf" and folder.parent in at)}
    return [
        Run(
            folder=folder,
            result=found.get(folder),
            crf=found.get(folder / "crf"),
            log=tuple(_losses(folder)),
            seed=_seed(folder / "run.json"),
        )
        for folder in sorted(at)
    ]


def _losses(folder):
    before = 0
    for record in journal.read(folder):
        path = folder / journal.LOG
        if not isinstance(record, dict) or type(record.get("iteration")) is not int or record["iteration"] < before:
            raise UserError(f"{path}: {record!r:.60}: expected a record with the key 'iteration', ever later")
        before = record["iteration"]
        losses = record.get("losses")
        if losses is None:  # a score during training
            continue
        if not isinstance(losses, dict) or not all(_is_number(loss) for loss in losses.values()):
            raise UserError(f"{path}: iteration {before}: the key 'losses' is {losses!r:.60}, expected numbers by head")
        yield before, losses


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def _seed(path):
    """The seed in a run's record; 0 is the record's own default. None: there is no record."""
    if not path.exists():
        return None
    record = evaluations.read_json(path)
    options = record.get("options") if isinstance(record, dict) else None
    seed = options.get("seed", 0) if isinstance(options, dict) else None
    if type(seed) is not int:
        raise UserError(f"{path}: the key 'options' is {options!r:.60}, expected an object with the number 'seed'")
    return seed
