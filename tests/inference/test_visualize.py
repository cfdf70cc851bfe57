"""The paper's figures: what stands in a sheet and in a video, and where."""

import cv2
import numpy as np
import pytest

from attscale import plots
from attscale.data.images import read_image, read_label
from attscale.errors import UserError
from attscale.inference import sources, visualize
from conftest import one_line_error
from helpers.pictures import pixels
from helpers.predictions import clip, of, picture


def test_the_rows_of_sheets(untrained, tmp_path, monkeypatch):
    """Image, ground truth where there is one, both nets' label maps, and the weights: each net's own of that image."""
    drawn = []
    monkeypatch.setattr(plots, "sheet", lambda *given, recalibration: drawn.append(given))
    net, baseline = of(untrained, "shapes_max3_esupv"), of(untrained, "shapes_largefov")
    folder = untrained / "data/shapes"
    pairs = [(folder / f"JPEGImages/{i:06d}.jpg", folder / f"SegmentationClass/{i:06d}.png") for i in (1, 2)]
    cv2.imwrite(str(tmp_path / "other.png"), picture(20, 30))
    pairs.append((tmp_path / "other.png", None))
    assert [*visualize.sheets(net, baseline, pairs, tmp_path / "a.png", 2)] == [
        tmp_path / "a.png",
        tmp_path / "a-2.png",
    ]
    assert [(path.name, len(rows), scales) for path, rows, scales, _ in drawn] == [
        ("a.png", 2, net.model.scales),
        ("a-2.png", 1, net.model.scales),
    ]
    for (image_path, label_path), row in zip(pairs, [row for _, rows, *_ in drawn for row in rows], strict=True):
        image = read_image(image_path)
        net.forward(image)
        baseline.forward(image)
        assert np.array_equal(row.image, image)
        assert list(row.labels) == ["ground truth", "baseline", "prediction"]
        assert (row.labels["ground truth"] is None) == (label_path is None)
        if label_path:
            assert np.array_equal(row.labels["ground truth"], read_label(label_path))
        assert np.array_equal(row.labels["baseline"], baseline.labels())
        assert np.array_equal(row.labels["prediction"], net.labels())
        assert not np.array_equal(baseline.labels(), net.labels())
        assert np.array_equal(row.weights, net.weight_maps())


def test_a_sheet_without_what_is_the_data_sets(untrained, tmp_path, monkeypatch):
    """Neither photograph nor ground truth; baseline, prediction and weights stay as they are."""
    drawn = []
    monkeypatch.setattr(plots, "sheet", lambda path, rows, *given, recalibration: drawn.append(rows))
    nets = of(untrained, "shapes"), of(untrained, "shapes_largefov")
    folder = untrained / "data/shapes"
    pairs = [(folder / "JPEGImages/000001.jpg", folder / "SegmentationClass/000001.png")]
    for without in (False, True):
        list(visualize.sheets(*nets, pairs, tmp_path / "s.png", 1, without_image=without))
    (whole,), (ours,) = drawn
    assert whole.image is not None
    assert ours.image is None
    assert list(ours.labels) == ["baseline", "prediction"]
    assert all(np.array_equal(label, whole.labels[title]) for title, label in ours.labels.items())
    assert np.array_equal(ours.weights, whole.weights)


def test_the_recalibration_of_the_predicted_class(untrained, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "sheet", lambda path, rows, *given, recalibration: drawn.append((*rows, recalibration)))
    net = of(untrained, "shapes_refine2_esupv")
    cv2.imwrite(str(tmp_path / "a.png"), picture(20, 30))
    list(visualize.sheets(net, None, [(tmp_path / "a.png", None)], tmp_path / "s.png", 1))
    list(visualize.sheets(of(untrained, "shapes"), None, [(tmp_path / "a.png", None)], tmp_path / "s.png", 1))
    (row, kind), (other, none) = drawn
    maps, labels = net.recalibration(), net.labels()
    assert kind == "product"
    assert all(row.recalibrated[y, x] == maps[labels[y, x], y, x] for y in range(20) for x in range(30))
    assert (other.recalibrated, none) == (None, None)


@pytest.mark.parametrize("weights", [None, np.zeros((2, 9, 9))])
@pytest.mark.parametrize(
    ("kind", "values", "ends"),
    [
        ("product", (0.0, 1.0), ((68, 1, 84), (253, 231, 37))),  # viridis from 0 to 1
        # ColorBrewer's RdBu from -2 to 2: a quarter of the way, between its third and fourth colour, and at the end
        ("bias", (-1.0, 2.0), ((229, 130, 104), (5, 48, 97))),
    ],
)
def test_a_column_for_recalibration(kind, values, ends, weights, tmp_path):
    grey = np.full((9, 9, 3), 128, np.uint8)
    rows = [plots.SheetRow(grey, {"prediction": None}, weights, np.full((9, 9), value)) for value in values]
    plots.sheet(tmp_path / "s.png", rows, (1, 0.5), recalibration=kind)
    for colour in ends:
        assert pixels(tmp_path / "s.png", colour[::-1]) > 10000


def test_sheets_by_the_command(untrained, tool, tmp_path):
    """The first of val; then one of them by name, which keeps its ground truth, beside an image of one's own."""
    given = ("--weights", untrained / "shapes_max3_esupv.caffemodel", "--data", untrained / "data")
    baseline = ("--baseline", untrained / "shapes_largefov.caffemodel")
    done = tool("visualize", "shapes_max3_esupv", *given, *baseline, "--count", "3", "--per-sheet", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["attention.png", "attention-2.png"]
    cv2.imwrite(str(tmp_path / "other.png"), np.full((60, 90, 3), (200, 30, 90), np.uint8))
    named = (untrained / "data/shapes/JPEGImages/000002.jpg", "other.png")
    done = tool("visualize", "shapes_max3_esupv", *given, *named, "--out", "named.png")
    assert done.returncode == 0, done.stderr
    truth = read_label(untrained / "data/shapes/SegmentationClass/000002.png")
    for value in np.setdiff1d(np.unique(truth), 255):
        for sheet in ("attention.png", "named.png"):
            assert pixels(tmp_path / sheet, plots.palette()[value][::-1]) > 300
    assert pixels(tmp_path / "named.png", (200, 30, 90)) > 5000
    done = tool("visualize", "shapes_max3_esupv", *given, *named, "--out", "ours.png", "--without-image")
    assert done.returncode == 0, done.stderr
    assert pixels(tmp_path / "ours.png", (200, 30, 90)) == 0  # the image's colour
    done = tool("visualize", "shapes_max3_esupv", *given, "--video", "v.mp4")
    one_line_error(done, "--out attention.png: a video needs a name that ends in .mp4 or .avi")


def test_a_video_shows_frames_and_weights(untrained, tool, tmp_path):
    clip(tmp_path / "v.mp4")
    weights = ("--weights", untrained / "shapes.caffemodel")
    done = tool("visualize", "shapes", *weights, "--video", "v.mp4", "--out", "out.mp4")
    assert done.returncode == 0, done.stderr
    predictor, shown = of(untrained, "shapes"), cv2.VideoCapture(str(tmp_path / "out.mp4"))
    for frame in sources.frames(tmp_path / "v.mp4"):
        predictor.forward(frame.pixels())
        expected = plots.frame(frame.pixels(), predictor.labels(), predictor.weight_maps())
        there, panels = shown.read()
        assert there
        assert panels.shape == (48, 64 * 5, 3)
        assert np.abs(panels.astype(float) - expected).mean() < 20  # what the compression of such noise costs
    assert not shown.read()[0]


@pytest.mark.parametrize("name", ["no.mp4", "none.mp4"])
def test_videos_that_break_leave_nothing(name, untrained, tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no")
    with pytest.raises(UserError, match=f"{name}: (not a video that can be decoded|no such file)"):
        visualize.video(of(untrained, "shapes"), tmp_path / name, tmp_path / "o.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["no.mp4"]
    assert sources.frame_rate(tmp_path / "no.mp4") == 25.0
