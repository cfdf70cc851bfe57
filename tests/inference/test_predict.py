"""Predictions: what the deploy net says, on disk, from images of every kind, and what is refused."""

import dataclasses
from fractions import Fraction

import caffe
import cv2
import numpy as np
import pytest
from PIL import Image

from attscale import experiments, prototxt
from attscale.data.images import read_image, read_label, write_index
from attscale.data.transforms import MEAN
from attscale.errors import UserError
from attscale.inference import predictions, scores, visualize
from attscale.inference.predictor import Predictor, averaged_scores
from attscale.scoring import evaluate
from conftest import input_layer, one_line_error
from helpers.predictions import clip, picture, run, untrained


def narrow(name, **changes):
    row = experiments.find(name)
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 8), from_scratch=True, pool5a=False)
    return dataclasses.replace(row, trunk=trunk, pretraining=None, **changes)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def predictor(home):
    return Predictor(experiments.find("shapes"), home / "shapes.caffemodel")


def test_the_deploy_net_at_513_says_what_the_train_net_does(tmp_path):
    """The same padded image through both, dropout off: merged scores at 65x65, before the zoom."""
    row = narrow("voc12_attention3_esupv", crop_size=513)
    row = dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, dropout=0.0))
    message = prototxt.train_net(row)
    del message.layer[0]
    text = input_layer("data", (1, 3, 513, 513)) + input_layer("label", (1, 1, 513, 513))
    path = tmp_path / "train.prototxt"
    path.write_text(text + str(message))
    caffe.set_random_seed(3)
    train = caffe.Net(str(path), caffe.TRAIN)
    train.save(str(tmp_path / "w.caffemodel"))
    deploy = Predictor(row, tmp_path / "w.caffemodel")
    image = picture(375, 500)
    padded = np.zeros((3, 513, 513), np.float32)
    padded[:, :375, :500] = image.transpose(2, 0, 1) - np.array(MEAN, np.float32)[:, None, None]
    train.blobs["data"].data[0] = padded
    train.forward()
    deploy.forward(image)
    assert deploy.net.blobs["data"].data.shape[2:] == (513, 513)
    expected = train.blobs["fc8_fusion"].data
    assert expected.shape[2:] == (65, 65)
    np.testing.assert_allclose(deploy.net.blobs["fc8_fusion"].data, expected, atol=1e-4)
    assert np.ptp(expected) > 0.1  # it is not a constant that agrees


def test_alone_and_in_a_batch(predictor):
    images = [picture(100, 200, 1), picture(257, 90, 2), picture(33, 33, 3)]
    predictor.forward(*images)
    together = [(predictor.scores(i).copy(), predictor.weight_maps(i).copy()) for i in range(3)]
    for image, (maps, weights) in zip(images, together, strict=True):
        predictor.forward(image)
        np.testing.assert_allclose(predictor.scores(), maps, atol=1e-5)
        np.testing.assert_allclose(predictor.weight_maps(), weights, atol=1e-5)
        assert maps.shape[1:] == image.shape[:2]


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((1, 1), (257, 257)),
        ((1, 300), (257, 321)),
        ((500, 700), (513, 705)),
        ((257, 257), (257, 257)),
        ((258, 3), (289, 257)),
        ((50, 1500), (257, 1505)),
    ],
)
def test_images_of_any_size(size, padded, predictor):
    predictor.forward(picture(*size))
    assert predictor.net.blobs["data"].data.shape == (1, 3, *padded)
    assert predictor.labels().shape == size


def test_the_width_of_the_padding_changes_no_score_of_the_image(predictor):
    """Height and width apart or a square: zeros right of the image, which stay zeros in a net without biases yet."""
    image = picture(289, 40)
    predictor.forward(image)
    assert predictor.net.blobs["data"].data.shape == (1, 3, 289, 257)
    apart = predictor.scores().copy()
    predictor.forward(image, picture(10, 289))
    assert predictor.net.blobs["data"].data.shape == (2, 3, 289, 289)
    np.testing.assert_allclose(predictor.scores(), apart, atol=1e-4)


def test_images_that_caffe_cannot_hold(home, predictor, tool, tmp_path):
    """5500 pixels are padded to 5505, where conv1_2 unfolds 8 channels x 9 x 5505^2 = 2,181,961,800 values."""
    image = np.zeros((5500, 5500, 3), np.uint8)
    words = (
        "5500x5500 pixels are too large for shapes_attention3_esupv: padded to 5505x5505, conv1_2 would need "
        "2,181,961,800 values at once, Caffe holds 2,147,483,647; 5441x5441 would fit"
    )
    with pytest.raises(UserError, match=f"^image: {words}$"):
        predictor.forward(image)
    with pytest.raises(UserError, match=r"^a, b: 5500x10 and 10x5500 pixels .* padded to 5505x5505"):
        predictor.forward(image[:10], image[:, :10], names=["a", "b"])
    predictor.forward(picture(20, 30))  # it goes on with others
    assert predictor.labels().shape == (20, 30)
    cv2.imwrite(str(tmp_path / "photo.jpg"), image)
    one_line_error(run(tool, home, "photo.jpg", "--out", "o"), f"photo.jpg: {words}")
    done = tool("visualize", "shapes", "--weights", home / "shapes.caffemodel", "photo.jpg")
    one_line_error(done, f"photo.jpg: {words}")
    cv2.imwrite(str(tmp_path / "photo.jpg"), image[:2800, :2800])
    one_line_error(run(tool, home, "photo.jpg", "--out", "o2", "--scales", "2"), "photo.jpg: 5600x5600 pixels")
    pairs = [(tmp_path / "photo.png", tmp_path / "label.png")]
    cv2.imwrite(str(pairs[0][0]), image)
    write_index(pairs[0][1], image[..., 0])
    with pytest.raises(UserError, match=r"/photo\.png: 5500x5500 pixels"):
        evaluate.evaluate(predictor, pairs, 5)


def test_flip_and_scales_are_averages(predictor):
    image = picture(65, 97)
    predictor.forward(image)
    plain = predictor.scores().copy()
    assert np.array_equal(averaged_scores(predictor, image), plain)
    predictor.forward(np.ascontiguousarray(image[:, ::-1]))
    mirrored = predictor.scores()[..., ::-1].copy()
    np.testing.assert_allclose(averaged_scores(predictor, image, flip=True), (plain + mirrored) / 2, atol=1e-5)
    assert averaged_scores(predictor, image, scales=(0.75, 1.0)).shape == plain.shape


def test_which_scale_won_under_max_pooling(home):
    """Counted again from the three score maps, one pixel at a time."""
    net = Predictor(experiments.find("shapes_max3_esupv"), home / "shapes_max3_esupv.caffemodel")
    net.forward(picture(40, 50))
    own = [maps.copy() for _, maps in net._branch_scores(0)]
    labels, weights = net.labels(), net.weight_maps()
    for y in range(0, 40, 7):
        for x in range(50):
            values = [maps[labels[y, x], y, x] for maps in own]
            expected = [0.0, 0.0, 0.0]
            expected[values.index(max(values))] = 1.0
            assert weights[:, y, x].tolist() == expected
    average = Predictor(experiments.find("shapes_average3_esupv"), home / "shapes_average3_esupv.caffemodel")
    average.forward(picture(40, 50))
    np.testing.assert_allclose(average.weight_maps(), 1 / 3)
    single = Predictor(experiments.find("shapes_largefov"), home / "shapes_largefov.caffemodel")
    single.forward(picture(40, 50))
    assert single.weight_maps() is None


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
    for name in ("alpha.png", "cmyk.jpg", "deep.png"):
        image = read_image(tmp_path / name)
        assert image.shape == (6, 9, 3)
        np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), [50, 100, 200], atol=4)
    assert read_image(tmp_path / "grey.png").shape == (6, 9, 3)
    assert read_image(tmp_path / "turned.jpg").shape == (6, 9, 3)
    assert read_image(tmp_path / "turned.jpg", oriented=True).shape == (9, 6, 3)


def test_a_split_predicted_stopped_and_continued(home, tool, tmp_path, predictor):
    done = run(tool, home, "--out", "p", "--scores", "--weight-maps")
    assert done.returncode == 0, done.stderr
    assert "p: 3 predicted, " in done.stdout
    for i in (1, 2, 3):
        predictor.forward(read_image(home / f"data/shapes/JPEGImages/{i:06d}.jpg"))
        assert np.array_equal(read_label(tmp_path / f"p/{i:06d}.png"), predictor.labels())
        assert Image.open(tmp_path / f"p/{i:06d}.png").mode == "P"
        kept = scores.read(tmp_path / f"p/scores/{i:06d}.npz")
        np.testing.assert_allclose(kept, predictor.scores(), rtol=1e-3, atol=1e-3)  # float16
        assert scores.read(tmp_path / f"p/weight_maps/{i:06d}.npz").shape == (3, 257, 257)
    before = (tmp_path / "p/000001.png").stat().st_mtime_ns
    (tmp_path / "p/scores/000002.npz").unlink()
    (tmp_path / "p/000003.png").unlink()
    done = run(tool, home, "--out", "p", "--scores", "--weight-maps")
    assert "p: 2 predicted, " in done.stdout
    assert (tmp_path / "p/000001.png").stat().st_mtime_ns == before
    done = run(tool, home, "--out", "p", "--flip")
    one_line_error(done, "p: holds predictions with flip False, not True; choose another --out")


def test_folders_and_images(home, tool, tmp_path):
    (tmp_path / "in").mkdir()
    one_line_error(run(tool, home, "in"), "in: has no images")
    cv2.imwrite(str(tmp_path / "in/a.png"), picture(20, 30))
    cv2.imwrite(str(tmp_path / "in/b.jpg"), picture(1, 1))
    (tmp_path / "in/notes.txt").write_text("x")
    done = run(tool, home, "in", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert read_label(tmp_path / "o/a.png").shape == (20, 30)
    assert read_label(tmp_path / "o/b.png").shape == (1, 1)
    cv2.imwrite(str(tmp_path / "a.jpg"), picture(20, 30))
    one_line_error(run(tool, home, "in", "a.jpg", "--out", "q"), "would both be a.png")
    (tmp_path / "in/c.jpg").write_bytes(b"no image")
    one_line_error(run(tool, home, "in", "--out", "z"), "in/c.jpg: not a readable image (8 bytes)")
    assert (tmp_path / "z/a.png").exists()  # what was finished is kept


def test_video(home, tool, tmp_path):
    clip(tmp_path / "v.mp4")
    done = run(tool, home, "--video", "v.mp4", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "o").glob("*.png")) == [f"frame_00000{i}.png" for i in (1, 2, 3)]
    assert read_label(tmp_path / "o/frame_000001.png").shape == (48, 64)
    done = tool("visualize", "shapes", "--weights", home / "shapes.caffemodel", "--video", "v.mp4", "--out", "out.mp4")
    assert done.returncode == 0, done.stderr
    shown = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert (shown.get(cv2.CAP_PROP_FRAME_COUNT), shown.get(cv2.CAP_PROP_FRAME_WIDTH)) == (3, 64 * 5)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "v.mp4").read_bytes()[:300])
    for name, said in (("cut.mp4", "not a video that can be decoded"), ("none.mp4", "no such video")):
        one_line_error(run(tool, home, "--video", name, "--out", "x"), f"{name}: {said}")
        done = tool("visualize", "shapes", "--weights", home / "shapes.caffemodel", "--video", name, "--out", "y.mp4")
        one_line_error(done, f"{name}: {said}")
        assert not (tmp_path / "y.mp4").exists()


def test_a_video_that_was_cut_is_not_taken_for_whole(home, tool, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(8):
        writer.write(picture(48, 64, i))
    writer.release()
    data = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "v.avi").write_bytes(data[: len(data) // 2])
    done = run(tool, home, "--video", "v.avi", "--out", "o")
    one_line_error(done, "v.avi: only ", " of its 8 frames can be decoded; is it cut short?")
    assert (tmp_path / "o/frame_000001.png").exists()  # what was finished is kept


@pytest.mark.parametrize("value", ["nan", "inf", "1e9", "0", "x"])
def test_scales_that_are_none(home, tool, value):
    done = run(tool, home, "--scales", f"1,{value}")
    assert done.returncode == 2
    assert "argument --scales" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_device_is_asked_for_in_one_way(home, tool):
    """--gpu means --device gpu; a Caffe without CUDA says so in every command."""
    weights = ("--weights", home / "shapes.caffemodel", "--data", home / "data")
    for command in ("predict", "evaluate", "visualize", "crf"):
        for asked in (("--gpu", "0"), ("--device", "gpu")):
            one_line_error(tool(command, "shapes", *weights, *asked), "this Caffe was built without CUDA")


def test_sheets_with_a_baseline(home, tool, tmp_path):
    arguments = ("--data", home / "data", "--baseline", home / "shapes_largefov.caffemodel", "--count", "3")
    done = tool(
        "visualize", "shapes_max3_esupv", "--weights", home / "shapes_max3_esupv.caffemodel", *arguments,
        "--per-sheet", "2", "--out", "sheet.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["sheet.png", "sheet-2.png"]
    first, second = (Image.open(tmp_path / name).size for name in done.stdout.split())
    assert first[0] > 7 * 150  # image, ground truth, baseline, prediction, three weight maps
    assert first[1] > 1.5 * second[1]


def test_outputs_of_a_video_that_breaks_are_not_left(predictor, tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no")
    with pytest.raises(UserError, match="not a video"):
        visualize.video(predictor, tmp_path / "v.mp4", tmp_path / "o.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert predictions.frame_rate(tmp_path / "v.mp4") == 25.0
