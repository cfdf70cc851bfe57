"""tools/ablation.py: what has finished is kept, what is missing is asked of tools/sweep.py, and nothing else."""

import dataclasses
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from attscale.ablation import kept, missing
from attscale.ablation.studies import STUDIES
from attscale.errors import UserError
from attscale.training import runs
from conftest import REPO, one_line_error
from helpers.ablation_runs import evaluation_of


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the tool on `results`, with `runs` and the list of `shapes`; returns what it would have had swept."""
    spec = importlib.util.spec_from_file_location("ablation_tool", REPO / "tools/ablation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make_list(tmp_path, "shapes")
    asked = []

    def record(words, env):
        asked.append(words[2:])
        assert env["OPENBLAS_CORETYPE"] == "Haswell" or "avx2" not in Path("/proc/cpuinfo").read_text()
        return SimpleNamespace(returncode=0)

    def call(what, *options):
        monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=record))
        options = [*options, *(["--data", tmp_path / "data"] if what == "run" else [])]
        with pytest.raises(SystemExit) as ended:
            module.main([what, str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), *map(str, options)])
        assert not ended.value.code
        return asked

    return call


def make_list(folder, dataset):
    root = folder / "data" / {"shapes": "shapes", "camvid": "CamVid"}[dataset]
    (root / "list").mkdir(parents=True)
    for name in (names := [f"{number}.{kind}" for number in range(5) for kind in ("jpg", "png")]):
        (root / name).touch()
    lines = "".join(f"/{image} /{label}\n" for image, label in zip(names[::2], names[1::2], strict=True))
    for split in ("train", "val"):
        (root / f"list/{split}.txt").write_text(lines)


def finish(root, study, net, seed, *, seen=True, **changes):
    """A run folder as a sweep leaves it."""
    folder, row = study.folder(root, net, seed), study.experiment(net)
    folder.mkdir(parents=True)
    weights = None
    if study.start:
        weights = str(STUDIES[study.start[0]].folder(root, study.start[1], seed) / runs.FINAL)
    asked = {"data": "/d", "seed": seed, "max_iter": study.max_iter, "weights": weights} | changes
    runs.create(folder, runs.RunOptions.of(row, **asked), [])
    (folder / runs.LOG).write_text('{"iteration": 20, "losses": {"loss": 1.0}, "seconds": 2.5}\n' * 2)
    (folder / runs.FINAL).write_bytes(b"abc")
    evaluation = dataclasses.replace(evaluation_of(study, net, 0.5), weights="/r/w")
    evaluation.write(folder)
    if net == study.shown:
        (folder / "crf").mkdir()
        evaluation.write(folder / "crf")
    if study.seen and seen:
        (folder / kept.SEEN).mkdir()
        dataclasses.replace(evaluation, split="train").write(folder / kept.SEEN)


def test_what_has_finished_is_kept(run, tmp_path):
    trunk, study = STUDIES["shapes_trunk"], STUDIES["shapes"]
    finish(tmp_path / "runs", trunk, "largefov", 1)
    finish(tmp_path / "runs", study, "max3", 1)
    assert run("page") == []
    one = kept.read(tmp_path / "results/shapes_trunk/seed1/largefov.json", trunk, "largefov", 1)
    assert (one.study, one.net, one.seed, one.iterations, one.images, one.seconds, one.start) == (
        *("shapes_trunk", "largefov", 1, 15000, 1, 5.0, None),
    )
    assert one.evaluation.weights is None  # no path of whoever measured it
    started = kept.read(tmp_path / "results/shapes/seed1/max3.json", study, "max3", 1)
    assert started.start == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2: of "abc"
    assert "| 1 of 5 |" in (tmp_path / "results.md").read_text()


def test_a_run_of_other_options_is_refused(tmp_path):
    study = STUDIES["shapes_trunk"]
    finish(tmp_path, study, "largefov", 0, max_iter=20)
    with pytest.raises(UserError, match="seed0/shapes_largefov: iterations is 20, expected 15000"):
        list(missing.keep(tmp_path / "results", tmp_path))


def test_only_what_is_missing_is_run(run, tmp_path):
    """Seed 0 has its trunk and two of 13 nets; the trunks of the other four come first; the CRF is for one net."""
    root, study = tmp_path / "runs", STUDIES["shapes"]
    finish(root, STUDIES["shapes_trunk"], "largefov", 0)
    for net in ("largefov", "attention3_esupv"):
        finish(root, study, net, 0)
    *asked, pictured = run("run", "--study", "shapes", "--workers", "2")
    names = [[word for word in words if word.startswith("shapes_")] for words in asked]
    seeds = [words[words.index("--seeds") + 1] for words in asked]
    assert (names[0], seeds[0]) == (["shapes_largefov"], "1,2,3,4")
    assert "--start" not in asked[0]
    assert pictured[0] == "shapes_attention3_esupv"
    assert seeds[1:] == ["0", "1,2,3,4", "1,2,3,4"]
    assert [len(one) for one in names[1:]] == [11, 12, 1]
    assert names[3] == ["shapes_attention3_esupv"]
    assert ["--crf" in words for words in asked] == [False, False, False, True]
    for words in asked[1:]:
        start = words[words.index("--start") + 1]
        assert start == f"{root}/shapes_trunk/seed{{seed}}/shapes_largefov/final.caffemodel"
        assert words[words.index("--max-iter") + 1] == "1500"


def test_scores_on_the_images_that_were_trained_on(run, tmp_path):
    """Of CamVid's nets alone; a net without them is not kept yet."""
    study, root = STUDIES["camvid"], tmp_path / "runs"
    finish(root, STUDIES["camvid_trunk"], "largefov_narrow", 0)
    finish(root, study, "max3_esupv_narrow", 0)
    finish(root, study, "average3_esupv_narrow", 0, seen=False)
    asked = list(missing.unseen(study, root, "d"))
    weights = root / "camvid/seed0/camvid_average3_esupv_narrow/final.caffemodel"
    what = ["--split", "train", "--although-seen", "--data", "d", "--branches"]
    out = weights.with_name("train")
    assert asked == [["camvid_average3_esupv_narrow", "--weights", str(weights), *what, "--out", str(out)]]
    assert list(missing.unseen(STUDIES["shapes"], root, "d")) == []
    run("page")
    kept_ones = sorted(path.name for path in (tmp_path / "results/camvid/seed0").iterdir())
    assert kept_ones == ["max3_esupv_narrow.json"]
    one = kept.read(tmp_path / "results/camvid/seed0/max3_esupv_narrow.json", study, "max3_esupv_narrow", 0)
    assert (one.seen.split, one.seen.weights) == ("train", None)
    assert "The same on the images that the nets have trained on" in (tmp_path / "results.md").read_text()


def test_one_cell_alone(run):
    """With the trunk of its seed."""
    asked = run("run", "--study", "shapes", "--net", "max3", "--seed", "2")
    names = [[word for word in words if word.startswith("shapes_")] for words in asked]
    assert names == [["shapes_largefov"], ["shapes_max3"]]
    assert [words[words.index("--seeds") + 1] for words in asked] == ["2", "2"]


def test_a_data_set_that_is_not_there_is_said_first(tool):
    done = tool("ablation", "run", "results", "--study", "camvid_trunk")
    one_line_error(done, "data/CamVid/list/val.txt: no such list; python tools/prepare_data.py camvid makes it")


def test_a_net_of_another_study(tool, tmp_path):
    make_list(tmp_path, "shapes")
    done = tool("ablation", "run", "results", "--study", "shapes_design", "--net", "max3")
    one_line_error(done, "--net max3: expected one of --study's: attention4_esupv, ")


def test_a_sweep_that_fails_has_said_why(tool, tmp_path):
    """The data set has its lists, and files without a word; the page is written all the same."""
    make_list(tmp_path, "camvid")
    done = tool("ablation", "run", "results", "--study", "camvid_trunk", "--workers", "2")
    failed = "3 of 3 experiments failed; seed0/camvid_largefov_narrow"
    one_line_error(done, failed, "CamVid/list/train.txt: 5 of 5 pairs are faulty")
    assert (tmp_path / "results.md").exists()


def test_the_sheet_of_weight_maps(tmp_path):
    """Once, of the first seed, of images all over val; beside the baseline where that has been trained."""
    root, study, data = tmp_path / "runs", STUDIES["shapes"], tmp_path / "data"
    make_list(tmp_path, "shapes")
    assert missing.sheet(study, tmp_path, root, data) is None
    finish(root, study, "attention3_esupv", 0)
    words = missing.sheet(study, tmp_path, root, data)
    weights = f"{root}/shapes/seed0/shapes_attention3_esupv/final.caffemodel"
    images = [f"{data}/shapes/{number}.jpg" for number in (0, 2, 4)]
    asked = ["shapes_attention3_esupv", "--weights", weights, *images, "--data", str(data)]
    assert words == [*asked, "--out", f"{tmp_path}/shapes_maps.png"]
    finish(root, study, "largefov", 0)
    words = missing.sheet(study, tmp_path, root, data)
    assert words[words.index("--baseline") + 1] == f"{root}/shapes/seed0/shapes_largefov/final.caffemodel"
    (tmp_path / "shapes_maps.png").touch()
    assert missing.sheet(study, tmp_path, root, data) is None


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if study.dataset == "camvid" and study.shown])
def test_no_photograph_is_in_a_sheet(tmp_path, name):
    make_list(tmp_path, "camvid")
    finish(tmp_path / "runs", STUDIES[name], "attention3_esupv_narrow", 0)
    assert "--without-image" in missing.sheet(STUDIES[name], tmp_path, tmp_path / "runs", tmp_path / "data")
