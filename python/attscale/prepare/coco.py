"""MS-COCO 2014: instances to label maps, the paper's subsets, and the whole set in VOC's classes for pretraining."""

import contextlib
import functools
import hashlib
import json
import operator
from pathlib import Path

import numpy as np
from pycocotools import mask as rle
from tqdm import tqdm

from attscale import datasets
from attscale.data.images import write_label
from attscale.data.lists import list_text
from attscale.datasets import IGNORE
from attscale.errors import DataError
from attscale.files import write_bytes, write_text
from attscale.prepare import archives, splits
from attscale.prepare.archives import Source
from attscale.prepare.ledger import Ledger
from attscale.prepare.splits import Split

_PAGE = "https://cocodataset.org/#download"
SOURCES = (
    Source("annotations_trainval2014.zip", _PAGE, "annotation"),
    Source("train2014.zip", _PAGE, "training images"),
    Source("val2014.zip", _PAGE, "validation images"),
)
COUNTS = datasets.find("coco").sizes
SEED = 0
_COCO, _VOC = (datasets.find(name).classes for name in ("coco", "voc12"))
#: VOC's class of COCO's, for pretraining in VOC's classes; all others are background there.
TO_VOC = {
    **{name: name for name in _VOC[1:] if name in _COCO},
    **{"airplane": "aeroplane", "motorcycle": "motorbike", "dining table": "diningtable"},
    **{"potted plant": "pottedplant", "couch": "sofa", "tv": "tvmonitor"},
}


def prepare(root, folder, *, any_count=False, full=False, seed=SEED):
    """Makes the subsets of 10,000 and 1500 images in `root`, less the lists, which are returned as Splits.

    `full` takes all images of train2014 and val2014 as well, labelled in COCO's and in VOC's classes. Raises
    DataError for archives that are missing or damaged; running again goes on.
    """
    root = Path(root)
    annotations, *images = archives.locate(SOURCES, folder)
    ledger = Ledger(root, [*COUNTS, "train", "val", "train_voc", "val_voc"])
    result, record = [], {"seed": seed, "rule": choose.__doc__.split("\n")[0], "lists": {}}
    for half, archive, (name, count) in zip(("train2014", "val2014"), images, COUNTS.items(), strict=True):
        index = _Index.read(annotations, f"annotations/instances_{half}.json")
        chosen = choose(index.files, count, seed)
        splits.check_count(name, len(chosen), count, any_count)
        wanted = {name: chosen}
        if full:
            wanted[half.removesuffix("2014")] = sorted(index.files)
        ids = sorted({image for members in wanted.values() for image in members})
        _label(ledger, annotations, root, half, index, ids, full)
        _extract(ledger, archive, root, half, [index.files[image] for image in ids])
        for split, ids in wanted.items():
            text = _text(half, index, ids)
            record["lists"][split] = {"images": len(ids), "sha256": _digest(text)}
            result.append(Split(split, (text,)))
        if full:
            with_voc = [i for i in sorted(index.files) if index.has_voc(i)]
            result.append(Split(f"{half.removesuffix('2014')}_voc", (_text(half, index, with_voc, "SegmentationVOC"),)))
    write_text(root / "list/subset.json", json.dumps(record, indent=1) + "\n")
    return result


def choose(ids, count, seed):
    """The `count` ids with the least sha256 of "<seed>:<id>", sorted: anyone, with any version of anything, gets them.

    The paper: "We randomly select 10K images from the training set and 1,500 images from the validation set".
    """
    return sorted(sorted(ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())[:count])


def draw(annotations, height, width, classes):
    """The label map (height, width) uint8 of an image's `annotations`; `classes` is category id to class.

    Crowd regions are 255. Instances are drawn over them from the largest area to the smallest, ties by id, so that a
    small object in front of a large one stays. Categories that `classes` lacks are left out. Raises DataError.
    """
    label = np.zeros((height, width), np.uint8)
    for annotation in sorted(annotations, key=lambda a: (not a["iscrowd"], -a["area"], a["id"])):
        if annotation["category_id"] in classes:
            value = IGNORE if annotation["iscrowd"] else classes[annotation["category_id"]]
            label[_mask(annotation, height, width)] = value
    return label


def _mask(annotation, height, width):
    """Polygons, or run lengths (compressed or not), as a mask: pycocotools' own drawing."""
    segmentation = annotation["segmentation"]
    try:
        if isinstance(segmentation, list):
            runs = rle.merge(rle.frPyObjects(_polygons(annotation), height, width))
        elif isinstance(segmentation["counts"], list):
            runs = rle.frPyObjects(segmentation, height, width)
        else:
            runs = segmentation
        mask = rle.decode(runs)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"annotation {annotation['id']}: its segmentation cannot be drawn: {error}") from None
    if mask.shape != (height, width):
        raise DataError(f"annotation {annotation['id']}: its mask is {mask.shape}, the image {(height, width)}")
    return mask.astype(bool)


def _polygons(annotation):
    """Those of three points or more; pycocotools would take two for a box, and one for nothing it knows."""
    polygons = [polygon for polygon in annotation["segmentation"] if len(polygon) >= 6]
    if not polygons:
        raise DataError(f"annotation {annotation['id']}: has no polygon of at least 3 points (6 numbers)")
    return polygons


class _Index:
    """What is needed of an instances file: images, their annotations, and which category is which class."""

    def __init__(self, name, content):
        self.name = name
        try:
            self.sizes = {image["id"]: _size(image) for image in content["images"]}
            self.files = {image["id"]: image["file_name"] for image in content["images"]}
            names = {category["id"]: category["name"] for category in content["categories"]}
            self.annotations = {}
            for annotation in content["annotations"]:
                self.annotations.setdefault(annotation["image_id"], []).append(
                    {key: annotation[key] for key in ("id", "category_id", "iscrowd", "area", "segmentation")}
                )
        except (KeyError, TypeError) as error:
            raise DataError(f"{name}: not an instances file: {error!r} is missing or of another kind") from None
        if bad := sorted(set(names.values()) - set(_COCO)):
            raise DataError(f"{name}: unknown category {bad[0]!r}")
        if bad := [file for file in self.files.values() if not _is_file_name(file)]:
            raise DataError(f"{name}: {bad[0]!r} is no image's file name")
        used = {a["category_id"] for annotations in self.annotations.values() for a in annotations}
        if bad := sorted(used - set(names)):
            raise DataError(f"{name}: annotations of category {bad[0]}, which it does not have")
        self.classes = {i: _COCO.index(category) for i, category in names.items()}
        self.voc_classes = {i: _VOC.index(TO_VOC[category]) for i, category in names.items() if category in TO_VOC}

    @classmethod
    def read(cls, path, member):
        where = f"{path}: {member}"
        with contextlib.ExitStack() as stack:
            with archives.reading(path):
                archive = archives.open_zip(path, stack)
            if member not in archive.namelist():
                raise DataError(f"{path}: lacks {member}")
            with archives.reading(where):
                text = archive.read(member)
        try:
            return cls(where, json.loads(text))
        except ValueError as error:
            raise DataError(f"{where}: damaged or cut short: {error}") from None

    def label(self, image, classes):
        try:
            return draw(self.annotations.get(image, ()), *self.sizes[image], classes)
        except DataError as error:
            raise DataError(f"{self.name}: {error}") from None

    def has_voc(self, image):
        return any(a["category_id"] in self.voc_classes and not a["iscrowd"] for a in self.annotations.get(image, ()))


def _size(image):
    return operator.index(image["height"]), operator.index(image["width"])


def _is_file_name(value):
    return isinstance(value, str) and value.replace("_", "").removesuffix(".jpg").isalnum()


def _label(ledger, archive, root, half, index, ids, full):
    kinds = {"SegmentationClass": index.classes, **({"SegmentationVOC": index.voc_classes} if full else {})}
    for folder, classes in kinds.items():
        targets = {root / _label_name(folder, half, index.files[image]): image for image in ids}
        with ledger.step(f"{half} {folder}", archive, wanted=targets) as make:
            if make:
                for target, image in tqdm(targets.items(), desc=f"{half} annotation", unit="image"):
                    label = functools.partial(index.label, image, classes)
                    make(target, write_label, label)


def _extract(ledger, archive, root, half, files):
    """Only what is wanted, since a zip archive can be read from anywhere."""
    wanted = {root / half / file for file in files}
    with ledger.step(f"{half} images", archive, wanted=wanted) as make:
        if make:
            for name, read in archives.members(archive):
                if root / name in wanted:
                    make(root / name, write_bytes, read)
            ledger.demand(archive, wanted, f"{half} images")


def _digest(value):
    return hashlib.sha256(str(value).encode()).hexdigest()


def _label_name(folder, half, file):
    return f"{folder}/{half}/{Path(file).stem}.png"


def _text(half, index, ids, folder="SegmentationClass"):
    return list_text([(f"{half}/{index.files[i]}", _label_name(folder, half, index.files[i])) for i in ids])
