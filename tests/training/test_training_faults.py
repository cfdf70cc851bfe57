"""Runs that end by what they meet, each with one line: data, a full disk, a loss that is no number, Caffe's aborts."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from attscale import experiments
from attscale.data.images import write_label
from attscale.data.loader import batch_files
from attscale.errors import DataError, RunError
from attscale.prototxt import Model
from attscale.training import journal, runs, snapshots
from attscale.weights import caffemodel
from conftest import REPO, one_line_error
from helpers.training_runs import PATIENCE, narrow, small_disk, start, taken, train, train_row, wait_for


def always_full(path):
    path.unlink()
    path.symlink_to("/dev/full")
    return "No space left on device"


def in_the_way(path):
    """A folder, which no rename can replace."""
    path.unlink()
    (path / "x").mkdir(parents=True)
    return "Is a directory"


@pytest.mark.parametrize("interval", [0, 1])
def test_val_is_checked_before_a_training_that_tests_on_it(mini, tmp_path, interval):
    """Else its first test would lose all iterations since the last snapshot, and so would each try to go on."""
    (mini / "SegmentationClass/bad.png").write_bytes(b"no label map")
    (mini / "list/val.txt").write_text("/JPEGImages/0.jpg /SegmentationClass/bad.png\n")
    row = narrow(max_iter=1, iter_size=1)
    if not interval:
        assert train_row(row, tmp_path / "r", mini).exists()
        return
    with pytest.raises(DataError, match=r"val\.txt: 1 of 1 pairs are faulty.*bad\.png"):
        train_row(row, tmp_path / "r", mini, test_interval=interval)
    assert not (tmp_path / "r/log.jsonl").exists()


@pytest.mark.parametrize(("name", "spoil"), [("console.log", always_full), ("losses.png", in_the_way)])
def test_a_file_that_cannot_be_written_is_named(name, spoil, half):
    reason = spoil(half / name)
    one_line_error(train(half.parent, "--resume", "half"), f"half/{name}: cannot be written: {reason}")


def test_a_full_disk_while_training_is_one_line(home, tmp_path):
    """A tmpfs of 20 MB that is filled up while a run without snapshots is under way: the log is what fails."""
    with small_disk(tmp_path / "disk", 20 << 20) as disk:
        process = start(home, "--out", disk / "r", "--max-iter", "100000", "--snapshot-interval", "90000")
        wait_for(lambda: len(journal.read(disk / "r")) >= 1)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        out, err = process.communicate(timeout=PATIENCE)
        done = subprocess.CompletedProcess([], process.returncode, out, err)
        one_line_error(done, f"{disk}/r/", "cannot be written: No space left on device")
        assert "Exception" not in err
        (disk / "filler").unlink()
        assert journal.read(disk / "r")[0]["iteration"] == 20
        assert (disk / "r" / runs.RECORD).exists()


def test_final_weights_without_room_are_not_begun(mini, tmp_path):
    """Caffe itself would not notice that the end of the file is missing."""
    with (
        small_disk(tmp_path / "disk", 1 << 20) as disk,
        pytest.raises(RunError, match=r"/r: no room for weights of 1 MiB"),
    ):
        train_row(narrow(max_iter=1), disk / "r", mini)


def vouch_for(file):
    """Has the snapshot record the checksum that its file has now."""
    path = file.parent / snapshots.RECORD
    record = json.loads(path.read_text())
    record["sha256"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    path.write_text(json.dumps(record))


def multiply(source, target, factor, only=""):
    """Copies a file of weights; those of the layers whose names begin with `only` come out `factor` times as large."""
    layers = [
        dataclasses.replace(
            layer, blobs=tuple(blob * np.float32(factor if name.startswith(only) else 1) for blob in layer.blobs)
        )
        for name, layer in caffemodel.read(source).layers.items()
    ]
    caffemodel.write(target, layers)


def test_what_caffe_aborts_on_becomes_one_line(half):
    """A solver state that Caffe refuses: its checksum is right, its contents are not those of this net."""
    state = half / runs.SNAPSHOTS / "iter_00000022" / snapshots.STATE
    state.write_bytes(b"\x08\x16")  # iter: 22, and no history at all
    vouch_for(state)
    done = train(half.parent, "--resume", "half")
    one_line_error(done, "Caffe stopped: Check failed: state.history_size() == history_.size()", "--resume half")
    assert "Check failure stack trace" in (half / runs.CONSOLE).read_text()


def test_an_error_that_nobody_expected_is_one_line_and_its_trace_is_in_the_log(half, tmp_path, monkeypatch):
    """In the trainer's code, as a fault of ours would be: Python runs a sitecustomize before anything else."""
    (tmp_path / "faulty").mkdir()
    fault = "from attscale.training import journal\ndef fault(record): return 1 / 0\njournal._check = fault\n"
    (tmp_path / "faulty/sitecustomize.py").write_text(fault)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "faulty"), prepend=":")
    done = train(half.parent, "--resume", "half")
    one_line_error(done, "division by zero (unexpected: ZeroDivisionError at python/attscale/training/journal.py:")
    assert "Traceback (most recent call last):" in (half / runs.CONSOLE).read_text()


def test_a_label_out_of_range_in_the_middle(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    process = start(tmp_path, "--out", "r", "--max-iter", "100000")
    wait_for(lambda: taken(tmp_path / "r"))
    for path in (tmp_path / "data/shapes/SegmentationClass").iterdir():
        write_label(path, np.full((257, 257), 77, np.uint8))
    out, err = process.communicate(timeout=PATIENCE)
    done = subprocess.CompletedProcess([], process.returncode, out, err)
    one_line_error(done, "66049 pixels have the value 77, expected a class from 0 to 4 or 255 (iteration ", "kept in r")
    assert taken(tmp_path / "r")
    one_line_error(train(tmp_path, "--resume", "r"), "pairs are faulty; the first: ", "the value 77")


def test_without_data_it_says_what_to_fetch(tmp_path):
    done = subprocess.run(
        [sys.executable, REPO / "tools/train.py", "voc"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
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


def test_an_exploding_loss_names_iteration_head_and_files(mini, tmp_path):
    row = narrow(base_lr=1e30, max_iter=50)
    with pytest.raises(RunError, match=r"iteration \d+: loss is \S+ on the batch .*\.jpg, .*\.jpg; the run stops") as e:
        train_row(row, tmp_path / "r", mini, snapshot_interval=1)
    assert not (tmp_path / "r/final.caffemodel").exists()
    iteration = int(str(e.value).split()[1].rstrip(":"))
    named = str(e.value).partition("batch ")[2].partition(";")[0].split(", ")
    loader = Model.of(row).loader(mini.parent)
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
        train_row(row, tmp_path / "r", mini, snapshot_interval=1)
    assert taken(tmp_path / "r") == []
    with pytest.raises(RunError, match="iteration 1: weights of conv1_1 are no longer finite"):
        train_row(narrow(base_lr=1e38, weight_decay=1e3, max_iter=1), tmp_path / "f", mini)
    assert not (tmp_path / "f" / runs.FINAL).exists()


def test_weights_that_blew_up_in_the_last_iteration_are_no_result(mini, tmp_path):
    """They are finite, and no loss was computed with them; the loss that was recorded is the one before."""
    with pytest.raises(RunError, match=r"after the last iteration loss is .*: the weights blew up"):
        train_row(narrow(base_lr=1e12, max_iter=1), tmp_path / "r", mini)
    assert not (tmp_path / "r" / runs.FINAL).exists()


def test_a_poisoned_image_is_the_one_that_is_named(mini, tmp_path):
    """Every image is the mean's colour but one; first-layer weights so large that only that one overflows.

    With rate 0 nothing moves, so that nothing but the image can be the cause.
    """
    for i in range(6):
        cv2.imwrite(str(mini / f"JPEGImages/{i}.jpg"), np.full((70, 70, 3), (104, 117, 123), np.uint8))
        write_label(mini / f"SegmentationClass/{i}.png", np.full((70, 70), 1, np.uint8))
    row = narrow(base_lr=0.0, weight_decay=0.0, max_iter=20, batch_size=1, iter_size=1)
    row = dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, dropout=0.0))
    first = train_row(narrow(max_iter=1, batch_size=1, iter_size=1), tmp_path / "first", mini)
    multiply(first, tmp_path / "huge.caffemodel", 1e36, only="conv1_1")
    cv2.imwrite(str(mini / "JPEGImages/4.png"), np.random.default_rng(0).choice([0, 255], (70, 70, 3)).astype(np.uint8))
    (mini / "JPEGImages/4.png").rename(mini / "JPEGImages/4.jpg")
    with pytest.raises(RunError, match=r"loss is nan on the batch \S*/JPEGImages/4\.jpg; the run stops"):
        train_row(row, tmp_path / "r", mini, weights=str(tmp_path / "huge.caffemodel"))


def test_a_loss_that_is_no_number_through_the_command(home, half):
    """The weights that the run is continued with are so large that the next forward pass overflows."""
    weights = half / runs.SNAPSHOTS / "iter_00000022" / snapshots.WEIGHTS
    multiply(weights, weights, 1e30)
    vouch_for(weights)
    before = sorted(str(path.relative_to(half)) for path in (half / runs.SNAPSHOTS).rglob("*"))
    loader = Model.of(experiments.find("shapes")).loader(home / "data", seed=0)
    files = ", ".join(str(image) for image, _ in batch_files(22, loader))
    done = train(half.parent, "--resume", "half")
    said = "the run stops. Its newest snapshot is half/snapshots/iter_00000022; --resume half goes on from there"
    one_line_error(done, "iteration 23: loss", f" is nan on the batch {files}; {said}")
    assert sorted(str(path.relative_to(half)) for path in (half / runs.SNAPSHOTS).rglob("*")) == before
    assert not (half / runs.FINAL).exists()
    assert (half / runs.RECORD).exists()
    assert [record["iteration"] for record in journal.read(half)] == [20]
