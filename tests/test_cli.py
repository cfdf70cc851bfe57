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
    assert done.stderr.startswith("error: ")
    assert "BrokenPipeError" in done.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('no such file')", "error: no such file: No such file or directory (unexpected: FileNotFoundError"),
        ("{}['key']", "error: 'key' (unexpected: KeyError"),
        ("raise ValueError('two\\nlines')", "error: two lines (unexpected: ValueError"),
        ("raise ValueError(f'no image: {object()}')", "error: no image: (its data) (unexpected: ValueError"),
        ("raise MemoryError('4 GiB')", "error: out of memory: 4 GiB"),
        ("raise AssertionError", "error: AssertionError (unexpected: AssertionError"),
    ],
)
def test_what_nobody_expected_is_one_line_and_its_trace_on_request(code, said, tmp_path):
    """Thrown in a function of ours, as it would be: the line names the place."""
    text = f"from attscale import cli\ndef main(argv):\n    {code}\ncli.run(main)"
    for debug in ("", "1"):
        environment = {**os.environ, "ATTSCALE_DEBUG": debug}
        command = [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        *trace, last = done.stderr.splitlines()
        assert done.returncode == 1
        assert last.startswith(said)
        assert bool(trace) == bool(debug)


def test_the_place_is_named_where_it_is_ours(tmp_path):
    code = "from attscale import cli, options; cli.run(lambda _: options.to_values(1))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert " at python/attscale/options.py:" in done.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_lead_nowhere(closed, tmp_path):
    """`<&-`, `2>&-`: files that are opened and children do not take their places, and what is said is said nowhere."""
    code = (
        "import subprocess, sys; from attscale import cli, progress\n"
        "def main(argv):\n"
        "    assert open('out', 'w').fileno() > 2\n"
        "    subprocess.run(['true'], check=True, capture_output=True)\n"
        "    list(progress.Bar([1])), print(sys.stdin.read()), print('x', file=sys.stderr)\n"
        "    raise SystemExit(7)\n"
        "cli.run(main)"
    )
    closing = " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(["sh", "-c", f'"$@" {closing}', "sh", sys.executable, "-c", code], cwd=tmp_path, input=b"")
    assert done.returncode == 7


@pytest.mark.parametrize("arguments", [["shapes", "--weights", ""], ["shapes", "--data="], ["shapes", "--out", ""]])
def test_an_empty_value_is_not_an_absent_one(arguments, tmp_path):
    """`--weights "$W"` where W is not set trained from scratch."""
    command = [sys.executable, REPO / "tools/train.py", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"argument {arguments[1].rstrip('=')}: an empty name; a variable that is not set?" in done.stderr
    assert not list(tmp_path.iterdir())
