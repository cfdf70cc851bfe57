"""`--net DIR`: prototxts with one more convolution, trained, continued, used and scored as they are."""

import json
import shutil
import subprocess
import sys

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from attscale import datasets, experiments
from attscale.data.images import read_image, read_label
from attscale.errors import ExperimentError
from attscale.prototxt import FILES, Model
from attscale.training import runs
from attscale.weights import caffemodel
from conftest import REPO, one_line_error
from helpers.training_runs import assert_same_weights, taken

NAME = "shapes_attention2_esupv"
EDITED = f"{NAME}_edited"
TRAIN, DEPLOY, SOLVER = FILES


def change(path, edit, kind=caffe_pb2.NetParameter):
    """Rewrites the prototxt after `edit(message)`."""
    message = text_format.Parse(path.read_text(), kind())
    edit(message)
    path.write_text(text_format.MessageToString(message))


def insert_convolution(net):
    """3x3 with 16 filters and a ReLU between fc7 and fc8, its parameters shared by the scales."""
    layers = list(net.layer)
    del net.layer[:]
    for layer in layers:
        if layer.type == "Convolution" and layer.name.startswith("fc8_shapes"):
            name = f"more{layer.name.removeprefix('fc8_shapes')}"
            more = net.layer.add(name=name, type="Convolution", bottom=layer.bottom, top=[name])
            more.param.add(name="more_w", lr_mult=1)
            more.param.add(name="more_b", lr_mult=2)
            more.convolution_param.MergeFrom(
                caffe_pb2.ConvolutionParameter(num_output=16, kernel_size=[3], pad=[1], weight_filler={"type": "msra"})
            )
            net.layer.add(name=f"relu_{name}", type="ReLU", bottom=[name], top=[name])
            layer.bottom[0] = name
        net.layer.append(layer)


def train(folder, *arguments):
    command = [sys.executable, str(REPO / "tools/train.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny `shapes`, prototxts as generated in own/, edited ones in edited/, and their run in run/.

    The edited ones were somewhere else when the run began: nothing is left there.
    """
    folder = tmp_path_factory.mktemp("edited")
    for tool, *arguments in (
        ["prepare_data.py", "shapes", "--train", "4", "--val", "2"],
        ["make_net.py", NAME, "--out", "made"],
    ):
        subprocess.run([sys.executable, REPO / "tools" / tool, *arguments], cwd=folder, check=True, capture_output=True)
    shutil.copytree(folder / "made/shapes/attention2_esupv", folder / "own")
    shutil.copytree(folder / "own", folder / "begun")
    for name in (TRAIN, DEPLOY):
        change(folder / "begun" / name, insert_convolution)
    done = train(folder, "--net", "begun", "--max-iter", 4, "--snapshot-interval", 2, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "score them: python tools/evaluate.py --net run --weights run/final.caffemodel" in done.stdout
    shutil.move(folder / "begun", folder / "edited")
    return folder


@pytest.fixture
def own(place, tmp_path):
    """A copy of the prototxts as they were generated."""
    return shutil.copytree(place / "own", tmp_path / "own")


def given(place, net="edited"):
    return ("--net", place / net, "--weights", place / "run/final.caffemodel", "--data", place / "data")


def test_what_was_edited_is_what_is_trained(place):
    weights = caffemodel.read(place / "run/final.caffemodel")
    assert weights.name == EDITED
    assert weights.layers["more"].shapes == [(16, 128, 3, 3), (16,)]
    for one, two in zip(weights.layers["more"].blobs, weights.layers["more_res05"].blobs, strict=True):
        assert np.array_equal(one, two)
    assert weights.layers["more"].blobs[1].any()  # it was 0 before training
    assert weights.layers["fc8_shapes"].shapes[0] == (5, 16, 1, 1)
    options = runs.load(place / "run")
    assert (options.experiment, options.net, options.max_iter) == (EDITED, str(place / "begun"), 4)


def test_a_run_goes_on_from_what_it_keeps(place, tmp_path):
    """As if it had been killed after its third iteration; the folder that it began with is gone."""
    shutil.copytree(place / "run", tmp_path / "run")
    for name in (runs.FINAL, runs.LOG):
        (tmp_path / "run" / name).unlink()
    assert taken(tmp_path / "run") == ["iter_00000002"]
    assert not (place / "begun").exists()
    done = train(tmp_path, "--resume", "run")
    assert done.returncode == 0, done.stderr
    assert_same_weights(tmp_path / "run", place / "run")


def test_a_dry_run_and_a_score_on_the_way(place, tmp_path):
    common = ("--net", place / "edited", "--data", place / "data", "--max-iter", 1)
    done = train(tmp_path, *common, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{EDITED}: 1 images an iteration, 1 at once\n")
    done = train(tmp_path, *common, "--test-interval", 1, "--out", "r")
    assert done.returncode == 0, done.stderr
    assert "iteration 1: mean IOU on val " in done.stderr


def test_predictions_are_those_of_plain_caffe_with_the_edited_file(place, tool, tmp_path):
    done = tool("predict", *given(place))
    assert done.returncode == 0, done.stderr
    net = caffe.Net(str(place / "edited" / DEPLOY), caffe.TEST, weights=str(place / "run/final.caffemodel"))
    for name in ("000004", "000005"):
        image = read_image(place / f"data/shapes/JPEGImages/{name}.jpg")  # of the net's size
        net.blobs["data"].data[0] = (image - np.float32(datasets.MEAN)).transpose(2, 0, 1)
        net.forward()
        expected = net.blobs["fc8_interp"].data[0].argmax(axis=0)
        assert np.array_equal(read_label(tmp_path / f"predictions/{EDITED}/val/{name}.png"), expected)
    done = tool("predict", *given(place, "run"))  # the run's own copies are the same net
    assert "0 predicted" in done.stdout
    assert "2 were there" in done.stdout


def test_an_image_behind_the_folder_is_no_experiment(place, tool, tmp_path):
    done = tool("predict", *given(place), place / "data/shapes/JPEGImages/000000.jpg", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o/000000.png").exists()


def test_scores_go_by_the_edited_name_and_into_no_table(place, tool, tmp_path):
    done = tool("evaluate", *given(place), "--out", "e")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "e/evaluation.json").read_text())
    assert (found["experiment"], found["scales"], found["images"]) == (EDITED, [1.0, 0.5], 2)
    assert len(found["attention"]) == 2
    table = tool("compare", "e").stdout
    assert f"- e: no cell of the papers is of {EDITED}\n" in table
    assert "| e |" not in table
    done = tool("report", "e", "--out", "r.html")
    assert done.returncode == 0, done.stderr
    assert EDITED in (tmp_path / "r.html").read_text()


def test_pictures(place, tool, tmp_path):
    done = tool("visualize", *given(place), "--count", "1", "--out", "a.png")
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "a.png").std() > 0
    one_line_error(tool("visualize", *given(place), "--baseline", "x"), "--net does not go with --baseline")


def test_files_as_generated_are_the_experiment(place, own, tool, tmp_path):
    """However they are written, with comments or without."""
    change(own / TRAIN, lambda net: None)
    model = Model.read(own, place / "data")
    assert model.row == experiments.find(NAME)
    assert model.name == NAME
    done = train(tmp_path, "--net", "own", "--data", place / "data", "--max-iter", 1, "--out", "r")
    assert done.returncode == 0, done.stderr
    options = runs.load(tmp_path / "r")
    assert (options.experiment, options.net) == (NAME, None)
    mixed = tool("predict", *given(place, "edited")[:2], *given(place)[4:], "--weights", "r/final.caffemodel")
    one_line_error(mixed, "r/final.caffemodel: layer fc8_shapes is [(5, 128, 1, 1), (5,)], expected [(5, 16, 1, 1)")
    kept = Model.read(tmp_path / "r", place / "data")  # other places, and one iteration
    assert (kept.name, kept.row, kept.max_iter) == (NAME, experiments.find(NAME), 1)
    change(own / DEPLOY, smaller)  # another size alone: the experiment's weights fit
    done = tool("predict", "--net", "own", *given(place)[4:], "--weights", "r/final.caffemodel", "--out", "p")
    assert done.returncode == 0, done.stderr


def smaller(deploy):
    deploy.layer[0].input_param.shape[0].dim[2:] = [225, 225]


@pytest.mark.parametrize(
    ("file", "kind", "edit", "name"),
    [
        (SOLVER, caffe_pb2.SolverParameter, lambda solver: setattr(solver, "base_lr", 0.25), EDITED),
        (DEPLOY, caffe_pb2.NetParameter, smaller, EDITED),
        (TRAIN, caffe_pb2.NetParameter, lambda net: setattr(net, "name", "mine"), "mine"),
    ],
    ids=["solver", "deploy", "its own name"],
)
def test_the_name_of_what_was_edited(own, place, file, kind, edit, name):
    change(own / file, edit, kind)
    model = Model.read(own, place / "data")
    assert (model.name, model.row) == (name, None)
    assert [float(scale) for scale in model.scales] == [1, 0.5]
    assert model.dataset.name == "shapes"


def loader(**changes):
    """An edit of the SegData layer's options."""

    def edit(net):
        parameter = net.layer[0].python_param
        parameter.param_str = json.dumps({**json.loads(parameter.param_str), **changes})

    return edit


def rename(old, new):
    def edit(net):
        for layer in net.layer:
            for names in (layer.top, layer.bottom):
                names[:] = [new if name == old else name for name in names]

    return edit


def outputs(number):
    def edit(net):
        for layer in net.layer:
            if layer.name == "fc8_shapes":
                layer.convolution_param.num_output = number

    return edit


def odd(deploy):
    deploy.layer[0].input_param.shape[0].dim[2:] = [102, 102]


def unplug(name):
    def edit(net):
        (layer,) = (layer for layer in net.layer if layer.name == name)
        del layer.bottom[:]

    return edit


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        (TRAIN, lambda net: net.layer.pop(0), "train.prototxt: has no layer SegData, which reads the images"),
        (TRAIN, lambda net: net.ClearField("name"), "train.prototxt: the net's name is '', expected letters, digits"),
        (TRAIN, lambda net: setattr(net, "name", "../../x y"), "the net's name is '../../x y', expected letters"),
        (TRAIN, loader(values={"ignore": [4]}), "SegData has other values than shapes: they are its file's to say"),
        (TRAIN, rename("label", "truth"), ": the training net has no top label, which SegData gives"),
        (TRAIN, outputs(4), ": fc8_shapes has 4 outputs, shapes has 5 classes"),
        (DEPLOY, outputs(4), ": fc8_shapes has 4 outputs, shapes has 5 classes"),
        (
            DEPLOY,
            lambda net: net.layer[0].ClearField("input_param"),
            "has no layer of type Input, with four dimensions",
        ),
        (DEPLOY, odd, ": the deploy net's input size is 102, expected 32k + 1"),
        (TRAIN, loader(root="data/nowhere"), "train.prototxt: SegData reads data/nowhere, the folder of no data set"),
        (TRAIN, loader(classes=4), "train.prototxt: SegData has 4 classes, shapes has 5"),
        (TRAIN, loader(size=4), "train.prototxt: LoaderOptions: unknown key 'size'"),
        (DEPLOY, rename("fc8_interp", "scores"), ": the deploy net: has no top fc8_interp or fc_fusion, which would"),
        (DEPLOY, lambda net: net.layer.pop(-2), ": the deploy net: fc8_interp reads fc8_fusion, which no layer before"),
        (DEPLOY, unplug("fc8_fusion"), ": the deploy net: fc8_fusion reads nothing"),
        (DEPLOY, rename("data", "image"), ": the deploy net: has no layer of type Input, with four dimensions, whose"),
    ],
)
def test_nets_that_are_none_of_ours(own, place, file, edit, said):
    change(own / file, edit)
    with pytest.raises(ExperimentError) as error:
        Model.read(own, place / "data")
    assert said in str(error.value)
    assert str(error.value).startswith(str(own))


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_missing_or_broken(own, place, name):
    (own / name).write_text("layer {")
    with pytest.raises(ExperimentError, match=f"^{own}/{name}: not readable: 1:"):
        Model.read(own, place / "data")
    (own / name).unlink()
    with pytest.raises(ExperimentError, match=f"^{own}/{name}: no such file$"):
        Model.read(own, place / "data")


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "visualize"])
def test_a_name_or_a_folder(command, tool):
    weights = () if command == "train" else ("--weights", "w.caffemodel")
    said = "name an experiment, or "
    both = tool(command, "shapes", "--net", "own", *weights)
    if command in ("predict", "visualize"):  # what stands beside the folder is an image
        one_line_error(both, f"own/{TRAIN}: no such file")
    else:
        assert (both.returncode, said in both.stderr) == (2, True)
    neither = tool(command, *weights)
    assert (neither.returncode, said in neither.stderr) == (2, True)
    one_line_error(tool(command, "--net", "nowhere", *weights), f"nowhere/{TRAIN}: no such file")


def test_weights_of_the_edited_net_are_not_the_experiments(place, tool):
    """Whether its layers are others, or only of other options."""
    for command in ("evaluate", "predict", "visualize"):
        done = tool(command, NAME, *given(place)[2:])
        one_line_error(done, f"final.caffemodel: holds weights of {EDITED}, not of {NAME}")


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "visualize"])
def test_a_net_that_caffe_refuses(command, own, place, tool, tmp_path):
    """Of a type that it does not know: it aborts the process in which the net is built, and its words are the error."""
    change(own / DEPLOY, lambda net: setattr(net.layer[3], "type", "Relu"))
    arguments = ("--data", place / "data", "--out", "r") if command == "train" else given(place)[2:]
    done = tool(command, "--net", "own", *arguments)
    one_line_error(done, "own/deploy.prototxt: Caffe stopped: ", "Unknown layer type: Relu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_training_net_that_caffe_refuses(own, place, tmp_path):
    change(own / TRAIN, lambda net: net.layer[3].bottom.__setitem__(0, "nobody"))
    done = train(tmp_path, "--net", "own", "--data", place / "data", "--max-iter", 1, "--out", "r")
    one_line_error(done, "Caffe stopped: Unknown bottom blob 'nobody'")


def test_the_mean_is_the_data_layers(own, place):
    """Trained on with another mean, it predicts with that."""
    change(own / TRAIN, loader(mean=[1, 2, 3]))
    model = Model.read(own, place / "data")
    assert (model.name, model.dataset.mean, model.loader().mean) == (EDITED, (1, 2, 3), (1, 2, 3))


def test_another_sets_broken_file_stands_in_nobodys_way(own, place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    (tmp_path / "data/broken").mkdir()
    (tmp_path / "data/broken/dataset.toml").write_text('classes = ["a')
    assert Model.read(own, tmp_path / "data").dataset.name == "shapes"
