"""Sweeps on two local Dask workers, one of them killed, against the same rows one after the other."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from attscale import caffemodel, experiments, sweep
from attscale.cluster import QUEUES
from attscale.errors import ExperimentError, UserError
from attscale.rowjob import Job
from conftest import REPO, one_line_error

ROWS = ["shapes_largefov", "shapes_attention2", "shapes_max3_esupv", "shapes_attention3_esupv"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """`shapes` and the four rows, one after the other on a single worker."""
    folder = tmp_path_factory.mktemp("home")
    prepare = [sys.executable, REPO / "tools/prepare_data.py", "shapes", "--train", "6", "--val", "3"]
    subprocess.run(prepare, cwd=folder, check=True, capture_output=True)
    done = run(folder, *ROWS, "--max-iter", "30", "--out", "single")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].split()[:2] == [ROWS[-1], "done"]
    return folder


def run(folder, *arguments):
    command = [sys.executable, str(REPO / "tools/sweep.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)


def outcome(folder, name):
    report = json.loads((folder / name / "evaluation.json").read_text())
    layers = caffemodel.read(folder / name / "final.caffemodel")
    return report["matrix"], [[blob.tobytes() for blob in layer.blobs] for layer in layers]


def test_a_killed_worker_costs_nothing_but_time(home):
    """By the command with --shards; the worker that is killed is one whose row has a snapshot already."""
    command = [*ROWS, "--max-iter", 30, "--out", "double", "--workers", 2, "--snapshot-interval", 5, "--shards", 2]
    process = subprocess.Popen(
        [sys.executable, str(REPO / "tools/sweep.py"), *map(str, command)],
        cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    name, job = wait_for_training(home / "double")
    worker = parent_of(job)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{job}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{job}")  # the step ended with its worker
    assert not (home / "double" / name / "final.caffemodel").exists()
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    for row in ROWS:
        assert outcome(home / "double", row) == outcome(home / "single", row)


def wait_for_training(root):
    """A row that has a snapshot and is not finished, and the process of its step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    parts = file.read().decode().split("\0")
            except OSError:
                continue
            if "attscale.rowjob" in parts:
                job = json.loads(parts[3])
                if job["root"] == str(root) and job["step"] == "train":
                    folder = root / job["name"]
                    if list(folder.glob("snapshots/iter_*")) and not (folder / "final.caffemodel").exists():
                        return job["name"], int(pid)
        time.sleep(0.02)
    raise AssertionError("no row was seen in training")


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_finished_rows_are_not_run_again(home):
    before = {name: (home / "single" / name / "final.caffemodel").stat().st_mtime_ns for name in ROWS}
    began = time.monotonic()
    done = run(home, *ROWS, "--max-iter", "30", "--out", "single")
    assert done.returncode == 0, done.stderr
    assert before == {name: (home / "single" / name / "final.caffemodel").stat().st_mtime_ns for name in ROWS}
    assert time.monotonic() - began < 30


def test_a_row_that_fails_is_named_and_the_others_finish(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    (tmp_path / "runs/sweep/shapes_max2").mkdir(parents=True)
    (tmp_path / "runs/sweep/shapes_max2/run.json").write_text("{")
    done = run(tmp_path, "shapes_largefov", "shapes_max2", "--max-iter", "2")
    one_line_error(done, "1 of 2 rows failed; shapes_max2: ", "run.json: not a run's record")
    assert (tmp_path / "runs/sweep/shapes_largefov/evaluation.json").exists()


def test_rows_of_a_table():
    names = [row.name for row in sweep.rows_of(["3"])]
    assert len(names) == 14  # baseline, MSc, and 2 scale sets x 3 merges x 2
    assert names.index("voc12_largefov") < names.index("voc12_msc_largefov")  # which starts from it
    assert [row.name for row in sweep.rows_of(["shapes", "shapes"])] == ["shapes_attention3_esupv"]
    with pytest.raises(ExperimentError, match="no experiment stands for a cell of table 9"):
        sweep.rows_of(["9"])
    with pytest.raises(ExperimentError, match="no experiment 'shaeps'"):
        sweep.rows_of(["shaeps"])


def test_where_rows_start_from(tmp_path):
    shared = {"root": "/r", "data": "/d"}
    with pytest.raises(UserError, match=r"vgg16_20M\.caffemodel: no such file, from which voc12_largefov starts"):
        sweep.jobs_of(experiments.find("voc12_largefov"), shared, tmp_path, 1)
    (tmp_path / "vgg16_20M.caffemodel").touch()
    train, predictions, score = sweep.jobs_of(experiments.find("voc12_largefov"), shared, tmp_path, 3)
    assert train.weights == str(tmp_path / "vgg16_20M.caffemodel")
    assert [(job.shard, job.shards) for job in predictions] == [(0, 3), (1, 3), (2, 3)]
    assert score == Job(name="voc12_largefov", step="evaluate", weights=train.weights, **shared)
    train, *_ = sweep.jobs_of(experiments.find("voc12_msc_largefov"), shared, tmp_path, 1)
    assert train.weights == "/r/voc12_largefov/final.caffemodel"


@pytest.mark.parametrize("kind", QUEUES)
def test_jobs_of_batch_systems(kind):
    """The job's script as dask-jobqueue writes it; it is not submitted, for there is no such system here."""
    from attscale import cluster

    made = cluster.queue(kind, jobs=0, cores=3, memory="7GB", name="night", gpus=1)
    try:
        script = made.job_script()
    finally:
        made.close()
    assert "night" in script
    assert "--resources slot=1" in script
    assert ("--gres=gpu:1" in script) == (kind == "slurm")
