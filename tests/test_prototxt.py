import shutil

from attscale import experiments, prototxt
from conftest import REPO, one_line_error


def test_the_committed_files_are_as_generated():
    assert prototxt.check(experiments.EXPERIMENTS.values(), REPO / "prototxt") == []


def test_check_names_what_differs_is_missing_or_has_no_row(tmp_path):
    row = experiments.find("shapes")
    prototxt.write([row], tmp_path)
    folder = tmp_path / row.name
    assert prototxt.check([row], tmp_path) == []
    text = (folder / "train.prototxt").read_text()
    (folder / "train.prototxt").write_text("# only a comment more\n" + text)
    assert prototxt.check([row], tmp_path) == []
    (folder / "train.prototxt").write_text(text.replace("stride: 2", "stride: 1", 1))
    (folder / "deploy.prototxt").unlink()
    (folder / "solver.prototxt").write_text("base_lr: fast\n")
    shutil.copytree(folder, tmp_path / "shapes_attention9")
    problems = prototxt.check([row], tmp_path)
    assert len(problems) == 4
    for problem, part in zip(
        problems, ("train.prototxt: differs", "missing", "does not parse", "attention9: no"), strict=True
    ):
        assert part in problem


def test_the_command(tool, tmp_path):
    assert tool("make_net", "voc", "shapes").returncode == 0
    assert (
        (tmp_path / "prototxt/voc12_attention3_esupv/train.prototxt")
        .read_text()
        .startswith(
            "# voc12_attention3_esupv: voc12: attention over scales 1, 0.75, 0.5, extra supervision\n"
            "# Attention to Scale, table 3, attention, scales {1, 0.75, 0.5}, w/ E-Supv: 69.08 % mean IOU\n"
        )
    )
    assert tool("make_net", "voc", "shapes", "--check").returncode == 0
    one_line_error(tool("make_net", "--check"), "make_net.py writes the files anew")
    one_line_error(tool("make_net", "vok"), "no experiment 'vok'", "voc")
    listed = tool("make_net", "--list").stdout.splitlines()
    assert len(listed) == len(experiments.EXPERIMENTS)
