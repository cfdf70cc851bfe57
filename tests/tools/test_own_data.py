"""Ten own photographs, two folders and one file: from there to a scored, pictured net, by the commands alone."""

import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale import datasets
from attscale.data.images import read_image
from attscale.training import runs
from attscale.weights import caffemodel
from conftest import REPO, one_line_error

NET = "photos_attention2_esupv_narrow"
ITERATIONS = 50
SKY, GROUND, BALL, EDGE = (135, 206, 235), (90, 60, 30), (220, 20, 60), (255, 255, 255)
#: Values that the label maps have for sky, ground, ball and what nobody drew; the ball is 9 in one half of them.
VALUES = {"sky": 4, "ground": 0, "ball": 1, "late ball": 9, "nothing": 77}

FILE = f"""
title = "A ball in the garden"
classes = ["ground", "ball", "sky"]
colours = [{[*GROUND]}, {[*BALL]}, {[*SKY]}]
ignore = [77]
ignore_colours = [{[*EDGE]}]
map = {{ 0 = 0, 1 = 1, 4 = 2, 9 = 1 }}
test_size = 97

[folders]
images = "photographs"
labels = "drawn"
val = 0.3
seed = 1

[narrow]
crop_size = 65
trunk.width = 0.0625
attention.filters = 16
solver.base_lr = 0.002
solver.max_iter = 1000
"""


def draw(folder):
    """The photographs, JPEGs of ten sizes, and their label maps: grey, with a palette, and in colour.

    Returns {name: classes, 255 where nobody drew}, of all of them.
    """
    truth = {}
    for number in range(10):
        rng = np.random.default_rng(number)
        height, width = 50 + 4 * number, 96 - 5 * number
        y, x = np.mgrid[:height, :width]
        horizon, radius = height // 3, 9 + number % 3
        label = np.where(y < horizon, 2, 0).astype(np.uint8)
        label[np.hypot(y - 2 * height / 3, x - width * rng.uniform(0.3, 0.7)) < radius] = 1
        label[:, :3] = 255
        colours = np.array([GROUND, BALL, SKY], np.float32)[np.minimum(label, 2)]
        image = (colours + rng.normal(0, 8, colours.shape)).clip(0, 255).astype(np.uint8)
        name = f"garden-{number}"
        cv2.imwrite(str(folder / f"photographs/{name}.jpg"), image[..., ::-1])
        path = folder / f"drawn/{name}.png"
        if number % 3 == 2:
            Image.fromarray(np.array([GROUND, BALL, SKY, EDGE], np.uint8)[np.minimum(label, 3)]).save(path)
        else:
            ball = VALUES["ball"] if number < 5 else VALUES["late ball"]
            values = np.array([VALUES["ground"], ball, VALUES["sky"], VALUES["nothing"]], np.uint8)
            drawn = Image.fromarray(values[np.minimum(label, 3)], mode="L")
            if number % 3:
                drawn.putpalette(list(range(256)) * 3)
            drawn.save(path)
        truth[name] = label
    return truth


def command(folder, tool, *arguments):
    """What the command prints; it is run in `folder`."""
    line = [sys.executable, str(REPO / "tools" / f"{tool}.py"), *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the set, prepared, and runs/r, its narrow net of two scales after 50 iterations."""
    folder = tmp_path_factory.mktemp("own")
    root = folder / "data/photos"
    (root / "photographs").mkdir(parents=True)
    (root / "drawn").mkdir()
    draw(root)
    (root / datasets.FILE).write_text(FILE)
    command(folder, "prepare_data", "photos")
    command(folder, "train", NET, "--max-iter", ITERATIONS, "--out", "runs/r")
    return folder


@pytest.fixture(scope="module")
def predicted(place):
    """The folder of the predictions and score maps of val."""
    command(place, "predict", NET, "--weights", "runs/r/final.caffemodel", "--scores")
    return place / f"predictions/{NET}/val"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    (folder / "photographs").mkdir()
    (folder / "drawn").mkdir()
    return draw(folder)


def val(place):
    lines = (place / "data/photos/list/val.txt").read_text().splitlines()
    return [line.split()[0].split("/")[-1].removesuffix(".jpg") for line in lines]


def test_it_is_prepared_and_verified(place, truth):
    assert len(val(place)) == 3
    shown = command(place, "prepare_data", "photos", "--verify").splitlines()
    assert shown[0] == "data/photos/list/train.txt: 7 pairs"
    for lines, names in ((shown[1:5], {*truth} - {*val(place)}), (shown[6:10], {*val(place)})):
        counted = [int(line.split()[-2].replace(",", "")) for line in lines]
        drawn = np.concatenate([truth[name].ravel() for name in names])
        assert counted == [(drawn == value).sum() for value in (0, 1, 2, 255)]
        assert [" ".join(line.split()[1:-2]) for line in lines] == ["ground", "ball", "sky", "ignored (255)"]


def test_its_nets_can_be_written(place):
    assert command(place, "make_net", "photos_largefov", NET, "--out", "nets") == "wrote 2 nets to nets/\n"
    text = (place / "nets/photos/largefov/train.prototxt").read_text()
    assert 'root\\": \\"data/photos\\"' in text
    assert "fc8_photos" in text
    assert "nets in nets/ are as generated" in command(
        place, "make_net", "photos_largefov", NET, "--out", "nets", "--check"
    )


def test_it_is_trained_as_its_file_says(place):
    options = runs.load(place / "runs/r")
    assert (options.experiment, options.max_iter) == (NET, ITERATIONS)
    weights = caffemodel.read(place / "runs/r/final.caffemodel")
    assert weights.layers["conv1_1"].shapes[0] == (4, 3, 3, 3)  # a sixteenth of 64
    assert weights.layers["fc8_photos"].shapes[0][0] == 3
    losses = [json.loads(line)["losses"]["loss"] for line in (place / "runs/r/log.jsonl").read_text().splitlines()]
    assert losses[-1] < np.log(3)  # less than by guessing


def test_predictions_have_its_colours(place, predicted, truth):
    assert sorted(path.stem for path in predicted.glob("*.png")) == sorted(val(place))
    for name in val(place):
        with Image.open(predicted / f"{name}.png") as image:
            assert (image.mode, image.size[::-1]) == ("P", truth[name].shape)
            assert image.getpalette()[:9] == [*GROUND, *BALL, *SKY]
            assert set(np.unique(np.asarray(image))) <= {0, 1, 2}
        scores = np.load(predicted / f"scores/{name}.npz")
        assert next(iter(scores.values())).shape == (3, *truth[name].shape)


@pytest.fixture(scope="module")
def scored(place, predicted):
    command(place, "evaluate", NET, "--weights", "runs/r/final.caffemodel", "--branches")
    return json.loads((place / "runs/r/evaluation.json").read_text())


def test_the_score_is_that_of_a_plain_count(place, predicted, truth, scored):
    """Loops over the classes of the label maps on disk; who knows which values and colours they were drawn in?"""
    assert [*scored["iou"]] == ["ground", "ball", "sky"]
    hits, union = np.zeros(3), np.zeros(3)
    for name in val(place):
        with Image.open(predicted / f"{name}.png") as image:
            guess = np.asarray(image)
        drawn = truth[name] != 255
        for c in range(3):
            hits[c] += (drawn & (guess == c) & (truth[name] == c)).sum()
            union[c] += (drawn & ((guess == c) | (truth[name] == c))).sum()
    for iou, hit, both in zip(scored["iou"].values(), hits, union, strict=True):
        assert iou == pytest.approx(hit / both)
    assert scored["mean_iou"] > scored["mean_iou_of_all_background"] + 0.2  # it has learnt the sky
    assert [*scored["mean_iou_of_branches"]] == ["1", "0.5"]


def test_the_crf_takes_its_scores(place, predicted):
    shown = command(place, "crf", NET, "--scores", predicted / "scores", "--out", "runs/r/crf", "--processes", 1)
    assert "runs/r/crf: 3 images" in shown
    with Image.open(place / f"runs/r/crf/{val(place)[0]}.png") as image:
        assert image.getpalette()[:9] == [*GROUND, *BALL, *SKY]
    assert (place / "runs/r/crf/crf_examples.png").is_file()
    shown = command(place, "evaluate", NET, "--predictions", "runs/r/crf", "--out", "runs/r/crf")
    assert shown.splitlines()[-1].endswith(f"{NET}, 3 images")
    assert json.loads((place / "runs/r/crf/evaluation.json").read_text())["crf"]


def near(picture, colour):
    """How many pixels of the (H, W, 3) BGR picture have the RGB colour."""
    return int((picture[..., ::-1] == colour).all(axis=2).sum())


def test_it_is_pictured_in_its_colours(place):
    command(place, "visualize", NET, "--weights", "runs/r/final.caffemodel", "--out", "runs/r/attention.png")
    sheet = read_image(place / "runs/r/attention.png")
    assert near(sheet, SKY) > 1000
    assert near(sheet, GROUND) > 1000
    assert near(sheet, BALL) > 300  # of the ground truth, whatever the net says


def test_any_of_its_nets_is_swept_reported_and_compared(place, scored):
    shown = command(place, "sweep", "photos_largefov_narrow", "--max-iter", 2, "--threads", 1)
    assert "photos_largefov_narrow                       done      mean IOU" in shown
    assert "runs 2" in command(place, "report", "--title", "Garden")
    page = (place / "report.html").read_text()
    for words in ("photos_largefov_narrow", NET, "ground", "ball", "sky", f"{100 * scored['mean_iou']:.2f}"):
        assert words in page
    shown = command(place, "compare")
    assert f"runs/r: no cell of the papers is of {NET}" in shown
    assert "no cell of the papers is of photos_largefov_narrow" in shown


def test_a_photograph_of_none_of_its_lists(place, tmp_path):
    """A JPEG that a camera held upright is turned by its tag; what is in the lists is read as it is stored."""
    image, tags = Image.new("RGB", (60, 40), SKY), Image.Exif()
    tags[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=tags)
    (tmp_path / "upright.jpg").write_bytes(file.getvalue())
    given = ("--weights", "runs/r/final.caffemodel", "--out", tmp_path / "out")
    command(place, "predict", NET, *given, tmp_path / "upright.jpg")
    with Image.open(tmp_path / "out/upright.png") as predicted:
        assert predicted.size == (40, 60)


def test_a_value_that_the_file_forgot_is_told_before_anything_is_trained(place, tool, tmp_path):
    (tmp_path / "data").mkdir()
    root = tmp_path / "data/photos"
    root.mkdir()
    for name in ("photographs", "drawn", "list"):
        (root / name).symlink_to(place / "data/photos" / name)
    (root / datasets.FILE).write_text(FILE.replace("ignore = [77]\n", ""))
    done = tool("train", NET, "--max-iter", 2, "--out", "run")
    said = "have the value 77, which neither map nor ignore names"
    one_line_error(done, "data/photos/list/train.txt: ", "pairs are faulty", said)
    assert "drawn/garden-" in done.stderr
    assert not (tmp_path / "run/final.caffemodel").exists()
