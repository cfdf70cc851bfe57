"""ADE20K by the commands, from the challenge's archive to a sheet, with narrow nets of Attention to Refine.

On two real photographs, and on miniatures of the archive's form: images smaller than a crop, narrower than a bin of
the pyramid is high, and wider than the nets are at a test.
"""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale.data.images import read_label
from attscale.results import evaluations
from attscale.training import journal
from helpers.archives import jpeg, label, saved, zipped

TOP = "ADEChallengeData2016"
NET, ON_VGG = "ade20k_resnet34_psp_refine2_esupv_narrow", "ade20k_refine2_esupv_narrow"


def miniatures(request):
    """{split: {name: (JPEG, PNG, the annotation)}}"""
    sizes = {"training": [(20, 30), (300, 40)], "validation": [(9, 33), (40, 700)]}
    values = [(0, 1, 150), (3, 7)]
    result = {}
    for split, shapes in sizes.items():
        result[split] = {}
        for number, (size, own) in enumerate(zip(shapes, values, strict=True), start=1):
            annotation = label(*own, size=size)
            files = jpeg(number, size), saved(Image.fromarray(annotation)), annotation
            result[split][f"ADE_{split[:5]}_{number:08d}"] = files
    return result


def photographs(request):
    """The larger of the two for the validation: 683 pixels wide."""
    folder = request.getfixturevalue("real") / "ade20k"
    result = {}
    for split, name in (("training", "ADE_val_00000002"), ("validation", "ADE_val_00000001")):
        image, path = folder / f"images/{name}.jpg", folder / f"annotations/{name}.png"
        result[split] = {name: (image.read_bytes(), path.read_bytes(), np.array(Image.open(path)))}
    return result


@pytest.mark.parametrize("source", [miniatures, pytest.param(photographs, marks=pytest.mark.slow)])
def test_from_the_archive_to_a_sheet(source, request, tool, tmp_path):
    splits = source(request)
    members = {f"{TOP}/objectInfo150.txt": b"Idx"}
    for split, pairs in splits.items():
        for name, (image, annotation, _) in pairs.items():
            members[f"{TOP}/images/{split}/{name}.jpg"] = image
            members[f"{TOP}/annotations/{split}/{name}.png"] = annotation
    zipped(tmp_path / f"{TOP}.zip", members)

    def done(name, *arguments):
        process = tool(name, *arguments)
        assert process.returncode == 0, process.stderr
        return process.stdout

    count = len(splits["training"])
    assert f"train {count}, val {count}" in done("prepare_data", "ade20k", "--archives", ".", "--any-count")
    done("train", NET, "--max-iter", 2, "--batch-size", 2, "--out", "run")
    (record,) = journal.read(tmp_path / "run")
    assert sorted(record["losses"]) == ["loss", "loss_fusion", "loss_res05"]
    assert all(0 < loss < 2 * np.log(150) for loss in record["losses"].values())
    weights = ("--weights", "run/final.caffemodel")

    done("predict", NET, *weights, "--split", "val", "--out", "predicted", "--weight-maps")
    truths = {name: annotation for name, (_, _, annotation) in splits["validation"].items()}
    for name, annotation in truths.items():
        predicted = read_label(tmp_path / f"predicted/{name}.png")
        assert predicted.shape == annotation.shape
        assert predicted.max() < 150
        with np.load(tmp_path / f"predicted/weight_maps/{name}.npz") as maps:
            (values,) = maps.values()
            assert values.shape == (2, *annotation.shape)

    said = done("evaluate", NET, *weights)
    one = evaluations.read(tmp_path / "run/evaluation.json")
    done("evaluate", NET, "--predictions", "predicted", "--out", "again")
    assert evaluations.read(tmp_path / "again/evaluation.json").matrix == one.matrix
    counts = np.bincount(np.concatenate([one.ravel() for one in truths.values()]), minlength=151)
    assert np.sum(one.matrix, axis=1).tolist() == counts[1:].tolist()  # 0 is of no class
    assert sum(one.attention) == pytest.approx(1, abs=1e-4)
    for (own, others), pixels in zip(one.recalibration.values(), counts[1:], strict=True):
        assert (own is None) == (pixels == 0)
        assert 0 < others < 1
        assert own is None or 0 < own < 1
    assert said.startswith("class                IOU, %   recalibration on its pixels, elsewhere\nwall ")

    image = next(iter(splits["training"]))
    baseline = "data/ADE20K/images/training"
    assert done("visualize", NET, *weights, f"{baseline}/{image}.jpg", "--out", "other.png") == "other.png\n"
    assert done("visualize", NET, *weights, "--count", 1) == "attention.png\n"
    assert cv2.imread(str(tmp_path / "attention.png")).shape[1] > 2.2 * 110 * 5  # inches for each of six columns
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["images"] == len(truths)

    done("train", ON_VGG, "--max-iter", 1, "--out", "vgg")
    done("evaluate", ON_VGG, "--weights", "vgg/final.caffemodel")
    assert evaluations.read(tmp_path / "vgg/evaluation.json").experiment == ON_VGG
