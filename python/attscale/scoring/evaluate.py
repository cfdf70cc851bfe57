"""Scoring a net on a split, or label maps on disk: confusion matrices, and attention by object size."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np

from attscale.data.images import check_label, read_label
from attscale.data.samples import load_pair
from attscale.datasets import IGNORE
from attscale.errors import DataError
from attscale.scoring import metrics

_HINT = " (tools/prepare_data.py takes it from VOC's archive)"


@dataclasses.dataclass(frozen=True)
class Tally:
    """What one pass over a split counted."""

    images: int
    matrix: np.ndarray  # (classes, classes), rows truth
    branches: dict[Fraction, np.ndarray] = dataclasses.field(default_factory=dict)  # scale to its own map's matrix
    objects: tuple = ()  # each one's size in pixels and mean weight of each scale
    weights: np.ndarray | None = None  # the attention's mean weight of each scale: of each image, and of those the mean
    recalibration: np.ndarray | None = None  # (classes, 2): of each class, the mean on its pixels, and on all others'


def evaluate(predictor, pairs, *, branches=False, by_size=False, progress=iter):
    """The Tally of `predictor` over `pairs` of (image, label), with the mean weight of each scale, if it has attention.

    Where it recalibrates scores, so it does, by class: what tells a class from others is how much more is left of its
    score on its own pixels than elsewhere. The mean over all pixels is a mixture of the two by how common a class is.
    branches: also of each scale's own score map; by_size: also of objects, which SegmentationObject beside the labels
    has. Raises DataError for files that are missing or broken; for objects' before anything is predicted.
    """
    if by_size and (missing := [path for _, label in pairs if not (path := _instances_of(label)).exists()]):
        raise DataError(f"{missing[0]}: no such label map, which --by-size needs{_HINT}")
    dataset = predictor.model.dataset
    classes = len(dataset.classes)
    matrix = np.zeros((classes, classes), np.int64)
    alone = {scale: np.zeros_like(matrix) for scale in predictor.model.scales} if branches else {}
    objects, weights = [], []
    sums = None
    for image_path, label_path in progress(pairs):
        image, label = load_pair(image_path, label_path, classes, dataset.values)
        predictor.forward(image, names=[image_path])
        matrix += metrics.confusion(label, predictor.labels(), classes)
        if branches:
            for scale, prediction in predictor.branch_labels().items():
                alone[scale] += metrics.confusion(label, prediction, classes)
        if (attention := predictor.attention()) is not None:
            weights.append(attention.mean(axis=(1, 2), dtype=np.float64))
        if (maps := predictor.recalibration()) is not None:
            sums = metrics.sums_by_class(maps, label) + (0 if sums is None else sums)
        if by_size:
            objects += weights_of_objects(attention, read_label(_instances_of(label_path)))
    return Tally(
        len(pairs),
        matrix,
        alone,
        tuple(objects),
        weights=np.mean(weights, axis=0) if weights else None,
        recalibration=None if sums is None else metrics.means_by_class(sums, matrix),
    )


def evaluate_files(pairs, dataset, *, weights=None, progress=iter):
    """The Tally of label maps on disk: pairs of (prediction, truth) paths; weights: as the Tally has them, if known.

    dataset: the DataSet, whose values the truth has; predictions have indices of its classes.

    Raises DataError for one that is missing, no label map, of another size, or with values that are no class.
    """
    classes = len(dataset.classes)
    matrix = np.zeros((classes, classes), np.int64)
    for prediction_path, truth_path in progress(pairs):
        prediction, truth = read_label(prediction_path), read_label(truth_path, dataset.values)
        if prediction.shape != truth.shape:
            sizes = [f"{label.shape[1]}x{label.shape[0]}" for label in (prediction, truth)]
            raise DataError(f"{prediction_path} is {sizes[0]} pixels, {truth_path} {sizes[1]}")
        check_label(truth, truth_path, classes)
        check_label(prediction, prediction_path, classes)
        if (prediction[truth != IGNORE] == IGNORE).any():
            raise DataError(f"{prediction_path}: has 255, which is no class, where {truth_path} has one")
        matrix += metrics.confusion(truth, prediction, classes)
    return Tally(len(pairs), matrix, weights=weights)


def pair_up(predictions, truths):
    """(prediction, truth) paths of the PNGs in two folders: every truth with the prediction of its name.

    Raises DataError for a folder without PNGs; whether the predictions exist is found out when they are read.
    """
    paths = sorted(Path(truths).glob("*.png"))
    if not paths:
        raise DataError(f"{truths}: has no PNGs")
    return [(Path(predictions, path.name), path) for path in paths]


def of_split(folder, pairs):
    """(prediction, truth) paths of a split's pairs: predictions are `<id>.png` in `folder`."""
    return [(Path(folder, f"{image.stem}.png"), label) for image, label in pairs]


def weights_of_objects(weights, instances):
    """For each object its size, the square root of its area in pixels, and the mean weight of each scale over it.

    weights: (S, H, W); instances: (H, W), 0 the background, 255 the border.
    """
    result = []
    for number in np.setdiff1d(np.unique(instances), (0, IGNORE)):
        inside = instances == number
        result.append((float(np.sqrt(inside.sum())), weights[:, inside].mean(axis=1)))
    return result


def by_size(objects):
    """Objects in bins of doubling size: rows (from, to, how many, mean weight of each scale), empty bins left out."""
    bins = {}
    for size, weights in objects:
        bins.setdefault(int(np.floor(np.log2(size))), []).append(weights)
    return [(2**low, 2 ** (low + 1), len(bins[low]), np.mean(bins[low], axis=0)) for low in sorted(bins)]


def _instances_of(label_path):
    """VOC keeps instance maps in SegmentationObject, beside SegmentationClass."""
    return Path(label_path).parent.parent / "SegmentationObject" / Path(label_path).name
