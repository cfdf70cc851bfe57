"""The transforms against a second statement of the fork's rules: pad, crop, mirror, one pixel at a time."""

import collections
import itertools

import cv2
import numpy as np
import pytest

from attscale.data import transforms
from attscale.data.images import write_label
from attscale.data.loader import LoaderOptions
from attscale.data.order import generator, sample
from attscale.data.samples import load_sample
from attscale.datasets import MEAN


def plain(image, label, top, left, mirror, mean, crop):
    """The forks make the image a double, then pad it with the exact mean (data_transformer.cpp, TransformImgAndSeg)."""
    height, width = max(image.shape[0], crop), max(image.shape[1], crop)
    padded = np.empty((height, width, 3))
    padded[...] = [104.008, 116.669, 122.675]
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
    inside = transforms.cut(image, label, top, left, mirror, pixels, out)
    data = np.full((1, 3, 13, 13), np.nan, np.float32)
    transforms.subtract_mean(pixels[None], [inside], MEAN, data)
    expected_data, expected_label = plain(image, label, top, left, mirror, np.array([104.008, 116.669, 122.675]), 13)
    np.testing.assert_allclose(data[0], expected_data, atol=1e-4)
    assert np.array_equal(data[0] == 0, expected_data == 0)  # padding exactly, and nothing else
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
    image, label = transforms.scaled(image, 0.75), transforms.scaled_label(label, 0.75)
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


def plain_scale(image, label, factor):
    """The fork's cv::resize, said again in plain loops: linear between pixel centres, nearest by truncation."""
    rows, columns = label.shape
    height, width = int(rows * factor), int(columns * factor)
    scaled, scaled_label = np.empty((height, width, 3)), np.empty((height, width), int)

    def between(place, size):
        place = min(max(place, 0), size - 1)
        low = int(place)
        return low, min(low + 1, size - 1), place - low

    for y in range(height):
        top, bottom, v = between((y + 0.5) * rows / height - 0.5, rows)
        for x in range(width):
            scaled_label[y, x] = label[int(y * rows / height), int(x * columns / width)]
            left, right, h = between((x + 0.5) * columns / width - 0.5, columns)
            above = (1 - h) * image[top, left] + h * image[top, right]
            below = (1 - h) * image[bottom, left] + h * image[bottom, right]
            scaled[y, x] = (1 - v) * above + v * below
    return scaled, scaled_label


@pytest.mark.parametrize("factor", [0.6, 0.75, 1.4, 2.0])
def test_scaling_pixel_by_pixel(factor):
    rng = np.random.default_rng(1)
    image, label = rng.integers(0, 256, (23, 31, 3), np.uint8), rng.integers(0, 21, (23, 31), np.uint8)
    expected, expected_label = plain_scale(image, label, factor)
    scaled = transforms.scaled(image, factor)
    assert scaled.shape == expected.shape
    assert np.array_equal(transforms.scaled_label(label, factor), expected_label)
    np.testing.assert_allclose(scaled, expected, atol=1)  # OpenCV weighs in 11 bits and rounds twice


# The whole of it


CROP = 13


def options(**values):
    return LoaderOptions(root="", source="", classes=21, crop_size=CROP, batch_size=1, **values)


def saved(folder, image, label):
    pair = folder / "image.png", folder / "label.png"  # without loss
    cv2.imwrite(str(pair[0]), image)
    write_label(pair[1], label)
    return pair


def loaded(pair, seed, chosen):
    """The sample, less the mean, as a solver gets it: data (3, crop, crop), label (crop, crop)."""
    pixels, label = np.full((1, 3, CROP, CROP), 77, np.uint8), np.full((CROP, CROP), 99, np.uint8)
    inside = load_sample(pair, np.random.default_rng(seed), chosen, pixels[0], label)
    data = np.full(pixels.shape, np.nan, np.float32)
    transforms.subtract_mean(pixels, [inside], chosen.mean, data)
    return data[0], label


def plain_sample(image, label, seed, chosen):
    """The fork's order: scale, pad, crop from what was scaled and padded, mirror, less the mean."""
    rng = np.random.default_rng(seed)
    image, factor = image.astype(float), None
    if chosen.scales:
        factor = chosen.scales[rng.integers(len(chosen.scales))]
    if chosen.scale_range:
        factor = rng.uniform(chosen.scale_range[0], chosen.scale_range[1])
    if factor is not None:
        image, label = plain_scale(image, label, factor)
    padded_height, padded_width = max(label.shape[0], CROP), max(label.shape[1], CROP)
    top, left = rng.integers(0, padded_height - CROP + 1), rng.integers(0, padded_width - CROP + 1)
    mirror = chosen.mirror and rng.integers(0, 2) == 1
    return plain(image, label, top, left, mirror, np.array([104.008, 116.669, 122.675]), CROP)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scaling", [{}, {"scales": (0.5, 1.0, 1.7)}, {"scale_range": (0.6, 1.4)}])
@pytest.mark.parametrize(("height", "width"), [(23, 31), (17, 9), (10, 19), (13, 13), (8, 7)])
def test_a_sample_pixel_by_pixel(height, width, scaling, mirror, tmp_path):
    rng = np.random.default_rng(2)
    image, label = rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 21, (height, width), np.uint8)
    pair = saved(tmp_path, image, label)
    chosen = options(mirror=mirror, **scaling)
    for seed in range(12):
        data, out = loaded(pair, seed, chosen)
        expected, expected_label = plain_sample(image, label, seed, chosen)
        assert np.array_equal(out, expected_label), seed
        np.testing.assert_allclose(data, expected, atol=1.001)  # OpenCV's rounding, as above


def test_every_place_and_both_sides_are_equally_likely(tmp_path):
    """An image of 15 x 16 whose blue is the row and green the column; the crop has 3 x 4 places, 2 sides each.

    Of 4800 seeds 200 fall on each of the 24, with a standard deviation of 13.8: five of them are allowed.
    """
    rows, columns = np.mgrid[:15, :16]
    image = np.dstack([rows, columns, 0 * rows]).astype(np.uint8)
    pair = saved(tmp_path, image, np.zeros((15, 16), np.uint8))
    pixels, label = np.zeros((3, CROP, CROP), np.uint8), np.zeros((CROP, CROP), np.uint8)
    counts = collections.Counter()
    for position in range(4800):
        load_sample(pair, generator(position, seed=0), options(mirror=True), pixels, label)
        first, last = int(pixels[1, 0, 0]), int(pixels[1, 0, -1])
        counts[int(pixels[0, 0, 0]), min(first, last), first > last] += 1
    assert set(counts) == set(itertools.product(range(3), range(4), (False, True)))
    assert all(abs(count - 200) < 5 * 13.8 for count in counts.values()), counts


def test_without_mirror_nothing_is_mirrored(tmp_path):
    image = np.repeat(np.arange(CROP, dtype=np.uint8)[None, :, None], CROP, axis=0).repeat(3, axis=2)
    pair = saved(tmp_path, image, np.zeros((CROP, CROP), np.uint8))
    sides = {
        mirror: {loaded(pair, seed, options(mirror=mirror))[0][0, 0, 0] for seed in range(20)}
        for mirror in (False, True)
    }
    assert (len(sides[False]), len(sides[True])) == (1, 2)
