"""Runs that are stopped, killed and continued, by the command as a user would."""

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attscale import experiments, prototxt
from attscale.data import verify
from attscale.errors import ExperimentError, RunError
from attscale.machine.build import caffe_build
from attscale.prototxt import Model
from attscale.training import journal, loop, models, runs, solvers
from attscale.weights import manifest
from conftest import REPO, one_line_error
from helpers.processes import processes_of
from helpers.training_runs import (
    PATIENCE,
    assert_same_losses,
    assert_same_weights,
    command,
    narrow,
    start,
    taken,
    train,
    train_row,
    trainers_begin_with,
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
    assert read.ranks == 2
    assert models.of(read).max_iter == 5200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_ends_well_and_continues_to_the_same_weights(home, number):
    name = f"stopped{number}"
    process = start(home, "--out", name)
    wait_for(lambda: taken(home / name))
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, err
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
def test_a_run_stopped_while_it_starts_can_be_continued(number, home, tmp_path):
    """The signal comes when there is a trainer, which has yet to import anything: it waits until it is heard."""
    name, go = f"early{number}", tmp_path / "go"
    waits = trainers_begin_with(tmp_path, f"while not pathlib.Path({str(go)!r}).exists():", "    time.sleep(0.01)")
    process = start(home, "--out", name, env=waits)
    wait_for(lambda: processes_of(home / name))
    process.send_signal(number)
    [trainer] = processes_of(home / name)
    wait_for(lambda: number in pending(trainer))
    go.touch()
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, err
    assert out == f"continue with: python tools/train.py --resume {name}\n"
    assert "stopped before the first iteration" in err
    assert sorted(path.name for path in (home / name).iterdir()) == ["console.log", "run.json"]
    done = train(home, "--resume", name)
    assert done.returncode == 0, done.stderr
    assert_same_weights(home / name, home / "whole")


def pending(pid):
    """The signals that a process has been sent and has yet to take."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd:"))
    mask = int(line.split()[1], 16)
    return {number for number in signal.valid_signals() if mask >> (number - 1) & 1}


def test_signals_that_come_when_all_is_done_are_ignored(home, tmp_path):
    """What a user or a scheduler sends while the trainer ends would else make a failure of a finished run."""
    late = [f"atexit.register(signal.raise_signal, signal.{name})" for name in ("SIGTERM", "SIGINT")]
    process = start(home, "--max-iter", 2, "--out", "late", env=trainers_begin_with(tmp_path, *late))
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "weights: late/final.caffemodel" in out


def test_a_trainer_killed_while_it_starts_leaves_a_run_to_continue(home):
    process = start(home, "--out", "early")
    wait_for(lambda: processes_of(home / "early"))
    os.kill(processes_of(home / "early")[0], signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    done = subprocess.CompletedProcess([], process.returncode, out, err)
    one_line_error(
        done, "training process 0 was ended by SIGKILL", "continue with: python tools/train.py --resume early"
    )
    assert train(home, "--resume", "early").returncode == 0


def test_signals_between_the_steps_of_starting_up(mini, tmp_path, monkeypatch):
    """A signal in the middle of checking the data or building the net: nothing is trained, nothing left to mend."""
    for module, name in ((verify, "read_list"), (solvers, "make")):
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


def test_a_second_ctrl_c_stops_at_once(home, tmp_path):
    """Though the trainer does nothing about the first: as in the middle of an iteration, whose C++ knows of none."""
    busy, heard = tmp_path / "busy", tmp_path / "heard"
    deaf = [
        "from attscale.training import stopping",
        "def iteration(*_):",
        f"    signal.signal(signal.SIGINT, lambda *_: pathlib.Path({str(heard)!r}).touch())",
        f"    pathlib.Path({str(busy)!r}).touch()",
        "    while True:",
        "        time.sleep(0.01)",
        "stopping.Stop.before = iteration",
    ]
    process = start(home, "--out", "twice", env=trainers_begin_with(tmp_path, *deaf))
    for place in (busy, heard):
        wait_for(place.exists)
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert not processes_of(home / "twice")


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])  # `make soak` has as many as one likes
def test_kills_at_random_moments_change_nothing(home, kills):
    """SIGKILL to parent or all, at moments drawn from start-up on, and in turn right after a new snapshot."""
    whole, killed, iterations = home / f"whole{kills}", home / f"killed{kills}", 10 * kills
    done = train(home, "--out", whole.name, "--max-iter", iterations)
    assert done.returncode == 0, done.stderr
    rng = random.Random(0)
    arguments = ("--out", killed.name, "--max-iter", iterations)
    for number in range(kills):
        process = start(home, *arguments)
        if number % 2:  # however slow the machine is, the run comes on
            before = taken(killed)
            wait_for(lambda before=before: taken(killed) != before)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(0, 0.1) if number % 2 else rng.uniform(0.3, 1))
        assert process.returncode is None, "it finished, so that this kill would hit nothing"
        for pid in [process.pid, *(processes_of(killed) if rng.random() < 0.5 else ())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda: not processes_of(killed), 10)  # a trainer ends with its parent
        if runs.is_begun(killed):
            arguments = ("--resume", killed.name)
    reached = int(taken(killed)[-1].removeprefix("iter_"))
    assert 2 <= reached < iterations
    done = train(home, *arguments)
    assert done.returncode == 0, done.stderr
    assert_same_weights(killed, whole)
    assert_same_losses(killed, whole)


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
    (tmp_path / "run.json").write_text("")  # its process was killed over it
    one_line_error(train(tmp_path, "--resume", "."), ".: no run (it has no run.json)")
    (tmp_path / "run.json").write_text("{")
    one_line_error(train(tmp_path, "--resume", "."), "run.json: not readable: ")
    one_line_error(train(home, "--resume", "whole", "voc"), "was begun with: leave out NAME")
    beside = ("--keep", "3", "--seed", "0", "--dry-run")  # even at their defaults: the run may have other values
    one_line_error(train(home, "--resume", "whole", *beside), "was begun with: leave out --seed, --keep, --dry-run")
    one_line_error(train(home, "--device", "gpu", "--out", "gpu"), "this Caffe was built without CUDA")
    assert not (home / "gpu").exists()
    (home / "notes").mkdir()
    (home / "notes/mine").touch()
    one_line_error(train(home, "--device", "gpu", "--out", "notes"), "this Caffe was built without CUDA")
    assert (home / "notes/mine").exists()
    assert not (home / "notes" / runs.RECORD).exists()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_iter", -1, "1 to 2147483647"),
        ("max_iter", 2**31, "1 to 2147483647"),
        ("batch_size", 0, "1 to 2147483647"),
        ("iter_size", 10**12, "1 to 2147483647"),
        ("log_interval", 0, "1 to 2147483647"),
        ("snapshot_interval", 0, "1 to 2147483647"),
        ("keep", 0, "1 to 2147483647"),
        ("test_interval", -1, "0 to 2147483647"),
        ("threads", 0, "1 to 2147483647"),
        ("seed", 99999999999999999999, "0 to 9223372036854775807"),
        ("seed", -1, "0 to 9223372036854775807"),
        ("gpus", [0, 0], "different numbers from 0"),
        ("gpus", [-1], "different numbers from 0"),
    ],
)
def test_numbers_out_of_range_are_refused_in_a_record(name, value, expected, tmp_path):
    options = {"experiment": "shapes", "data": "/d", "max_iter": 1, "batch_size": 1, "iter_size": 1, name: value}
    (tmp_path / runs.RECORD).write_text(json.dumps({"options": options}))
    with pytest.raises(RunError, match=rf"run\.json: {name} (is|are) .*, expected {expected}$"):
        runs.load(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("--seed", 99999999999999999999), ("--max-iter", 10**10), ("--gpus", "-1")]
)
def test_and_on_the_command_line(option, value, home):
    one_line_error(train(home, option, value, "--out", "range"), "expected")
    assert not (home / "range").exists()


def test_of_two_runs_begun_at_once_one_is(tmp_path, monkeypatch):
    """The second begins while the first asks git for its version, after it has looked whether there is a run."""
    options = runs.RunOptions(experiment="shapes", data="/d", max_iter=1, batch_size=1, iter_size=1)
    versions = runs.versions

    def slow():
        monkeypatch.setattr(runs, "versions", versions)
        runs.create(tmp_path / "r", dataclasses.replace(options, max_iter=2), [])
        return versions()

    monkeypatch.setattr(runs, "versions", slow)
    with pytest.raises(RunError, match="r holds a run"):
        runs.create(tmp_path / "r", options, [])
    assert runs.load(tmp_path / "r").max_iter == 2
    with runs.lock(tmp_path / "r"), pytest.raises(RunError, match="another process"), runs.lock(tmp_path / "r"):
        pass


def test_a_record_that_a_kill_left_empty_is_no_run(tmp_path):
    (tmp_path / runs.RECORD).touch()
    options = runs.RunOptions(experiment="shapes", data="/d", max_iter=1, batch_size=1, iter_size=1)
    runs.create(tmp_path, options, [])
    assert runs.load(tmp_path) == options


def test_the_last_losses_are_recorded_and_printed(home, half):
    """24 iterations, a record every 20; continued after 22, the last record is of 21 to 24, too."""
    for folder, done in ((home / "whole", None), (half, train(half.parent, "--resume", "half"))):
        log = journal.read(folder)
        assert [record["iteration"] for record in log] == [20, 24]
        if done:
            assert f"loss over the last iterations: {sum(log[-1]['losses'].values()):.3f}\n" in done.stdout
    assert_same_losses(half, home / "whole")


def test_the_last_losses_are_means(mini, tmp_path):
    train_row(narrow(max_iter=5), tmp_path / "each", mini, log_interval=1)
    train_row(narrow(max_iter=5), tmp_path / "some", mini, log_interval=3)
    each = [record["losses"]["loss"] for record in journal.read(tmp_path / "each")]
    some = [record["losses"]["loss"] for record in journal.read(tmp_path / "some")]
    assert some == pytest.approx([np.mean(each[:3]), np.mean(each[3:])])


def test_final_weights_do_not_say_where_the_data_were(mini, tmp_path):
    """Nor where the run went on (`assert_same_weights`); Caffe itself reads them."""
    one = train_row(narrow(max_iter=1), tmp_path / "a", mini)
    shutil.copytree(mini.parent, tmp_path / "elsewhere")
    two = train_row(narrow(max_iter=1), tmp_path / "b", tmp_path / "elsewhere/shapes")
    assert one.read_bytes() == two.read_bytes()
    assert str(tmp_path).encode() not in one.read_bytes()
    net = prototxt.load(prototxt.deploy_net(narrow()))
    net.copy_from(str(one))
    assert np.array_equal(net.params["conv1_1"][0].data, weights(tmp_path / "a")["conv1_1"][0])


def test_what_kills_leave_is_cleared_when_the_run_goes_on(half):
    """A kill in the middle of a plot, of weights, of a snapshot; nothing is left in the temporary directory either."""
    temporary = half.parent / "tmp"
    temporary.mkdir()
    for name in (runs.PLOT, runs.FINAL):
        code = f"import os; from attscale import files; files.write_whole({name!r}, lambda _: os._exit(9))"
        subprocess.run([sys.executable, "-c", code], cwd=half)
    (half / runs.SNAPSHOTS / runs.PARTIAL).mkdir()
    assert len([path for path in half.iterdir() if path.name.startswith(".")]) == 2
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = start(half.parent, "--resume", "half", env=environment)
    wait_for(lambda: taken(half)[-1] != "iter_00000022" or (half / runs.FINAL).exists())
    for pid in [process.pid, *processes_of(half)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not processes_of(half), 10)
    assert not list(temporary.iterdir())
    assert not [path for path in half.rglob(".*")]


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_a_training_without_standard_input_or_error(closed, home):
    line = [*command("--out", f"closed{closed[0]}", "--max-iter", 2)]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *line], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "weights: closed" in done.stdout


def test_progress_in_a_log_is_lines(home):
    done = train(home, "--out", "logged", "--max-iter", 4, "--test-interval", 2)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr
    assert [line.split()[:3] for line in done.stderr.splitlines() if "it/s" in line] == [
        ["shapes_attention3_esupv:", "100%", "4/4"]
    ]


def test_without_weights_that_it_starts_from_a_run_is_only_measured(mini, tmp_path):
    row = narrow(max_iter=1)
    trunk = dataclasses.replace(row.trunk, from_scratch=False)
    row = dataclasses.replace(row, trunk=trunk, pretraining="imagenet")
    with pytest.raises(ExperimentError, match=r"python tools/fetch_weights\.py vgg16_20M fetches it$"):
        train_row(row, tmp_path / "r", mini)
    options = runs.RunOptions.of(row, data=str(mini.parent))
    assert loop.train(Model.of(row), tmp_path / "r", options, measured=True)


@pytest.mark.parametrize("row", experiments.EXPERIMENTS.values(), ids=lambda row: row.name)
def test_every_file_that_training_starts_from_can_be_fetched(row):
    assert bool(manifest.advice(row.initial_weights)) == bool(row.initial_weights)


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
