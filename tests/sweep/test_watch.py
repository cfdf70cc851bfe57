"""How far a sweep is, by its files and by Dask's futures."""

import dataclasses

import pytest
from distributed import Client, Scheduler, SpecCluster, Worker

from attscale.errors import DataError
from attscale.results import evaluations
from attscale.sweep import plan, step, watch
from attscale.training import runs
from helpers.sweeps import job_of, run


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
