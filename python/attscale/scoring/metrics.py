"""Confusion matrix and the scores that follow from it. One matrix over the whole set (release protocol)."""

import numpy as np


def confusion(truth, prediction, classes, ignore=255):
    """(classes, classes) int64 counts, rows truth, columns prediction; pixels whose truth is `ignore` are left out.

    truth, prediction: integer arrays of one shape. Raises ValueError for values that are no class.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape}, prediction {prediction.shape}")
    valid = truth != ignore
    truth, prediction = truth[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, values in (("truth", truth), ("prediction", prediction)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"{name} holds {values.max()}, expected classes 0 to {classes - 1}")
    return np.bincount(truth * classes + prediction, minlength=classes**2).reshape(classes, classes)


def iou(matrix):
    """Intersection over union of each class; NaN for one that neither truth nor prediction holds."""
    hits = np.diag(matrix).astype(float)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def pixel_accuracy(matrix):
    """Share of the pixels that are predicted right; NaN where there are none."""
    total = matrix.sum()
    return float(np.diag(matrix).sum() / total) if total else float("nan")


def mean_accuracy(matrix):
    """Mean, over the classes that occur in the truth, of the share of their pixels that are predicted right."""
    truth = matrix.sum(axis=1)
    right = np.divide(np.diag(matrix), truth, out=np.full(len(truth), np.nan), where=truth > 0)
    return float(np.nanmean(right))


def mean_iou(matrix):
    """Mean IOU over the classes that occur in truth or prediction."""
    return float(np.nanmean(iou(matrix)))
