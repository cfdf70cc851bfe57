"""Confusion matrix and the scores that follow from it. One matrix over the whole set (release protocol)."""

import numpy as np

from attscale.datasets import IGNORE


def confusion(truth, prediction, classes):
    """(classes, classes) int64 counts, rows truth, columns prediction; pixels whose truth is IGNORE are left out.

    truth, prediction: integer arrays of one shape. Raises ValueError for values that are no class.
    """
    valid = truth != IGNORE
    cells = np.ravel_multi_index((truth[valid], prediction[valid]), (classes, classes))
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def sums_by_class(maps, truth):
    """(classes, 2): the sum of each class's map over the pixels of that class, and over those of all others.

    maps: (classes, H, W); truth: (H, W) class indices; pixels whose truth is IGNORE are left out.
    """
    valid = truth != IGNORE
    values, labels = maps[:, valid], truth[valid]
    own = np.bincount(labels, values[labels, np.arange(labels.size)], minlength=len(maps))
    return np.stack([own, values.sum(axis=1, dtype=np.float64) - own], axis=1)


def means_by_class(sums, matrix):
    """What `sums_by_class` added up, by pixel; NaN where there is none. matrix: the confusion of the same pixels."""
    own = matrix.sum(axis=1)
    counts = np.stack([own, own.sum() - own], axis=1)
    return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def sums_by_group(maps, groups, count):
    """(count, 1 + S): how many pixels each group has, and the sum of each of the S maps over them.

    maps: (S, H, W); groups: (H, W) integers below `count`; pixels that are IGNORE are left out.
    """
    valid = groups != IGNORE
    numbers = groups[valid]
    sums = [np.bincount(numbers, values[valid], minlength=count) for values in maps]
    return np.stack([np.bincount(numbers, minlength=count), *sums], axis=1)


def means_by_group(sums):
    """(count, S): the means of what `sums_by_group` added up; NaN for a group without pixels."""
    pixels, sums = sums[:, :1], sums[:, 1:]
    return np.divide(sums, pixels, out=np.full(sums.shape, np.nan), where=pixels > 0)


def all_background(matrix):
    """The matrix of predicting class 0 everywhere, on the ground truth that `matrix` was counted on."""
    result = np.zeros_like(matrix)
    result[:, 0] = matrix.sum(axis=1)
    return result


def iou(matrix):
    """Intersection over union of each class; NaN for one that neither truth nor prediction holds."""
    hits = np.diag(matrix).astype(float)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(matrix):
    """Mean IOU over the classes that occur in truth or prediction."""
    return float(np.nanmean(iou(matrix)))


def mean_iou_of_foreground(matrix):
    """Mean IOU over the classes but 0 that occur in the truth; NaN where none does.

    Of a part of the objects, one pixel predicted as a class that this part does not have would else be an IOU of 0.
    """
    of_foreground = iou(matrix)[1:][matrix.sum(axis=1)[1:] > 0]
    return float(of_foreground.mean()) if of_foreground.size else np.nan


def pixel_accuracy(matrix):
    """Share of the pixels that are predicted right."""
    return float(np.diag(matrix).sum() / matrix.sum())


def mean_accuracy(matrix):
    """Mean, over the classes that occur in the truth, of the share of their pixels that are predicted right."""
    truth = matrix.sum(axis=1)
    right = np.divide(np.diag(matrix), truth, out=np.full(len(truth), np.nan), where=truth > 0)
    return float(np.nanmean(right))
