import numpy as np
import pytest

from attscale.scoring.metrics import all_background, confusion, iou, mean_accuracy, mean_iou, pixel_accuracy


def test_a_hand_worked_case_with_255_and_an_absent_class():
    """Pairs (truth, prediction): (0,0) x7, (0,1) x1, (1,1) x2, (1,2) x1, (2,0) x1, (2,2) x2; two pixels of 255."""
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 255], [2, 2, 2, 255], [0, 0, 0, 0]], np.uint8)
    prediction = np.array([[0, 1, 1, 1], [0, 0, 2, 3], [2, 2, 0, 0], [0, 0, 0, 0]], np.uint8)
    matrix = confusion(truth, prediction, 4)
    assert matrix.tolist() == [[7, 1, 0, 0], [0, 2, 1, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    # class 0: 7 of 8 + 1; class 1: 2 of 3 + 1; class 2: 2 of 3 + 1; class 3 is nowhere but under 255
    np.testing.assert_allclose(iou(matrix), [7 / 9, 2 / 4, 2 / 4, np.nan])
    assert mean_iou(matrix) == pytest.approx((7 / 9 + 1 / 2 + 1 / 2) / 3)
    assert pixel_accuracy(matrix) == 11 / 14
    assert mean_accuracy(matrix) == pytest.approx((7 / 8 + 2 / 3 + 2 / 3) / 3)


def test_one_matrix_over_the_set_is_not_the_mean_over_images():
    a = confusion(np.array([1, 1]), np.array([1, 1]), 2)
    b = confusion(np.array([1, 0]), np.array([0, 0]), 2)
    assert iou(a + b)[1] == pytest.approx(2 / 3)


def test_background_everywhere():
    matrix = confusion(np.array([0, 0, 0, 1, 2]), np.array([2, 1, 0, 1, 2]), 3)
    assert mean_iou(all_background(matrix)) == pytest.approx((3 / 5) / 3)


@pytest.mark.parametrize(("truth", "prediction"), [([0, 1], [0, 9]), ([0, 3], [0, 1]), ([0, 1], [0])])
def test_values_that_are_no_class_are_never_counted(truth, prediction):
    with pytest.raises((ValueError, IndexError)):
        confusion(np.array(truth, np.uint8), np.array(prediction, np.uint8), 3)
