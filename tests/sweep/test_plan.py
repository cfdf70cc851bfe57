"""Which jobs a sweep has, what each waits for, and what an earlier try has left of them."""

import dataclasses

import pytest

from attscale import experiments
from attscale.errors import ExperimentError, RunError, UserError
from attscale.sweep import plan, step
from attscale.training import runs
from helpers.sweeps import job_of


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


def test_a_run_with_a_wrong_option_can_be_begun_anew(tmp_path, mini):
    """It leaves no folder that would hold the next try to the wrong option."""
    wrong = job_of("shapes_max2", tmp_path, data=str(tmp_path / "typo"), max_iter=1)
    with pytest.raises(UserError):
        step.train(wrong)
    assert not wrong.folder.exists()


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
