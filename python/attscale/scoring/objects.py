"""The objects of instance maps by their size: weights of scales over them, and confusion near them.

An object's size is the square root of its area in pixels; a bin of sizes reaches from a power of two to the next, and
its number is that power's exponent. Instance maps are (H, W): 0 the background, 255 the border.
"""

import numpy as np

from attscale.datasets import IGNORE
from attscale.scoring import metrics


def numbers(instances):
    """The numbers of an instance map's objects."""
    return np.setdiff1d(np.unique(instances), (0, IGNORE))


def weights_of_objects(weights, instances):
    """For each object its size and the mean weight of each scale over it, (S,); None without weights (S, H, W)."""
    result = []
    for number in numbers(instances):
        inside = instances == number
        result.append((float(np.sqrt(inside.sum())), None if weights is None else weights[:, inside].mean(axis=1)))
    return result


def by_size(objects):
    """Objects in bins of doubling size: rows (from, to, how many, mean weight of each scale), empty bins left out."""
    bins = {}
    for size, weights in objects:
        bins.setdefault(bin_of(size), []).append(weights)
    return [
        (2**low, 2 ** (low + 1), len(bins[low]), None if bins[low][0] is None else np.mean(bins[low], axis=0))
        for low in sorted(bins)
    ]


def bin_of(size):
    """The bin of a size in pixels, at least 1."""
    return int(np.floor(np.log2(size)))


def confusion_by_size(truth, prediction, instances, classes):
    """The confusion matrices (classes, classes) of the bins by bin; {} where there are no objects.

    Every pixel counts with the object nearest to it by Euclidean distance, its own if it is of one. So a false positive
    counts against the objects it lies next to, and the matrices add up to the one of all pixels of images with objects.
    """
    from scipy import ndimage  # which nobody else here waits for

    found = numbers(instances)
    if not found.size:
        return {}
    nearest = ndimage.distance_transform_edt(~np.isin(instances, found), return_distances=False, return_indices=True)
    owners = instances[tuple(nearest)]
    areas = np.bincount(instances.ravel())
    bins = np.array([bin_of(np.sqrt(areas[number])) for number in found])
    result = {}
    for low in np.unique(bins).tolist():
        inside = np.isin(owners, found[bins == low])
        result[low] = metrics.confusion(truth[inside], prediction[inside], classes)
    return result
