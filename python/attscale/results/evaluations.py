"""Measured results: the evaluation.json files below a folder, and which of them counts beside which of the paper's."""

import dataclasses
import json
import math
from pathlib import Path

from attscale import datasets, experiments, paper
from attscale.errors import ExperimentError, UserError

EVALUATION = "evaluation.json"
DEFAULT = "runs"

#: Each of the paper's cells to the row of ours that stands for it; cells of other people's methods are not in it.
ROW_OF = {cell: row for row in experiments.EXPERIMENTS.values() for cell in row.cells}
#: Table 2 is table 1's best model, part by part.
ROW_OF |= dict.fromkeys(
    (*paper.PARTS.values(), paper.PARTS_AVERAGE), ROW_OF[paper.PERSON_PART.cell(3, "attention", True)]
)


#: How many images the paper's splits have (sections 4.1 to 4.3, VOC's readme): a score of fewer is another number.
IMAGES = {
    ("voc12", "val"): 1449,
    ("voc12", "test"): 1456,
    ("voc10_part", "val"): 1817,
    ("coco", "val1500"): 1500,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One evaluation.json. Scores are shares from 0 to 1; None is for what was not measured or not recorded."""

    path: Path
    modified: float  # seconds since the epoch
    experiment: str
    images: int
    mean_iou: float
    iou: dict[str, float | None]  # None: a class that never occurs
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    matrix: list[list[int]] | None = None  # rows truth, columns prediction
    attention_by_size: list[tuple] = ()  # (from, to, how many, weights of each scale)
    split: str | None = None
    crf: bool = False
    although_seen: bool = False  # scored in spite of what it was trained on
    weights: str | None = None
    predictions: str | None = None

    @property
    def run(self):
        """The folder of the run it belongs to."""
        folder = self.path.parent
        return folder.parent if folder.name == "crf" else folder

    def score(self, measure):
        """The share that one of the paper's measures names; None where it was not measured."""
        if measure.startswith("IOU of "):
            return self.iou.get(measure.removeprefix("IOU of "))
        return {"mean IOU": self.mean_iou, "pixel accuracy": self.pixel_accuracy}[measure]

    @property
    def seen(self):
        """Whether val was trained on: by the name of the row, of the weights or of the folder they came from."""
        if self.although_seen:
            return True
        if self.split == "test":
            return False
        sources = [Path(source) for source in (self.weights, self.predictions) if source]
        names = (self.experiment, *(part for source in sources for part in source.parts))
        return any("trainval_aug" in name for name in names) or any(s.name.startswith("train2_") for s in sources)


def find(folders=()):
    """The Results below `folders` (default: `runs`, which need not be there), sorted by path.

    Raises UserError for a folder that is not there, and for an evaluation.json that is broken: file and key.
    """
    return [read(path) for path in files(folders, EVALUATION)]


def files(folders, name):
    """The files called `name` in and below `folders`, sorted, each once. Raises UserError for a folder not there."""
    found = {}
    for folder in map(Path, folders or [DEFAULT]):
        if folder.is_dir():
            found |= {path.resolve(): path for path in folder.rglob(name)}
        elif folders:
            raise UserError(f"{folder}: no such folder")
    return sorted(found.values())


def read(path):
    """The Result in the file `path`. Raises UserError that names the file, and the key with its value, if broken."""
    path = Path(path)
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds {type(values).__name__}, expected an object with the key 'experiment'")
    get = _Getter(path, values)
    row = get("experiment", _row)
    iou = get("iou", _iou)
    result = {
        "experiment": row.name,
        "images": get("images", _count),
        "mean_iou": get("mean_iou", _share),
        "iou": iou,
        **{key: get(key, _share, None) for key in ("pixel_accuracy", "mean_accuracy")},
        "matrix": get("matrix", lambda value: _matrix(value, len(iou)), None),
        "attention_by_size": get("attention_by_size", lambda value: _sizes(value, len(row.scales)), ()),
        **{key: get(key, _text, None) for key in ("split", "weights", "predictions")},
        **{key: get(key, _flag, False) for key in ("crf", "although_seen")},
    }
    return Result(path=path, modified=path.stat().st_mtime, **result)


def beside(cell, found):
    """The newest of the Results `found` that may stand beside the paper's `cell`; None: nobody measured it.

    It is of the cell's row, scored on all images of the cell's split, with CRF if the cell is; never of a net that has
    seen val.
    """
    row = ROW_OF.get(cell)
    if row is None:
        return None
    split = datasets.find(row.dataset).val if cell.split == "val" else cell.split
    fitting = [
        result
        for result in found
        if (result.experiment, result.split, result.crf) == (row.name, split, cell.crf)
        and not result.seen
        and result.images == IMAGES[row.dataset, split]
        and result.score(cell.measure) is not None
    ]
    return max(fitting, key=lambda result: (result.modified, result.path), default=None)


def read_json(path):
    """The JSON value in the file `path`. Raises UserError that names it."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None


def read_text(path):
    """The text of the file `path`. Raises UserError that names it."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not text: {error}") from None


_NEEDED = object()


class _Getter:
    """Reads keys of one file; what `check` expects is in the ValueError that it raises."""

    def __init__(self, path, values):
        self._path, self._values = path, values

    def __call__(self, key, check, default=_NEEDED):
        if self._values.get(key) is None and default is not _NEEDED:
            return default
        if key not in self._values:
            raise UserError(f"{self._path}: the key {key!r} is missing")
        value = self._values[key]
        try:
            return check(value)
        except ValueError as error:
            text = repr(value)
            text = text if len(text) <= 60 else f"{text[:57]}..."
            raise UserError(f"{self._path}: the key {key!r} is {text}, expected {error}") from None


def _row(value):
    try:
        return experiments.find(value if isinstance(value, str) else repr(value))
    except ExperimentError:
        raise ValueError("the name of an experiment (python tools/make_net.py --list)") from None


def _share(value):
    if type(value) not in (int, float) or not 0 <= value <= 1:  # NaN is neither
        raise ValueError("a number from 0 to 1")
    return float(value)


def _count(value):
    if type(value) is not int or value < 0:
        raise ValueError("a number of at least 0, without fraction")
    return value


def _text(value):
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _flag(value):
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _iou(value):
    if not isinstance(value, dict) or not value:
        raise ValueError("an object of classes and their IOU")
    try:
        return {name: None if share is None else _share(share) for name, share in value.items()}
    except ValueError as error:
        raise ValueError(f"{error} or null for each class") from None


def _matrix(value, classes):
    if not isinstance(value, list) or len(value) != classes:
        raise ValueError(f"{classes} rows, one for each class of 'iou'")
    for row in value:
        if not isinstance(row, list) or len(row) != classes or any(type(n) is not int or n < 0 for n in row):
            raise ValueError(f"{classes} rows of {classes} counts")
    return value


def _sizes(value, scales):
    expected = ValueError(f"rows of from, to, how many, and {scales} weights")
    if not isinstance(value, list):
        raise expected
    for row in value:
        if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list) or len(row[3]) != scales:
            raise expected
        if not all(type(n) in (int, float) and math.isfinite(n) and n >= 0 for n in (*row[:3], *row[3])):
            raise expected
    return [(low, high, count, tuple(weights)) for low, high, count, weights in value]
