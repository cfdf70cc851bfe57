"""MS-COCO 2014 from miniature archives: its masks, its subset, and what is refused."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest
from pycocotools import mask as rle

from attscale import datasets
from attscale.data.images import read_label
from attscale.errors import DataError
from attscale.prepare import coco
from attscale.prepare.ledger import Ledger
from helpers.archives import H, W, files, jpeg, prepared, refused, zipped


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def inside(left, top, right, bottom):
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def annotation(number, image, category, segmentation, area, crowd=0):
    values = {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation}
    return {**values, "area": area, "iscrowd": crowd, "bbox": [0, 0, 1, 1]}


CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}]


def instances(half, ids, annotations):
    images = [{"id": i, "file_name": f"COCO_{half}_{i:012d}.jpg", "height": H, "width": W} for i in ids]
    return json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}).encode()


def coco_archives(folder, train=None):
    first = [
        annotation(1, 9, 1, box(2, 2, 12, 12), 100),  # person
        annotation(2, 9, 90, box(4, 4, 8, 8), 16),  # toothbrush in front of it, though listed later
        annotation(3, 9, 3, box(0, 0, 20, 6), 120),  # car, larger than the person and so behind it
    ]
    crowd = {"size": [H, W], "counts": [0, H * 10, H * (W - 10)]}  # the ten leftmost columns, run by run
    second = [annotation(4, 4, 1, crowd, 200, crowd=1), annotation(5, 4, 3, box(5, 5, 15, 15), 100)]
    zipped(
        folder / "annotations_trainval2014.zip",
        {
            "annotations/instances_train2014.json": train or instances("train2014", [4, 9, 25], first + second),
            "annotations/instances_val2014.json": instances("val2014", [7], []),
            "annotations/captions_val2014.json": b"{}",
        },
    )
    images = {f"train2014/COCO_train2014_{i:012d}.jpg": jpeg(i) for i in (4, 9, 25)}
    zipped(folder / "train2014.zip", images)
    zipped(folder / "val2014.zip", {"val2014/COCO_val2014_000000000007.jpg": jpeg(7)})


def test_coco(tmp_path, tool):
    coco_archives(tmp_path)
    done = prepared(tool, "coco", "--any-count", "--full")
    assert "train10k 3, train 3, train_voc 2, val1500 1, val 1, val_voc 0" in done.stdout
    root = tmp_path / "root"
    expected = np.zeros((H, W), np.uint8)
    expected[inside(0, 0, 20, 6)] = 3  # car is the third category of COCO
    expected[inside(2, 2, 12, 12)] = 1
    expected[inside(4, 4, 8, 8)] = 80
    assert np.array_equal(read_label(root / "SegmentationClass/train2014/COCO_train2014_000000000009.png"), expected)
    crowd = np.zeros((H, W), np.uint8)
    crowd[:, :10] = 255
    crowd[inside(5, 5, 15, 15)] = 3
    assert np.array_equal(read_label(root / "SegmentationClass/train2014/COCO_train2014_000000000004.png"), crowd)
    in_voc = np.zeros((H, W), np.uint8)  # 15 person, 7 car; VOC has no toothbrush, so the person is under it
    in_voc[inside(0, 0, 20, 6)] = 7
    in_voc[inside(2, 2, 12, 12)] = 15
    assert np.array_equal(read_label(root / "SegmentationVOC/train2014/COCO_train2014_000000000009.png"), in_voc)
    assert (root / "list/val1500.txt").read_text() == (
        "/val2014/COCO_val2014_000000000007.jpg /SegmentationClass/val2014/COCO_val2014_000000000007.png\n"
    )
    record = json.loads((root / "list/subset.json").read_text())
    text = (root / "list/train10k.txt").read_bytes()
    assert record["lists"]["train10k"] == {"images": 3, "sha256": hashlib.sha256(text).hexdigest()}


def test_coco_whole_then_its_subset_then_whole_again(tmp_path, tool):
    """What was made of the same archives for another choice of images stays, and so do its lists."""
    coco_archives(tmp_path)
    prepared(tool, "coco", "--any-count", "--full")
    path = tmp_path / "root/SegmentationVOC/train2014/COCO_train2014_000000000009.png"
    before = path.stat().st_mtime_ns
    prepared(tool, "coco", "--any-count")
    assert (tmp_path / "root/list/train_voc.txt").exists()
    prepared(tool, "coco", "--any-count", "--full")
    assert path.stat().st_mtime_ns == before


def test_the_subset_is_drawn_by_a_rule_that_anyone_can_follow():
    """`printf 0:4 | sha256sum` begins with 48, of 0:3 with 76, 0:2 with 93, 0:0 with ac, 0:1 with ef."""
    assert coco.choose([74, 9, 1000, 25], 3) == [9, 25, 74]  # the authors': the lowest
    assert [coco.choose(range(5), count, 0) for count in (1, 2, 3, 4)] == [[4], [3, 4], [2, 3, 4], [0, 2, 3, 4]]
    assert coco.choose(range(1000), 100, 0) != coco.choose(range(1000), 100, 1)


def test_run_lengths_compressed_or_not(tmp_path):
    mask = np.random.default_rng(0).random((H, W)) < 0.5
    compressed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    drawn = coco.draw([annotation(1, 1, 1, compressed, 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(mask, 4, 0))
    flat = mask.ravel(order="F")  # runs go down the columns and begin with zeros
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    drawn = coco.draw([annotation(1, 1, 1, {"size": [H, W], "counts": counts}, 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(mask, 4, 0))


def test_polygons_of_fewer_than_three_points_cover_nothing():
    """As the codebases that read COCO have it; a pair of numbers first would make pycocotools give up."""
    drawn = coco.draw([annotation(1, 1, 1, [[1, 2], [1, 1, 9, 9], *box(2, 2, 12, 12)], 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(inside(2, 2, 12, 12), 4, 0))


def test_every_voc_class_has_its_coco_class():
    assert sorted(coco.TO_VOC.values()) == sorted(datasets.find("voc12").classes[1:])
    assert set(coco.TO_VOC) < set(datasets.find("coco").classes)


def train_with(*segmentations):
    """An instances file of one image that holds a person for each of these."""
    return instances("train2014", [4], [annotation(i, 4, 1, form, 1) for i, form in enumerate(segmentations)])


NAME = b"COCO_train2014_000000000004.jpg"


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (b'{"images": [', "instances_train2014.json: not readable: Expecting value"),
        (b'{"images": []}', "instances_train2014.json: not readable: there is no 'categories'"),
        (
            train_with(box(0, 0, 1, 1)).replace(b'"person"', b'"dragon"'),
            "instances_train2014.json: not readable: there is no 'dragon'",
        ),
        (train_with({"size": [3, 3], "counts": [0, 9]}), "image 4: not readable: run lengths that do not cover 30x20"),
        (train_with([[1, 2]]), "instances_train2014.json: image 4: not readable: list index"),
        (
            train_with().replace(b'"height": 20', b'"height": "a"'),
            "instances_train2014.json: not readable: 'str' object",
        ),
        (train_with().replace(b'"height": 20', b'"height": 1000000'), "not readable: image 4 has 30x1000000 pixels"),
        (train_with().replace(NAME, b"../../" + NAME), "not readable: image 4 has the name '../../COCO_train2014_0"),
        (instances("train2014", [4, 4], []), "not readable: image 4 is there twice"),
        (instances("train2014", [4, 9], []).replace(NAME[-7:], b"0009.jpg"[-7:]), "two images have the same name"),
    ],
)
def test_damaged_instances(train, said, tmp_path):
    coco_archives(tmp_path, train)
    with pytest.raises(DataError) as refusal:
        coco.prepare(Ledger(tmp_path / "root"), tmp_path)
    assert said in str(refusal.value)
    assert not (tmp_path / "root/list/train10k.txt").exists()


FAR = 10**9
SOUND = np.asarray(inside(2, 2, 12, 12), np.uint8, order="F")


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [H, W], "counts": []},
        {"size": [H, W], "counts": [0, 9]},
        {"size": [H, W], "counts": [0, H * W + 1]},
        {"size": [H, W], "counts": [0, H * W - 0.5, 0.5]},
        {"size": [H, W], "counts": [-9, H * W + 9]},
        {"size": [W, H], "counts": [0, H * W]},
        {"size": [H, W], "counts": ""},
        {"size": [H, W], "counts": rle.encode(SOUND)["counts"][:-1]},
        {"size": [H, W], "counts": "~"},
        {"size": [H, W], "counts": 99 * "o"},
        [[0, 0, FAR, 0, FAR, FAR]],
        [[0, 0, -FAR, 0, -FAR, FAR]],
        [[0, 0, np.nan, 0, 5, 5]],
        [[0, 0, np.inf, 0, 5, 5]],
        [[0, 0, 5, 0, 5, 5, 7]],
        [["0", "0", "5", "0", "5", "5"]],
        [[0, 0, 10**400, 0, 5, 5]],
    ],
)
def test_segmentations_that_pycocotools_would_draw_from_foreign_memory(segmentation):
    """Or end with a SIGSEGV, or take for others."""
    with pytest.raises(ValueError, match=r"run lengths|polygon"):
        coco.draw([annotation(1, 1, 1, segmentation, 1)], H, W, {1: 4})


def test_polygons_that_go_somewhat_beyond_the_image_are_cut_off():
    """As real ones do, by fractions of a pixel."""
    drawn = coco.draw([annotation(1, 1, 1, box(-3, -0.5, W + 5.5, 4), 1)], H, W, {1: 4})
    assert np.array_equal(drawn, np.where(inside(0, 0, W, 4), 4, 0))


def test_damaged_coco(tmp_path, tool):
    coco_archives(tmp_path)
    path = tmp_path / "annotations_trainval2014.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    zipped(path, members, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    start = 30 + len("annotations/instances_train2014.json")  # a local header has 30 bytes, then the name
    data[start : start + 40] = 40 * b"\xff"  # the first block would be of type 3, which deflate has not
    path.write_bytes(data)
    refused(tool, "coco", f"{path.name}: annotations/instances_train2014.json: not readable: Error -3")
    coco_archives(tmp_path)
    zipped(tmp_path / "train2014.zip", {"train2014/COCO_train2014_000000000004.jpg": jpeg(4)})
    refused(tool, "coco", "train2014.zip: lacks train2014/COCO_train2014_000000000009.jpg and 1 more")
    coco_archives(tmp_path)
    shutil.rmtree(tmp_path / "root")
    refused(tool, "coco", "list train10k would have 3 members, expected 10000", arguments=())
    assert files(tmp_path / "root") == []  # before anything is drawn or unpacked
