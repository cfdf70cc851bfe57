import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pydensecrf.densecrf as dcrf
import pytest
from PIL import Image

from attscale import experiments
from attscale.data.images import read_label, write_label
from attscale.errors import DataError, UserError
from attscale.inference import crf, scores
from conftest import one_line_error

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
    same = {"kernel": dcrf.DIAG_KERNEL, "normalization": dcrf.NORMALIZE_AFTER}
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


def test_sizes_that_disagree_and_bad_options():
    image, maps, _ = two_regions()
    with pytest.raises(DataError, match="the image is 79x60 pixels, its score map 80x60"):
        crf.apply(image[:, 1:], maps, OPTIONS)
    with pytest.raises(DataError, match="the CRF's bi_xy is 0, expected more than 0"):
        dataclasses.replace(OPTIONS, bi_xy=0)
    for name, value in (("bi_w", -1), ("bi_w", float("nan")), ("pos_xy", float("inf"))):
        with pytest.raises(DataError, match=f"the CRF's {name} is {value}"):
            dataclasses.replace(OPTIONS, **{name: value})
    dataclasses.replace(OPTIONS, bi_w=0)  # leaves the kernel out


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_line():
    with pytest.raises(UserError, match="one of 2 processes was killed, for want of memory perhaps"):
        list(crf.in_processes(die, [(), ()], 2))


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
def home(tmp_path):
    """Three images of `shapes` in VOC's layout, with score maps of five classes."""
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


def test_a_split_on_all_cores_stopped_and_continued(home, tool):
    done = tool("crf", "shapes", "--scores", "p/scores")
    assert done.returncode == 0, done.stderr
    assert "VOC attention + COCO: bi_w 4, bi_xy 49, bi_rgb 5, pos_w 3, pos_xy 3, iterations 10" in done.stdout
    assert "p/crf: 3 images" in done.stdout
    for i in range(3):
        assert np.array_equal(read_label(home / f"p/crf/{i}.png"), two_regions(i)[2])
    before = (home / "p/crf/0.png").stat().st_mtime_ns
    (home / "p/crf/1.png").unlink()
    assert "p/crf: 1 images" in tool("crf", "shapes", "--scores", "p/scores").stdout
    assert (home / "p/crf/0.png").stat().st_mtime_ns == before
    done = tool("evaluate", "shapes", "--predictions", "p/crf", "--out", "e")
    report = json.loads((home / "e/evaluation.json").read_text())
    assert (report["mean_iou"], report["crf"]) == (1, True)  # that it is the CRF's, the folder says
    assert Image.open(home / "p/crf/crf_examples.png").size[0] > 4 * 100  # image, ground truth, before, after


def test_bad_score_maps_are_named_and_what_was_finished_is_kept(home, tool):
    path = home / "p/scores/2.npz"
    good = path.read_bytes()
    path.write_bytes(good[:200])
    one_line_error(tool("crf", "shapes", "--scores", "p/scores"), "p/scores/2.npz: not a score map, or cut short")
    assert (home / "p/crf/0.png").exists()
    scores.write(path, np.zeros((4, 60, 80)))
    one_line_error(tool("crf", "shapes", "--scores", "p/scores"), "2.npz: has 4 classes, expected 5")
    scores.write(path, np.zeros((5, 60, 81)))
    one_line_error(
        tool("crf", "shapes", "--scores", "p/scores"), "2.npz: the image is 80x60 pixels, its score map 81x60"
    )
    path.unlink()
    one_line_error(tool("crf", "shapes", "--scores", "p/scores"), "2.npz: no such score map")
    (home / "empty").mkdir()
    one_line_error(tool("crf", "shapes", "--scores", "empty"), "empty: has no score maps")


def test_the_search_finds_what_is_better_and_the_same_again(home, monkeypatch):
    """A bilateral kernel of weight 0 cannot mend the noise; one of weight 4 can. In this process, for speed."""
    monkeypatch.setattr(crf, "COARSE", {"bi_w": (0, 4), "bi_xy": (49,), "bi_rgb": (5,)})
    monkeypatch.setattr(crf, "FINE", {"bi_w": (0, 1), "bi_xy": (0,), "bi_rgb": (0, 1)})
    monkeypatch.setattr(crf, "in_processes", lambda function, jobs, _: (function(*job) for job in jobs))
    root = home / "data/shapes"
    samples = [
        (root / f"JPEGImages/{i}.jpg", home / f"p/scores/{i}.npz", root / f"SegmentationClass/{i}.png")
        for i in range(2)
    ]
    start = dataclasses.replace(OPTIONS, pos_w=0, iterations=4)
    tried = crf.search(samples, 5, start)
    assert len(tried) == 2 + 3
    assert tried[0][0].bi_w >= 4
    assert tried[0][1] > 0.99
    assert tried[-1][0].bi_w == 0
    assert tried[-1][1] < 0.75
    assert tried == crf.search(samples, 5, start)


def test_the_search_command(home, tool):
    done = tool("crf", "shapes", "--scores", "p/scores", "--search", "--samples", "2", "--iterations", "1")
    assert done.returncode == 0, done.stderr
    record = json.loads((home / "p/crf/search.json").read_text())
    assert len(record) == 36 + 26
    assert record[0]["mean_iou"] >= record[-1]["mean_iou"]
    assert (home / "p/crf/search.png").stat().st_size > 5000


def test_processes_end_with_their_parent(tmp_path):
    """A worker of a sweep that is killed leaves none behind."""
    script = tmp_path / "main.py"
    script.write_text(
        "import os, time\nfrom attscale.inference.crf import in_processes\n"
        "def work(number):\n    os.mkdir(f'{number} {os.getpid()}')\n    time.sleep(100)\n"
        "if __name__ == '__main__':\n    list(in_processes(work, [(1,), (2,)], 2))\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    wait_until(lambda: len([*tmp_path.glob("* *")]) == 2)
    workers = [path.name.split()[1] for path in tmp_path.glob("* *")]
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path("/proc", pid).exists() for pid in workers))


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
