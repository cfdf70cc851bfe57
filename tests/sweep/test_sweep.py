"""Sweeps on two local Dask workers, one of them killed, against the same rows one after the other."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from distributed import Client, Scheduler, SpecCluster, Worker

from attscale import experiments
from attscale.errors import DataError, ExperimentError, RunError, UserError
from attscale.processes import threads_at_hand
from attscale.results import evaluations
from attscale.results.report import folders
from attscale.sweep import cluster, plan, step, watch
from attscale.training import runs
from attscale.weights import caffemodel
from conftest import REPO, one_line_error
from helpers.processes import has_ended, of_module

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


def run(folder, *arguments, tool="sweep", **environment):
    command = [sys.executable, str(REPO / "tools" / f"{tool}.py"), *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, env=environment)


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


def job_of(name, root, step="train", crf=False, **changes):
    """By the sweep's own plan, with data in /d unless changed."""
    names = [row.name for row in plan.rows_of([name])]
    job = plan.training_of(experiments.find(name), names, {"data": "/d"}, str(root), "/weights", crf=crf)
    return dataclasses.replace(job, step=step, run=dataclasses.replace(job.run, **changes))


def test_the_experiments_own_iterations_are_the_default():
    assert job_of("shapes_max2", "/r").run.max_iter == 5200


def test_rows_that_were_begun_with_other_options_are_refused(tmp_path):
    """How a run is computed matters until it is finished; what is computed always does."""
    begun = job_of("shapes_max2", tmp_path, max_iter=9)
    begun.folder.mkdir()
    (begun.folder / "run.json").touch()  # of a process that was killed over it
    step.check(begun)
    runs.create(begun.folder, begun.run, [])
    step.check(begun)
    for change, words in [
        ({"max_iter": 8}, "--max-iter 9, not 8"),
        ({"weights": "/w"}, r"weights none, not /w \(with or without --coco-stage or --start, say\)"),
        ({"gpus": (0,)}, "gpus none, not 0"),
        ({"threads": 2}, "--threads none, not 2"),
        ({"snapshot_interval": 7}, "--snapshot-interval 500, not 7"),
    ]:
        with pytest.raises(RunError, match=f"shapes_max2: was begun with {words}; "):
            step.train(job_of("shapes_max2", tmp_path, **{"max_iter": 9, **change}))
    (begun.folder / "final.caffemodel").touch()
    step.check(job_of("shapes_max2", tmp_path, max_iter=9, gpus=(0,), threads=2, snapshot_interval=7))
    with pytest.raises(RunError, match="--seed 0, not 1"):
        step.check(job_of("shapes_max2", tmp_path, max_iter=9, seed=1))
    (begun.folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"shapes_max2: no run \(it has no run\.json\)"):
        step.check(begun)


def test_rows_for_the_server_are_done_when_all_is_predicted(tmp_path):
    """VOC's test set has no ground truth here. Were it open, the row would want weights that are not there."""
    name = "voc12_coco_attention3_esupv_onestep_trainval_aug"
    data, root = tmp_path / "data/VOC2012", tmp_path / "runs/sweep"
    weights = str(tmp_path / "weights/vgg16_20M_coco.caffemodel")
    job = job_of(name, root, "evaluate", crf=True, data=str(data.parent), weights=weights)
    (data / "list").mkdir(parents=True)
    (data / "list/test.txt").write_text("/JPEGImages/a.jpg\n/JPEGImages/b.jpg\n")
    names = [data / "JPEGImages/a.jpg", data / "JPEGImages/b.jpg", job.folder / "test/a.png", job.folder / "crf/a.png"]
    for file in names:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    runs.create(job.folder, job.run, [])
    with pytest.raises(DataError, match=r"test/b\.png: no such prediction, one of 1 "):
        step.evaluate(job)
    without_crf = dataclasses.replace(job, crf=False)
    assert watch.status(without_crf) == ("started", "")
    (job.folder / "test/b.png").touch()
    with pytest.raises(DataError, match=r"crf/b\.png: no such prediction, one of 1 "):
        step.evaluate(job)
    assert watch.status(without_crf)[0] == "done"
    assert watch.status(job)[0] == "started"
    (job.folder / "crf/b.png").touch()
    step.evaluate(job)
    done = run(tmp_path, name, "--crf")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == [name, "done"]
    assert "2 images predicted, for VOC's server" in done.stdout
    assert evaluations.find([root]) == []  # nothing is taken for a score


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


@pytest.fixture
def client():
    """Of a worker in this process that was started without the resource."""
    options = {"dashboard": False, "dashboard_address": None}
    workers = {0: {"cls": Worker, "options": {"nthreads": 1, **options}}}
    with SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": options}) as made, Client(made) as client:
        yield client


def test_workers_without_the_resource_are_named_and_cancelled_is_no_success(client, tmp_path):
    tables = []
    future = client.submit(int, resources={plan.SLOT: 1})

    def show(lines):
        tables.append(lines)
        if len(lines) > 1:
            future.cancel()

    job = job_of("shapes_max2", tmp_path)
    errors = watch.watch(client, [job], {job.label: future}, show, interval=0.05, patience=0.5, settle=0)
    warned = next(table for table in tables if len(table) > 1)
    assert warned[0].split() == ["shapes_max2", "waiting"]
    assert warned[1] == "waiting for workers: none of 1 was started with --resources slot=1"
    assert errors["shapes_max2"].startswith("cancelled, or the scheduler is gone")


def test_a_row_without_its_result_is_a_failure(client, tmp_path):
    job = job_of("shapes_max2", tmp_path)
    futures = {job.label: client.submit(int)}
    errors = watch.watch(client, [job], futures, list, interval=0.05, settle=0.2)
    assert errors == {"shapes_max2": f"ended without a result in {tmp_path / 'shapes_max2'}"}


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
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/sh\necho "sbatch: error: invalid partition specified: night" >&2\nexit 1\n')
    sbatch.chmod(0o755)
    refused = run(home, *command, **environment)
    one_line_error(refused, "slurm did not take the jobs: sbatch: error: invalid partition specified: night")
    sbatch.write_text(
        f"#!/bin/sh\ncp $1 {tmp_path}/job\nsetsid sh {tmp_path}/job >{tmp_path}/log 2>&1 &\n"
        "echo Submitted batch job $!\n"
    )
    done = run(home, *command, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].split()[:2] == ["shapes_max2", "done"]
    job = (tmp_path / "job").read_text()
    assert "#SBATCH -p night" in job
    assert "gpu" not in job


def test_a_worker_has_its_share_of_the_cores():
    """Dask itself has each worker's environment say one thread, and so a training would have one."""
    with cluster.local(1, 3) as workers, Client(workers) as client:
        assert client.submit(threads_at_hand).result() == 3


def test_data_are_there_before_workers_are_started(tmp_path):
    """Else each experiment would fail on a worker, after it has waited in a queue."""
    said = "data/CamVid/list/train.txt: no such list"
    one_line_error(run(tmp_path, "camvid_max2", "--slurm", PATH=str(tmp_path)), said)  # not: sbatch, which is not there
    assert not (tmp_path / "runs").exists()


def test_a_run_with_a_wrong_option_can_be_begun_anew(tmp_path, mini):
    """It leaves no folder that would hold the next try to the wrong option."""
    wrong = job_of("shapes_max2", tmp_path, data=str(tmp_path / "typo"), max_iter=1)
    with pytest.raises(UserError):
        step.train(wrong)
    assert not wrong.folder.exists()


def test_a_row_that_fails_is_named_and_the_others_finish(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    (tmp_path / "runs/sweep/shapes_max2").mkdir(parents=True)
    (tmp_path / "runs/sweep/shapes_max2/val").touch()  # where a folder of predictions is to be
    done = run(tmp_path, "shapes_largefov", "shapes_max2", "--max-iter", "2")
    one_line_error(done, "1 of 2 experiments failed; shapes_max2: ", "shapes_max2/val")
    assert (tmp_path / "runs/sweep/shapes_largefov/evaluation.json").exists()


def test_rows_of_a_table():
    names = [row.name for row in plan.rows_of(["3"])]
    assert len(names) == 15  # baseline, MSc and what it starts from, and 2 scale sets x 3 merges x 2
    assert [row.name for row in plan.rows_of(["2"])] == ["voc10_part_attention3_esupv"]  # part by part
    assert names.index("voc12_largefov_pool5a") < names.index("voc12_msc_largefov")  # which starts from it
    assert [row.name for row in plan.rows_of(["shapes", "shapes"])] == ["shapes_attention3_esupv"]
    with pytest.raises(ExperimentError, match="no experiment stands for a cell of table 9"):
        plan.rows_of(["9"])
    with pytest.raises(ExperimentError, match="no experiment 'shaeps'"):
        plan.rows_of(["shaeps"])


def test_where_experiments_start_from(tmp_path):
    row = experiments.find("voc12_largefov")
    train = plan.training_of(row, [row.name], {"data": "/d"}, "/r", tmp_path)
    assert train.run.weights == str(tmp_path / "vgg16_20M.caffemodel")
    with pytest.raises(UserError, match=r"vgg16_20M\.caffemodel: no such file, from which voc12_largefov starts"):
        plan.steps_of(train, 1)
    (tmp_path / "vgg16_20M.caffemodel").touch()
    first, predictions, last = plan.steps_of(train, 3)
    assert first == [train]
    assert [(job.shard, job.shards) for job in predictions] == [(0, 3), (1, 3), (2, 3)]
    assert last == [dataclasses.replace(train, step="evaluate")]
    measured = dataclasses.replace(train, by_size=True)
    assert [jobs[0].step for jobs in plan.steps_of(measured, 1)] == ["train", "evaluate"]
    crf = dataclasses.replace(measured, crf=True)
    assert [jobs[0].step for jobs in plan.steps_of(crf, 1)] == ["train", "predict", "crf", "evaluate"]
    assert job_of("voc12_msc_largefov", "/r").run.weights == "/r/voc12_largefov_pool5a/final.caffemodel"


def test_a_sweep_runs_what_an_experiment_starts_from():
    """Typed from the release's script (training #2), and from tables 4 and 5, whose nets start from MS-COCO."""
    chains = {
        "voc12_attention3_esupv_trainval_aug": ["voc12_attention3_esupv", "voc12_attention3_esupv_trainval_aug"],
        "voc12_msc_largefov_trainval_aug": [
            *("voc12_largefov_pool5a", "voc12_msc_largefov", "voc12_msc_largefov_trainval_aug"),
        ],
        "voc12_coco_max3": ["voc12_coco_max3"],
    }
    for name, chain in chains.items():
        assert [row.name for row in plan.rows_of([name])] == chain
    released = "voc12_coco_attention3_esupv_zeroattention_plus"
    chain = ["coco_voc_attention3_esupv", released, f"{released}_trainval_aug"]
    rows = plan.rows_of([f"{released}_trainval_aug"], coco_stage=True)
    assert [row.name for row in rows] == chain
    jobs = [plan.training_of(row, chain, {"data": "/d"}, "/r", "/w") for row in rows]
    assert [job.after for job in jobs] == [None, *chain[:2]]
    assert jobs[0].run.weights == "/w/vgg16_20M.caffemodel"
    assert jobs[1].run.weights == "/r/coco_voc_attention3_esupv/final.caffemodel"
    with pytest.raises(
        UserError, match=r"coco\.caffemodel: no such file, .*--coco-stage trains coco_voc_largefov in its"
    ):
        plan.steps_of(job_of("voc12_coco_max3", "/r"), 1)


class Recorded:
    """Stands for Dask's client: remembers what was submitted after what."""

    def __init__(self):
        self.after = {}

    def submit(self, function, text, *after, key, **options):
        self.after[key] = after
        return key


def test_a_second_step_waits_for_the_first_experiments_training():
    names = ["voc12_largefov", "voc12_largefov_pool5a", "voc12_msc_largefov"]
    client = Recorded()
    plan.submit(client, [[[job_of(name, "/r")], [job_of(name, "/r", "evaluate")]] for name in names])
    assert client.after == {
        "train voc12_largefov": (),
        "evaluate voc12_largefov": ("train voc12_largefov",),
        "train voc12_largefov_pool5a": (),
        "evaluate voc12_largefov_pool5a": ("train voc12_largefov_pool5a",),
        "train voc12_msc_largefov": ("train voc12_largefov_pool5a",),
        "evaluate voc12_msc_largefov": ("train voc12_msc_largefov",),
    }


@pytest.mark.parametrize("kind", cluster.QUEUES)
def test_jobs_of_batch_systems(kind):
    """The job's script as dask-jobqueue writes it; it is not submitted, for there is no such system here."""
    wanted = {"cores": 3, "memory": "7GB", "walltime": "96:00:00", "name": "night", "lines": ["--gres=gpu:1"]}
    made = cluster.queue(kind, jobs=0, **wanted)
    try:
        script = made.job_script()
    finally:
        made.close()
    assert "night" in script
    assert "--resources slot=1" in script
    assert "96:00:00" in script
    mark = {"slurm": "#SBATCH", "pbs": "#PBS", "sge": "#$"}[kind]
    assert f"{mark} --gres=gpu:1" in script.splitlines()
    assert script.index("export OMP_NUM_THREADS=3\n") < script.index("--resources slot=1")
