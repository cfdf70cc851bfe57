"""Predictions on disk: from images of every kind and videos, continued, read once; and what is refused."""

import collections
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale.data.images import read_image, read_label
from attscale.errors import UserError
from attscale.inference import scores, sources
from attscale.machine.build import built_with
from conftest import REPO, one_line_error
from helpers.predictions import clip, of, picture, run


def test_images_of_every_kind(tmp_path):
    """Grey, alpha, CMYK and 16 bits become BGR; an EXIF-rotated one is turned only where that is asked for."""
    colour = Image.fromarray(np.full((6, 9, 3), (200, 100, 50), np.uint8))
    colour.convert("L").save(tmp_path / "grey.png")
    colour.convert("RGBA").save(tmp_path / "alpha.png")
    colour.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((6, 9, 3), (50 * 257, 100 * 257, 200 * 257), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned a quarter clockwise
    colour.save(tmp_path / "turned.jpg", exif=exif)
    for oriented, turned in ((False, (6, 9, 3)), (True, (9, 6, 3))):
        read = {source.name: source.pixels() for source in sources.files(tmp_path.iterdir(), oriented=oriented)}
        assert read["turned"].shape == turned
        for name in ("alpha", "cmyk", "deep"):
            np.testing.assert_allclose(read[name].reshape(-1, 3).mean(axis=0), [50, 100, 200], atol=4)
            assert read[name].shape == read["grey"].shape == (6, 9, 3)


def test_which_images_are_meant(tmp_path):
    """Files by name, and what folders hold of images, in order; no two of one name, no folder without."""
    for path in ("in/b.JPG", "in/a.png", "in/notes.txt", "c.jpg", "in.jpg", "empty/x.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    found = sources.find_images([tmp_path / "c.jpg", str(tmp_path / "in")])
    assert found == [tmp_path / name for name in ("c.jpg", "in/a.png", "in/b.JPG")]
    (tmp_path / "a.jpg").touch()
    for names, said in (
        (["empty"], r"empty: has no images \(\.bmp, \.jpeg, "),
        (["in", "a.jpg"], r"a\.jpg and .*in/a\.png would both be a\.png"),
    ):
        with pytest.raises(UserError, match=said):
            sources.find_images([tmp_path / name for name in names])


def test_a_split_predicted_stopped_and_continued(untrained, tool, tmp_path):
    done = run(tool, untrained, "--out", "p", "--scores", "--weight-maps")
    assert done.returncode == 0, done.stderr
    assert "p: 3 predicted, " in done.stdout
    predictor = of(untrained, "shapes")
    for i in (1, 2, 3):
        predictor.forward(read_image(untrained / f"data/shapes/JPEGImages/{i:06d}.jpg"))
        assert np.array_equal(read_label(tmp_path / f"p/{i:06d}.png"), predictor.labels())
        assert Image.open(tmp_path / f"p/{i:06d}.png").mode == "P"
        kept = scores.read(tmp_path / f"p/scores/{i:06d}.npz")
        np.testing.assert_allclose(kept, predictor.scores(), rtol=1e-3, atol=1e-3)  # float16
        kept = scores.read(tmp_path / f"p/weight_maps/{i:06d}.npz")
        np.testing.assert_allclose(kept, predictor.weight_maps(), atol=1e-3)
    before = (tmp_path / "p/000001.png").stat().st_mtime_ns
    (tmp_path / "p/scores/000002.npz").unlink()
    (tmp_path / "p/000003.png").unlink()
    done = run(tool, untrained, "--out", "p", "--scores", "--weight-maps")
    assert re.search(r"p: 2 predicted, .* images/s; 1 were there\n", done.stdout)
    assert (tmp_path / "p/000001.png").stat().st_mtime_ns == before
    done = run(tool, untrained, "--out", "p", "--flip")
    one_line_error(done, "p: holds predictions with flip False, not True; choose another --out")


OPENS = """
import atexit, json, runpy, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
atexit.register(lambda: print(json.dumps(opened)))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("command", "arguments", "image", "times"),
    [
        ("predict", ["x.png", "--scores"], "x.png", 1),
        ("predict", ["x.png", "--scales", "0.5,1", "--flip"], "x.png", 1),
        ("evaluate", [], "{}/JPEGImages/000002.jpg", 1),
        ("visualize", ["x.png"], "x.png", 1),
        ("crf", ["x.png", "--processes", "1"], "x.png", 2),  # for the prediction, and for a sheet of examples
    ],
)
def test_weights_and_images_are_read_once(command, arguments, image, times, untrained, tmp_path):
    """By the files that the command opens (the CRF's own processes do not count here)."""
    weights, data = untrained / "shapes.caffemodel", untrained / "data"
    cv2.imwrite(str(tmp_path / "x.png"), picture(20, 30))
    whole = [REPO / f"tools/{command}.py", "shapes", *arguments, "--weights", weights, "--data", data]
    done = subprocess.run([sys.executable, "-c", OPENS, *map(str, whole)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    opened = collections.Counter(json.loads(done.stdout.splitlines()[-1]))
    assert opened[str(weights)] == 1
    assert opened[image.format(data / "shapes")] == times


def test_folders_and_images(untrained, tool, tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), picture(20, 30))
    cv2.imwrite(str(tmp_path / "in/b.jpg"), picture(1, 1))
    done = run(tool, untrained, "in", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert read_label(tmp_path / "o/a.png").shape == (20, 30)
    assert read_label(tmp_path / "o/b.png").shape == (1, 1)
    (tmp_path / "in/c.jpg").write_bytes(b"no image")
    one_line_error(run(tool, untrained, "in", "--out", "z"), "in/c.jpg: not a readable image (8 bytes)")
    assert (tmp_path / "z/a.png").exists()  # what was finished is kept


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["photo.png"], "photo.png: 5500x5500 pixels are too large for shapes_attention3_esupv: padded to 5505x5505"),
        (["half.png", "--scales", "2"], "half.png: 5600x5600 pixels"),
        (["nowhere.png"], "nowhere.png: no such file"),
        (["photo.png", "--split", "val"], "IMAGE does not go with --split"),
        (["photo.png", "--weight-maps", "--flip"], "--weight-maps are of one pass"),
        (["--video", "none.mp4"], "none.mp4: no such file"),
        (["--video", "cut.mp4"], "cut.mp4: not a video that can be decoded"),
    ],
)
def test_what_cannot_be_predicted(arguments, said, untrained, tool, tmp_path):
    if "photo.png" in arguments:
        cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((5500, 5500, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "half.png"), np.zeros((2800, 2800, 3), np.uint8))
    clip(tmp_path / "v.mp4")
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "v.mp4").read_bytes()[:300])
    one_line_error(run(tool, untrained, *arguments, "--out", "o"), said)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", ["predict", "evaluate", "visualize"])
def test_weights_that_overflow_are_an_error(command, untrained, tool, tmp_path):
    """Every map was class 0, and the exit 0."""
    net = of(untrained, "shapes").net
    for layer in ("fc6", "fc7"):  # 1e38 is held, 1e60 is not
        net.params[layer][0].data[...] *= np.float32(1e30)
    net.save(str(tmp_path / "w.caffemodel"))
    done = tool(command, "shapes", "--weights", "w.caffemodel", "--data", untrained / "data", "--out", "o.png")
    one_line_error(done, ".jpg: the weights of w.caffemodel give scores that are not finite")
    assert not (tmp_path / "o.png").exists()


def test_weight_maps_of_a_single_scale(untrained, tool, tmp_path):
    weights = ("--weights", untrained / "shapes_largefov.caffemodel", "--data", untrained / "data")
    done = tool("predict", "shapes_largefov", *weights, "--weight-maps")
    one_line_error(done, "shapes_largefov merges no scales, and so has no weight maps")


def test_video(untrained, tool, tmp_path):
    clip(tmp_path / "v.mp4")
    done = run(tool, untrained, "--video", "v.mp4", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "o").glob("*.png")) == [f"frame_00000{i}.png" for i in (1, 2, 3)]
    assert "3/3 [" in done.stderr  # what the video announces
    done = run(tool, untrained, "--video", "v.mp4", "--dry-run")
    assert re.search(r"memory: .*\ntime: .* s for v\.mp4, frame_000001, so about \d+ s for 3\n", done.stdout)
    predictor, video = of(untrained, "shapes"), cv2.VideoCapture(str(tmp_path / "v.mp4"))
    for i in (1, 2, 3):
        predictor.forward(video.read()[1])
        assert np.array_equal(read_label(tmp_path / f"o/frame_00000{i}.png"), predictor.labels())


def test_a_video_that_was_cut_is_not_taken_for_whole(untrained, tool, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(8):
        writer.write(picture(48, 64, i))
    writer.release()
    data = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "v.avi").write_bytes(data[: len(data) // 2])
    done = run(tool, untrained, "--video", "v.avi", "--out", "o")
    one_line_error(done, "v.avi: only ", " of its 8 frames can be decoded; is it cut short?")
    assert (tmp_path / "o/frame_000001.png").exists()  # what was finished is kept


@pytest.mark.parametrize("value", ["nan", "inf", "1e9", "0", "x"])
def test_scales_that_are_none(untrained, tool, value):
    done = run(tool, untrained, "--scales", f"1,{value}")
    assert done.returncode == 2
    assert "argument --scales" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(built_with("cuda"), reason="this Caffe has CUDA")
def test_the_device_is_asked_for_in_one_way(untrained, tool):
    """--gpu means --device gpu; a Caffe without CUDA says so in every command."""
    weights = ("--weights", untrained / "shapes.caffemodel", "--data", untrained / "data")
    for command in ("predict", "evaluate", "visualize", "crf"):
        for asked in (("--gpu", "0"), ("--device", "gpu")):
            one_line_error(tool(command, "shapes", *weights, *asked), "this Caffe was built without CUDA")
