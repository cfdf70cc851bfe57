"""Shared by the tests of training: runs by the command, their weights and processes, rows that train in no time."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from fractions import Fraction

import pytest
import threadpoolctl

from attscale import datasets, experiments
from attscale.prototxt import Model
from attscale.training import journal, loop, runs
from attscale.weights import caffemodel
from conftest import REPO

ITERATIONS = 24
#: Seconds after which a test gives up: importing Caffe takes 2 on an idle machine, 20 on one with much else to do.
PATIENCE = 300


def command(*arguments):
    options = [] if "--resume" in arguments else ["shapes", "--max-iter", ITERATIONS, "--snapshot-interval", 2]
    return [sys.executable, str(REPO / "tools/train.py"), *map(str, options), *map(str, arguments)]


def train(folder, *arguments):
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=PATIENCE)


def start(folder, *arguments, env=None):
    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def trainers_begin_with(folder, *lines):
    """The environment in which lines of Python in `folder` run first in each training process, before its own."""
    body = "\n    ".join(("import atexit, pathlib, signal, time", *lines))
    (folder / "sitecustomize.py").write_text(
        f'import sys\nif "attscale.training.trainer" in sys.orig_argv:\n    {body}\n'
    )
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def weights(folder):
    return {name: layer.blobs for name, layer in caffemodel.read(folder / runs.FINAL).layers.items()}


def assert_same_weights(folder, other):
    """The same files, byte by byte; where they differ, the layer is named."""
    found, expected = weights(folder), weights(other)
    assert list(found) == list(expected)
    for name in expected:
        for blob, value in zip(found[name], expected[name], strict=True):
            assert blob.tobytes() == value.tobytes(), name
    assert (folder / runs.FINAL).read_bytes() == (other / runs.FINAL).read_bytes()


def assert_same_losses(folder, other):
    """A log that was continued holds each record once, as an undisturbed one."""
    logs = [[(record["iteration"], record["losses"]) for record in journal.read(run)] for run in (folder, other)]
    assert logs[0] == logs[1]


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def taken(run):
    return sorted(path.name for path in (run / runs.SNAPSHOTS).glob("iter_*"))


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of `size` bytes in the new folder `folder`. Skips the test where none can be mounted."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def stand_in(folder, monkeypatch, says, on, then=""):
    """A program instead of Python: it aborts as Caffe does where the batch size matches `on`, or does `then`."""
    script = folder / "python"
    script.write_text(
        f"#!/bin/sh\nif grep -qE '\"batch_size\": ({on}),' $3/run.json; then\n"
        f"echo 'F1121 02:15:00.123456  7 syncedmem.cpp:71] Check failed: {says}' >&2\n"
        f"echo '*** Check failure stack trace: ***' >&2\nkill -ABRT $$\nfi\n{then}\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def narrow(**changes):
    """A trunk with dropout that trains in no time, one scale."""
    row = experiments.find("voc12_largefov")
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 16), from_scratch=True, pool5a=False)
    solver = dataclasses.replace(row.solver, **{"max_iter": 6, "batch_size": 2, "iter_size": 2, **changes})
    return dataclasses.replace(
        row, trunk=trunk, pretraining=None, dataset=datasets.find("shapes"), crop_size=65, solver=solver
    )


def train_row(row, folder, mini, **options):
    """Trains the row in this process, on one core, which is what suits narrow nets; returns the final weights' path."""
    with threadpoolctl.threadpool_limits(1):
        return loop.train(Model.of(row), folder, runs.RunOptions.of(row, data=str(mini.parent), **options))
