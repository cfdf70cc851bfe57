"""The processes of a run: when one dies, those beside it and below it end, and its last words are told."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from attscale.errors import RunError, UserError
from attscale.training import runs, supervise
from conftest import one_line_error
from helpers.processes import processes_of
from helpers.training_runs import PATIENCE, stand_in, start, taken, wait_for


@pytest.fixture
def run(tmp_path):
    """Makes the record of a run in the folder `r`; returns that folder."""

    def make(experiment="shapes", **options):
        values = {"max_iter": 1, "batch_size": 1, "iter_size": 1, **options}
        runs.create(tmp_path / "r", runs.RunOptions(experiment=experiment, data="data", **values), [])
        return tmp_path / "r"

    return make


def test_a_dead_rank_ends_all(run, tmp_path, monkeypatch):
    """Two stand-ins for training processes: the second dies, the first would have gone on for a minute."""
    folder = run(gpus=(0, 1))
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\nif [ "$4" = 1 ]; then kill -9 $$; fi\nexec sleep 60\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    began = time.monotonic()
    with pytest.raises(RunError, match="training process 1 was ended by SIGKILL"):
        supervise.run(folder)
    assert time.monotonic() - began < 30


def workers_of(root):
    """The processes that load data from the set in `root`."""
    return processes_of(root, "attscale.data.worker")


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL])
def test_a_trainer_that_dies_takes_its_workers_with_it(home, tmp_path, number):
    """While they are at batches that take for ever: they are stopped."""
    shutil.copytree(home / "data", tmp_path / "data")
    process = start(tmp_path, "--out", tmp_path / "r", "--max-iter", "100000")
    try:
        wait_for(lambda: taken(tmp_path / "r"))
        workers = workers_of(tmp_path)
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        (trainer,) = processes_of(tmp_path / "r")
        os.kill(trainer, number)
        out, err = process.communicate(timeout=PATIENCE)
        done = subprocess.CompletedProcess([], process.returncode, out, err)
        one_line_error(done, f"training process 0 was ended by {number.name}")
        wait_for(lambda: not workers_of(tmp_path), 10)
    finally:
        for pid in [*processes_of(tmp_path / "r"), *workers_of(tmp_path)]:
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def test_an_ended_process_is_not_waited_for_because_of_what_it_started(run, tmp_path, monkeypatch):
    """A stand-in whose own child goes on for a minute with the same stderr; its last words are not lost."""
    folder = run()
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/pid\necho no more >&2\nkill -ABRT $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    began = time.monotonic()
    try:
        with pytest.raises(RunError, match="training process 0 was ended by SIGABRT; its last words: no more; "):
            supervise.run(folder)
        assert time.monotonic() - began < 30
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


ABORTED = "WARNING: Logging before InitGoogleLogging() is written to STDERR\n*** Aborted at\n    @ 0x7f abort\n"
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nKeyError: 7\n\nDuring handling of that:\n'


@pytest.mark.parametrize("trace", [ABORTED, f"{TRACE}{TRACE}error: 7\n", TRACE])
@pytest.mark.parametrize("bar", ["shapes: 0it", "shapes: 0it\n"])
def test_traces_are_for_the_log_even_behind_a_progress_bar(bar, trace, run, tmp_path, monkeypatch, capfd):
    """What the terminal shows besides is the one line; with ATTSCALE_DEBUG it shows all, too."""
    folder = run()
    (tmp_path / "said").write_text(bar + trace)
    stand_in(tmp_path, monkeypatch, "no", "0", then=f"cat {tmp_path}/said >&2\nexit 3")
    for debug, shown in (("", "shapes: 0it\n"), ("1", bar + trace)):
        monkeypatch.setenv("ATTSCALE_DEBUG", debug)
        with pytest.raises(UserError, match="^7$" if "error: 7" in trace else "ended with status 3"):
            supervise.run(folder)
        assert capfd.readouterr().err == shown
    assert (folder / runs.CONSOLE).read_text() == 2 * (bar + trace)


def test_a_trace_is_not_the_end_of_all_that_is_shown(run, tmp_path, monkeypatch, capfd):
    """Of a thread, say: the progress bar goes on."""
    folder = run()
    said = "Traceback (most recent call last):\\nx\\n\\r1it\\r2it\\n"
    stand_in(tmp_path, monkeypatch, "no", "0", then=f"printf '{said}' >&2")
    supervise.run(folder)
    assert capfd.readouterr().err == "\r1it\r2it\n"


def test_a_process_whose_parent_has_ended_before_it_asked_ends_at_once():
    """Between its start and its asking: the parent that it names is another than the one that it has."""
    line = "from attscale import processes; processes.die_with_parent({}); print('alive')"
    for parent, status, said in ((os.getpid(), 0, "alive\n"), (os.getppid(), -signal.SIGKILL, "")):
        done = subprocess.run([sys.executable, "-c", line.format(parent)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (status, said)


@pytest.mark.parametrize(
    ("batch", "iters", "advice"),
    [
        (10, 3, "a new run with --batch-size 6 --iter-size 5"),
        (30, 1, "--batch-size 15 --iter-size 2"),
        (1, 30, "smaller crop"),
    ],
)
def test_a_gpu_out_of_memory_is_told_what_would_fit(batch, iters, advice, run, tmp_path, monkeypatch):
    folder = run("voc", batch_size=batch, iter_size=iters)
    stand_in(tmp_path, monkeypatch, "error == cudaSuccess (2 vs. 0)  out of memory", ".*")
    with pytest.raises(UserError, match=f"Caffe stopped: Check failed: .* out of memory.*{advice}"):
        supervise.run(folder)
