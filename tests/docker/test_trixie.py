"""Debian 13: the checkout in a bare container, set up by make; a training, the CRF and tests of Caffe there."""

import subprocess

import pytest

from conftest import REPO
from helpers.containers import container, require_engine

pytestmark = pytest.mark.docker

IMAGE = "debian:trixie"


@pytest.fixture(scope="module")
def inside():
    """A function that runs a line of bash in the checkout, in a new container that has nothing but git and make."""
    require_engine()
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode:
        pytest.skip(f"no image {IMAGE} is here")
    with container(IMAGE, "--workdir", "/attscale") as name:

        def run(line, **options):
            command = ["docker", "exec", "--interactive", name, "bash", "-c", line]
            return subprocess.run(command, capture_output=True, text=True, timeout=1500, **options)

        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=REPO, capture_output=True, text=True, check=True).stdout
        files = "".join(f"{file}\n" for file in files.splitlines() if (REPO / file).exists())
        with subprocess.Popen(
            ["tar", "-C", REPO, "-cf", "-", "-T", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as tar:
            tar.stdin.write(files)
            tar.stdin.close()
            command = ["docker", "exec", "--interactive", name, "tar", "-xf", "-", "--no-same-owner"]
            subprocess.run(command, stdin=tar.stdout, check=True, timeout=120)
        yield run


def test_setup_training_and_the_tests_of_what_is_compiled(inside):
    quiet = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends git make >/dev/null"
    done = inside(f"apt-get -qq update && {quiet} && git init -q && make setup")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "for: python 3.13, numpy 2." in inside("cat build/caffe/BUILD").stdout
    done = inside(
        "set -e; . .venv/bin/activate; python tools/prepare_data.py shapes --train 12 --val 3;"
        "python tools/train.py shapes --max-iter 5 --out runs/five;"
        "python tools/predict.py shapes --weights runs/five/final.caffemodel --split val --scores --out runs/p;"
        "python tools/crf.py shapes --scores runs/p/scores --out runs/p/crf;"
        "python tools/evaluate.py shapes --predictions runs/p/crf"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "mean IOU" in done.stdout
    done = inside(".venv/bin/python -m pytest -q tests/fast tests/layers tests/docker/test_caffe.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


def test_two_wheels_train_there_too(inside):
    """Of Python 3.13; from the folder of the wheel, and not from the build beside it."""
    done = inside("make wheel && python3 -m venv other && other/bin/pip install -q build/wheel/attscale*.whl")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "cp313-cp313-manylinux" in inside("ls build/wheel").stdout
    done = inside("other/bin/python tools/train.py shapes --max-iter 5 --out runs/other")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "/site-packages/attscale_caffe/lib/libcaffe.so" in inside("cat runs/other/caffe.json").stdout
    sums = inside("sha256sum runs/five/final.caffemodel runs/other/final.caffemodel").stdout.split()
    assert sums[0] == sums[2]
