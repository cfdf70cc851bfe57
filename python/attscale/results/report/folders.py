"""What a run left in its folder: scores, scores after the CRF, losses, pictures."""

import base64
import dataclasses
import json
from pathlib import Path

from PIL import Image

from attscale.errors import reading
from attscale.results import evaluations, files
from attscale.results.evaluations import Evaluation
from attscale.training import journal, runs

_CRF = "crf"  # the folder of what came of a run's label maps by the CRF


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A folder with a log, an evaluation, or both."""

    folder: Path
    result: Evaluation | None
    crf: Evaluation | None
    log: tuple[tuple[int, dict[str, float]], ...]  # (iteration, {head: loss}), ever later
    seed: int | None

    @property
    def name(self):
        return files.printable(str(self.folder if self.folder.name else self.folder.resolve()))

    @property
    def evaluations(self):
        """(folder, Evaluation) pairs, as `attscale.results.compare` takes them."""
        pairs = ((self.folder, self.result), (self.folder / _CRF, self.crf))
        return [(folder, evaluation) for folder, evaluation in pairs if evaluation]

    def pictures(self, *patterns):
        """The Pictures that `patterns` match, pattern by pattern."""
        return [Picture.of(path) for pattern in patterns for path in sorted(self.folder.glob(pattern))]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG, for a page that holds it itself."""

    name: str
    width: int
    height: int
    base64: str

    @classmethod
    def of(cls, path):
        """Raises UserError for a file that is no PNG."""
        with reading(path), Image.open(path, formats=["PNG"]) as image:
            return cls(path.name, *image.size, base64.b64encode(path.read_bytes()).decode())


def find(folders=()):
    """The Runs in and below `folders` (default: `runs`). Raises UserError for what is broken, file and key."""
    found = dict(evaluations.find(folders))
    at = {*found, *(path.parent for path in files.find(folders, runs.LOG))}
    at = {folder for folder in at if not (folder.name == _CRF and folder.parent in at)}
    return [
        Run(
            folder=folder,
            result=found.get(folder),
            crf=found.get(folder / _CRF),
            log=_losses(folder),
            seed=_seed(folder / runs.RECORD),
        )
        for folder in sorted(at)
    ]


def _losses(folder):
    with reading(folder / runs.LOG):
        return tuple((one["iteration"], one["losses"]) for one in journal.read(folder) if "losses" in one)


def _seed(path):
    """The seed in a run's record; 0 is the record's own default. None: there is no record."""
    if not path.exists():
        return None
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))["options"].get("seed", 0)
