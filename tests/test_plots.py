"""Pictures: what they are of can be seen in them."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from attscale import plots
from helpers.pictures import pixels

VIRIDIS = [(84, 1, 68), (36, 231, 253)]  # BGR of its ends


def test_a_sheet_shows_image_label_maps_and_weights(tmp_path):
    image = np.full((40, 60, 3), (200, 30, 90), np.uint8)
    label = np.repeat(np.uint8([[1, 15]]), 30, axis=1).repeat(40, axis=0)  # aeroplane, person
    weights = np.stack([np.zeros((40, 60)), np.ones((40, 60))])
    rows = [plots.SheetRow(image, {"ground truth": None, "prediction": label}, weights)] * 2
    plots.sheet(tmp_path / "sheet.png", rows, (1, 0.5))
    for colour in ((200, 30, 90), (0, 0, 128), (128, 128, 192), VIRIDIS[0], VIRIDIS[1]):  # VOC's colours
        assert pixels(tmp_path / "sheet.png", colour) > 3000
    height, width = cv2.imread(str(tmp_path / "sheet.png")).shape[:2]
    assert width > 2 * height  # five columns, two rows


def test_a_sheet_without_images_has_a_column_less(tmp_path):
    label = np.full((40, 60), 15, np.uint8)
    weights = np.stack([np.zeros((40, 60)), np.ones((40, 60))])
    rows = [plots.SheetRow(None, {"prediction": label}, weights)] * 2
    plots.sheet(tmp_path / "sheet.png", rows, (1, 0.5))
    for colour in ((128, 128, 192), *VIRIDIS):  # person's, and the weights'
        assert pixels(tmp_path / "sheet.png", colour) > 3000
    height, width = cv2.imread(str(tmp_path / "sheet.png")).shape[:2]
    assert 2 * height < width < 2.7 * height  # three columns and a colour bar, two rows; 60 x 40 each


def test_a_frame_lays_the_label_map_over_the_image():
    image = np.full((2, 4, 3), 100, np.uint8)
    label = np.uint8([[0, 0, 1, 1]] * 2)
    shown = plots.frame(image, label, np.stack([np.zeros((2, 4)), np.ones((2, 4))]))
    assert shown.shape == (2, 16, 3)
    assert shown[0, ::2].tolist() == [
        *([[100] * 3] * 3),
        [50, 50, 114],  # half of the image, half of (0, 0, 128)
        *([list(VIRIDIS[0])] * 2),
        *([list(VIRIDIS[1])] * 2),
    ]
    assert plots.frame(image, label, None).shape == (2, 8, 3)


LINES = [(180, 119, 31), (14, 127, 255)]  # matplotlib's first two colours
SETTINGS = [SimpleNamespace(bi_w=w, bi_xy=xy, bi_rgb=3) for w in (3, 4) for xy in (20, 50)]


@pytest.mark.parametrize(
    ("draw", "arguments", "colours"),
    [
        (plots.losses, [[{"iteration": i, "losses": {"loss": 1 / i, "loss_fusion": 2 / i}} for i in (1, 2, 3)]], LINES),
        (plots.attention_by_size, [[(4, 8, 9, (0.9, 0.1)), (8, 16, 3, (0.4, 0.6))], (1, 0.5)], LINES),
        (plots.attention_by_height, [[(0.9, 0.1), None, (0.4, 0.6), (0.3, 0.7)], (1, 0.5)], LINES),
        (plots.confusion, [np.array([[3, 0], [1, 1]]), ["background", "disc"]], VIRIDIS),
        # the best, which is the first, has a red ring
        (plots.crf_surface, [[*zip(SETTINGS, (0.8, 0.7, 0.6, 0.5), strict=True)]], [*VIRIDIS, (0, 0, 255)]),
    ],
)
def test_diagrams_show_what_they_are_given(tmp_path, draw, arguments, colours):
    draw(tmp_path / "a.png", *arguments)
    for colour in colours:
        assert pixels(tmp_path / "a.png", colour) > 20


def test_the_top_of_the_image_is_at_the_top(tmp_path):
    """Scale 1 has the top band's weight, and 0.5 the bottom one's: lines that cross from corner to corner."""
    plots.attention_by_height(tmp_path / "a.png", [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)], (1, 0.5))
    image = cv2.imread(str(tmp_path / "a.png"))
    for colour, sign in zip(LINES, (-1, 1), strict=True):  # of the slope, as y counts from the top
        y, x = np.nonzero((image == colour).all(axis=2))
        assert sign * np.corrcoef(y, x)[0, 1] > 0.5
