"""Scores: worked out by hand, of anyone's PNGs, and of the predictions of a split."""

import json

import numpy as np
import pytest
from PIL import Image

from attscale.data.images import write_index, write_label
from attscale.results import evaluations
from attscale.scoring import metrics
from conftest import one_line_error
from helpers.predictions import run, untrained


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("home"))


def test_scores_by_hand():
    """A 4x4 truth with 255 and an absent class, worked out on paper.

    Pairs (truth, prediction): (0,0) x5, (0,1) x2, (1,1) x4, (1,0) x1, (2,1) x2; two pixels of 255; class 3 never.
    """
    truth = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [2, 2, 255, 255]])
    prediction = np.array([[0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 3, 0]])
    matrix = metrics.confusion(truth, prediction, 4)
    assert matrix.tolist() == [[5, 2, 0, 0], [1, 4, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    assert metrics.iou(matrix)[:3].tolist() == [5 / 8, 4 / 9, 0]
    assert np.isnan(metrics.iou(matrix)[3])
    assert metrics.mean_iou(matrix) == pytest.approx((5 / 8 + 4 / 9 + 0) / 3)
    assert metrics.pixel_accuracy(matrix) == 9 / 14
    assert metrics.mean_accuracy(matrix) == pytest.approx((5 / 7 + 4 / 5 + 0) / 3)


def test_anyones_pngs_against_a_plain_loop(tool, tmp_path):
    rng = np.random.default_rng(0)
    hits, in_truth, in_prediction = [0] * 5, [0] * 5, [0] * 5
    for i in range(4):
        truth = rng.choice(np.array([0, 1, 2, 4, 255], np.uint8), (11 + i, 13))
        prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice(np.uint8([0, 1, 2]), truth.shape))
        prediction = np.where(prediction == 255, 0, prediction).astype(np.uint8)
        write_label(tmp_path / f"gt/{i}.png", truth)
        (write_label if i % 2 else write_index)(tmp_path / f"pred/{i}.png", prediction)
        for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if t != 255:
                hits[t] += t == p
                in_truth[t] += 1
                in_prediction[p] += 1
    done = tool("evaluate", "shapes", "--pairs", "pred", "gt", "--out", "e")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "e/evaluation.json").read_text())
    ious = {c: hits[c] / (in_truth[c] + in_prediction[c] - hits[c]) for c in (0, 1, 2, 4)}
    assert report["mean_iou"] == pytest.approx(sum(ious.values()) / 4)
    assert report["iou"]["triangle"] == pytest.approx(ious[2])
    assert report["iou"]["square"] is None
    assert report["pixel_accuracy"] == pytest.approx(sum(hits) / sum(in_truth))
    assert report["mean_accuracy"] == pytest.approx(sum(hits[c] / in_truth[c] for c in (0, 1, 2, 4)) / 4)
    assert "| square | - |" in (tmp_path / "e/evaluation.md").read_text()
    assert Image.open(tmp_path / "e/confusion.png").size[0] > 300
    cases = {
        "sizes": (np.zeros((2, 2), np.uint8), "pred/0.png is 2x2 pixels, gt/0.png 13x11"),
        "class": (np.full((11, 13), 5, np.uint8), "pred/0.png: 143 pixels have the value 5"),
        "ignore": (np.full((11, 13), 255, np.uint8), "pred/0.png: has 255, which is no class"),
    }
    for label, said in cases.values():
        write_label(tmp_path / "pred/0.png", label)
        one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), said)
    (tmp_path / "pred/0.png").write_bytes((tmp_path / "gt/0.png").read_bytes()[:-40])
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "pred/0.png: cannot be read: ")
    (tmp_path / "pred/0.png").unlink()
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "pred/0.png: no such file")
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "nowhere"), "nowhere: has no PNGs")
    one_line_error(tool("evaluate", "shapes"), "give one of --weights, --predictions and --pairs")


def test_predictions_of_a_split(home, tool, tmp_path):
    """Scored from disk as from the net itself."""
    data = ("--data", home / "data")
    run(tool, home, "--out", "p")
    weights = home / "shapes.caffemodel"
    for arguments, out in ((("--weights", weights), "a"), (("--predictions", "p"), "b")):
        done = tool("evaluate", "shapes", *arguments, *data, "--out", out)
        assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / out / "evaluation.json").read_text()) for out in "ab")
    assert one["matrix"] == two["matrix"]
    assert (one["split"], two["predictions"]) == ("val", "p")
    done = tool("evaluate", "shapes", "--weights", weights, *data, "--split", "train")
    one_line_error(done, "trained on train, which has 1 of the images of train")
    done = tool("evaluate", "shapes", "--weights", weights, *data, "--split", "train", "--although-seen")
    assert done.returncode == 0, done.stderr
    (tmp_path / "train2_iter_8000.caffemodel").write_bytes(weights.read_bytes())
    done = tool("evaluate", "shapes", "--weights", "train2_iter_8000.caffemodel", *data)
    one_line_error(done, "train2_iter_8000.caffemodel: by its name of a release trained on trainval_aug")
    clean = tool("import_weights", "train2_iter_8000.caffemodel", "shapes", "--out", "imported.caffemodel")
    assert clean.returncode == 0, clean.stderr
    done = tool("evaluate", "shapes", "--weights", "imported.caffemodel", *data)
    one_line_error(done, "imported.caffemodel: by its name of a release trained on trainval_aug")
    done = tool("predict", "shapes", "--weights", "imported.caffemodel", *data, "--out", "q")
    assert done.returncode == 0, done.stderr
    one_line_error(tool("evaluate", "shapes", "--predictions", "q", *data), "q: by its name of a release trained on")
    done = tool("evaluate", "shapes", "--predictions", "q", *data, "--although-seen", "--out", "c")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "c/evaluation.json").read_text())["although_seen"] is True
    assert evaluations.read(tmp_path / "c/evaluation.json").seen


def test_ground_truth_without_classes(tool, tmp_path):
    write_label(tmp_path / "gt/a.png", np.full((3, 3), 255, np.uint8))
    write_label(tmp_path / "pred/a.png", np.zeros((3, 3), np.uint8))
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "no pixel of the ground truth has a class")
