"""`make wheel`, and what it makes, installed on a bare machine of the same Debian: no compiler, and no root."""

import hashlib
import json
import platform
import subprocess
import sys

import pytest

from conftest import REPO, one_line_error
from helpers.containers import container, require_engine

pytestmark = pytest.mark.docker

#: Tests that need neither a compiler nor git nor Docker: nets, layers, data, prediction, the program, plain Caffe.
FAST = ("nets", "layers", "data", "scoring", "inference", "machine/test_limits.py", "tools/test_caffe_program.py")
TRAIN = ("tools/train.py", "shapes", "--max-iter", "100", "--out", "run")
PIP = "venv/bin/pip install --quiet --constraint constraints.txt"
PREPARE = ("tools/prepare_data.py", "shapes", "--train", "12", "--val", "3")


@pytest.fixture(scope="module")
def wheels():
    """The folder of wheels, made by `make wheel`."""
    require_engine()
    made = subprocess.run(["make", "wheel"], cwd=REPO, capture_output=True, text=True, timeout=1500)
    assert made.returncode == 0, made.stderr[-3000:]
    return REPO / "build/wheel"


@pytest.fixture(scope="module")
def bare(wheels):
    """Runs a command of user 4321 in a bare container, in whose folder are the wheels, two installed, and the tools."""
    image = f"debian:{platform.freedesktop_os_release()['VERSION_CODENAME']}"
    with container(image) as name:

        def run(*command, user="4321", timeout=900):
            inside = ["docker", "exec", "--user", user, "--workdir", "/home", "--env", "HOME=/home", name, *command]
            return subprocess.run(inside, capture_output=True, text=True, timeout=timeout)

        setup = "apt-get -qq update && apt-get install -y -qq --no-install-recommends python3 python3-venv"
        done = run("sh", "-c", f"{setup} && chown 4321 /home", user="root", timeout=600)
        assert done.returncode == 0, done.stderr
        for path in (wheels, *(REPO / part for part in ("tools", "prototxt", "tests", "pyproject.toml", "weights"))):
            subprocess.run(["docker", "cp", path, f"{name}:/home/{path.name}"], check=True, capture_output=True)
        subprocess.run(["docker", "cp", REPO / "constraints.txt", f"{name}:/home"], check=True, capture_output=True)
        two = f"{PIP} wheel/attscale_caffe-*.whl wheel/attscale-*.whl"
        done = run("sh", "-c", f"python3 -m venv venv && {two}", timeout=1800)
        assert done.returncode == 0, done.stderr
        yield run


def test_there_is_no_compiler(bare):
    looked_for = "for tool in cc gcc g++ make cmake git; do command -v $tool; done; ls /usr/lib/*/libpython*"
    assert bare("sh", "-c", looked_for).stdout == ""


def test_it_trains_to_the_same_weights_as_here(bare, tmp_path):
    """Bit for bit: the same code and the same OpenBLAS on the same processor."""
    for command in (PREPARE, TRAIN):
        done = bare("venv/bin/python", *command)
        assert done.returncode == 0, done.stderr
        here = subprocess.run([sys.executable, REPO / command[0], *command[1:]], cwd=tmp_path, capture_output=True)
        assert here.returncode == 0, here.stderr
    there = bare("sha256sum", "run/final.caffemodel").stdout.split()[0]
    assert there == hashlib.sha256((tmp_path / "run/final.caffemodel").read_bytes()).hexdigest()
    caffe = json.loads(bare("cat", "run/caffe.json").stdout)
    assert "/site-packages/attscale_caffe/lib/libcaffe.so." in caffe["library"]
    assert (caffe["cuda"], caffe["cudnn"], caffe["nccl"]) == (False, False, False)


def test_it_brings_every_library_but_those_of_every_linux(bare):
    """From the folder of the wheel, under names of its own; curl and OpenSSL, HDF5's way to S3, are none of them."""
    code = "import caffe; print(open('/proc/self/maps').read())"
    maps = bare("venv/bin/python", "-c", code).stdout.splitlines()
    loaded = {line.split("/")[-1] for line in maps if "/attscale_caffe/lib/" in line}
    assert {name.split("-")[0].split(".")[0] for name in loaded} >= {"libcaffe", "libgomp", "libprotobuf", "libglog"}
    assert not [line for line in maps if "libpython" in line or "libcurl.so" in line]
    for path in ("attscale_caffe/BUILD", "attscale_caffe-*/licenses/caffe/LICENSE"):
        assert bare("sh", "-c", f"ls venv/lib/python3*/site-packages/{path}").returncode == 0


def test_the_fast_tests_with_the_crf_of_the_third(bare):
    code = "from attscale import cli; cli.run(lambda argv: __import__('attscale.inference.crf'))"
    one_line_error(bare("venv/bin/python", "-c", code), "the dense CRF needs pydensecrf2: install the wheel")
    done = bare("sh", "-c", f"{PIP} wheel/pydensecrf2-*.whl pytest pytest-xdist")
    assert done.returncode == 0, done.stderr
    tests = " ".join(f"tests/{name}" for name in FAST)
    path = "PATH=/home/venv/bin:$PATH"
    done = bare("sh", "-c", f"{path} venv/bin/python -m pytest -q --numprocesses logical {tests}", timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:]
