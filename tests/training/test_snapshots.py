"""Which snapshot a run goes on from: damaged ones, the best one, and a disk without room for another."""

import contextlib
import json
import shutil
import subprocess
import sys

import pytest
from caffe.proto import caffe_pb2

from attscale.training import journal, runs, snapshots
from conftest import REPO, one_line_error
from helpers.training_runs import assert_same_losses, assert_same_weights, small_disk, taken, train


def cut_weights(path):
    file = path / snapshots.WEIGHTS
    file.write_bytes(file.read_bytes()[:-1000])
    return "weights.caffemodel: damaged or cut short"


def cut_state(path):
    file = path / snapshots.STATE
    file.write_bytes(file.read_bytes()[:100])
    return "state.solverstate: damaged or cut short"


def lack_state(path):
    (path / snapshots.STATE).unlink()
    return "iter_00000022/state.solverstate: no such file"


def another_net(path):
    record = json.loads((path / snapshots.RECORD).read_text())
    (path / snapshots.RECORD).write_text(json.dumps({**record, "net": "0"}))
    return "iter_00000022: the snapshot of another net"


def broken_record(path):
    (path / snapshots.RECORD).write_text("{")
    return "iter_00000022/snapshot.json: not readable: "


def another_iteration(path):
    record = json.loads((path / snapshots.RECORD).read_text())
    (path / snapshots.RECORD).write_text(json.dumps({**record, "iteration": 21}))
    return "iter_00000022/snapshot.json: says iteration 21, the solver's state says 22"


def test_a_run_of_another_net_does_not_begin_anew(half):
    """An experiment whose net has changed since: the run's log and its snapshots stay as they are."""
    log = (half / runs.LOG).read_bytes()
    for path in (half / runs.SNAPSHOTS).glob("iter_*"):
        another_net(path)
    one_line_error(
        train(half.parent, "--resume", "half"), "another net now than when it was begun; choose another --out"
    )
    assert (half / runs.LOG).read_bytes() == log


@pytest.mark.parametrize("damage", [cut_weights, cut_state, lack_state, another_net, another_iteration, broken_record])
def test_a_bad_snapshot_is_named_and_the_one_before_taken(damage, half, home):
    said = damage(half / runs.SNAPSHOTS / "iter_00000022")
    done = train(half.parent, "--resume", "half")
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert "; the one before it is tried" in done.stderr
    assert_same_weights(half, home / "whole")
    assert_same_losses(half, home / "whole")


def stored(run, iteration, text=b"w"):
    """A snapshot of a state without history and of no weights: attscale.training.snapshots does not look for them."""

    def save(folder):
        (folder / snapshots.WEIGHTS).write_bytes(text)
        state = caffe_pb2.SolverState(iter=iteration, current_step=1)
        (folder / snapshots.STATE).write_bytes(state.SerializeToString())

    return snapshots.write(run, iteration, "net", save, snapshots.Kept())


def good(run):
    return snapshots.newest_good(run, "net", lambda line: None).iteration


def test_a_good_snapshot_is_not_put_at_risk_by_a_second_of_its_iteration(tmp_path, monkeypatch):
    """The best and that of the interval: a kill between removing the first and renaming the second lost both."""
    stored(tmp_path, 200)

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.rename", killed)
    with contextlib.suppress(KeyboardInterrupt):
        stored(tmp_path, 200)
    assert good(tmp_path) == 200


def test_a_bad_snapshot_is_replaced_when_the_run_comes_by_again(tmp_path):
    (stored(tmp_path, 200) / snapshots.WEIGHTS).write_bytes(b"")
    assert snapshots.newest_good(tmp_path, "net", lambda line: None) is None
    stored(tmp_path, 200)
    assert good(tmp_path) == 200


def test_bad_snapshots_push_out_no_good_one(tmp_path):
    """500 is the best, 1000 to 2000 are damaged: 510 is what the run goes on from."""
    for iteration in (500, 1000, 1500, 2000):
        stored(tmp_path, iteration)
    for iteration in (1000, 1500, 2000):
        (snapshots._path(tmp_path, iteration) / snapshots.WEIGHTS).write_bytes(b"")
    stored(tmp_path, 510)
    snapshots.prune(tmp_path, "net", 3, 500)
    assert good(tmp_path) == 510
    for iteration in (1000, 1500, 2000):
        stored(tmp_path, iteration)
    snapshots.prune(tmp_path, "net", 3, 500)
    assert taken(tmp_path) == ["iter_00000500", "iter_00001000", "iter_00001500", "iter_00002000"]


def test_a_disk_without_room_is_said_and_earlier_snapshots_stay(half, home):
    """A file system of 4 MiB: room for what is there, not for another snapshot."""
    size = sum(path.stat().st_size for path in half.rglob("*") if path.is_file())
    with small_disk(half.parent / "small", size + 500_000) as small:
        shutil.copytree(half, small / "run")
        shutil.rmtree(small / "run" / runs.SNAPSHOTS / "iter_00000022")
        shutil.copy(half / runs.SNAPSHOTS / "iter_00000022" / snapshots.WEIGHTS, small / "in the way")
        done = train(half.parent, "--resume", small / "run")
        one_line_error(done, "small/run: no room for weights of", "No space left on device")
        assert taken(small / "run") == ["iter_00000018", "iter_00000020"]
        (small / "in the way").unlink()
        shutil.rmtree(small / "run" / runs.SNAPSHOTS / "iter_00000018")
        shutil.rmtree(small / "run/tensorboard")
        shutil.copytree(small / "run", half.parent / "moved")  # a run can be moved, too
    done = train(half.parent, "--resume", "moved")
    assert done.returncode == 0, done.stderr
    assert_same_weights(half.parent / "moved", home / "whole")


def test_mean_iou_on_val_and_the_best_is_kept(home):
    done = train(home, "--out", "tested", "--max-iter", "12", "--test-interval", "4", "--keep", "1")
    assert done.returncode == 0, done.stderr
    scores = {
        record["iteration"]: record["mean_iou"] for record in journal.read(home / "tested") if "mean_iou" in record
    }
    assert list(scores) == [4, 8, 12]
    best = max(scores, key=scores.get)
    assert f"iter_{best:08d}" in taken(home / "tested")
    assert len(taken(home / "tested")) <= 2
    scored = subprocess.run(
        [sys.executable, REPO / "tools/evaluate.py", "shapes", "--weights", "tested/final.caffemodel", "--out", "e"],
        cwd=home, capture_output=True, text=True,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert json.loads((home / "e/evaluation.json").read_text())["mean_iou"] == pytest.approx(scores[12], abs=1e-12)


def test_a_snapshot_that_was_to_go_when_the_kill_came_goes_when_the_run_goes_on(half, home):
    """Killed between the newest snapshot's rename and the removal of the one that it pushes out."""
    older = half / runs.SNAPSHOTS / "iter_00000016"
    shutil.copytree(half / runs.SNAPSHOTS / "iter_00000018", older)
    record = json.loads((older / snapshots.RECORD).read_text())
    (older / snapshots.RECORD).write_text(json.dumps({**record, "iteration": 16}))
    assert train(half.parent, "--resume", "half").returncode == 0
    assert taken(half) == taken(home / "whole")
