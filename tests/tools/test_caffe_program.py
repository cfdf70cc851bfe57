"""Plain Caffe: the committed prototxts under `caffe train`, from the repository's root."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from attscale.weights import caffemodel
from conftest import REPO

SOLVERS = sorted((REPO / "prototxt").glob("*/*/solver.prototxt"))
NARROW = "prototxt/shapes/attention3_esupv"
FULL = "prototxt/voc12/attention3_esupv"
#: Outputs and inputs of VGG-16's convolutions and their kernels, with LargeFOV's fc6 and fc7: 20.5 million weights.
VGG = {
    **{"conv1_1": (64, 3, 3), "conv1_2": (64, 64, 3), "conv2_1": (128, 64, 3), "conv2_2": (128, 128, 3)},
    **{"conv3_1": (256, 128, 3), "conv3_2": (256, 256, 3), "conv3_3": (256, 256, 3), "conv4_1": (512, 256, 3)},
    **dict.fromkeys(("conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3"), (512, 512, 3)),
    **{"fc6": (1024, 512, 3), "fc7": (1024, 1024, 1)},
}


def solver_of(path):
    return text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())


def write(path, message):
    path.write_text(text_format.MessageToString(message))
    return path


@pytest.fixture
def root(mini, tmp_path):
    """A folder with what `caffe train` needs of the repository's root: prototxts, weights/ and data/shapes."""
    os.symlink(REPO / "prototxt", tmp_path / "prototxt")
    (tmp_path / "weights").mkdir()
    return tmp_path


def start(root, *arguments):
    """Starts the program, on as many threads as train.py."""
    command = [Path(sys.executable).with_name("caffe"), *map(str, arguments)]
    quiet = {name: value for name, value in os.environ.items() if name != "GLOG_minloglevel"}
    return subprocess.Popen(command, cwd=root, env=quiet, stderr=subprocess.PIPE, text=True)


def caffe(root, *arguments):
    """The finished program's status and what it said."""
    process = start(root, *arguments)
    said = process.communicate(timeout=600)[1]
    return process.returncode, said


def shortened(root, name, iterations, **changes):
    """A copy of a committed solver with fewer iterations."""
    solver = solver_of(REPO / name / "solver.prototxt")
    solver.max_iter = iterations
    for field, value in changes.items():
        setattr(solver, field, value)
    return write(root / "solver.prototxt", solver)


@pytest.mark.parametrize("path", SOLVERS, ids=lambda path: "_".join(path.parts[-3:-1]))
def test_a_committed_solver_speaks_and_writes_where_it_can(path):
    solver, place = solver_of(path), path.relative_to(REPO)
    assert solver.net == str(place.with_name("train.prototxt"))
    assert solver.display > 0
    assert 0 < solver.snapshot < solver.max_iter
    assert solver.snapshot_prefix == f"weights/{path.parts[-3]}_{path.parts[-2]}"
    assert (REPO / "weights/README.md").is_file()  # so the folder is in every checkout
    assert f"# From the repository's root: caffe train --solver={place}" in path.read_text()


def test_the_program_and_train_py_end_with_the_same_weights(root, tool):
    """Bit for bit: the same fillers, images and order by the same seed, and no dropout in the narrow net."""
    status, said = caffe(root, "train", f"--solver={shortened(root, NARROW, 4)}")
    assert status == 0, said
    assert re.search(r"Iteration 0 \(.*\), loss = ", said)
    done = tool("train", "shapes", "--max-iter", 4, "--out", "run")
    assert done.returncode == 0, done.stderr
    plain = caffemodel.read(root / "weights/shapes_attention3_esupv_iter_4.caffemodel").layers
    ours = caffemodel.read(root / "run/final.caffemodel").layers
    assert sorted(plain) == sorted(ours)
    for name, layer in ours.items():
        for blob, value in zip(plain[name].blobs, layer.blobs, strict=True):
            assert blob.tobytes() == value.tobytes(), name


def test_it_stops_on_ctrl_c_with_a_snapshot_and_goes_on_from_there(root):
    process = start(root, "train", f"--solver={shortened(root, NARROW, 100_000, display=1)}")
    said = []
    for line in process.stderr:
        said.append(line)
        if re.search(r"Iteration 2\b.*loss", line):
            process.send_signal(signal.SIGINT)
    assert process.wait() == 0, "".join(said)
    (state,) = (root / "weights").glob("*.solverstate")
    stopped = int(re.fullmatch(r"shapes_attention3_esupv_iter_(\d+)", state.stem)[1])
    again = shortened(root, NARROW, stopped + 2)
    status, said = caffe(root, "train", f"--solver={again}", f"--snapshot={state}")
    assert status == 0, said
    assert (root / f"weights/shapes_attention3_esupv_iter_{stopped + 2}.caffemodel").is_file()


def test_what_a_layer_in_python_raises_is_said(root):
    (root / "data/shapes/list/train.txt").unlink()
    status, said = caffe(root, "train", f"--solver={NARROW}/solver.prototxt")
    assert status == 1
    assert said.splitlines()[-1].startswith(
        "attscale.errors.DataError: data/shapes/list/train.txt: no such list file; prepare the data first"
    )


def test_the_full_net_trains_from_a_caffemodel(root):
    """The committed net of VOC 2012 at full width, two iterations, from random weights under VGG's names.

    Batch and crop are cut down, for they are what takes the time. The weights' standard deviation is He's, less so much
    a layer that what begins at the pixels' own, about 64, is 1 before fc8: its 1024 weights of 0.01 make scores of
    about a third of that, and each of the four heads begins near ln 21, as a net does that knows nothing. After two
    iterations the weights are still near those that were to be read.
    """
    os.symlink(root / "data/shapes", root / "data/VOC2012")
    (root / "data/shapes/list/train_aug.txt").write_text((root / "data/shapes/list/train.txt").read_text())
    net = text_format.Parse((REPO / FULL / "train.prototxt").read_text(), caffe_pb2.NetParameter())
    options = json.loads(net.layer[0].python_param.param_str)
    net.layer[0].python_param.param_str = json.dumps({**options, "batch_size": 1, "crop_size": 129})
    rng, layers = np.random.default_rng(0), []
    for name, (outputs, inputs, kernel) in VGG.items():
        deviation = np.sqrt(2 / (inputs * kernel**2)) / 64 ** (1 / len(VGG))
        weights = rng.normal(0, deviation, (outputs, inputs, kernel, kernel)).astype(np.float32)
        layers.append(caffemodel.Layer(name, "Convolution", (weights, np.zeros(outputs, np.float32))))
    caffemodel.write(root / "weights/vgg16_20M.caffemodel", layers, "vgg16_20M")
    path = shortened(root, FULL, 2, display=1, iter_size=1, net=str(write(root / "train.prototxt", net)))
    (command,) = re.findall("caffe (train) .*( --weights=.*)", (REPO / FULL / "solver.prototxt").read_text())
    status, said = caffe(root, command[0], f"--solver={path}", command[1].strip())
    assert status == 0, said[-2000:]
    losses = [float(loss) for loss in re.findall(r"Train net output #\d: loss\w* = (\S+) ", said)]
    assert len(losses) == 2 * 4
    np.testing.assert_allclose(losses[:4], np.log(21), rtol=0.1)
    assert np.isfinite(losses).all()
    after = caffemodel.read(root / "weights/voc12_attention3_esupv_iter_2.caffemodel").layers
    for layer in layers:
        moved = np.abs(after[layer.name].blobs[0] - layer.blobs[0]).mean() / np.abs(layer.blobs[0]).mean()
        assert 0 < moved < 0.02, layer.name
