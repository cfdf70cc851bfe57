"""What scoring a split measured: evaluation.json, which one class writes, reads and refuses."""

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np

from attscale import experiments, options
from attscale.errors import DataError, ExperimentError, UserError, reading
from attscale.files import write_text
from attscale.results import files, presentation
from attscale.scoring import metrics, objects
from attscale.training import runs

EVALUATION, TABLES = "evaluation.json", "evaluation.md"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation.json. Scores are shares from 0 to 1; None is for what was not measured or not recorded."""

    experiment: str  # or the name of an edited net
    scales: tuple[float, ...] = (1.0,)
    split: str | None = None
    weights: str | None = None
    predictions: str | None = None
    crf: bool = False
    although_seen: bool = False  # scored without a look whether it was trained on these images
    images: int
    mean_iou: float
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    iou: dict[str, float | None]  # None: a class that never occurs
    matrix: tuple[tuple[int, ...], ...] | None = None  # rows truth, columns prediction
    mean_iou_of_all_background: float | None = None
    mean_iou_of_branches: dict[str, float] = dataclasses.field(default_factory=dict)  # by scale
    attention_by_size: tuple[tuple[int, int, int, tuple[float, ...]], ...] = ()  # from, to, how many, weight by scale
    # from, to, how many, mean IOU of all classes but the first on the pixels nearest to objects of that size
    iou_by_size: tuple[tuple[int, int, int, float | None], ...] = ()
    attention: tuple[float, ...] | None = None  # mean weight of each scale; near 0 or 1: the net uses some, not all
    attention_by_class: dict[str, tuple[float, ...] | None] = dataclasses.field(default_factory=dict)  # on its pixels
    attention_by_height: tuple[tuple[float, ...] | None, ...] = ()  # in equal bands of the images, from the top
    # mean recalibration of each class's scores on the pixels of that class, and on those of all others; None: no pixel
    recalibration: dict[str, tuple[float | None, float | None]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        shares = {**{key: getattr(self, key) for key in presentation.SCORES}, **self.iou}
        shares |= {f"iou_by_size from {low} to {high}": iou for low, high, _, iou in self.iou_by_size}
        for key, share in shares.items():
            if share is not None and not 0 <= share <= 1:  # per cent, say; NaN is neither
                raise UserError(f"Evaluation: {key} is {share}, expected a share from 0 to 1")
        if self.matrix is not None and {len(self.matrix), *map(len, self.matrix)} != {len(self.iou)}:
            raise UserError(f"Evaluation: matrix is not square with {len(self.iou)} rows, one for each class of iou")
        scales = len(self.scales)
        for key, lines in {
            "attention_by_size": [weights for *_, weights in self.attention_by_size],
            "attention_by_class": self.attention_by_class.values(),
            "attention_by_height": self.attention_by_height,
        }.items():
            if any(weights is not None and len(weights) != scales for weights in lines):
                raise UserError(f"Evaluation: {key} has a line without {scales} weights, one for each scale")
        sizes = [{line[:3] for line in lines} for lines in (self.attention_by_size, self.iou_by_size) if lines]
        if len(sizes) == 2 and sizes[0] != sizes[1]:
            raise UserError("Evaluation: iou_by_size and attention_by_size are not of the same objects")
        if self.attention is not None and len(self.attention) != scales:
            raise UserError(f"Evaluation: attention has {len(self.attention)} weights, expected {scales}")
        for key in ("recalibration", "attention_by_class"):
            if getattr(self, key) and getattr(self, key).keys() != self.iou.keys():
                raise UserError(f"Evaluation: {key} is not of the classes of iou")

    @classmethod
    def of(cls, net, tally, **record):
        """The scores of `tally`, a scoring.evaluate.Tally of the row or Model `net`.

        record: the fields that say of what it was counted.

        Raises DataError where no pixel has a class.
        """
        if not tally.matrix.sum():
            raise DataError("no pixel of the ground truth has a class: all are 255")
        classes = net.dataset.classes
        by_size = objects.by_size(tally.objects)
        attention_by_class, attention_by_height, recalibration = {}, (), {}
        if tally.weights_by_class is not None:
            attention_by_class = dict(zip(classes, map(_weights, tally.weights_by_class), strict=True))
        if tally.weights_by_height is not None:
            attention_by_height = tuple(map(_weights, tally.weights_by_height))
        if tally.recalibration is not None:
            recalibration = dict(zip(classes, map(_numbers, tally.recalibration), strict=True))
        return cls(
            experiment=net.name,
            scales=tuple(map(float, net.scales)),
            images=tally.images,
            mean_iou=metrics.mean_iou(tally.matrix),
            pixel_accuracy=metrics.pixel_accuracy(tally.matrix),
            mean_accuracy=metrics.mean_accuracy(tally.matrix),
            iou=dict(zip(classes, _numbers(metrics.iou(tally.matrix)), strict=True)),
            matrix=tuple(map(tuple, tally.matrix.tolist())),
            mean_iou_of_all_background=metrics.mean_iou(metrics.all_background(tally.matrix)),
            mean_iou_of_branches={f"{float(s):g}": metrics.mean_iou(matrix) for s, matrix in tally.branches.items()},
            attention=None if tally.weights is None else tuple(map(float, tally.weights)),
            attention_by_size=tuple((*line, _weights(weights)) for *line, weights in by_size if weights is not None),
            iou_by_size=_iou_by_size(by_size, tally.by_size),
            attention_by_class=attention_by_class,
            attention_by_height=attention_by_height,
            recalibration=recalibration,
            **record,
        )

    @functools.cached_property
    def row(self):
        """Its experiment; None for an edited net's, or one of a data set that is not of the project.

        Looked up once: every cell of the papers asks whether it is its own.
        """
        try:
            return experiments.find(self.experiment)
        except ExperimentError:
            return None

    @property
    def title(self):
        """The experiment's for people, or the name alone."""
        return self.row.title if self.row else self.experiment

    @property
    def mean_iou_of_all_classes(self):
        """As the authors average: a class that occurs neither in truth nor in prediction counts as 0, not as absent."""
        occur = sum(iou is not None for iou in self.iou.values())
        return self.mean_iou * occur / len(self.iou)

    @property
    def sizes(self):
        """Rows (from, to, how many, mean IOU of the foreground or None, weights of the scales) by object size.

        Weights are () for a net without attention; the IOU is None in files of before it was measured.
        """
        weights = {(low, high, count): weights for low, high, count, weights in self.attention_by_size}
        ious = {(low, high, count): iou for low, high, count, iou in self.iou_by_size}
        return [(*line, ious.get(line), weights.get(line, ())) for line in ious or weights]

    @property
    def bands(self):
        """(per cent of the height from the top, as "0 to 12.5"; weights of the scales or None) of the image's bands."""
        step = 100 / max(1, len(self.attention_by_height))
        return [(f"{i * step:g} to {(i + 1) * step:g}", line) for i, line in enumerate(self.attention_by_height)]

    def write(self, folder):
        """Writes evaluation.md and evaluation.json into `folder`, that one last: a run that has it is scored."""
        write_text(Path(folder, TABLES), presentation.markdown(self))
        write_text(Path(folder, EVALUATION), json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def _numbers(values):
    """Plain floats of an array, None for NaN."""
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _weights(values):
    """Plain floats of an array, or None for NaN: weights sum to 1, so all of them are there or none is."""
    return None if np.isnan(values).any() else tuple(map(float, values))


def _iou_by_size(lines, matrices):
    """`Evaluation.iou_by_size` of `objects.by_size`'s lines and the matrices of its bins."""
    ious = _numbers(metrics.mean_iou_of_foreground(matrices[objects.bin_of(low)]) for low, *_ in lines)
    return tuple((*line[:3], iou) for line, iou in zip(lines, ious, strict=True))


def folder_of(weights):
    """Where scores of the caffemodel `weights` belong: the folder of the run whose final ones they are; else None."""
    path = Path(weights)
    return path.parent if path.name == runs.FINAL and path.with_name(runs.RECORD).exists() else None


def find(folders=()):
    """(folder, Evaluation) of each evaluation.json in and below `folders` (default: `runs`), sorted by folder.

    Raises UserError for a folder that is not there, and as `read`.
    """
    return [(path.parent, read(path)) for path in files.find(folders, EVALUATION)]


def read(path):
    """The Evaluation in the file `path`. Raises UserError, naming file, key and value, for a broken one."""
    with reading(path):
        text = Path(path).read_text(encoding="utf-8")
    try:
        return options.decode(Evaluation, text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
