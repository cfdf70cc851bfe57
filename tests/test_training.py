"""Runs that are stopped, killed, damaged and continued, by the command as a user would."""

import contextlib
import dataclasses
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from matplotlib.figure import Figure

from attscale import (
    caffemodel,
    cli,
    device,
    dryrun,
    experiments,
    journal,
    prototxt,
    runs,
    snapshots,
    solve,
    stopping,
    supervise,
)
from attscale.data import verify
from attscale.data.images import write_label
from attscale.data.loader import batch_files
from attscale.errors import RunError, UserError
from conftest import REPO, one_line_error

ITERATIONS = 24


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with `shapes` and an undisturbed run of 24 iterations, the measure of all others."""
    folder = tmp_path_factory.mktemp("home")
    subprocess.run(
        [sys.executable, REPO / "tools/prepare_data.py", "shapes", "--train", "10", "--val", "2"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    done = train(folder, "--out", "whole")
    assert done.returncode == 0, done.stderr
    return folder


def command(*arguments):
    options = [] if "--resume" in arguments else ["shapes", "--max-iter", ITERATIONS, "--snapshot-interval", 2]
    return [sys.executable, str(REPO / "tools/train.py"), *map(str, options), *map(str, arguments)]


def train(folder, *arguments):
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=300)


def start(folder, *arguments):
    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def weights(folder):
    return {layer.name: layer.blobs for layer in caffemodel.read(folder / runs.FINAL)}


def assert_same_weights(folder, other):
    found, expected = weights(folder), weights(other)
    assert list(found) == list(expected)
    for name in expected:
        for blob, value in zip(found[name], expected[name], strict=True):
            assert blob.tobytes() == value.tobytes(), name


def assert_same_losses(folder, other):
    """A log that was continued holds each record once, as an undisturbed one."""
    logs = [[(record["iteration"], record["losses"]) for record in journal.read(run)] for run in (folder, other)]
    assert logs[0] == logs[1]


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def taken(run):
    return sorted(path.name for path in (run / snapshots.FOLDER).glob("iter_*"))


def processes_of(run):
    """Those whose command line names the run's folder or that load data for it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().decode(errors="replace")
            if "attscale.trainer" in line and str(run) in line:
                found.append(int(pid))
    return found


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
    for module, name in ((verify, "load_pair"), (solve, "_solver")):
        with monkeypatch.context() as patch:
            original = getattr(module, name)

            def interrupted(*arguments, original=original):
                os.kill(os.getpid(), signal.SIGTERM)
                return original(*arguments)

            patch.setattr(module, name, interrupted)
            assert solve.train(narrow(), tmp_path / name, training_of(mini)) is None
        assert not (tmp_path / name / journal.LOG).exists()
    solve.train(narrow(), tmp_path / "_solver", training_of(mini))
    assert (tmp_path / "_solver" / runs.FINAL).exists()


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
    """SIGKILL to parent or all, at moments drawn between start-up and a few iterations later."""
    longer = ("--max-iter", 150)
    done = train(home, "--out", "longer", *longer)
    assert done.returncode == 0, done.stderr
    rng = random.Random(0)
    arguments = ("--out", "killed", *longer)
    for _ in range(20):
        process = start(home, *arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(0.3, 1.4))
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


@pytest.fixture
def half(home, tmp_path):
    """A copy of the undisturbed run as if it had been killed after iteration 23."""
    shutil.copytree(home / "whole", tmp_path / "half")
    (tmp_path / "half" / runs.FINAL).unlink()
    os.symlink(home / "data", tmp_path / "data")
    assert taken(tmp_path / "half") == ["iter_00000018", "iter_00000020", "iter_00000022"]
    return tmp_path / "half"


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
    return "iter_00000022: lacks state.solverstate"


def another_net(path):
    record = json.loads((path / "snapshot.json").read_text())
    (path / "snapshot.json").write_text(json.dumps({**record, "net": "0"}))
    return "iter_00000022: the snapshot of another net"


def broken_record(path):
    (path / "snapshot.json").write_text("{")
    return "snapshot.json: not a snapshot's record"


@pytest.mark.parametrize("damage", [cut_weights, cut_state, lack_state, another_net, broken_record])
def test_a_bad_snapshot_is_named_and_the_one_before_taken(damage, half, home):
    said = damage(half / snapshots.FOLDER / "iter_00000022")
    done = train(half.parent, "--resume", "half")
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert "; the one before it is tried" in done.stderr
    assert_same_weights(half, home / "whole")
    assert_same_losses(half, home / "whole")


def stored(run, iteration, text=b"w"):
    """A snapshot whose files are not Caffe's: attscale.snapshots does not look inside."""

    def save(folder):
        (folder / snapshots.WEIGHTS).write_bytes(text)
        (folder / snapshots.STATE).write_bytes(b"s")

    return snapshots.write(run, iteration, "net", save, {})


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
    small = half.parent / "small"
    small.mkdir()
    size = sum(path.stat().st_size for path in half.rglob("*") if path.is_file())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size + 500_000}", "tmpfs", small], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(half, small / "run")
        shutil.rmtree(small / "run" / snapshots.FOLDER / "iter_00000022")
        shutil.copy(half / snapshots.FOLDER / "iter_00000022" / snapshots.WEIGHTS, small / "in the way")
        done = train(half.parent, "--resume", small / "run")
        one_line_error(done, "small/run/snapshots: no room for a snapshot of", "No space left on device")
        assert taken(small / "run") == ["iter_00000018", "iter_00000020"]
        (small / "in the way").unlink()
        shutil.rmtree(small / "run" / snapshots.FOLDER / "iter_00000018")
        shutil.rmtree(small / "run/tensorboard")
        shutil.copytree(small / "run", half.parent / "moved")  # a run can be moved, too
    finally:
        subprocess.run(["umount", small], check=True)
    done = train(half.parent, "--resume", "moved")
    assert done.returncode == 0, done.stderr
    assert_same_weights(half.parent / "moved", home / "whole")


def always_full(path):
    path.unlink()
    path.symlink_to("/dev/full")
    return "No space left on device"


def in_the_way(path):
    """A folder, which no rename can replace."""
    path.unlink()
    (path / "x").mkdir(parents=True)
    return "Is a directory"


@pytest.mark.parametrize(("name", "spoil"), [("console.log", always_full), ("losses.png", in_the_way)])
def test_a_file_that_cannot_be_written_is_named(name, spoil, half):
    reason = spoil(half / name)
    one_line_error(train(half.parent, "--resume", "half"), f"half/{name}: cannot be written: {reason}")


def test_a_full_disk_while_training_is_one_line(home, tmp_path):
    """A tmpfs of 20 MB that is filled up while a run without snapshots is under way: the log is what fails."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    try:
        process = start(home, "--out", disk / "r", "--max-iter", "100000", "--snapshot-interval", "90000")
        wait_for(lambda: len(journal.read(disk / "r")) >= 1)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        out, err = process.communicate(timeout=120)
        done = subprocess.CompletedProcess([], process.returncode, out, err)
        one_line_error(done, f"{disk}/r/", "cannot be written: No space left on device")
        assert "Exception" not in err
        (disk / "filler").unlink()
        assert journal.read(disk / "r")[0]["iteration"] == 20
        assert (disk / "r" / runs.RECORD).exists()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_tensorboard_reads_what_was_logged(half):
    """Its own reader of the events: record by record, the length in the first 8 bytes, 4 bytes of checksum each."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (half / journal.BOARD).iterdir()
    data, events = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    logged = {value.tag: value.simple_value for event in events for value in event.summary.value if event.step == 20}
    (record,) = journal.read(half)
    assert logged["losses/loss"] == np.float32(record["losses"]["loss"])
    assert logged["memory_mib"] == record["memory_mib"]


def test_the_plot_is_there_from_the_first_record_and_its_figures_do_not_add_up(tmp_path, monkeypatch):
    """Without Python's own collections, which come when they like: each figure kept 1.5 MB until then."""
    monkeypatch.setattr(journal, "_REDRAW", 0)
    gc.disable()
    try:
        with journal.Journal(tmp_path, 0) as log:
            for iteration in (1, 2, 3):
                log.write({"iteration": iteration, "losses": {"loss": 1.0}})
                assert (tmp_path / journal.PLOT).exists()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Figure)]
    finally:
        gc.enable()


def test_what_caffe_aborts_on_becomes_one_line(half):
    """A solver state that Caffe refuses: its checksum is right, its contents are not those of this net."""
    folder = half / snapshots.FOLDER / "iter_00000022"
    state = b"\x08\x16"  # iter: 22, and no history at all
    (folder / snapshots.STATE).write_bytes(state)
    record = json.loads((folder / "snapshot.json").read_text())
    record["sha256"][snapshots.STATE] = snapshots._sha256(folder / snapshots.STATE)
    (folder / "snapshot.json").write_text(json.dumps(record))
    done = train(half.parent, "--resume", "half")
    one_line_error(done, "Caffe stopped: Check failed: state.history_size() == history_.size()", "--resume half")
    assert "Check failure stack trace" in (half / supervise.LOG).read_text()


def test_a_label_out_of_range_in_the_middle(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    process = start(tmp_path, "--out", "r", "--max-iter", "100000")
    wait_for(lambda: taken(tmp_path / "r"))
    for path in (tmp_path / "data/shapes/SegmentationClass").iterdir():
        write_label(path, np.full((257, 257), 77, np.uint8))
    out, err = process.communicate(timeout=120)
    done = subprocess.CompletedProcess([], process.returncode, out, err)
    one_line_error(done, "66049 pixels have the value 77, expected a class from 0 to 4 or 255 (iteration ", "kept in r")
    assert taken(tmp_path / "r")
    one_line_error(train(tmp_path, "--resume", "r"), "pairs are faulty; the first: ", "the value 77")


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
    one_line_error(train(tmp_path, "--resume", "."), "run.json: not a run's record")
    one_line_error(train(home, "--resume", "whole", "voc"), "was begun with: leave out NAME")
    beside = ("--keep", "3", "--seed", "0", "--dry-run")  # even at their defaults: the run may have other values
    one_line_error(train(home, "--resume", "whole", *beside), "was begun with: leave out --seed, --keep, --dry-run")
    one_line_error(train(home, "--device", "gpu", "--out", "gpu"), "this Caffe was built without CUDA")


@pytest.mark.parametrize(
    ("name", "gpus", "batch", "iters", "expected"),
    [
        ("voc", 0, None, None, (10, 3)),
        ("voc", 1, None, None, (10, 3)),
        ("voc", 3, None, None, (10, 1)),
        ("voc", 2, 5, None, (5, 3)),
        ("voc", 1, 30, None, (30, 3)),  # a batch size alone changes the images an iteration
        ("voc", 2, 8, 1, (8, 1)),
    ],
)
def test_thirty_images_are_shared_by_the_gpus(name, gpus, batch, iters, expected):
    split = runs.split_batch(experiments.find(name), gpus, batch, iters)
    assert (split["batch_size"], split["iter_size"]) == expected


def test_thirty_images_that_do_not_divide():
    with pytest.raises(UserError, match="30 images an iteration are no multiple of 4 GPUs times batches of 10"):
        runs.split_batch(experiments.find("voc"), 4, None, None)


def test_without_data_it_says_what_to_fetch(tmp_path):
    done = subprocess.run(
        [sys.executable, REPO / "tools/train.py", "voc"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    one_line_error(
        done,
        *("data/VOC2012/list/train_aug.txt: no such list file", "VOCtrainval_11-May-2012.tar from http://host.robots"),
        *(
            "benchmark.tgz from",
            "into data/archives",
            "python tools/prepare_data.py voc12",
            "docker compose run prepare",
        ),
    )
    assert not list(tmp_path.iterdir())


def test_dry_run_makes_no_run(home):
    done = train(home, "--dry-run", "--out", "dry")
    assert done.returncode == 0, done.stderr
    assert "memory: " in done.stdout
    assert "so 24 iterations in about" in done.stdout
    assert not (home / "dry").exists()


@pytest.mark.parametrize("how", ["--dry-run", "--out=large"])
def test_a_batch_that_caffe_cannot_hold_is_refused_at_once(home, how):
    """conv1_1 has 8 channels x 193^2 = 297,992 values for an image, 7206 times into 2^31 - 1."""
    done = train(home, "--batch-size", 100_000, how)
    words = "conv1_1 would need 29,799,200,000 values at once, Caffe holds 2,147,483,647"
    one_line_error(done, f"--batch-size 100000: {words}; for shapes_attention3_esupv 7206 is the largest")
    assert not (home / "large" / runs.RECORD).exists()


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


MEASURED = {
    "loss": 1.5, "seconds": 9.0, "seconds_of_the_last": 2.0, "memory_mib": 1024, "gpu_memory_mib": 1536,
    "gpu_memory_there_mib": 4096, "weights_bytes": 2**20, "tops_bytes": 2**30, "parameters": 2**20,
}  # fmt: skip


def test_the_dry_run_goes_down_to_the_split_that_fits(tmp_path, monkeypatch):
    """30 images: 10 at once and 6 do not fit, 5 do."""
    (tmp_path / "measured").write_text(json.dumps(MEASURED))
    full = "error == cudaSuccess (2 vs. 0)  out of memory"
    stand_in(tmp_path, monkeypatch, full, "10|6", then=f"cp {tmp_path}/measured $3/measured.json")
    options = runs.RunOptions(experiment="voc", data="data", max_iter=1800, batch_size=10, iter_size=3, gpus=(0,))
    lines = list(dryrun.report(options))
    assert lines[:3] == [
        "--batch-size 10 --iter-size 3: out of memory",
        "--batch-size 6 --iter-size 5: out of memory",
        "voc12_attention3_esupv: 30 images an iteration, 5 at once",
    ]
    assert "GPU memory: 1.50 of 4.00 GiB in use after two iterations, by all processes on that GPU" in lines
    assert "so 1800 iterations in about 1.0 h" in lines
    assert lines[-1] == "the split chosen by measured memory: --batch-size 5 --iter-size 6"
    stand_in(tmp_path, monkeypatch, full, ".*")
    with pytest.raises(RunError, match=r"^Caffe stopped: .* out of memory \(one image at a time is the least; [^;]*$"):
        list(dryrun.report(options))
    stand_in(tmp_path, monkeypatch, "something else", ".*")
    with pytest.raises(RunError, match=r"^Caffe stopped: Check failed: something else$"):
        next(dryrun.report(options))


def test_want_of_memory_in_a_layer_of_ours_is_one_line_too(tmp_path, monkeypatch):
    """NumPy's MemoryError, by the command line's handler, in a child of the dry run: the next split is tried."""
    (tmp_path / "measured").write_text(json.dumps({**MEASURED, "gpu_memory_mib": None}))

    def main(_):
        raise np._core._exceptions._ArrayMemoryError((2, 3), np.dtype(np.float32))

    with pytest.raises(SystemExit) as raised:
        cli.run(main)
    said = str(raised.value)
    assert said.startswith("error: out of memory: Unable to allocate")
    script = f"grep -q '\"batch_size\": 2,' $3/run.json && {{ echo '{said}' >&2; exit 1; }}"
    stand_in(tmp_path, monkeypatch, "no", "0", then=f"{script}\ncp {tmp_path}/measured $3/measured.json")
    lines = list(dryrun.report(runs.RunOptions(experiment="voc", data="d", max_iter=1, batch_size=2, iter_size=1)))
    assert lines[0] == "--batch-size 2 --iter-size 1: out of memory"
    assert lines[-1] == "the split chosen by measured memory: --batch-size 1 --iter-size 2"


def test_gpu_memory_is_measured_while_the_net_is_there(home, tmp_path, monkeypatch):
    """A stand-in for the driver: its second answer is of the second iteration, its third after the net is gone."""
    answers = iter([(1400, 4096), (1500, 4096), (100, 4096)])
    monkeypatch.setattr(device, "gpu_memory", lambda: next(answers))
    run = runs.RunOptions(
        experiment="shapes", data=str(home / "data"), max_iter=2, batch_size=3, iter_size=1, gpus=(0,), log_interval=1
    )
    measured = dryrun.measure(run, tmp_path)
    assert (measured["gpu_memory_mib"], measured["gpu_memory_there_mib"]) == (1500, 4096)
    assert set(measured) == set(MEASURED)
    assert [record["gpu_memory_mib"] for record in journal.read(tmp_path)] == [1400, 1500]


def test_gpu_memory_as_the_driver_says(monkeypatch):
    class Driver:
        status = 0

        def cuMemGetInfo_v2(self, free, there):  # noqa: N802, the driver's own name
            free._obj.value, there._obj.value = 3 << 30, 8 << 30
            return self.status

    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: Driver())
    assert device.gpu_memory() == (5 << 10, 8 << 10)
    Driver.status = 201  # no context
    assert device.gpu_memory() is None


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
        cwd=home, capture_output=True, check=True,
    )  # fmt: skip
    assert scored.returncode == 0
    assert json.loads((home / "e/evaluation.json").read_text())["mean_iou"] == pytest.approx(scores[12], abs=1e-12)


def narrow(**changes):
    """A trunk with dropout that trains in no time, one scale."""
    row = experiments.find("voc12_largefov_nopool5a")
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 16), from_scratch=True, pool5a=False)
    solver = dataclasses.replace(row.solver, **{"max_iter": 6, "batch_size": 2, "iter_size": 2, **changes})
    return dataclasses.replace(row, trunk=trunk, pretraining=None, dataset="shapes", crop_size=65, solver=solver)


def test_dropout_augmentation_and_momentum_continue_as_if_never_stopped(mini, tmp_path):
    training = solve.Training(data=str(mini.parent), snapshot_interval=3, log_interval=1)
    solve.train(narrow(), tmp_path / "a", training)
    (tmp_path / "b").mkdir()
    shutil.copytree(tmp_path / "a/snapshots", tmp_path / "b/snapshots")
    solve.train(narrow(), tmp_path / "b", training)
    assert_same_weights(tmp_path / "b", tmp_path / "a")
    other = solve.Training(data=str(mini.parent), seed=1)
    solve.train(narrow(), tmp_path / "c", other)
    assert any(
        not np.array_equal(one, two)
        for layer, blobs in weights(tmp_path / "c").items()
        for one, two in zip(blobs, weights(tmp_path / "a")[layer], strict=True)
    )


def test_an_exploding_loss_names_iteration_head_and_files(mini, tmp_path):
    row = narrow(base_lr=1e30, max_iter=50)
    training = solve.Training(data=str(mini.parent), snapshot_interval=1)
    with pytest.raises(RunError, match=r"iteration \d+: loss is \S+ on the batch .*\.jpg, .*\.jpg; the run stops") as e:
        solve.train(row, tmp_path / "r", training)
    assert not (tmp_path / "r/final.caffemodel").exists()
    iteration = int(str(e.value).split()[1].rstrip(":"))
    named = str(e.value).partition("batch ")[2].partition(";")[0].split(", ")
    loader = prototxt.loader_options(row, mini.parent)
    passes = [[str(image) for image, _ in batch_files((iteration - 1) * 2 + number, loader)] for number in (0, 1)]
    assert named in passes
    newest = tmp_path / f"r/snapshots/iter_{iteration - 1:08d}"
    assert f"Its newest snapshot is {newest}; --resume {tmp_path / 'r'} goes on from there" in str(e.value)
    assert newest.is_dir()


def test_weights_that_are_not_finite_are_not_kept(mini, tmp_path):
    """Rate 1e38 on weights whose gradient is more than a few: the first update overflows float32."""
    row = narrow(base_lr=1e38, weight_decay=1e3, max_iter=3)
    with pytest.raises(
        RunError, match="iteration 1: weights of conv1_1 are no longer finite; the run stops, and has no"
    ):
        solve.train(row, tmp_path / "r", training_of(mini, snapshot_interval=1))
    assert taken(tmp_path / "r") == []
    with pytest.raises(RunError, match="iteration 1: weights of conv1_1 are no longer finite"):
        solve.train(
            dataclasses.replace(row, solver=dataclasses.replace(row.solver, max_iter=1)),
            tmp_path / "f",
            training_of(mini),
        )
    assert not (tmp_path / "f" / runs.FINAL).exists()


def test_a_poisoned_image_is_the_one_that_is_named(mini, tmp_path):
    """Every image is the mean's colour but one; first-layer weights so large that only that one overflows.

    With rate 0 nothing moves, so that nothing but the image can be the cause.
    """
    for i in range(6):
        cv2.imwrite(str(mini / f"JPEGImages/{i}.jpg"), np.full((70, 70, 3), (104, 117, 123), np.uint8))
        write_label(mini / f"SegmentationClass/{i}.png", np.full((70, 70), 1, np.uint8))
    row = narrow(base_lr=0.0, weight_decay=0.0, max_iter=20, batch_size=1, iter_size=1)
    row = dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, dropout=0.0))
    first = solve.train(narrow(max_iter=1, batch_size=1, iter_size=1), tmp_path / "first", training_of(mini))
    layers = caffemodel.read(first)
    factors = [np.float32(1e36 if layer.name == "conv1_1" else 1) for layer in layers]
    layers = [
        dataclasses.replace(layer, blobs=tuple(blob * factor for blob in layer.blobs))
        for layer, factor in zip(layers, factors, strict=True)
    ]
    caffemodel.write(tmp_path / "huge.caffemodel", layers)
    cv2.imwrite(str(mini / "JPEGImages/4.png"), np.random.default_rng(0).choice([0, 255], (70, 70, 3)).astype(np.uint8))
    (mini / "JPEGImages/4.png").rename(mini / "JPEGImages/4.jpg")
    with pytest.raises(RunError, match=r"loss is nan on the batch \S*/JPEGImages/4\.jpg; the run stops"):
        solve.train(row, tmp_path / "r", training_of(mini, weights=str(tmp_path / "huge.caffemodel")))


def test_a_loss_that_is_no_number_through_the_command(home, half):
    """The weights that the run is continued with are so large that the next forward pass overflows."""
    folder = half / snapshots.FOLDER / "iter_00000022"
    layers = caffemodel.read(folder / snapshots.WEIGHTS)
    huge = [
        dataclasses.replace(layer, blobs=tuple(blob * np.float32(1e30) for blob in layer.blobs)) for layer in layers
    ]
    caffemodel.write(folder / snapshots.WEIGHTS, huge)
    record = json.loads((folder / "snapshot.json").read_text())
    record["sha256"][snapshots.WEIGHTS] = snapshots._sha256(folder / snapshots.WEIGHTS)
    (folder / "snapshot.json").write_text(json.dumps(record))
    before = sorted(str(path.relative_to(half)) for path in (half / snapshots.FOLDER).rglob("*"))
    loader = prototxt.loader_options(experiments.find("shapes"), home / "data", seed=0)
    files = ", ".join(str(image) for image, _ in batch_files(22, loader))
    done = train(half.parent, "--resume", "half")
    said = "the run stops. Its newest snapshot is half/snapshots/iter_00000022; --resume half goes on from there"
    one_line_error(done, "iteration 23: loss", f" is nan on the batch {files}; {said}")
    assert sorted(str(path.relative_to(half)) for path in (half / snapshots.FOLDER).rglob("*")) == before
    assert not (half / runs.FINAL).exists()
    assert (half / runs.RECORD).exists()
    assert [record["iteration"] for record in journal.read(half)] == [20]


def training_of(mini, **changes):
    return solve.Training(data=str(mini.parent), **changes)


_READ = """
import sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TRAIN)
for batch in range(int(sys.argv[2])):
    net.forward()
    for label in net.blobs["label"].data:
        print(int(label[0, 0, 0]))
"""


def test_ranks_see_each_image_once_an_epoch(mini, tmp_path):
    """The data layers of the nets that two ranks train, each in a process of its own; an image tells by its label.

    Six images, each of one label, 0 to 5; two ranks of batches of one: three batches each are an epoch.
    """
    for i in range(6):
        write_label(mini / f"SegmentationClass/{i}.png", np.full((70, 70), i, np.uint8))
        cv2.imwrite(str(mini / f"JPEGImages/{i}.jpg"), np.zeros((70, 70, 3), np.uint8))
    row = dataclasses.replace(narrow(batch_size=1, iter_size=1), dataset="voc12")
    (mini.parent / "VOC2012").symlink_to(mini)
    (mini / "list/train_aug.txt").write_text((mini / "list/train.txt").read_text())
    processes = []
    for rank in (0, 1):
        net = prototxt.train_net(row, mini.parent, rank=rank, ranks=2, seed=3)
        del net.layer[1:]
        path = tmp_path / f"{rank}.prototxt"
        path.write_text(text_format.MessageToString(net))
        reading = [sys.executable, "-c", _READ, str(path), "6"]
        processes.append(subprocess.Popen(reading, stdout=subprocess.PIPE, text=True))
    seen = [[int(line) for line in process.communicate(timeout=60)[0].split()] for process in processes]
    for epoch in (slice(0, 3), slice(3, 6)):
        assert sorted(seen[0][epoch] + seen[1][epoch]) == [0, 1, 2, 3, 4, 5]


_RANK = """
import dataclasses, mmap, pathlib, signal, sys, time
from attscale import experiments, solve, stopping
rank, folder, seconds = int(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
row = experiments.find("shapes")
row = dataclasses.replace(row, solver=dataclasses.replace(row.solver, max_iter=200))
run = object.__new__(solve._Run)
run.row, run.folder, run.best, run.sums = row, folder, None, {}
run.training = solve.Training(rank=rank, gpus=(0, 1), test_interval=3, log_interval=1000, snapshot_interval=1000)

def step(iteration):
    "In NCCL's place: nobody leaves an iteration that the other has not entered."
    (folder / f"{rank}-{iteration}").touch()
    deadline = time.monotonic() + 15
    while not (folder / f"{1 - rank}-{iteration}").exists():
        if time.monotonic() > deadline:
            sys.exit(f"rank {rank} waits in iteration {iteration} for ever")
        time.sleep(0.001)

run._step, run._log = step, lambda iteration: None
run._test = lambda iteration: time.sleep(seconds)  # of the first rank only
run._snapshot = lambda iteration: (folder / f"last-{rank}").write_text(str(iteration))
with stopping.Stop() as stop:
    with open(folder / "shared", "r+b") as file:
        stop.share(mmap.mmap(file.fileno(), 0), rank, 2)
    stop.begin()
    run.go(0, stop)
"""


@pytest.mark.parametrize("told", [(0, 1), (0,)])
@pytest.mark.parametrize("testing", [0.0, 1.0])
def test_ranks_stop_after_the_same_iteration(testing, told, tmp_path):
    """Ctrl-C while the first rank tests and the other waits for it in the next iteration, or anywhere."""
    (tmp_path / "shared").write_bytes(bytes(stopping.SHARED))
    command = [sys.executable, "-c", _RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), tmp_path, str(testing)], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    wait_for(lambda: (tmp_path / "1-4").exists())  # the first rank tests after iteration 3
    for rank in told:
        ranks[rank].send_signal(signal.SIGINT)
    said = [process.communicate(timeout=60)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    last = [int((tmp_path / f"last-{rank}").read_text()) for rank in (0, 1)]
    assert last[0] == last[1] < 200


def test_ranks_that_are_stopped_before_they_begin(tmp_path):
    """The second rank, which was not told, learns of it from the first, whether it looks or waits."""
    memory = bytearray(stopping.SHARED)
    first, second = stopping.Stop(), stopping.Stop()
    first.share(memory, 0, 2)
    second.share(memory, 1, 2)
    first.check()
    second.check()
    first.asked = "SIGTERM"
    for rank, wait in ((first, first.check), (second, second.check), (second, second.begin)):
        with pytest.raises(stopping.StoppedError):
            wait()
        assert rank.after(1) is False


def test_a_dead_rank_ends_all(tmp_path, monkeypatch):
    """Two stand-ins for training processes: the second dies, the first would have gone on for a minute."""
    runs.create(tmp_path / "r", runs.RunOptions(
        experiment="shapes", data="data", max_iter=1, batch_size=1, iter_size=1
    ), [])  # fmt: skip
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\nif [ "$4" = 1 ]; then kill -9 $$; fi\nexec sleep 60\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    began = time.monotonic()
    with pytest.raises(RunError, match="training process 1 was ended by SIGKILL"):
        supervise.run(tmp_path / "r", ranks=2)
    assert time.monotonic() - began < 30


def workers_of(root):
    """The processes that load data from the set in `root`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().decode(errors="replace")
            if "attscale.data.worker" in line and str(root) in line:
                found.append(int(pid))
    return found


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL])
def test_a_trainer_that_dies_takes_its_workers_with_it(home, tmp_path, number):
    """While they are busy without end: every image has become a FIFO, which nobody writes into."""
    shutil.copytree(home / "data", tmp_path / "data")
    process = start(tmp_path, "--out", tmp_path / "r", "--max-iter", "100000")
    try:
        wait_for(lambda: taken(tmp_path / "r"))
        for path in (tmp_path / "data/shapes/JPEGImages").iterdir():
            path.unlink()
            os.mkfifo(path)
        workers = workers_of(tmp_path)
        assert len(workers) == 2
        time.sleep(1)
        (trainer,) = processes_of(tmp_path / "r")
        os.kill(trainer, number)
        out, err = process.communicate(timeout=20)
        done = subprocess.CompletedProcess([], process.returncode, out, err)
        one_line_error(done, f"training process 0 was ended by {number.name}")
        wait_for(lambda: not workers_of(tmp_path), 10)
    finally:
        for pid in [*processes_of(tmp_path / "r"), *workers_of(tmp_path)]:
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def test_an_ended_process_is_not_waited_for_because_of_what_it_started(tmp_path, monkeypatch):
    """A stand-in whose own child goes on for a minute with the same stderr; its last words are not lost."""
    runs.create(tmp_path / "r", runs.RunOptions(
        experiment="shapes", data="data", max_iter=1, batch_size=1, iter_size=1
    ), [])  # fmt: skip
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/pid\necho no more >&2\nkill -ABRT $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    began = time.monotonic()
    try:
        with pytest.raises(RunError, match="training process 0 was ended by SIGABRT; its last words: no more; "):
            supervise.run(tmp_path / "r")
        assert time.monotonic() - began < 30
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_what_caffe_prints_behind_a_progress_bar_is_not_shown(tmp_path, monkeypatch, capfd):
    runs.create(tmp_path / "r", runs.RunOptions(
        experiment="shapes", data="data", max_iter=1, batch_size=1, iter_size=1
    ), [])  # fmt: skip
    bar = "printf 'shapes: 0it' >&2\necho 'WARNING: Logging before InitGoogleLogging() is written to STDERR' >&2"
    stand_in(tmp_path, monkeypatch, "no", "0", then=f"{bar}\nkill -ABRT $$")
    with pytest.raises(RunError, match="ended by SIGABRT"):
        supervise.run(tmp_path / "r")
    assert capfd.readouterr().err == "shapes: 0it\n"


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
def test_a_gpu_out_of_memory_is_told_what_would_fit(batch, iters, advice, tmp_path, monkeypatch):
    options = runs.RunOptions(experiment="voc", data="data", max_iter=1, batch_size=batch, iter_size=iters)
    runs.create(tmp_path / "r", options, [])
    stand_in(tmp_path, monkeypatch, "error == cudaSuccess (2 vs. 0)  out of memory", ".*")
    with pytest.raises(UserError, match=f"Caffe stopped: Check failed: .* out of memory.*{advice}"):
        supervise.run(tmp_path / "r")
