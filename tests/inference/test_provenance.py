"""What weights and folders were made of: nothing is taken for something else, or scored on what it has seen."""

import cv2
import numpy as np
import pytest

from attscale import experiments
from attscale.errors import UserError
from attscale.inference import provenance, scores
from attscale.weights import caffemodel
from conftest import one_line_error
from helpers.predictions import clip, picture, run


def test_weights_of_another_experiment(untrained, tool):
    said = "shapes_max3_esupv.caffemodel: holds weights of shapes_max3_esupv, not of shapes_attention3_esupv"
    one_line_error(run(tool, untrained, "--out", "o", weights="shapes_max3_esupv"), said)
    weights = untrained / "shapes.caffemodel"
    for name, command in (("shapes_largefov", "evaluate"), ("shapes_average3_esupv", "visualize")):
        done = tool(command, name, "--weights", weights, "--data", untrained / "data")
        one_line_error(done, f"holds weights of shapes_attention3_esupv, not of {name}")
    assert run(tool, untrained, "--out", "o").returncode == 0
    done = tool("evaluate", "shapes_average3_esupv", "--predictions", "o", "--data", untrained / "data")
    one_line_error(done, "o: holds predictions of shapes_attention3_esupv, not of shapes_average3_esupv")


def test_what_was_made_of_something_else_is_refused(untrained, tool, tmp_path):
    """An image of the same name, another video, other scores and other parameters are not taken for the old ones."""
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), picture(20, 30, seed))
    assert "o: 1 predicted" in run(tool, untrained, "a", "--out", "o", "--scores").stdout
    assert "o: 0 predicted" in run(tool, untrained, "a", "--out", "o", "--scores").stdout
    one_line_error(run(tool, untrained, "b", "--out", "o"), "o: its x was made of something else than b/x.png")
    crf = ("crf", "shapes", "a/x.png", "--scores", "o/scores")
    assert "o/crf: 1 images" in tool(*crf).stdout
    assert "o/crf: 0 images" in tool(*crf).stdout
    one_line_error(tool(*crf, "--bi-w", "0"), "o/crf: holds crf with bi_w 4, not 0.0; choose another --out")
    scores.write(tmp_path / "o/scores/x.npz", np.zeros((5, 20, 30)))
    one_line_error(tool(*crf), "o/crf: its x was made of something else than o/scores/x.npz")
    for name, seed in (("v", 0), ("w", 7)):
        clip(tmp_path / f"{name}.mp4", 2, seed)
    assert "f: 2 predicted" in run(tool, untrained, "--video", "v.mp4", "--out", "f").stdout
    assert "f: 0 predicted" in run(tool, untrained, "--video", "v.mp4", "--out", "f").stdout
    said = "f: its frame_000001 was made of something else than w.mp4, frame_000001; choose another --out"
    one_line_error(run(tool, untrained, "--video", "w.mp4", "--out", "f"), said)


def test_a_failed_start_leaves_the_folder_open(untrained, tool, tmp_path):
    (tmp_path / "cut.caffemodel").write_bytes((untrained / "shapes.caffemodel").read_bytes()[:5000])
    failed = tool("predict", "shapes", "--weights", "cut.caffemodel", "--data", untrained / "data", "--out", "o")
    one_line_error(failed, "cut.caffemodel: not a caffemodel, or cut short")
    assert "o: 3 predicted" in run(tool, untrained, "--out", "o").stdout
    (tmp_path / "o/predictions.json").write_text("{")
    one_line_error(run(tool, untrained, "--out", "o"), "o/predictions.json: not readable: ")


def test_the_rows_list_decides_what_was_seen(tmp_path, monkeypatch):
    """A row trained on trainval_aug, alone or by the name in its weights; without its list nothing can be told."""
    root = tmp_path / "VOC2012"
    (root / "list").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for name in "ab":
        (root / f"JPEGImages/{name}.jpg").write_bytes(b"x")
        (root / f"JPEGImages/{name}.png").write_bytes(b"x")
    line = "/JPEGImages/{0}.jpg /JPEGImages/{0}.png\n".format
    (root / "list/val.txt").write_text(line("a"))
    (root / "list/train_aug.txt").write_text(line("b"))
    row = experiments.find("voc")
    seen = experiments.find("voc12_attention3_esupv_trainval_aug")
    layer = caffemodel.Layer("x", "Convolution", (np.ones(1, np.float32),))
    for name in (row.name, seen.name):
        caffemodel.write(tmp_path / name, [layer], name=name)
    ours, others = (caffemodel.read(tmp_path / one.name) for one in (row, seen))
    provenance.refuse_seen(row, tmp_path, "val", weights=ours)
    with pytest.raises(UserError, match=r"has seen val cannot be told: .*trainval_aug\.txt"):
        provenance.refuse_seen(seen, tmp_path, "val", weights=ours)
    (root / "list/trainval_aug.txt").write_text(line("a") + line("b"))
    for named, weights in ((seen, ours), (row, others)):
        with pytest.raises(UserError, match=r"trained on list/trainval_aug\.txt, which has 1 of the images of val"):
            provenance.refuse_seen(named, tmp_path, "val", weights=weights)
