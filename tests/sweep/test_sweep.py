"""Sweeps on two local Dask workers, one of them killed, against the same rows one after the other."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from attscale.results import evaluations
from attscale.results.report import folders
from attscale.training import runs
from attscale.weights import caffemodel
from conftest import REPO, one_line_error
from helpers.processes import has_ended, of_module
from helpers.sweeps import run

ROWS = ["shapes_largefov", "shapes_max2_esupv"]
LENGTH = ("--max-iter", 24)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """`shapes` and the two rows, one after the other on a single worker."""
    folder = tmp_path_factory.mktemp("home")
    prepare = [sys.executable, REPO / "tools/prepare_data.py", "shapes", "--train", "6", "--val", "3"]
    subprocess.run(prepare, cwd=folder, check=True, capture_output=True)
    done = run(folder, *ROWS, *LENGTH, "--out", "single")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].split()[:2] == [ROWS[-1], "done"]
    return folder


def outcome(folder, name):
    report = json.loads((folder / name / "evaluation.json").read_text())
    layers = caffemodel.read(folder / name / "final.caffemodel").layers.values()
    return report["matrix"], [[blob.tobytes() for blob in layer.blobs] for layer in layers]


def test_a_killed_worker_costs_nothing_but_time(home):
    """By the command with --shards; the worker that is killed is one whose row has a snapshot already."""
    options = ["--workers", 2, "--snapshot-interval", 2, "--shards", 2]
    command = [*ROWS, *LENGTH, "--out", "double", *options]
    process = subprocess.Popen(
        [sys.executable, str(REPO / "tools/sweep.py"), *map(str, command)],
        cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    name, job = wait_for_training(home / "double")
    job.parent().kill()  # the worker
    deadline = time.monotonic() + 10
    while not has_ended(job.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert has_ended(job.pid)  # the step ended with its worker
    assert not (home / "double" / name / "final.caffemodel").exists()
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    for row in ROWS:
        assert outcome(home / "double", row) == outcome(home / "single", row)


def wait_for_training(root):
    """A row that has a snapshot and is not finished, and the process of its step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for process, (job, *_) in of_module("attscale.sweep.step"):
            job = json.loads(job)
            if job["root"] == str(root) and job["step"] == "train":
                name = job["run"]["experiment"]
                folder = root / name
                if list(folder.glob("snapshots/iter_*")) and not (folder / "final.caffemodel").exists():
                    return name, process
        time.sleep(0.02)
    raise AssertionError("no row was seen in training")


def test_seeds_in_folders_of_their_own(home):
    """Seed 0 comes out as without --seeds; scores of branches and sizes, which evaluate.py has too, stand beside it."""
    done = run(home, ROWS[1], *LENGTH, "--out", "seeds", "--seeds", "0,3", "--workers", 2, "--branches", "--by-size")
    assert done.returncode == 0, done.stderr
    last = [line.split()[:2] for line in done.stdout.strip().splitlines()[-2:]]
    assert last == [[f"seed{seed}/{ROWS[1]}", "done"] for seed in (0, 3)]
    assert outcome(home / "seeds/seed0", ROWS[1]) == outcome(home / "single", ROWS[1])
    assert outcome(home / "seeds/seed3", ROWS[1])[1] != outcome(home / "single", ROWS[1])[1]
    found = evaluations.read(home / "seeds/seed0" / ROWS[1] / "evaluation.json")
    assert set(found.mean_iou_of_branches) == {"1", "0.5"}
    assert found.iou_by_size
    with_less = run(home, ROWS[1], *LENGTH, "--out", "single", "--branches")  # scored before, without them
    assert with_less.returncode == 0, with_less.stderr
    again = evaluations.read(home / "single" / ROWS[1] / "evaluation.json")
    assert again.mean_iou_of_branches == found.mean_iou_of_branches


def test_a_start_for_each_seed(home):
    """Each seed starts from the weights of that seed; a file that is not there is one line."""
    for seed in (0, 3):
        (home / f"starts/seed{seed}").mkdir(parents=True)
        shutil.copy(home / "single" / ROWS[1] / "final.caffemodel", home / f"starts/seed{seed}")
    start = "starts/seed{seed}/final.caffemodel"
    done = run(home, ROWS[1], "--max-iter", 1, "--out", "started", "--seeds", "0,3", "--start", start)
    assert done.returncode == 0, done.stderr
    for seed in (0, 3):
        asked = runs.load(home / "started" / f"seed{seed}" / ROWS[1])
        assert asked.weights == str(home / f"starts/seed{seed}/final.caffemodel")
    one_line_error(
        run(home, ROWS[1], "--max-iter", 1, "--out", "lost", "--start", "nowhere.caffemodel"),
        "nowhere.caffemodel: no such file, from which shapes_max2_esupv starts (--start)",
    )
    words = "--start w: none of the experiments would start from scratch"
    one_line_error(run(home, "voc12_largefov", "--start", "w"), words)


def test_finished_rows_are_not_run_again(home):
    files = [home / "single" / name / file for name in ROWS for file in ("final.caffemodel", "evaluation.json")]
    before = [file.stat().st_mtime_ns for file in files]
    done = run(home, *ROWS, *LENGTH, "--out", "single")
    assert done.returncode == 0, done.stderr
    assert before == [file.stat().st_mtime_ns for file in files]
    assert [line.split()[:2] for line in done.stdout.strip().splitlines()] == [[name, "done"] for name in ROWS]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-iter", 40], "--max-iter 24, not 40"),
        ([*LENGTH, "--seed", 5], "--seed 0, not 5"),
        ([*LENGTH, "--data", "other"], "/data, not "),
    ],
)
def test_finished_rows_of_other_options_are_refused(home, options, words):
    done = run(home, "shapes_largefov", *options, "--out", "single")
    one_line_error(done, "shapes_largefov: was begun with ", words, "choose another --out")
    assert "mean IOU" not in done.stdout


def test_crf_in_shards(home):
    """On a row that was finished without; compared with tools/crf.py over the same scores."""
    folder = home / "single/shapes_largefov"
    before = (folder / "final.caffemodel").stat().st_mtime_ns
    done = run(home, "shapes_largefov", *LENGTH, "--out", "single", "--crf", "--shards", 2, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert (folder / "final.caffemodel").stat().st_mtime_ns == before
    alone = run(home, "shapes_largefov", "--scores", folder / "val/scores", "--out", "alone", tool="crf")
    assert alone.returncode == 0, alone.stderr
    labels = {path.name: path.read_bytes() for path in (home / "alone").glob("0*.png")}
    assert len(labels) == 3
    assert {path.name: path.read_bytes() for path in (folder / "crf").glob("*.png")} == labels
    (found,) = folders.find([folder])
    assert (found.result.crf, found.crf.crf) == (False, True)
    assert (found.crf.experiment, found.crf.split, found.crf.images) == ("shapes_largefov", "val", 3)
    assert f"with CRF mean IOU {100 * found.crf.mean_iou:.2f}" in done.stdout


def test_a_scheduler_that_dies_is_a_failure(home):
    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", home / "scheduler.json")
    worker = start("worker", "--scheduler-file", home / "scheduler.json", "--nthreads", "1", "--resources", "slot=1")
    try:
        address = address_in(home / "scheduler.json")
        command = ["shapes_max2", "--max-iter", 5000, "--out", "orphaned", "--scheduler", address]
        process = subprocess.Popen(
            [sys.executable, str(REPO / "tools/sweep.py"), *map(str, command), "--snapshot-interval", "5"],
            cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for_training(home / "orphaned")
        scheduler.kill()
        output, errors = process.communicate(timeout=100)
    finally:
        for started in (scheduler, worker):
            started.kill()
            started.wait()
    assert "shapes_max2" in output
    one_line_error(
        subprocess.CompletedProcess(command, process.returncode, output, errors),
        "1 of 1 experiments failed; shapes_max2: cancelled, or the scheduler is gone",
    )


def start(kind, *arguments):
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def address_in(path):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return json.loads(path.read_text())["address"]
        except (OSError, ValueError):
            time.sleep(0.1)
    raise AssertionError(f"{path}: no scheduler has written it")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], "tcp://127.0.0.1:1: no Dask scheduler answers"),
        (["--scheduler", "nonsense"], "nonsense: no address of a Dask scheduler, expected tcp://HOST:PORT"),
        (["--scheduler", "tls://127.0.0.1:1"], "tls://127.0.0.1:1: no address of a Dask scheduler"),
        (["--queue", "sge"], "qsub: no such command, with which jobs of sge are submitted"),
        (["--slurm"], "sbatch: no such command, with which jobs of slurm are submitted"),
    ],
)
def test_where_no_workers_can_be_had(home, tmp_path, options, words):
    (tmp_path / "data").symlink_to(home / "data")
    environment = {"PATH": str(tmp_path), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    one_line_error(run(tmp_path, "shapes_max2", *options, **environment), words)


def test_slurm(home, tmp_path):
    """By two commands that stand for Slurm's: they run a job here, or refuse it."""
    (tmp_path / "scancel").write_text('#!/bin/sh\nkill -- -"$1"\n')
    (tmp_path / "scancel").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["shapes_max2", "--max-iter", 2, "--out", "slurm", "--slurm", "--memory", "2GB", "--partition", "night"]
    command += ["--walltime", "0:30:00", "--job-line=--mail-type=END"]
    sbatch = tmp_path / "sbatch"
    refuses = f'cp $1 {tmp_path}/job\necho "sbatch: error: invalid partition specified: night" >&2\nexit 1\n'
    sbatch.write_text(f"#!/bin/sh\n{refuses}")
    sbatch.chmod(0o755)
    refused = run(home, *command, "--gpu", **environment)
    assert "#SBATCH --gres=gpu:1" in (tmp_path / "job").read_text()
    one_line_error(refused, "slurm did not take the jobs: sbatch: error: invalid partition specified: night")
    sbatch.write_text(
        f"#!/bin/sh\ncp $1 {tmp_path}/job\nsetsid sh {tmp_path}/job >{tmp_path}/log 2>&1 &\n"
        "echo Submitted batch job $!\n"
    )
    done = run(home, *command, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].split()[:2] == ["shapes_max2", "done"]
    job = (tmp_path / "job").read_text()
    assert {"#SBATCH -p night", "#SBATCH -t 0:30:00", "#SBATCH --mail-type=END"} <= {*job.splitlines()}
    assert "gpu" not in job


def test_data_are_there_before_workers_are_started(tmp_path):
    """Else each experiment would fail on a worker, after it has waited in a queue."""
    said = "data/CamVid/list/train.txt: no such list"
    one_line_error(run(tmp_path, "camvid_max2", "--slurm", PATH=str(tmp_path)), said)  # not: sbatch, which is not there
    assert not (tmp_path / "runs").exists()


def test_a_row_that_fails_is_named_and_the_others_finish(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    (tmp_path / "runs/sweep/shapes_max2").mkdir(parents=True)
    (tmp_path / "runs/sweep/shapes_max2/val").touch()  # where a folder of predictions is to be
    done = run(tmp_path, "shapes_largefov", "shapes_max2", "--max-iter", "2")
    one_line_error(done, "1 of 2 experiments failed; shapes_max2: ", "shapes_max2/val")
    assert (tmp_path / "runs/sweep/shapes_largefov/evaluation.json").exists()
