"""How commands end when nobody reads what they say."""

import os
import subprocess
import sys

import pytest

from conftest import REPO


@pytest.mark.parametrize("unbuffered", ["", "1"])  # noticed when the output is flushed at the end; at the first line
def test_a_closed_pipe_ends_a_command_quietly(unbuffered, tmp_path):
    command = [sys.executable, REPO / "tools/make_net.py", "--list"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, env=environment, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, "")  # 128 + 13, SIGPIPE


def test_a_closed_standard_error_ends_a_command_too(tmp_path):
    code = "import sys; from attscale import cli; cli.run(lambda _: sys.stderr.write('x' * 100_000))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stderr=writer)
    os.close(writer)
    assert done.returncode == 141


def test_another_broken_pipe_is_a_fault(tmp_path):
    code = "import os; from attscale import cli; r, w = os.pipe(); os.close(r); cli.run(lambda _: os.write(w, b'x'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr.splitlines()[-1]
