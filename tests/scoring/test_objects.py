"""Objects by size: weights over them, and scores of the pixels that lie nearest to them."""

import numpy as np
import pytest

from attscale.scoring import metrics, objects


def test_bins_of_doubling_size():
    found = [(size, np.array([weight, 1 - weight])) for size, weight in ((4, 1), (7.9, 0.5), (8, 0.25), (1, 0.75))]
    rows = [(low, high, count, weights.tolist()) for low, high, count, weights in objects.by_size(found)]
    assert rows == [(1, 2, 1, [0.75, 0.25]), (4, 8, 2, [0.75, 0.25]), (8, 16, 1, [0.25, 0.75])]
    assert objects.by_size([(4, None), (5, None)]) == [(4, 8, 2, None)]


def test_a_pixel_counts_with_the_nearest_object():
    """Columns 0 and 1 are nearest to an object of one pixel, the others to one of four; (0, 2) is as near to both."""
    instances = np.uint8([
        [1, 255, 255, 0, 2, 2],
        [0, 0, 0, 0, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ])  # fmt: skip
    truth = np.uint8([
        [1, 0, 255, 0, 2, 2],
        [0, 0, 0, 0, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ])  # fmt: skip
    prediction = np.uint8([
        [1, 1, 0, 0, 2, 2],
        [0, 0, 0, 0, 2, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
    ])  # fmt: skip
    near = objects.confusion_by_size(truth, prediction, instances, 3)
    # 8 pixels: the object is right, its neighbour on the right false; 15: a quarter is missed, below it one is false
    small, large = [[6, 1, 0], [0, 1, 0], [0, 0, 0]], [[10, 1, 0], [0, 0, 0], [1, 0, 3]]
    assert {low: matrix.tolist() for low, matrix in near.items()} == {0: small, 1: large}
    assert np.array_equal(sum(near.values()), metrics.confusion(truth, prediction, 3))
    # class 1 in one of two pixels, class 2 is not there; class 1 is not there but predicted, class 2 in three of four
    assert [metrics.mean_iou_of_foreground(near[low]) for low in (0, 1)] == [0.5, 0.75]


def test_the_matrices_of_sizes_against_a_plain_loop():
    rng = np.random.default_rng(1)
    instances = np.zeros((20, 30), np.uint8)
    for number, (y, x, side) in enumerate(((2, 3, 1), (5, 20, 4), (14, 8, 5), (16, 27, 2), (1, 12, 3)), 1):
        instances[y : y + side, x : x + side] = number
    instances[0] = 255
    truth, prediction = rng.integers(0, 4, (2, *instances.shape)).astype(np.uint8)
    sides = {1: 0, 2: 2, 3: 2, 4: 1, 5: 1}  # sizes 1, 4, 5, 2 and 3 lie in the bins from 1, 4, 4, 2 and 2
    expected = {low: np.zeros((4, 4), int) for low in (0, 1, 2)}
    for y, x in np.ndindex(instances.shape):
        distances = {
            number: min((y - v) ** 2 + (x - u) ** 2 for v, u in np.argwhere(instances == number)) for number in sides
        }
        nearest = {sides[number] for number in sides if distances[number] == min(distances.values())}
        if len(nearest) > 1:
            truth[y, x] = 255
        else:
            expected[nearest.pop()][truth[y, x], prediction[y, x]] += 1
    near = objects.confusion_by_size(truth, prediction, instances, 4)
    assert {low: matrix.tolist() for low, matrix in near.items()} == {k: v.tolist() for k, v in expected.items()}
    assert sum(near.values()).sum() == (truth != 255).sum() > 500


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_without_objects(value):
    nothing, instances = np.zeros((4, 6), np.uint8), np.full((4, 6), value, np.uint8)
    assert objects.confusion_by_size(nothing, nothing, instances, 2) == {}
    assert objects.weights_of_objects(None, instances) == []
