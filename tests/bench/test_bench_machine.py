"""What is said of the machine."""

import subprocess
import sys

import numpy as np
import pytest

from attscale.bench import machine


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("fpu sse2 avx avx2 fma avx512f avx512bw", "AVX-512"),
        ("fpu sse2 avx avx2 fma", "AVX2"),
        ("fpu sse2 avx", "neither AVX2 nor AVX-512"),
    ],
)
def test_the_widest_vectors(flags, said):
    assert machine.vectors(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: avx512_not\n") == said


def test_the_rate_of_a_product(monkeypatch):
    """A clock that goes on by a tenth of a second each time it is asked: 2 * 64^3 operations in that."""
    ticks = iter(np.arange(0, 100, 0.1))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    assert machine.sgemm(1, size=64, times=3) == pytest.approx(2 * 64**3 / 0.1 / 1e9)


def test_the_commit_is_that_of_what_is_measured(tmp_path, monkeypatch):
    """A commit of results alone leaves it; a file that differs adds a +; an image says it itself."""

    def git(*command):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(["git", "-C", tmp_path, *who, *command], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(path):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("x")
        git("add", "--all")
        git("commit", "--quiet", "--message", path)
        return git("log", "-1", "--format=%h")

    monkeypatch.setattr(machine, "_REPO", tmp_path)
    monkeypatch.delenv("ATTSCALE_COMMIT", raising=False)
    assert machine.commit() == "unknown"
    git("init", "--quiet")
    first = commit("python/a.py")
    assert machine.commit() == first
    commit("docs/results.json")
    assert machine.commit() == first
    (tmp_path / "docs/results.json").write_text("y")
    assert machine.commit() == first
    (tmp_path / "python/a.py").write_text("y")
    assert machine.commit() == f"{first}+"
    monkeypatch.setenv("ATTSCALE_COMMIT", "abc1234")
    assert machine.commit() == "abc1234"


def test_peak_memory_is_of_this_process_alone():
    """200 MiB that were held and let go count; a child's count begins anew, whatever its parent held."""
    held = np.ones(200 << 17)
    code = "from attscale.bench import machine; print(machine.peak())"
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    del held
    assert machine.peak() > 200 << 20
    assert child < 200 << 20


def test_versions_are_of_what_the_speed_depends_on():
    assert {"caffe", "Caffe's OpenBLAS", "Python", "numpy"} <= set(machine.versions())
