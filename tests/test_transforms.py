"""The transforms against a second statement of the fork's rules: pad, crop, mirror, one pixel at a time."""

import numpy as np
import pytest

from attscale.data import transforms
from attscale.data.order import generator, sample


def plain(image, label, top, left, mirror, mean, crop):
    height, width = max(image.shape[0], crop), max(image.shape[1], crop)
    padded = np.empty((height, width, 3))
    padded[...] = [104, 117, 123]  # the mean as a colour
    ignored = np.full((height, width), 255)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            padded[y, x], ignored[y, x] = image[y, x], label[y, x]
    data, out = np.empty((3, crop, crop)), np.empty((crop, crop))
    for y in range(crop):
        for x in range(crop):
            source = crop - 1 - x if mirror else x
            out[y, x] = ignored[top + y, left + source]
            data[:, y, x] = padded[top + y, left + source] - mean
    return data, out


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "top", "left"), [(20, 30, 3, 5), (20, 9, 4, 0), (9, 20, 0, 7), (5, 6, 0, 0), (13, 13, 0, 0)]
)
def test_cut(height, width, top, left, mirror):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.integers(0, 21, (height, width), np.uint8)
    pixels, out = np.full((3, 13, 13), 77, np.uint8), np.full((13, 13), 99, np.uint8)
    transforms.cut(image, label, top, left, mirror, transforms.MEAN, pixels, out)
    data = np.full((1, 3, 13, 13), np.nan, np.float32)
    transforms.subtract_mean(pixels[None], transforms.MEAN, data)
    expected_data, expected_label = plain(image, label, top, left, mirror, np.array(transforms.MEAN), 13)
    np.testing.assert_allclose(data[0], expected_data, atol=1e-4)
    assert np.array_equal(out, expected_label)


def test_every_crop_is_drawn_and_none_outside():
    rng = np.random.default_rng(0)
    places = {transforms.draw_crop(rng, 15, 9, 13) for _ in range(200)}
    assert places == {(0, 0), (1, 0), (2, 0)}


def test_scale_factors():
    rng = np.random.default_rng(0)
    assert transforms.draw_scale(rng, (), ()) == 1
    assert {transforms.draw_scale(rng, (0.5, 2.0), ()) for _ in range(50)} == {0.5, 2.0}
    drawn = [transforms.draw_scale(rng, (), (0.6, 1.4)) for _ in range(1000)]
    assert 0.6 <= min(drawn) < 0.62
    assert 1.38 < max(drawn) <= 1.4
    assert abs(np.mean(drawn) - 1) < 0.03


def test_scaled_sizes_are_truncated_and_labels_stay_classes():
    image, label = np.zeros((33, 47, 3), np.uint8), np.full((33, 47), 7, np.uint8)
    label[:, ::2] = 3
    image, label = transforms.random_scale(image, label, 0.75)
    assert image.shape == (24, 35, 3)  # 24.75 and 35.25
    assert label.shape == (24, 35)
    assert set(np.unique(label)) == {3, 7}


def test_an_epoch_is_a_permutation_and_the_next_one_another():
    order = [sample(position, n=50, seed=3, shuffle=True) for position in range(100)]
    assert sorted(order[:50]) == sorted(order[50:]) == list(range(50))
    assert order[:50] != order[50:]
    assert order[:50] != list(range(50))
    assert order != [sample(position, n=50, seed=4, shuffle=True) for position in range(100)]
    assert [sample(position, n=3, seed=0, shuffle=False) for position in range(5)] == [0, 1, 2, 0, 1]


def test_augmentation_differs_between_positions_but_not_between_runs():
    draws = [generator(position, seed=0).integers(1 << 30) for position in range(20)]
    assert len(set(draws)) == 20
    assert draws == [generator(position, seed=0).integers(1 << 30) for position in range(20)]


@pytest.mark.parametrize("factor", [0.6, 0.75, 1.4, 2.0])
def test_random_scale_pixel_by_pixel(factor):
    """The fork's cv::resize, said again in plain loops: linear between pixel centres, nearest by truncation."""
    rng = np.random.default_rng(1)
    image, label = rng.integers(0, 256, (23, 31, 3), np.uint8), rng.integers(0, 21, (23, 31), np.uint8)
    scaled, scaled_label = transforms.random_scale(image, label, factor)
    height, width = int(23 * factor), int(31 * factor)
    assert scaled.shape == (height, width, 3)
    assert scaled_label.shape == (height, width)

    def between(place, size):
        place = min(max(place, 0), size - 1)
        low = int(place)
        return low, min(low + 1, size - 1), place - low

    for y in range(height):
        top, bottom, v = between((y + 0.5) * 23 / height - 0.5, 23)
        for x in range(width):
            assert scaled_label[y, x] == label[int(y * 23 / height), int(x * 31 / width)]
            left, right, h = between((x + 0.5) * 31 / width - 0.5, 31)
            above = (1 - h) * image[top, left] + h * image[top, right]
            below = (1 - h) * image[bottom, left] + h * image[bottom, right]
            # OpenCV weighs in 11 bits and rounds twice
            np.testing.assert_allclose(scaled[y, x], (1 - v) * above + v * below, atol=1)
