"""The commands from end to end on a miniature set, and their answers to bad input."""

import dataclasses
import json
from fractions import Fraction

import caffe
import numpy as np
import pytest

from attscale import datasets, experiments
from attscale.data.images import read_image, read_label
from attscale.errors import WeightsError
from attscale.inference.predictor import Predictor
from attscale.prototxt import Model
from attscale.weights import caffemodel
from conftest import one_line_error
from helpers import spoilers
from helpers.training_runs import train_row


def names(path):
    return set(caffemodel.read(path).layers)


def test_a_run_keeps_weights_log_and_what_ran(trained):
    run = trained / "runs/r"
    assert sorted(path.name for path in run.iterdir()) == [
        "caffe.json",
        "console.log",
        "deploy.prototxt",
        "final.caffemodel",
        "log.jsonl",
        "losses.png",
        "run.json",
        "solver.prototxt",
        "tensorboard",
        "train.prototxt",
    ]
    (record,) = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    assert record["iteration"] == 20
    assert sorted(record["losses"]) == ["loss", "loss_fusion", "loss_res05", "loss_res075"]
    assert all(0 < loss < 10 for loss in record["losses"].values())


def test_evaluate(trained, tool):
    done = tool(
        "evaluate", "shapes", "--weights", trained / "runs/r/final.caffemodel", "--data", trained / "data",
        "--branches", "--by-size", "--out", "e",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("mean IOU ")
    for start in ("background ", "disc ", "star ", "background alone", "scale 1      alone", "scale 0.75   alone"):
        assert any(line.startswith(start) for line in lines)


def test_evaluate_agrees_with_a_plain_count(trained, tmp_path, tool):
    """The JSON's IOUs against loops over the very labels that the library's predictor gives."""
    tool(
        "evaluate", "shapes", "--weights", trained / "runs/r/final.caffemodel", "--data", trained / "data", "--out", "e"
    )
    report = json.loads((tmp_path / "e/evaluation.json").read_text())
    model = Model.of(experiments.find("shapes"))
    predictor = Predictor(model, caffemodel.read(trained / "runs/r/final.caffemodel"))
    hits, union = np.zeros(5), np.zeros(5)
    for number in (4, 5, 6):
        predictor.forward(read_image(trained / f"data/shapes/JPEGImages/{number:06d}.jpg"))
        prediction, truth = predictor.labels(), read_label(trained / f"data/shapes/SegmentationClass/{number:06d}.png")
        for c in range(5):
            hits[c] += np.sum((prediction == c) & (truth == c))
            union[c] += np.sum(((prediction == c) | (truth == c)) & (truth != 255))
    expected = [h / u for h, u in zip(hits, union, strict=True) if u]
    assert report["mean_iou"] == pytest.approx(np.mean(expected))
    assert report["images"] == 3


#: One of each kind: no such pair, no file, a damaged image, a wrong label; the rest are `tests/data/test_verify.py`'s.
SPOILERS = [spoilers.spoil_missing, spoilers.spoil_device, spoilers.spoil_image_inside, spoilers.spoil_value]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_training_on_bad_files_stops_with_one_line(mini, tool, spoil):
    said = spoil(mini)
    done = tool("train", "shapes", "--max-iter", "20", "--batch-size", "1", "--out", "r")
    one_line_error(done, "3.jpg" if "missing" in spoil.__name__ else said.split(":")[0].split(" ")[0])


@pytest.mark.parametrize("spoil", SPOILERS)
def test_evaluating_bad_files_stops_with_one_line(mini, trained, tool, spoil, tmp_path):
    spoil(mini)
    weights = trained / "runs/r/final.caffemodel"
    done = tool("evaluate", "shapes", "--weights", weights, "--although-seen", "--out", "e")
    one_line_error(done, "3.")
    assert not (tmp_path / "e").exists()


def test_unknown_names(tool):
    one_line_error(tool("train", "shape"), "no experiment 'shape': did you mean shapes")
    one_line_error(tool("evaluate", "voc12_max", "--weights", "w"), "no experiment 'voc12_max'", "voc12_max2")
    one_line_error(tool("visualize", "xyz", "--weights", "w"), "no experiment 'xyz'")


def test_missing_data_and_missing_start(tool, tmp_path):
    (tmp_path / "data/shapes").mkdir(parents=True)  # without it, the set would be made
    one_line_error(tool("train", "shapes"), "data/shapes/list/train.txt: no such list file", "prepare_data.py")
    one_line_error(tool("train", "voc"), "data/VOC2012/list/train_aug.txt: no such list file", "VOCtrainval")
    (tmp_path / "data/VOC2012/list").mkdir(parents=True)
    (tmp_path / "data/VOC2012/list/train_aug.txt").write_text("/JPEGImages/1.jpg /SegmentationClassAug/1.png\n")
    one_line_error(tool("train", "voc"), "voc12_attention3_esupv starts from vgg16_20M.caffemodel", "--weights")


def test_bad_lists(mini, tool):
    path = mini / "list/train.txt"
    for text, said in (
        ("", "the list is empty"),
        ("/JPEGImages/0.jpg\n", "train.txt:1: '/JPEGImages/0.jpg': expected an image and a label map"),
        ("/JPEGImages/0.jpg /SegmentationClass/99.png\n", "99.png, which does not exist"),
    ):
        path.write_text(text)
        one_line_error(tool("train", "shapes"), said)


def test_weights_that_do_not_fit(trained, tool, tmp_path):
    weights, data = trained / "runs/r/final.caffemodel", ("--data", trained / "data")
    one_line_error(tool("evaluate", "voc", "--weights", weights, *data), "data/VOC2012/list/val.txt: no such list file")
    other = tool("train", "shapes_max2", "--max-iter", "1", "--batch-size", "1", "--out", "m", *data)
    assert other.returncode == 0, other.stderr
    one_line_error(
        tool("evaluate", "shapes", "--weights", "m/final.caffemodel", *data),
        "m/final.caffemodel: holds weights of shapes_max2, not of shapes_attention3_esupv",
    )
    one_line_error(tool("visualize", "voc", "--weights", weights, *data, tmp_path / "x.jpg"), "not of voc12_")
    (tmp_path / "cut.caffemodel").write_bytes(weights.read_bytes()[:-1000])
    one_line_error(tool("evaluate", "shapes", "--weights", "cut.caffemodel", *data), "cut short")


def test_training_on_weights_that_leave_out_what_cannot_be_learned(mini, tmp_path):
    """MSc's frozen trunk must come with its classifier: random weights in frozen layers would stay random."""

    def narrow(name):
        row = experiments.find(name)
        trunk = dataclasses.replace(row.trunk, width=Fraction(1, 16), from_scratch=True, pool5a=False)
        solver = dataclasses.replace(row.solver, max_iter=1, batch_size=1, iter_size=1)
        return dataclasses.replace(
            row, trunk=trunk, pretraining=None, dataset=datasets.find("shapes"), crop_size=33, solver=solver
        )

    first = train_row(narrow("voc12_largefov"), tmp_path / "first", mini)
    second = narrow("voc12_msc_largefov")
    final = train_row(second, tmp_path / "second", mini, weights=str(first))
    assert names(final) > names(first)
    headless = tmp_path / "headless.caffemodel"
    message = caffe.proto.caffe_pb2.NetParameter.FromString(first.read_bytes())
    message.layer.remove(next(layer for layer in message.layer if layer.name == "fc8_shapes"))
    headless.write_bytes(message.SerializeToString())
    with pytest.raises(WeightsError, match=f"has no weights for fc8_shapes, which {second.name} does not learn"):
        train_row(second, tmp_path / "third", mini, weights=str(headless))


def test_folders_that_cannot_be_written(trained, tool, tmp_path):
    (tmp_path / "file").write_text("in the way")
    one_line_error(tool("train", "shapes", "--data", trained / "data", "--out", "file/r"), "file/r: cannot make this")
    one_line_error(tool("prepare_data", "shapes", "--root", "file/s", "--train", "1"), "file/s", "cannot")
    one_line_error(tool("make_net", "shapes", "--out", "file"), "cannot make this folder")
    done = tool("train", "shapes", "--seed", "-1")
    assert done.returncode == 2
    assert "--seed: -1, expected at least 0" in done.stderr


def test_a_finished_run_is_not_overwritten(trained, tool):
    done = tool("train", "shapes", "--data", trained / "data", "--out", trained / "runs/r")
    one_line_error(done, "this run is finished")


@pytest.mark.parametrize("name", ["make_net", "prepare_data", "train", "evaluate", "visualize"])
def test_help_has_an_example(tool, name):
    done = tool(name, "--help")
    assert done.returncode == 0
    assert f"python tools/{name}.py" in done.stdout.split("example:")[1]


def test_a_folder_that_cannot_be_made_is_told_before_the_work(trained, tool, tmp_path):
    (tmp_path / "file").write_text("x")
    weights = trained / "runs/r/final.caffemodel"
    done = tool("evaluate", "shapes", "--weights", weights, "--data", trained / "data", "--out", "file/e")
    one_line_error(done, "file/e: cannot make this folder: ", "file is not a folder")
    assert "background" not in done.stdout
