"""Scoring: of a net, of anyone's PNGs, of the predictions of a split, and of the weights of scales over objects."""

import json
import re
from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale import datasets
from attscale.data.images import write_index, write_label
from attscale.errors import DataError
from attscale.results import evaluations
from attscale.scoring import evaluate
from conftest import one_line_error
from helpers.predictions import run


class Left:
    """Stands for a predictor: class 1 in the left half, and 0 in the right; scale 1/2 says 0 everywhere."""

    model = SimpleNamespace(
        scales=(Fraction(1), Fraction(1, 2)), dataset=SimpleNamespace(classes=("a", "b"), values=None)
    )

    def forward(self, image, names):
        self.left = np.arange(image.shape[1]) < image.shape[1] // 2
        self.shape = image.shape[:2]

    def labels(self):
        return np.broadcast_to(self.left, self.shape).astype(np.uint8)

    def branch_labels(self):
        return {Fraction(1): self.labels(), Fraction(1, 2): np.zeros(self.shape, np.uint8)}

    def attention(self):
        """Scale 1 weighs 1 in the left half, and 0.25 in the right."""
        first = np.broadcast_to(np.where(self.left, 1, 0.25), self.shape)
        return np.stack([first, 1 - first])

    def recalibration(self):
        return None


class Plain(Left):
    """One without attention."""

    def attention(self):
        return None


class Rows(Left):
    """Scale 1 weighs 0 in the first row, and 1/16 more in each below it."""

    def attention(self):
        first = np.broadcast_to(np.arange(self.shape[0])[:, None] / 16, self.shape)
        return np.stack([first, 1 - first])


class Refining(Left):
    """One that multiplies the scores of class 0 by 0.5, and those of class 1 by their column's number, over 8."""

    def recalibration(self):
        columns = np.broadcast_to(np.arange(self.shape[1]) / 8, self.shape)
        return np.stack([np.full(self.shape, 0.5), columns]).astype(np.float32)


@pytest.fixture
def pairs(tmp_path):
    """An image of 4 x 8 pixels, its label map, 1 but for 255 in the last column, and two objects: 2x2 and 4x4."""
    (tmp_path / "JPEGImages").mkdir()
    cv2.imwrite(str(tmp_path / "JPEGImages/a.png"), np.zeros((4, 8, 3), np.uint8))
    label = np.ones((4, 8), np.uint8)
    label[:, 7] = 255
    write_label(tmp_path / "SegmentationClass/a.png", label)
    instances = np.zeros((4, 8), np.uint8)
    instances[:2, :2], instances[:, 2:6], instances[:, 7] = 1, 2, 255
    write_label(tmp_path / "SegmentationObject/a.png", instances)
    return [(tmp_path / "JPEGImages/a.png", tmp_path / "SegmentationClass/a.png")]


def test_one_pass_counts_the_net_its_branches_and_objects(pairs):
    tally = evaluate.evaluate(Left(), pairs, branches=True, by_size=True)
    assert tally.images == 1
    assert tally.matrix.tolist() == [[0, 0], [12, 16]]
    assert {scale: matrix.tolist() for scale, matrix in tally.branches.items()} == {
        Fraction(1): [[0, 0], [12, 16]],
        Fraction(1, 2): [[0, 0], [28, 0]],
    }
    # the square roots of their areas; the second lies half on the left
    assert [(size, weights.tolist()) for size, weights in tally.objects] == [(2, [1, 0]), (4, [0.625, 0.375])]
    assert sorted(tally.by_size) == [1, 2]
    assert np.array_equal(sum(tally.by_size.values()), tally.matrix)
    assert tally.by_size[1][1, 0] == 0  # what the right half misses is not near the first
    assert tally.weights.tolist() == [0.625, 0.375]
    plain = evaluate.evaluate(Left(), pairs)
    assert plain.weights.tolist() == [0.625, 0.375]
    assert (plain.branches, plain.objects, plain.by_size) == ({}, (), {})
    without = evaluate.evaluate(Plain(), pairs, by_size=True)
    assert without.objects == ((2, None), (4, None))
    assert {low: matrix.tolist() for low, matrix in without.by_size.items()} == {
        low: matrix.tolist() for low, matrix in tally.by_size.items()
    }
    assert (without.weights, without.weights_by_class, without.weights_by_height) == (None,) * 3
    instances = pairs[0][1].parents[1] / "SegmentationObject/a.png"
    write_label(instances, np.ones((4, 7), np.uint8))
    with pytest.raises(DataError, match=r"SegmentationObject/a\.png is 7x4 pixels, .*SegmentationClass/a\.png 8x4"):
        evaluate.evaluate(Left(), pairs, by_size=True)
    instances.unlink()
    with pytest.raises(DataError, match=r"SegmentationObject/a\.png: no such label map, which --by-size needs"):
        evaluate.evaluate(Left(), pairs, by_size=True)


def test_the_mean_recalibration_of_a_class_on_its_pixels_and_elsewhere(pairs):
    """Of an image that is all 1 but for what is ignored, and one whose rows are 0, 0, 1, 1; by pixel, not by image."""
    label = np.ones((2, 8), np.uint8)
    label[:1] = 0
    write_label(pairs[0][1].with_name("b.png"), label)
    cv2.imwrite(str(pairs[0][0].with_name("b.png")), np.zeros((2, 8, 3), np.uint8))
    both = [*pairs, (pairs[0][0].with_name("b.png"), pairs[0][1].with_name("b.png"))]
    tally = evaluate.evaluate(Refining(), both)
    # class 1 has four rows of columns 0 to 6 and one of 0 to 7, elsewhere one of 0 to 7
    expected = [[0.5, 0.5], [(4 * 21 + 28) / 8 / 36, 28 / 8 / 8]]
    np.testing.assert_allclose(tally.recalibration, expected)
    np.testing.assert_allclose(evaluate.evaluate(Refining(), pairs).recalibration, [[np.nan, 0.5], [3 / 8, np.nan]])
    assert evaluate.evaluate(Left(), pairs).recalibration is None


def test_the_mean_weight_of_each_scale_by_class_and_by_height(pairs):
    """By pixel, not by image: one of 8 rows of 8 pixels, all of class 1, and one of 16 rows of 4: 0s, 255s, and 1s."""
    both = [tuple(path.with_name(name) for path in pairs[0]) for name in ("b.png", "c.png")]
    for (image, label), values in zip(both, (np.ones(8), np.repeat([0, 255, 1], (8, 4, 4))), strict=True):
        cv2.imwrite(str(image), np.zeros((len(values), 64 // len(values), 3), np.uint8))
        write_label(label, np.repeat(values[:, None], 64 // len(values), axis=1).astype(np.uint8))
    tally = evaluate.evaluate(Rows(), both)
    # class 0: rows 0 to 7 of the second; class 1: 8 times rows 0 to 7, and 4 times rows 12 to 15, of 80 pixels
    first = np.array([3.5, (8 * 28 + 4 * 54) / 80]) / 16
    np.testing.assert_allclose(tally.weights_by_class, np.stack([first, 1 - first], axis=1))
    # band i: row i of the first, rows 2i and 2i + 1 of the second; half of the pixels are of either
    first = np.array([(i + (2 * i + 2 * i + 1) / 2) / 2 for i in range(8)]) / 16
    np.testing.assert_allclose(tally.weights_by_height, np.stack([first, 1 - first], axis=1))
    # class 1 has four columns of weight 1 and three of 0.25; the middles of four rows lie in every other band
    tally = evaluate.evaluate(Left(), pairs)
    np.testing.assert_allclose(tally.weights_by_class, [[np.nan] * 2, [4.75 / 7, 2.25 / 7]])
    np.testing.assert_allclose(tally.weights_by_height, [[np.nan] * 2, [0.625, 0.375]] * 4)


def test_rows_lie_in_the_band_of_their_middle():
    assert evaluate.bands((16, 2)).tolist() == [[i, i] for i in range(8) for _ in range(2)]
    # twelve rows are two thirds of a band high: their middles are 1/3, 1, 5/3, 7/3, 3, 11/3 bands below the top, ...
    assert evaluate.bands((12, 1))[:, 0].tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7]


def test_scores_of_a_runs_weights_go_into_its_folder(untrained, tool, tmp_path):
    """Of the final weights on val, unless --out says otherwise; never of images that it was trained on."""
    final, data = tmp_path / "runs/r/final.caffemodel", ("--data", untrained / "data")
    final.parent.mkdir(parents=True)
    final.write_bytes((untrained / "shapes.caffemodel").read_bytes())

    def scored(*arguments):
        done = tool("evaluate", "shapes", "--weights", "runs/r/final.caffemodel", *data, *arguments)
        assert done.returncode == 0, done.stderr
        return done, sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("evaluation.json"))

    assert scored()[1] == []  # whoever's weights these are, their folder is no run's
    (final.parent / "run.json").write_text("{}")
    assert scored("--although-seen")[1] == scored("--split", "train", "--although-seen")[1] == []
    done, found = scored("--dry-run")
    assert found == []
    assert re.search(r"memory: \d\.\d\d GiB .*\ntime: .* s for .*\.jpg, so about \d+ s for 3\n", done.stdout)
    assert scored("--out", "e")[1] == ["e/evaluation.json"]
    done, found = scored()
    assert found == ["e/evaluation.json", "runs/r/evaluation.json"]
    assert "wrote runs/r/evaluation.json" in done.stderr
    one = evaluations.read(final.parent / "evaluation.json")
    assert sum(one.attention) == pytest.approx(1, abs=1e-5)
    assert f"attention, mean      scale 1: {one.attention[0]:.3f}, " in done.stdout


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
    assert (report["split"], report["predictions"], report["images"]) == (None, "pred", 4)
    assert "| square | - |" in (tmp_path / "e/evaluation.md").read_text()
    assert Image.open(tmp_path / "e/confusion.png").size[0] > 300
    (tmp_path / "pred/0.png").unlink()
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "pred/0.png: no such file")
    one_line_error(tool("evaluate", "shapes"), "give one of --weights, --predictions and --pairs")


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        (np.zeros((2, 2), np.uint8), r"pred/a\.png is 2x2 pixels, .*gt/a\.png 3x4"),
        (np.full((4, 3), 5, np.uint8), r"pred/a\.png: 12 pixels have the value 5"),
        (np.full((4, 3), 255, np.uint8), r"pred/a\.png: has 255, which is no class"),
        (None, r"pred/a\.png: no such file"),
    ],
)
def test_predictions_that_are_refused(tmp_path, prediction, said):
    write_label(tmp_path / "gt/a.png", np.zeros((4, 3), np.uint8))
    if prediction is not None:
        write_label(tmp_path / "pred/a.png", prediction)
    with pytest.raises(DataError, match=said):
        evaluate.evaluate_files(evaluate.pair_up(tmp_path / "pred", tmp_path / "gt"), datasets.find("shapes"))


def test_a_folder_without_pngs(tmp_path):
    with pytest.raises(DataError, match="nowhere: has no PNGs"):
        evaluate.pair_up("pred", tmp_path / "nowhere")


def test_predictions_of_a_split(untrained, tool, tmp_path):
    """Scored from disk as from the net itself."""
    run(tool, untrained, "--out", "p")
    scored = [("--weights", untrained / "shapes.caffemodel"), ("--predictions", "p")]
    for arguments, out in zip(scored, "ab", strict=True):
        done = tool("evaluate", "shapes", *arguments, "--data", untrained / "data", "--out", out)
        assert done.returncode == 0, done.stderr
    one, two = (evaluations.read(tmp_path / out / "evaluation.json") for out in "ab")
    assert one.matrix == two.matrix
    assert one.attention == pytest.approx(two.attention, abs=1e-12)
    assert (one.split, one.weights, one.predictions) == ("val", str(untrained / "shapes.caffemodel"), None)
    assert (two.split, two.weights, two.predictions) == ("val", None, "p")
    assert not one.although_seen


def test_what_was_trained_on_is_scored_on_request_alone_and_marked(untrained, tool, tmp_path):
    """The row's own list, and a release's name, which stays with its weights and with what they predict."""
    data = ("--data", untrained / "data")
    weights = untrained / "shapes.caffemodel"
    done = tool("evaluate", "shapes", "--weights", weights, *data, "--split", "train")
    one_line_error(done, "trained on list/train.txt, which has 1 of the images of train")
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
    assert evaluations.read(tmp_path / "c/evaluation.json").although_seen
