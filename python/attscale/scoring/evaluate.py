"""Scoring a net on a split, or label maps on disk: confusion matrices, and where attention gives its weight."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np

from attscale.data.images import check_label, read_label
from attscale.data.samples import load_pair
from attscale.datasets import IGNORE
from attscale.errors import DataError
from attscale.scoring import metrics, objects

BANDS = 8  # of equal height, from an image's top to its bottom
_HINT = " (tools/prepare_data.py takes it from VOC's archive)"


@dataclasses.dataclass(frozen=True)
class Tally:
    """What one pass over a split counted."""

    images: int
    matrix: np.ndarray  # (classes, classes), rows truth
    branches: dict[Fraction, np.ndarray] = dataclasses.field(default_factory=dict)  # scale to its own map's matrix
    objects: tuple = ()  # each one's size in pixels and mean weight of each scale, None without attention
    by_size: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)  # a bin of object sizes to its matrix
    weights: np.ndarray | None = None  # the attention's mean weight of each scale: of each image, and of those the mean
    weights_by_class: np.ndarray | None = None  # (classes, S): by pixel, of all images; NaN for a class without any
    weights_by_height: np.ndarray | None = None  # (BANDS, S): by pixel, of all images; NaN for a band without any
    recalibration: np.ndarray | None = None  # (classes, 2): of each class, the mean on its pixels, and on all others'


def evaluate(predictor, pairs, *, branches=False, by_size=False, progress=iter):
    """The Tally of `predictor` over `pairs` of (image, label), with the weights of scales, if it has attention.

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
    found, near = [], {}
    weights, by_class, by_height = [], 0, 0
    sums = None
    for image_path, label_path in progress(pairs):
        image, label = load_pair(image_path, label_path, classes, dataset.values)
        predictor.forward(image, names=[image_path])
        prediction = predictor.labels()
        matrix += metrics.confusion(label, prediction, classes)
        if branches:
            for scale, own in predictor.branch_labels().items():
                alone[scale] += metrics.confusion(label, own, classes)
        if (attention := predictor.attention()) is not None:
            weights.append(attention.mean(axis=(1, 2), dtype=np.float64))
            by_class = by_class + metrics.sums_by_group(attention, label, classes)
            by_height = by_height + metrics.sums_by_group(attention, bands(label.shape), BANDS)
        if (maps := predictor.recalibration()) is not None:
            sums = metrics.sums_by_class(maps, label) + (0 if sums is None else sums)
        if by_size:
            instances = _read_instances(label_path, label.shape)
            found += objects.weights_of_objects(attention, instances)
            for low, counts in objects.confusion_by_size(label, prediction, instances, classes).items():
                near[low] = near.get(low, 0) + counts
    return Tally(
        len(pairs),
        matrix,
        alone,
        tuple(found),
        near,
        weights=np.mean(weights, axis=0) if weights else None,
        weights_by_class=metrics.means_by_group(by_class) if weights else None,
        weights_by_height=metrics.means_by_group(by_height) if weights else None,
        recalibration=None if sums is None else metrics.means_by_class(sums, matrix),
    )


def bands(shape):
    """(H, W): the number of the band, from the top, that the middle of each pixel's row lies in."""
    height, width = shape
    rows = (2 * np.arange(height) + 1) * BANDS // (2 * height)
    return np.broadcast_to(rows[:, None], (height, width))


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


def _read_instances(label_path, shape):
    path = _instances_of(label_path)
    instances = read_label(path)
    if instances.shape != shape:
        sizes = [f"{width}x{height}" for height, width in (instances.shape, shape)]
        raise DataError(f"{path} is {sizes[0]} pixels, {label_path} {sizes[1]}")
    return instances


def _instances_of(label_path):
    """VOC keeps instance maps in SegmentationObject, beside SegmentationClass."""
    return Path(label_path).parent.parent / "SegmentationObject" / Path(label_path).name
