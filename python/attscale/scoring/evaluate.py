"""Scoring a net on a split: one confusion matrix, each branch's alone, and attention by object size."""

import dataclasses
from pathlib import Path

import numpy as np

from attscale.data.images import check_label, read_label
from attscale.data.samples import load_pair
from attscale.data.transforms import IGNORE
from attscale.errors import DataError
from attscale.scoring import metrics


@dataclasses.dataclass
class Evaluation:
    """What one pass over a split measured."""

    images: int
    matrix: np.ndarray  # (classes, classes), rows truth
    branches: dict  # scale to the matrix of its own score map
    objects: list  # (size in pixels, mean weight of each scale) per object, where there is attention


def evaluate(predictor, pairs, classes, *, branches=False, by_size=False, progress=iter):
    """Runs `predictor` over `pairs` of (image, label). by_size: also reads SegmentationObject beside each label."""
    matrix = np.zeros((classes, classes), np.int64)
    alone = {scale: np.zeros_like(matrix) for scale in predictor.row.scales} if branches else {}
    objects = []
    for image_path, label_path in progress(pairs):
        image, label = load_pair(image_path, label_path, classes)
        predictor.forward(image, names=[image_path])
        matrix += metrics.confusion(label, predictor.labels(), classes)
        if branches:
            for scale, prediction in predictor.branch_labels().items():
                alone[scale] += metrics.confusion(label, prediction, classes)
        if by_size:
            instances = read_label(_instances_of(label_path))
            if instances.shape != label.shape:
                raise DataError(f"{_instances_of(label_path)} is not of the size of {label_path}")
            objects += weights_of_objects(predictor.attention(), instances)
    return Evaluation(len(pairs), matrix, alone, objects)


def evaluate_files(pairs, classes, progress=iter):
    """The confusion matrix (classes, classes) of label maps on disk: pairs of (prediction, truth) paths.

    Raises DataError for one that is missing, no label map, of another size, or with values that are no class.
    """
    matrix = np.zeros((classes, classes), np.int64)
    for prediction_path, truth_path in progress(pairs):
        prediction, truth = read_label(prediction_path), read_label(truth_path)
        if prediction.shape != truth.shape:
            sizes = [f"{label.shape[1]}x{label.shape[0]}" for label in (prediction, truth)]
            raise DataError(f"{prediction_path} is {sizes[0]} pixels, {truth_path} {sizes[1]}")
        check_label(truth, truth_path, classes)
        check_label(prediction, prediction_path, classes)
        if (prediction[truth != IGNORE] == IGNORE).any():
            raise DataError(f"{prediction_path}: has 255, which is no class, where {truth_path} has one")
        matrix += metrics.confusion(truth, prediction, classes)
    return matrix


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


def scores_of(matrix, classes):
    """The scores of a confusion matrix, as JSON values; classes that never occur have null.

    Raises DataError where no pixel has a class.
    """
    if not matrix.sum():
        raise DataError("no pixel of the ground truth has a class: all are 255")
    ious = [None if np.isnan(iou) else float(iou) for iou in metrics.iou(matrix)]
    return {
        "mean_iou": metrics.mean_iou(matrix),
        "pixel_accuracy": metrics.pixel_accuracy(matrix),
        "mean_accuracy": metrics.mean_accuracy(matrix),
        "iou": dict(zip(classes, ious, strict=True)),
        "matrix": matrix.tolist(),
    }


def markdown(report):
    """A report's scores as Markdown tables, per cent."""
    parts = (report.get("experiment"), report.get("split"), "with CRF" if report.get("crf") else "")
    lines = [f"# {' '.join(filter(None, parts))}", "", f"{report['images']} images", "", "| score | % |", "|---|---|"]
    names = {"mean_iou": "mean IOU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy"}
    lines += [f"| {name} | {100 * report[key]:.2f} |" for key, name in names.items()]
    lines += ["", "| class | IOU, % |", "|---|---|"]
    lines += [f"| {name} | {'-' if iou is None else f'{100 * iou:.2f}'} |" for name, iou in report["iou"].items()]
    return "\n".join(lines) + "\n"


def all_background(matrix):
    """The matrix of predicting class 0 everywhere, on the ground truth that `matrix` was counted on."""
    result = np.zeros_like(matrix)
    result[:, 0] = matrix.sum(axis=1)
    return result


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


def check_instances(pairs):
    """Raises DataError for the first (image, label) pair without an instance map beside its label."""
    for _, label_path in pairs:
        if not _instances_of(label_path).exists():
            raise DataError(f"{_instances_of(label_path)}: no such label map, which --by-size needs")


def _instances_of(label_path):
    """VOC keeps instance maps in SegmentationObject, beside SegmentationClass."""
    return Path(label_path).parent.parent / "SegmentationObject" / Path(label_path).name
