"""docker/build_caffe.sh: what is built is reused, what fails leaves nothing that looks built."""

import os
import subprocess

import pytest

from conftest import REPO

SCRIPT = REPO / "docker" / "build_caffe.sh"


def build(**environment):
    return subprocess.run(
        [SCRIPT], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, cwd=REPO
    )


@pytest.fixture
def source(tmp_path):
    """Just enough of a checkout to begin a build: it cannot succeed."""
    for name, content in (
        ("src/caffe/net.cpp", "int main() {}\n"),
        ("src/caffe/util/io.cpp", "  coded_input->SetTotalBytesLimit(kProtoReadBytesLimit, 536870912);\n"),
        ("CMakeLists.txt", 'message(FATAL_ERROR "Error: nothing to see here")\n'),
    ):
        path = tmp_path / "caffe" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "caffe"


def test_a_finished_build_is_reused():
    done = build()
    assert done.returncode == 0, done.stderr
    assert "already built" in done.stderr


def test_a_build_that_fails_leaves_nothing(source, tmp_path):
    done = build(CAFFE_SRC=str(source), CAFFE_PREFIX=str(tmp_path / "out"))
    assert done.returncode == 1
    assert not (tmp_path / "out").exists()
    assert done.stderr.startswith("caffe: copying ")
    assert "does not apply" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("caffe/*.rej"))  # the checkout is copied, never changed


def test_bad_settings_are_one_line(tmp_path):
    for environment, said in (
        ({"DEVICE": "tpu"}, "DEVICE is 'tpu', expected cpu or cuda"),
        ({"CAFFE_SRC": str(tmp_path)}, "is not a checkout of BVLC/caffe"),
    ):
        done = build(**environment)
        assert done.returncode == 1
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_interrupted_build_leaves_nothing(tmp_path):
    """Stopped in the middle of compiling the real sources, the prefix is not there and the next call builds anew."""
    import signal
    import time

    log = tmp_path / "out.work" / "log"
    environment = {**os.environ, "CAFFE_PREFIX": str(tmp_path / "out")}
    process = subprocess.Popen([SCRIPT], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        for _ in range(240):
            time.sleep(0.5)
            if log.exists() and "Building" in log.read_text():
                break
        else:
            pytest.fail("the build never began to compile")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "out").exists()
