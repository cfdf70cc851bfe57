"""Children: that they end with their parent, and what is said of how they ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from attscale import processes
from attscale.errors import OutOfMemoryError, UserError
from helpers.processes import has_ended

ABORT = "F1121 02:15:00.123456  7 net.cpp:71] Check failed: {}"


@pytest.mark.parametrize(
    ("status", "lines", "kind", "said"),
    [
        (1, ["x", "error: no data"], UserError, "no data"),
        (1, ["error: out of memory: 3 GiB"], OutOfMemoryError, "out of memory: 3 GiB"),
        (-6, [ABORT.format("a == b"), "*** Check failure stack trace: ***"], processes.ProcessDiedError, "a == b$"),
        (-6, [ABORT.format("error == cudaSuccess (2 vs. 0)  out of memory")], OutOfMemoryError, "out of memory"),
        (
            *(-6, [ABORT.format("status == CURAND_STATUS_SUCCESS (102 vs. 0)  CURAND_STATUS_ALLOCATION_FAILED")]),
            *(OutOfMemoryError, "CURAND_STATUS_ALLOCATION_FAILED"),
        ),
        (-9, ["it was here"], processes.ProcessDiedError, "SIGKILL .*want of memory.*last words: it was here$"),
        (3, ["it was here", "x: 4%|4  | 1/24 [00:01<00:02, 5it/s]"], processes.ProcessDiedError, "words: it was here$"),
        (3, [], processes.ProcessDiedError, "^the process ended with status 3$"),
    ],
)
def test_how_a_child_ended(status, lines, kind, said):
    error = processes.failure(status, lines)
    assert type(error) is kind
    with pytest.raises(kind, match=said):
        raise error


def square(n):
    if n == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if n < 0:
        raise UserError(f"{n} is negative")
    return n * n, os.getpid()


def test_in_processes_keeps_the_order_and_uses_others():
    results = list(processes.in_processes(square, [(n,) for n in range(6)], 2))
    assert [value for value, _ in results] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {pid for _, pid in results}


@pytest.mark.parametrize(("bad", "said"), [(-1, "-1 is negative"), (7, "was killed")])
def test_in_processes_raises_the_first_failure(bad, said):
    with pytest.raises(UserError, match=said):
        list(processes.in_processes(square, [(1,), (bad,), (2,)], 2))


def test_processes_end_with_their_parent(tmp_path):
    """A worker of a sweep that is killed leaves none behind."""
    script = tmp_path / "main.py"
    script.write_text(
        "import os, time\nfrom attscale.processes import in_processes\n"
        "def work(number):\n    os.mkdir(f'{number} {os.getpid()}')\n    time.sleep(1000)\n"
        "if __name__ == '__main__':\n    list(in_processes(work, [(1,), (2,)], 2))\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    wait_until(lambda: len([*tmp_path.glob("* *")]) == 2)
    workers = [path.name.split()[1] for path in tmp_path.glob("* *")]
    process.kill()
    process.wait()
    wait_until(lambda: all(map(has_ended, workers)))


def wait_until(true, seconds=300):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def nap(seconds):
    time.sleep(seconds)
    return seconds


def test_leaving_in_the_middle_does_not_wait_for_what_the_others_are_at():
    results = processes.in_processes(nap, [(0,), (60,), (60,)], 2)
    assert next(results) == 0
    began = time.monotonic()
    results.close()  # as Ctrl-C does
    assert time.monotonic() - began < 30
