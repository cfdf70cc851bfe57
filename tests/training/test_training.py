"""Runs that are stopped, killed and continued, by the command as a user would."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from attscale import experiments
from attscale.data import verify
from attscale.machine.build import caffe_build
from attscale.training import runs, solvers
from conftest import REPO, one_line_error
from helpers.training_runs import (
    assert_same_losses,
    assert_same_weights,
    narrow,
    processes_of,
    start,
    taken,
    train,
    train_row,
    wait_for,
    weights,
)


def test_a_run_records_what_made_its_numbers(home):
    record = json.loads((home / "whole" / runs.RECORD).read_text())
    assert record["command"][1:3] == [str(REPO / "tools/train.py"), "shapes"]
    assert record["versions"]["packages"]["numpy"] == np.__version__
    assert json.loads((home / "whole" / runs.CAFFE).read_text()) == caffe_build()


def test_records_of_earlier_runs_are_read(tmp_path):
    """Their versions were other ones."""
    row = experiments.find("shapes")
    solver = {"max_iter": 5200, "batch_size": 1, "iter_size": 1}
    options = {"experiment": row.name, "data": "/d", "gpus": [0, 1], **solver}
    record = {"options": options, "command": [], "versions": {"caffe": ["device: cpu"]}, "started": "2026-11-21"}
    (tmp_path / runs.RECORD).write_text(json.dumps(record))
    read = runs.load(tmp_path)
    assert read == runs.RunOptions.of(row, data="/d", gpus=(0, 1))
    assert (read.ranks, read.row) == (2, row)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_ends_well_and_continues_to_the_same_weights(home, number):
    name = f"stopped{number}"
    process = start(home, "--out", name)
    wait_for(lambda: taken(home / name))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"continue with: python tools/train.py --resume {name}" in out
    assert not (home / name / runs.FINAL).exists()
    done = train(home, "--resume", name)
    assert done.returncode == 0, done.stderr
    assert_same_weights(home / name, home / "whole")
    assert_same_losses(home / name, home / "whole")
    again = train(home, "--resume", name)
    assert again.returncode == 0
    assert "this run is finished" in again.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_stopped_while_it_starts_can_be_continued(number, home):
    """The signal comes as soon as there is a trainer, which has yet to import Caffe."""
    name = f"early{number}"
    process = start(home, "--out", name)
    wait_for(lambda: processes_of(name))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == f"continue with: python tools/train.py --resume {name}\n"
    assert "stopped before the first iteration" in err
    assert sorted(path.name for path in (home / name).iterdir()) == ["console.log", "run.json"]
    done = train(home, "--resume", name)
    assert done.returncode == 0, done.stderr
    assert_same_weights(home / name, home / "whole")


def test_a_trainer_killed_while_it_starts_leaves_a_run_to_continue(home):
    process = start(home, "--out", "early")
    wait_for(lambda: processes_of("early"))
    os.kill(processes_of("early")[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    done = subprocess.CompletedProcess([], process.returncode, out, err)
    one_line_error(
        done, "training process 0 was ended by SIGKILL", "continue with: python tools/train.py --resume early"
    )
    assert train(home, "--resume", "early").returncode == 0


def test_signals_between_the_steps_of_starting_up(mini, tmp_path, monkeypatch):
    """A signal in the middle of checking the data or building the net: nothing is trained, nothing left to mend."""
    for module, name in ((verify, "read_split"), (solvers, "make")):
        with monkeypatch.context() as patch:
            original = getattr(module, name)

            def interrupted(*arguments, original=original):
                os.kill(os.getpid(), signal.SIGTERM)
                return original(*arguments)

            patch.setattr(module, name, interrupted)
            assert train_row(narrow(), tmp_path / name, mini) is None
        assert not (tmp_path / name / runs.LOG).exists()
    train_row(narrow(), tmp_path / "make", mini)
    assert (tmp_path / "make" / runs.FINAL).exists()


def test_a_second_ctrl_c_stops_at_once(home):
    process = start(home, "--out", "twice", "--batch-size", "40")  # an iteration of several seconds
    wait_for(lambda: (home / "twice/train.prototxt").exists())
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: not processes_of("twice"), 10)


def test_twenty_kills_at_random_moments_change_nothing(home):
    """SIGKILL to parent or all, at moments drawn from start-up on, and in turn right after a new snapshot."""
    longer = ("--max-iter", 150)
    done = train(home, "--out", "longer", *longer)
    assert done.returncode == 0, done.stderr
    rng = random.Random(0)
    arguments = ("--out", "killed", *longer)
    for number in range(20):
        process = start(home, *arguments)
        if number % 2:  # however slow the machine is, the run comes on
            before = taken(home / "killed")
            wait_for(lambda before=before: taken(home / "killed") != before, 120)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(0, 0.1) if number % 2 else rng.uniform(0.3, 1.4))
        assert process.returncode is None, "it finished, so that this kill would hit nothing"
        for pid in [process.pid, *(processes_of("killed") if rng.random() < 0.5 else ())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda: not processes_of("killed"), 10)  # a trainer ends with its parent
        if (home / "killed" / runs.RECORD).exists():
            arguments = ("--resume", "killed")
    reached = int(taken(home / "killed")[-1].removeprefix("iter_"))
    assert 2 <= reached < 150
    done = train(home, *arguments)
    assert done.returncode == 0, done.stderr
    assert_same_weights(home / "killed", home / "longer")
    assert_same_losses(home / "killed", home / "longer")


def test_one_run_one_process(home):
    process = start(home, "--out", "busy", "--max-iter", "1000")
    wait_for(lambda: taken(home / "busy"))
    one_line_error(train(home, "--resume", "busy"), "busy: another process is training this run")
    one_line_error(train(home, "--out", "busy"), "busy holds a run: continue it with --resume busy")
    process.kill()
    process.communicate()


def test_runs_that_cannot_be_continued(home, tmp_path):
    one_line_error(train(tmp_path, "--resume", "nowhere"), "nowhere: no run (it has no run.json)")
    (tmp_path / "run.json").write_text('{"options": {"experiment": "shapes", "speed": 1}}')
    one_line_error(train(tmp_path, "--resume", "."), "run.json: RunOptions: unknown key 'speed'")
    (tmp_path / "run.json").write_text("{")
    one_line_error(train(tmp_path, "--resume", "."), "run.json: not readable: ")
    one_line_error(train(home, "--resume", "whole", "voc"), "was begun with: leave out NAME")
    beside = ("--keep", "3", "--seed", "0", "--dry-run")  # even at their defaults: the run may have other values
    one_line_error(train(home, "--resume", "whole", *beside), "was begun with: leave out --seed, --keep, --dry-run")
    one_line_error(train(home, "--device", "gpu", "--out", "gpu"), "this Caffe was built without CUDA")


def test_dropout_augmentation_and_momentum_continue_as_if_never_stopped(mini, tmp_path):
    often = {"snapshot_interval": 3, "log_interval": 1}
    train_row(narrow(), tmp_path / "a", mini, **often)
    (tmp_path / "b").mkdir()
    shutil.copytree(tmp_path / "a/snapshots", tmp_path / "b/snapshots")
    train_row(narrow(), tmp_path / "b", mini, **often)
    assert_same_weights(tmp_path / "b", tmp_path / "a")
    train_row(narrow(), tmp_path / "c", mini, seed=1)
    assert any(
        not np.array_equal(one, two)
        for layer, blobs in weights(tmp_path / "c").items()
        for one, two in zip(blobs, weights(tmp_path / "a")[layer], strict=True)
    )
