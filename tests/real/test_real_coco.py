"""MS-COCO: 80 real photographs with 815 instances, drawn as label maps in COCO's and in VOC's classes."""

import contextlib
import functools
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from attscale import datasets
from attscale.data.images import read_image
from attscale.prepare import coco
from conftest import REAL, real_files
from helpers.archives import prepared, zipped

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' annToMask

CROWD = 255
# VOC's classes under COCO's names, typed anew, with VOC's numbers
VOC = {
    **{"airplane": 1, "bicycle": 2, "bird": 3, "boat": 4, "bottle": 5, "bus": 6, "car": 7, "cat": 8, "chair": 9},
    **{"cow": 10, "dining table": 11, "dog": 12, "horse": 13, "motorcycle": 14, "person": 15, "potted plant": 16},
    **{"sheep": 17, "couch": 18, "train": 19, "tv": 20},
}
FILE = "coco/instances_val2017.json"
PHOTOGRAPHS = real_files("coco/val2017/*.jpg")


@functools.cache
def instances():
    """The file as pycocotools reads it."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(REAL / FILE))


def classes_of(kind):
    """Category id to class: COCO's in order of their ids from 1 on, or VOC's by name."""
    names = {number: category["name"] for number, category in sorted(instances().cats.items())}
    if kind == "coco":
        return {number: value for value, number in enumerate(names, start=1)}
    return {number: VOC[name] for number, name in names.items() if name in VOC}


def drawn(image, classes):
    """Crowds first, as 255, then instances by falling area, each over those before: annToMask's masks."""
    label = np.zeros((image["height"], image["width"]), int)
    own = [a for a in instances().imgToAnns[image["id"]] if a["category_id"] in classes]
    for crowd in (a for a in own if a["iscrowd"]):
        label[instances().annToMask(crowd) == 1] = CROWD
    for annotation in sorted((a for a in own if not a["iscrowd"]), key=lambda a: (-a["area"], a["id"])):
        label[instances().annToMask(annotation) == 1] = classes[annotation["category_id"]]
    return label


def image_of(path):
    return instances().imgs[int(path.stem)]


def test_what_the_file_holds(real):
    """As the folder's README counts it; crowds are uncompressed run lengths, all others polygons."""
    annotations = instances().anns.values()
    crowds = [a for a in annotations if a["iscrowd"]]
    assert (len(instances().imgs), len(annotations), len(crowds), len(instances().cats)) == (80, 815, 11, 80)
    assert all(isinstance(a["segmentation"]["counts"], list) for a in crowds)
    assert all(isinstance(a["segmentation"], list) for a in annotations if not a["iscrowd"])


def test_categories_in_order_of_their_ids_are_the_classes(real):
    """Ids run from 1 to 90 with gaps; class 1 is the first, 80 the last."""
    names = [category["name"] for _, category in sorted(instances().cats.items())]
    assert datasets.find("coco").classes == ("background", *names)
    assert (min(instances().cats), max(instances().cats)) == (1, 90)


def test_vocs_classes_have_their_categories(real):
    voc = datasets.find("voc12").classes
    assert {name: voc.index(other) for name, other in coco.TO_VOC.items()} == VOC
    assert set(VOC) < {category["name"] for category in instances().cats.values()}


@pytest.mark.parametrize("kind", ["coco", "voc"])
@pytest.mark.parametrize("path", PHOTOGRAPHS)
def test_an_image_is_drawn_as_pycocotools_draws_it(path, kind):
    image, classes = image_of(path), classes_of(kind)
    got = coco.draw(instances().imgToAnns[image["id"]], image["height"], image["width"], classes)
    assert got.dtype == np.uint8
    assert np.array_equal(got, drawn(image, classes))
    assert got.shape == read_image(path).shape[:2]


@pytest.mark.parametrize(("kind", "images"), [("coco", 11), ("voc", 9)])
def test_crowds_are_ignored(kind, images, real):
    """All eleven lie in images of their own; wine glasses and apples are of no class of VOC."""
    classes = classes_of(kind)
    with_crowds = 0
    for image in instances().imgs.values():
        got = coco.draw(instances().imgToAnns[image["id"]], image["height"], image["width"], classes)
        with_crowds += (got == CROWD).any()
    assert with_crowds == images


def test_archives_of_the_real_photographs(real, tmp_path, tool):
    """The file's halves as train2014 and val2014, whole: label maps in both sets of classes, and the lists."""
    content = json.loads((real / FILE).read_text())
    images = sorted(content["images"], key=lambda image: image["id"])
    halves = {"train2014": images[:50], "val2014": images[50:]}
    members = {}
    for half, part in halves.items():
        ids = {image["id"] for image in part}
        annotations = [a for a in content["annotations"] if a["image_id"] in ids]
        text = json.dumps({**content, "images": part, "annotations": annotations})
        members[f"annotations/instances_{half}.json"] = text.encode()
        photographs = [real / f"coco/val2017/{image['file_name']}" for image in part]
        zipped(tmp_path / f"{half}.zip", {f"{half}/{path.name}": path.read_bytes() for path in photographs})
    zipped(tmp_path / "annotations_trainval2014.zip", members)
    done = prepared(tool, "coco", "--any-count", "--full")
    assert "train10k 50, train 50" in done.stdout
    for half, part in halves.items():
        of_voc = []
        for image in part:
            stem = image["file_name"].removesuffix(".jpg")
            for folder, kind in (("SegmentationClass", "coco"), ("SegmentationVOC", "voc")):
                with Image.open(tmp_path / f"root/{folder}/{half}/{stem}.png") as made:
                    assert np.array_equal(np.array(made), drawn(image, classes_of(kind)))
            own = instances().imgToAnns[image["id"]]
            if any(a["category_id"] in classes_of("voc") and not a["iscrowd"] for a in own):
                of_voc.append(stem)
        name = half.removesuffix("2014")
        assert 0 < len(of_voc) < len(part)
        assert (tmp_path / f"root/list/{name}_voc.txt").read_text() == "".join(
            f"/{half}/{stem}.jpg /SegmentationVOC/{half}/{stem}.png\n" for stem in of_voc
        )
        assert (tmp_path / f"root/list/{name}.txt").read_text() == "".join(
            f"/{half}/{image['id']:012}.jpg /SegmentationClass/{half}/{image['id']:012}.png\n" for image in part
        )
    checked = tool("prepare_data", "coco", "--root", "root", "--verify")
    assert checked.returncode == 0, checked.stderr
    assert "root/list/train.txt: 50 pairs" in checked.stdout
