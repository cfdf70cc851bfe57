"""tools/ablation.py: what has finished is kept, what is missing is asked of tools/sweep.py, and nothing else."""

import dataclasses
import importlib.util
from types import SimpleNamespace

import pytest

from attscale.ablation import kept
from attscale.ablation.studies import STUDIES
from attscale.training import runs
from conftest import REPO, one_line_error
from helpers.ablation_runs import evaluation_of


@pytest.fixture
def command(monkeypatch):
    """The tool as a module, and the sweeps that it would have run."""
    spec = importlib.util.spec_from_file_location("ablation_tool", REPO / "tools/ablation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked = []

    def record(words):
        asked.append(words[2:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=record))
    return module, asked


def finish(root, study, net, seed):
    """A run folder as a sweep leaves it."""
    folder = study.folder(root, net, seed)
    row = study.experiment(net)
    folder.mkdir(parents=True)
    runs.create(folder, runs.RunOptions.of(row, data="/d", seed=seed, max_iter=study.max_iter), [])
    (folder / runs.LOG).write_text('{"iteration": 20, "losses": {"loss": 1.0}, "seconds": 2.5}\n' * 2)
    (folder / runs.FINAL).touch()
    evaluation = dataclasses.replace(evaluation_of(study, net, 0.5), weights="/r/w")
    evaluation.write(folder)
    if net in study.crf:
        (folder / "crf").mkdir()
        evaluation.write(folder / "crf")


def test_what_has_finished_is_kept(command, tmp_path):
    module, asked = command
    study = STUDIES["shapes_trunk"]
    finish(tmp_path / "runs", study, "largefov", 1)
    module.main(["page", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")])
    assert asked == []
    one = kept.read(tmp_path / "results/shapes_trunk/seed1/largefov.json")
    assert (one.study, one.net, one.seed, one.iterations, one.images, one.crop_size, one.seconds) == (
        *("shapes_trunk", "largefov", 1, 15000, 1, 193, 5.0),
    )
    assert one.evaluation.weights is None  # no path of whoever measured it
    text = (tmp_path / "results.md").read_text()
    assert "| 1 of 5 |" in text


def test_only_what_is_missing_is_run(command, tmp_path):
    """Seed 0 has its trunk and two of 13 nets; the trunks of the other four come first; the CRF is for one net."""
    module, asked = command
    root, trunk, study = tmp_path / "runs", STUDIES["shapes_trunk"], STUDIES["shapes"]
    finish(root, trunk, "largefov", 0)
    for net in ("largefov", "attention3_esupv"):
        finish(root, study, net, 0)
    folder = str(tmp_path / "results")
    module.main(["run", folder, "--runs", str(root), "--study", "shapes", "--workers", "2"])
    names = [[word for word in words if word.startswith("shapes_")] for words in asked]
    seeds = [words[words.index("--seeds") + 1] for words in asked]
    assert (names[0], seeds[0]) == (["shapes_largefov"], "1,2,3,4")
    assert "--start" not in asked[0]
    assert seeds[1:] == ["0", "1,2,3,4", "1,2,3,4"]
    assert [len(one) for one in names[1:]] == [11, 12, 1]
    assert names[3] == ["shapes_attention3_esupv"]
    assert ["--crf" in words for words in asked] == [False, False, False, True]
    for words in asked[1:]:
        start = words[words.index("--start") + 1]
        assert start == f"{root}/shapes_trunk/seed{{seed}}/shapes_largefov/final.caffemodel"
        assert words[words.index("--max-iter") + 1] == "1500"


def test_a_sweep_that_fails_has_said_why(tool):
    """CamVid is not there."""
    done = tool("ablation", "run", "results", "--study", "camvid_trunk", "--workers", "2")
    one_line_error(done, "3 of 3 experiments failed; seed0/camvid_largefov_narrow", "CamVid")
