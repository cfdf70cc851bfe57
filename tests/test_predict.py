"""Predictions: what the deploy net says, on disk, from images of every kind, and what is refused."""

import dataclasses
import json
import tarfile
from fractions import Fraction

import caffe
import cv2
import numpy as np
import pytest
from PIL import Image

from attscale import (
    caffemodel,
    evaluate,
    experiments,
    metrics,
    predict,
    prototxt,
    provenance,
    results,
    scores,
    visualize,
)
from attscale.data import datasets
from attscale.data.images import read_image, read_label, voc_palette, write_index, write_label
from attscale.data.transforms import MEAN
from attscale.errors import UserError
from attscale.infer import Predictor, averaged_scores
from conftest import input_layer, one_line_error


def narrow(name, **changes):
    row = experiments.find(name)
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 8), from_scratch=True, pool5a=False)
    return dataclasses.replace(row, trunk=trunk, pretraining=None, **changes)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Weights of the shapes net by its fillers, and a val split of three images."""
    folder = tmp_path_factory.mktemp("home")
    caffe.set_random_seed(1)
    from attscale.data import shapes

    shapes.make(folder / "data/shapes", train=1, val=3, seed=0)
    prototxt_path = folder / "net.prototxt"
    for name in ("shapes", "shapes_max3_esupv", "shapes_average3_esupv", "shapes_largefov"):
        prototxt_path.write_text(str(prototxt.deploy_net(experiments.find(name))))
        caffe.Net(str(prototxt_path), caffe.TEST).save(str(folder / f"{name}.caffemodel"))
    return folder


@pytest.fixture(scope="module")
def predictor(home):
    return Predictor(experiments.find("shapes"), home / "shapes.caffemodel")


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


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


def run(tool, home, *arguments, weights="shapes"):
    return tool("predict", "shapes", "--weights", home / f"{weights}.caffemodel", "--data", home / "data", *arguments)


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


def clip(path, count=3):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for i in range(count):
        writer.write(picture(48, 64, i))
    writer.release()


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


def test_weights_of_another_experiment(home, tool):
    said = "shapes_max3_esupv.caffemodel: holds weights of shapes_max3_esupv, not of shapes_attention3_esupv"
    one_line_error(run(tool, home, "--out", "o", weights="shapes_max3_esupv"), said)
    weights = home / "shapes.caffemodel"
    for name, command in (("shapes_largefov", "evaluate"), ("shapes_average3_esupv", "visualize")):
        done = tool(command, name, "--weights", weights, "--data", home / "data")
        one_line_error(done, f"holds weights of shapes_attention3_esupv, not of {name}")
    assert run(tool, home, "--out", "o").returncode == 0
    done = tool("evaluate", "shapes_average3_esupv", "--predictions", "o", "--data", home / "data")
    one_line_error(done, "o: holds predictions of shapes_attention3_esupv, not of shapes_average3_esupv")


def test_what_was_made_of_something_else_is_refused(home, tool, tmp_path):
    """An image of the same name, another video, other scores and other parameters are not taken for the old ones."""
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), picture(20, 30, seed))
    assert "o: 1 predicted" in run(tool, home, "a", "--out", "o", "--scores").stdout
    assert "o: 0 predicted" in run(tool, home, "a", "--out", "o", "--scores").stdout
    one_line_error(run(tool, home, "b", "--out", "o"), "o: its x was made of something else than b/x.png")
    crf = ("crf", "shapes", "a/x.png", "--scores", "o/scores")
    assert "o/crf: 1 images" in tool(*crf).stdout
    assert "o/crf: 0 images" in tool(*crf).stdout
    one_line_error(tool(*crf, "--bi-w", "0"), "o/crf: holds crf with bi_w 4, not 0.0; choose another --out")
    scores.write(tmp_path / "o/scores/x.npz", np.zeros((5, 20, 30)))
    one_line_error(tool(*crf), "o/crf: its x was made of something else than o/scores/x.npz")
    for name in ("v", "w"):
        clip(tmp_path / f"{name}.mp4", 2 if name == "v" else 3)
    assert "f: 2 predicted" in run(tool, home, "--video", "v.mp4", "--out", "f").stdout
    one_line_error(run(tool, home, "--video", "w.mp4", "--out", "f"), "f: holds predictions with video_sha256")


def test_a_failed_start_leaves_the_folder_open(home, tool, tmp_path):
    (tmp_path / "cut.caffemodel").write_bytes((home / "shapes.caffemodel").read_bytes()[:5000])
    failed = tool("predict", "shapes", "--weights", "cut.caffemodel", "--data", home / "data", "--out", "o")
    one_line_error(failed, "cut.caffemodel: not a caffemodel, or cut short")
    assert "o: 3 predicted" in run(tool, home, "--out", "o").stdout
    (tmp_path / "o/predictions.json").write_text("[]")
    one_line_error(run(tool, home, "--out", "o"), "o/predictions.json: holds list, expected an object")


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


# Scores


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
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "pred/0.png: not a readable PNG")
    (tmp_path / "pred/0.png").unlink()
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "pred/0.png: no such label map")
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
    assert results.read(tmp_path / "c/evaluation.json").seen


def test_ground_truth_without_classes(tool, tmp_path):
    write_label(tmp_path / "gt/a.png", np.full((3, 3), 255, np.uint8))
    write_label(tmp_path / "pred/a.png", np.zeros((3, 3), np.uint8))
    one_line_error(tool("evaluate", "shapes", "--pairs", "pred", "gt"), "no pixel of the ground truth has a class")


def test_the_rows_list_decides_what_was_seen(tmp_path, monkeypatch):
    """A row trained on trainval_aug, alone or by the name in its weights; without its list nothing can be told."""
    voc = datasets.find("voc12")
    root = tmp_path / "VOC2012"
    (root / "list").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for name in "ab":
        (root / f"JPEGImages/{name}.jpg").write_bytes(b"x")
        (root / f"JPEGImages/{name}.png").write_bytes(b"x")
    line = "/JPEGImages/{0}.jpg /JPEGImages/{0}.png\n".format
    (root / "list/val.txt").write_text(line("a"))
    (root / "list/train_aug.txt").write_text(line("b"))
    row = experiments.find("voc")
    seen = experiments.find("voc12_attention3_esupv_trainval_aug")
    layer = caffemodel.Layer("x", "Convolution", (np.ones(1, np.float32),))
    for name in (row.name, seen.name):
        caffemodel.write(tmp_path / name, [layer], name=name)
    provenance.refuse_seen(row, voc, tmp_path, "val", weights=tmp_path / row.name)
    with pytest.raises(UserError, match=r"has seen val cannot be told: .*trainval_aug\.txt"):
        provenance.refuse_seen(seen, voc, tmp_path, "val", weights=tmp_path / row.name)
    (root / "list/trainval_aug.txt").write_text(line("a") + line("b"))
    for named, weights in ((seen, row), (row, seen)):
        with pytest.raises(UserError, match="trained on trainval_aug, which has 1 of the images of val"):
            provenance.refuse_seen(named, voc, tmp_path, "val", weights=tmp_path / weights.name)


# Submission


@pytest.fixture
def voc_test(tmp_path):
    """A test list of three images, and predictions for them."""
    root = tmp_path / "data/VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "list").mkdir()
    names = ["2008_000001", "2008_000002", "2012_000003"]
    for i, name in enumerate(names):
        cv2.imwrite(str(root / f"JPEGImages/{name}.jpg"), picture(20 + i, 30))
        write_label(tmp_path / f"pred/{name}.png", np.full((20 + i, 30), i * 10, np.uint8))
    (root / "list/test.txt").write_text("".join(f"/JPEGImages/{name}.jpg\n" for name in names))
    return names


def test_a_submission_passes_a_validator_written_from_vocs_description(voc_test, tool, tmp_path):
    done = tool("submit", "pred", "--out", "r.tgz", "--any-count")
    assert done.returncode == 0, done.stderr
    palette = []  # VOC's devkit, VOCcolormap.m, in words: bits of the index, three at a time, from the top bit down
    for index in range(21):
        r = g = b = 0
        for j in range(8):
            r |= (index >> (3 * j) & 1) << (7 - j)
            g |= (index >> (3 * j + 1) & 1) << (7 - j)
            b |= (index >> (3 * j + 2) & 1) << (7 - j)
        palette += [r, g, b]
    with tarfile.open(tmp_path / "r.tgz") as archive:
        assert archive.getnames() == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in voc_test]
        for i, member in enumerate(archive.getmembers()):
            assert member.isfile()
            image = Image.open(archive.extractfile(member))
            assert (image.format, image.mode, image.size) == ("PNG", "P", (30, 20 + i))
            assert image.getpalette()[:63] == palette
            assert (np.asarray(image) == i * 10).all()
    one_line_error(tool("submit", "pred", "--out", "s.tgz"), "the test list has 3 images, expected 1456")
    assert not (tmp_path / "s.tgz").exists()


def missing(path):
    path.unlink()
    return "pred: lacks 2008_000002.png of 3"


def wrong_size(path):
    write_label(path, np.zeros((30, 21), np.uint8))
    return "2008_000002.png: is 21x30 pixels, its image 30x21"


def colour(path):
    Image.fromarray(voc_palette()[np.zeros((21, 30), int)]).save(path)
    return "2008_000002.png: a label map must be a PNG of 8-bit class indices"


def grey(path):
    write_index(path, np.zeros((21, 30), np.uint8))
    return "2008_000002.png: not an indexed PNG"


def other_palette(path):
    image = Image.fromarray(np.zeros((21, 30), np.uint8), mode="L")
    image.putpalette([*range(256)] * 3)
    image.save(path)
    return "2008_000002.png: its colour map is not VOC's"


def value(path):
    write_label(path, np.full((21, 30), 21, np.uint8))
    return "2008_000002.png: has the value 21, expected classes 0 to 20"


@pytest.mark.parametrize("spoil", [missing, wrong_size, colour, grey, other_palette, value])
def test_submissions_that_are_refused(spoil, voc_test, tool, tmp_path):
    said = spoil(tmp_path / "pred/2008_000002.png")
    one_line_error(tool("submit", "pred", "--out", "r.tgz", "--any-count"), said)
    assert not (tmp_path / "r.tgz").exists()


def test_outputs_of_a_video_that_breaks_are_not_left(predictor, tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no")
    with pytest.raises(UserError, match="not a video"):
        visualize.video(predictor, tmp_path / "v.mp4", tmp_path / "o.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert predict.frame_rate(tmp_path / "v.mp4") == 25.0
