import dataclasses
import json
import random
import re
import subprocess
import sys

import cv2
import numpy as np
import pydensecrf.densecrf as dcrf
import pytest
from PIL import Image

from attscale import experiments, plots
from attscale.data.images import read_label, write_label
from attscale.errors import UserError
from attscale.inference import crf, crf_search, scores
from conftest import one_line_error
from helpers.pictures import pixels

EDGE = 37


def two_regions(seed=0, height=60, width=80):
    """An image dark left of column 37 and bright right of it; scores that follow it, with a fifth of them wrong."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 60, np.uint8)
    image[:, EDGE:] = 190
    image = np.clip(image.astype(int) + rng.integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
    truth = np.zeros((height, width), np.uint8)
    truth[:, EDGE:] = 1
    said = np.where(rng.random(truth.shape) < 0.2, 1 - truth, truth)
    maps = np.stack([said == 0, said == 1, np.zeros_like(said)]).astype(np.float32) * 2
    return image, maps, truth


OPTIONS = crf.PARAMETERS["VOC attention + COCO"]


def test_noise_goes_and_the_boundary_is_the_images():
    image, maps, truth = two_regions()
    assert 0.15 < (maps.argmax(axis=0) != truth).mean() < 0.25
    marginals = crf.apply(image, maps, OPTIONS)
    assert np.array_equal(marginals.argmax(axis=0), truth)
    np.testing.assert_allclose(marginals.sum(axis=0), 1, atol=1e-5)
    assert marginals.min() >= 0


def test_without_kernels_the_marginals_are_the_softmax():
    """Mean field without messages leaves the unary: its softmax, by a plain statement of it."""
    image, maps, _ = two_regions()
    marginals = crf.apply(image, maps, dataclasses.replace(OPTIONS, bi_w=0, pos_w=0))
    plain = np.exp(maps) / np.exp(maps).sum(axis=0)
    np.testing.assert_allclose(marginals, plain, atol=1e-5)


def test_what_reaches_pydensecrf(monkeypatch):
    calls = {}

    class Recorder:
        def __init__(self, *size):
            calls["size"] = size

        def __getattr__(self, name):
            return lambda *values, **named: calls.__setitem__(name, (values, named))

        def inference(self, iterations):
            calls["iterations"] = iterations
            return np.zeros(calls["size"][2] * calls["size"][0] * calls["size"][1])

    monkeypatch.setattr(dcrf, "DenseCRF2D", Recorder)
    image, maps, _ = two_regions()
    crf.apply(image, maps, OPTIONS)
    assert calls["size"] == (80, 60, 3)
    assert calls["iterations"] == 10
    same = {"kernel": dcrf.KernelType.DIAG_KERNEL, "normalization": dcrf.NormalizationType.NORMALIZE_AFTER}
    assert calls["addPairwiseGaussian"] == ((), {"sxy": 3, "compat": 3, **same})
    named = dict(calls["addPairwiseBilateral"][1])
    assert np.array_equal(named.pop("rgbim"), image)
    assert named == {"sxy": 49, "srgb": 5, "compat": 4, **same}
    (unary,), _ = calls["setUnaryEnergy"]
    assert unary.shape == (3, 60 * 80)
    np.testing.assert_allclose(np.exp(-unary).sum(axis=0), 1, atol=1e-5)
    difference = unary + maps.reshape(3, -1)  # minus the score, up to a constant of the pixel
    np.testing.assert_allclose(difference, difference[:1].repeat(3, axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # typed from the reference's table
        ("voc12_largefov_trainval_aug", (4, 121, 5)),
        ("voc12_msc_largefov_trainval_aug", (4, 83, 5)),
        ("voc12_coco_largefov_trainval_aug", (5, 69, 5)),
        ("voc12_coco_msc_largefov_trainval_aug", (4, 59, 5)),
        ("voc12_coco_attention3_esupv_trainval_aug", (4, 49, 5)),
        ("voc12_attention3_esupv", (4, 49, 5)),
        ("voc10_part_attention3_esupv", (4, 19, 3)),
        ("voc10_part_largefov", (4, 21, 3)),
        ("voc10_part_max3_esupv", (4, 15, 3)),
        ("voc10_part_average3_esupv", (5, 11, 5)),
        ("shapes_max2", (4, 49, 5)),
    ],
)
def test_the_releases_parameters(name, expected):
    options = crf.PARAMETERS[crf.model_of(experiments.find(name))]
    assert (options.bi_w, options.bi_xy, options.bi_rgb) == expected
    assert (options.pos_w, options.pos_xy, options.iterations) == (3, 3, 10)


def test_the_other_models_of_the_release():
    others = {name: dataclasses.astuple(crf.PARAMETERS[name])[:3] for name in ("DeepLab", "MSc", "COCO")}
    assert others == {"DeepLab": (5, 50, 10), "MSc": (3, 95, 3), "COCO": (5, 67, 3)}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("bi_xy", 0, "0, expected 1 to 1000"),
        ("bi_xy", 1e-30, "1e-30, expected 1 to 1000"),  # pydensecrf ended the process
        ("bi_rgb", 0.5, "0.5, expected 1 to 1000"),
        ("bi_w", -1, "-1, expected 0 to 1000"),
        ("bi_w", 1e38, r"1e\+38, expected 0 to 1000"),
        ("bi_w", float("nan"), "nan, expected 0 to 1000"),
        ("pos_xy", float("inf"), "inf, expected 1 to 1000"),
        ("iterations", 10**20, "100000000000000000000, expected 1 to 1000"),
    ],
)
def test_options_that_mean_nothing(name, value, said):
    with pytest.raises(UserError, match=f"the CRF's {name} is {said}"):
        dataclasses.replace(OPTIONS, **{name: value})


def test_named_images_are_turned_as_for_the_prediction(tmp_path, tool):
    """Orientation 3 is upside down: the scores are of the turned image, and so must be the CRF's."""
    image, maps, truth = two_regions()
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(image[::-1, ::-1, ::-1]).save(tmp_path / "x.jpg", quality=100, exif=exif)
    scores.write(tmp_path / "p/scores/x.npz", np.concatenate([maps, np.zeros_like(maps[:2])]))
    done = tool("crf", "shapes", "x.jpg", "--scores", "p/scores")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_label(tmp_path / "p/crf/x.png"), truth)


@pytest.fixture
def scored(tmp_path):
    """A folder with three images of `shapes` in VOC's layout, and score maps of five classes."""
    root = tmp_path / "data/shapes"
    lines = []
    for i in range(3):
        image, maps, truth = two_regions(i)
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / f"JPEGImages/{i}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
        write_label(root / f"SegmentationClass/{i}.png", truth)
        scores.write(tmp_path / f"p/scores/{i}.npz", np.concatenate([maps, np.zeros_like(maps[:2])]))
        lines.append(f"/JPEGImages/{i}.jpg /SegmentationClass/{i}.png\n")
    (root / "list").mkdir()
    (root / "list/val.txt").write_text("".join(lines))
    return tmp_path


def test_a_split_on_all_cores_stopped_and_continued(scored, tool):
    done = tool("crf", "shapes", "--scores", "p/scores")
    assert done.returncode == 0, done.stderr
    assert "VOC attention + COCO: bi_w 4, bi_xy 49, bi_rgb 5, pos_w 3, pos_xy 3, iterations 10" in done.stdout
    assert "p/crf: 3 images" in done.stdout
    for i in range(3):
        assert np.array_equal(read_label(scored / f"p/crf/{i}.png"), two_regions(i)[2])
    before = (scored / "p/crf/0.png").stat().st_mtime_ns
    (scored / "p/crf/1.png").unlink()
    done = tool("crf", "shapes", "--scores", "p/scores")
    assert re.search(r"p/crf: 1 images, .* a second; 2 were there\n", done.stdout)
    assert "crf: 100%" in done.stderr  # of those that were missing
    assert "1/1 [" in done.stderr
    assert (scored / "p/crf/0.png").stat().st_mtime_ns == before
    done = tool("evaluate", "shapes", "--predictions", "p/crf", "--out", "e")
    report = json.loads((scored / "e/evaluation.json").read_text())
    assert (report["mean_iou"], report["crf"]) == (1, True)  # that it is the CRF's, the folder says
    for colour in ((60, 60, 60), (190, 190, 190)):  # of the images, give or take their noise
        assert pixels(scored / "p/crf/crf_examples.png", colour) > 5000
    assert pixels(scored / "p/crf/crf_examples.png", plots.palette()[1][::-1]) > 2 * 5000  # the truth, and after


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "2.npz: not readable: "),
        (
            lambda path: scores.write(path, np.zeros((4, 60, 80))),
            "2.npz: holds (classes, height, width) (4, 60, 80), its",
        ),
        (lambda path: scores.write(path, np.zeros((5, 60, 81))), "(5, 60, 81), its image needs (5, 60, 80)"),
        (lambda path: path.unlink(), "2.npz: no such file"),
    ],
    ids=["cut", "classes", "size", "missing"],
)
def test_bad_score_maps_are_named_and_what_was_finished_is_kept(spoil, said, scored, tool):
    spoil(scored / "p/scores/2.npz")
    one_line_error(tool("crf", "shapes", "--scores", "p/scores"), said)
    assert (scored / "p/crf/0.png").exists()


def test_a_folder_without_score_maps(scored, tool):
    one_line_error(tool("crf", "shapes", "--scores", "data"), "data: has no score maps")


def test_the_grid_of_deeplab():
    """As their paper writes it: w1 in [5, 10], sigma_alpha in [50:10:100], sigma_beta in [3:1:10]."""
    grid = {name: list(values) for name, values in crf_search.GRIDS["deeplab"].items()}
    xy, rgb = [50, 60, 70, 80, 90, 100], [3, 4, 5, 6, 7, 8, 9, 10]
    assert grid == {"bi_w": [5, 6, 7, 8, 9, 10], "bi_xy": xy, "bi_rgb": rgb}


def samples_of(scored):
    root = scored / "data/shapes"
    return [
        (root / f"JPEGImages/{i}.jpg", scored / f"p/scores/{i}.npz", root / f"SegmentationClass/{i}.png")
        for i in range(3)
    ]


def test_the_search_finds_what_is_better_and_the_same_again(scored, monkeypatch):
    """A bilateral kernel of weight 0 cannot mend the noise; one of weight 4 can. In this process, for speed."""
    monkeypatch.setitem(crf_search.GRIDS, "small", {"bi_w": (0, 4), "bi_xy": (49,), "bi_rgb": (5,)})
    monkeypatch.setattr(crf_search, "FINE", {"bi_w": (0, 1), "bi_xy": (0,), "bi_rgb": (0, 1)})
    monkeypatch.setattr(crf_search, "in_processes", lambda function, jobs, _: (function(*job) for job in jobs))
    row, start = experiments.find("shapes"), dataclasses.replace(OPTIONS, pos_w=0, iterations=4)
    tried = crf_search.search(row, samples_of(scored)[:2], start)
    assert [(options.bi_w, options.bi_rgb) for options, _ in tried[-1:]] == [(0, 5)]
    assert {(options.bi_w, options.bi_rgb) for options, _ in tried[:-1]} == {(4, 5), (4, 6), (5, 5), (5, 6)}
    assert tried[0][1] > 0.99
    assert tried[-1][1] < 0.75
    assert tried == crf_search.search(row, samples_of(scored)[:2], start)


def test_the_search_command(scored, tool):
    """Every setting once; the best and the worst score what a plain count of the CRF's label maps comes to."""
    done = tool("crf", "shapes", "--scores", "p/scores", "--search", "--samples", "2", "--iterations", "1", "--seed", 3)
    assert done.returncode == 0, done.stderr
    tried = json.loads((scored / "p/crf/search.json").read_text())
    assert len(tried) == len({(line["bi_w"], line["bi_xy"], line["bi_rgb"]) for line in tried}) == 36 + 26
    chosen = [samples_of(scored)[i] for i in sorted(random.Random(3).sample(range(3), 2))]
    for line in (tried[0], tried[-1]):
        stated = line.pop("mean_iou")
        hits, union = np.zeros(2), np.zeros(2)
        for image, score_map, truth_path in chosen:
            found, _ = crf.label(image, score_map, 5, crf.CrfOptions(**line))
            truth = read_label(truth_path)
            for c in range(2):
                hits[c] += np.sum((found == c) & (truth == c))
                union[c] += np.sum((found == c) | (truth == c))
        assert stated == pytest.approx(np.mean(hits / union))
    assert {line["iterations"] for line in tried} == {1}
    assert pixels(scored / "p/crf/search.png", (0, 0, 255)) > 20  # the best has a red ring


def test_without_pydensecrf_it_says_where_that_is_from():
    """attscale's wheel does not ask for it, since there is no wheel of it but ours."""
    code = "import sys; sys.modules['pydensecrf'] = None; from attscale import cli"
    code = f"{code}; cli.run(lambda argv: __import__('attscale.inference.crf'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    one_line_error(done, "the dense CRF needs pydensecrf2: install the wheel that `make wheel` makes of it")
