"""Scoring a net on a split: one confusion matrix, each branch's alone, and attention by object size."""

import dataclasses
from pathlib import Path

import numpy as np

from attscale import metrics
from attscale.data.images import read_label
from attscale.data.samples import load_pair
from attscale.data.transforms import IGNORE
from attscale.errors import DataError


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
        predictor.forward(image)
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


def _instances_of(label_path):
    """VOC keeps instance maps in SegmentationObject, beside SegmentationClass."""
    return Path(label_path).parent.parent / "SegmentationObject" / Path(label_path).name
