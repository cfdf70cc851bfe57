import shutil

import pytest

from attscale import experiments, prototxt
from attscale.prototxt import Model, artefacts
from attscale.weights import manifest
from conftest import REPO, one_line_error


def test_the_committed_files_are_as_generated():
    assert artefacts.check(experiments.EXPERIMENTS.values(), REPO / "prototxt") == []


# What is in the files that rows start from: vgg16_20M has VGG-16's convolutions, fc6 and fc7 (14.7, 4.7 and 1.0 million
# weights); the attention net's own start has its attention layers besides ("since it has been pretrained on coco").
VGG = {f"conv{stage}_{i}" for stage, depth in enumerate((2, 2, 3, 3, 3), start=1) for i in range(1, depth + 1)}
# torchvision's resnet34: a stem, and 3, 4, 6 and 3 blocks of two convolutions, a third where the channels change.
RESNET34 = {"conv1", *(f"layer{stage}_0_downsample" for stage in (2, 3, 4))} | {
    f"layer{stage}_{block}_conv{i}"
    for stage, blocks in enumerate((3, 4, 6, 3), start=1)
    for block in range(blocks)
    for i in (1, 2)
}
STARTS = {
    "vgg16_20M.caffemodel": VGG | {"fc6", "fc7"},
    "vgg16_20M_coco.caffemodel": VGG | {"fc6", "fc7"},
    "DeepLab_Attention_COCO_init.caffemodel": VGG | {"fc6", "fc7", "att_conv1", "att_fc"},
    "resnet34.caffemodel": RESNET34,
}


@pytest.mark.parametrize("row", experiments.EXPERIMENTS.values(), ids=lambda row: row.name)
def test_no_row_names_a_start_that_it_must_refuse(row):
    """Training refuses weights without any of the layers that cannot start by themselves."""
    needed = Model.of(row).needs_weights
    start = row.start
    headers = [artefact.text for artefact in artefacts.artefacts(row, "prototxt")]
    assert all((f"# starts from {start}\n" in text) == (start is not None) for text in headers)
    if start is None:
        assert needed == []
        return
    for base in filter(None, (row.initial_row, row.coco_stage)):
        layers = prototxt.train_net(experiments.find(base)).layer
        assert bare(needed) <= bare(layer.name for layer in layers if layer.type == "Convolution")
    if row.initial_weights:
        files = [name for entry in manifest.read(REPO / "weights/manifest.toml").values() for name in entry.results]
        assert row.initial_weights in files or manifest.advice(row.initial_weights)
        assert bare(needed) <= STARTS[row.initial_weights]


def bare(names):
    """A branch's copy shares the bare layer's weights."""
    return {name.split("_res")[0] for name in names}


def test_the_attention_layers_without_fillers_start_from_the_releases_own():
    row = experiments.find("voc12_coco_attention3_esupv_zeroattention")
    needed = Model.of(row).needs_weights
    assert {"att_conv1", "att_fc"} <= set(needed)
    assert row.initial_weights == "DeepLab_Attention_COCO_init.caffemodel"


def test_check_names_what_differs_is_missing_or_has_no_row(tmp_path):
    row = experiments.find("shapes")
    artefacts.write([row], tmp_path)
    folder = tmp_path / "shapes/attention3_esupv"
    train = folder / "train.prototxt"
    train.write_text("# only a comment more\n" + train.read_text())
    assert artefacts.check([row], tmp_path) == []
    train.write_text(train.read_text().replace("stride: 2", "stride: 1", 1))
    (folder / "deploy.prototxt").unlink()
    (folder / "solver.prototxt").write_text("base_lr: fast\n")
    for orphan in (tmp_path / "shapes/attention9", tmp_path / "shapes_attention3", tmp_path / "shapes/max3/old"):
        shutil.copytree(folder, orphan)
    expected = [
        "shapes/attention3_esupv/train.prototxt: differs from what its experiment says",
        "shapes/attention3_esupv/deploy.prototxt: no such file",
        "shapes/attention3_esupv/solver.prototxt: not readable: 1:10 : 'base_lr: fast'",
        "shapes/attention9: no experiment has its files here",
        "shapes/max3/old: no experiment has its files here",
        "shapes_attention3: no experiment has its files here",
    ]
    problems = [line.removeprefix(f"{tmp_path}/") for line in artefacts.check([row], tmp_path)]
    assert [line[: len(start)] for line, start in zip(problems, expected, strict=True)] == expected


def test_the_command(tool, tmp_path):
    assert tool("make_net", "voc", "shapes").returncode == 0
    for name in prototxt.FILES:
        text = (tmp_path / "prototxt/voc12/attention3_esupv" / name).read_text()
        assert text.startswith(
            "# voc12_attention3_esupv: voc12: attention over scales 1, 0.75, 0.5, extra supervision\n"
            "# Attention to Scale, table 3, attention, scales {1, 0.75, 0.5}, w/ E-Supv: 69.08 % mean IOU\n"
        )
    assert 'net: "prototxt/voc12/attention3_esupv/train.prototxt"' in text
    assert tool("make_net", "voc", "shapes", "--check").returncode == 0
    one_line_error(tool("make_net", "--check"), "345 differences", "make_net.py writes the files anew")
    one_line_error(tool("make_net", "vok"), "no experiment 'vok'", "voc")
    assert len(tool("make_net", "--list").stdout.splitlines()) == len(experiments.EXPERIMENTS)
