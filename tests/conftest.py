"""Shared by the tests: nets from text, gradient checks inside Caffe, a miniature data set, a run of training."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")  # before caffe is imported
if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores have workers of their own
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest

from attscale.data.images import write_label

pytest.register_assert_rewrite("helpers")  # they hold asserts, too

REPO = Path(__file__).parent.parent
#: Files of the data sets and of Caffe which nobody here wrote; they are read there and are no part of this repository.
REAL = REPO.parent / "shared/real"
NO_REAL = f"no real files: {REAL} is not there"


def real_files(pattern):
    """The real files that match, for parametrize, a case each; where the folder is not, one case that is skipped."""
    if not REAL.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason=NO_REAL), id="none")]
    return [pytest.param(path, id=path.name) for path in sorted(REAL.glob(pattern))]


@pytest.fixture(scope="session")
def real():
    """The folder of real files; skips the test where it is not."""
    if not REAL.is_dir():
        pytest.skip(NO_REAL)
    return REAL


@pytest.fixture
def make_net(tmp_path):
    """text of a prototxt -> caffe.Net in its TRAIN phase."""

    def make(text):
        import caffe

        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), caffe.TRAIN)

    return make


def input_layer(name, shape):
    dims = " ".join(f"dim: {n}" for n in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def python_layer(layer, bottoms, tops, param_str=""):
    ends = " ".join([*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{name}"' for name in tops)])
    param = f'module: "attscale.layers" layer: "{layer}" param_str: {param_str!r}'
    return f'layer {{ name: "{layer}" type: "Python" {ends} python_param {{ {param} }} }}\n'


def check_gradient(net, tops, *, step=1e-2, tolerance=1e-3, probes=40, seed=0):
    """Compares Caffe's backward pass with central differences, in `probes` random places of every input.

    The objective is the sum over `tops` of top * r, r random: its gradient reaches every element of every top.
    """
    rng = np.random.default_rng(seed)
    weights = {top: rng.normal(size=net.blobs[top].data.shape).astype(np.float32) for top in tops}

    def objective():
        net.forward()
        return sum(np.sum(net.blobs[top].data.astype(np.float64) * weights[top]) for top in tops)

    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].data.shape)
        net.blobs[name].diff[...] = 7  # a layer must overwrite it, not add to it
    objective()
    net.backward(**weights)
    gradients = {name: net.blobs[name].diff.copy() for name in net.inputs}
    for name in net.inputs:
        data = net.blobs[name].data.reshape(-1)
        for place in rng.choice(data.size, min(probes, data.size), replace=False):
            kept = data[place]
            data[place] = kept + step
            above = objective()
            data[place] = kept - step
            below = objective()
            data[place] = kept
            expected = (above - below) / (2 * step)
            got = gradients[name].reshape(-1)[place]
            assert abs(got - expected) <= tolerance * max(1, abs(expected)), (name, place, got, expected)


@pytest.fixture
def mini(tmp_path):
    """A data set of six small images of different sizes; returns its root. Labels hold 0 to 4 and 255."""
    root = tmp_path / "data" / "shapes"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "SegmentationClass").mkdir()
    (root / "list").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for i, (height, width) in enumerate([(40, 60), (33, 33), (70, 20), (50, 50), (9, 80), (65, 64)]):
        cv2.imwrite(str(root / f"JPEGImages/{i}.jpg"), rng.integers(0, 256, (height, width, 3), np.uint8))
        label = rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (height, width))
        write_label(root / f"SegmentationClass/{i}.png", label)
        lines.append(f"/JPEGImages/{i}.jpg /SegmentationClass/{i}.png\n")
    for split in ("train", "val"):
        (root / "list" / f"{split}.txt").write_text("".join(lines))
    return root


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with `shapes` and an undisturbed run of 24 iterations, the measure of all others."""
    from helpers.training_runs import train

    folder = tmp_path_factory.mktemp("home")
    subprocess.run(
        [sys.executable, REPO / "tools/prepare_data.py", "shapes", "--train", "10", "--val", "2"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    done = train(folder, "--out", "whole")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with a tiny `shapes` of three val images, and runs/r, a finished run of 20 iterations on it."""
    folder = tmp_path_factory.mktemp("trained")
    for tool, *arguments in (
        ["prepare_data.py", "shapes", "--train", "4", "--val", "3"],
        ["train.py", "shapes", "--max-iter", "20", "--batch-size", "1", "--out", "runs/r"],
    ):
        subprocess.run([sys.executable, REPO / "tools" / tool, *arguments], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """A folder with a `shapes` of three val images, and some nets' weights as their fillers draw them."""
    from helpers.predictions import make_untrained

    return make_untrained(tmp_path_factory.mktemp("untrained"))


@pytest.fixture
def half(home, tmp_path):
    """A copy of the undisturbed run as if it had been killed after iteration 23."""
    from attscale.training import runs
    from helpers.training_runs import taken

    shutil.copytree(home / "whole", tmp_path / "half")
    (tmp_path / "half" / runs.FINAL).unlink()
    log = tmp_path / "half" / runs.LOG
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))  # the last record is of the last iteration
    os.symlink(home / "data", tmp_path / "data")
    assert taken(tmp_path / "half") == ["iter_00000018", "iter_00000020", "iter_00000022"]
    return tmp_path / "half"


@pytest.fixture
def tool(tmp_path):
    """Runs `python tools/NAME.py ARGUMENTS` in a folder of its own; returns the finished process."""

    def run(name, *arguments):
        command = [sys.executable, str(REPO / "tools" / f"{name}.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)

    return run


def one_line_error(process, *parts):
    """Asserts a non-zero exit with one line of error that holds all `parts`, and no traceback."""
    assert process.returncode == 1, process.stderr
    assert "Traceback" not in process.stderr
    assert "*** Check failure" not in process.stderr
    errors = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, process.stderr
    assert process.stderr.rstrip().splitlines()[-1] == errors[0]
    for part in parts:
        assert str(part) in errors[0]


@pytest.fixture
def workshop(tmp_path):
    """A folder to build Caffe in without compiling it."""
    from helpers.workshop import Workshop

    return Workshop(tmp_path)
