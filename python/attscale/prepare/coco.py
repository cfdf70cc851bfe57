"""MS-COCO 2014: instances to label maps, the paper's subsets, and the whole set in VOC's classes for pretraining."""

import hashlib
import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from pycocotools import mask as rle
from tqdm import tqdm

from attscale import datasets
from attscale.data.images import write_label
from attscale.data.lists import list_text
from attscale.datasets import IGNORE
from attscale.errors import DataError, reading
from attscale.files import write_bytes, write_text
from attscale.prepare import archives
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile

_PAGE = "https://cocodataset.org/#download"
ARCHIVES = (
    Archive("annotations_trainval2014.zip", _PAGE, "annotation"),
    Archive("train2014.zip", _PAGE, "training images"),
    Archive("val2014.zip", _PAGE, "validation images"),
)
_COCO, _VOC = (
    {name: index for index, name in enumerate(datasets.find(dataset).classes)} for dataset in ("coco", "voc12")
)
#: VOC's class of COCO's, for pretraining in VOC's classes; all others are background there.
TO_VOC = {
    **{name: name for name in _VOC if name in _COCO and name != "background"},
    **{"airplane": "aeroplane", "motorcycle": "motorbike", "dining table": "diningtable"},
    **{"potted plant": "pottedplant", "couch": "sofa", "tv": "tvmonitor"},
}


def prepare(ledger, folder, *, full=False, seed=None):
    """Makes the paper's subsets of 10,000 and 1500 images in the ledger's root, less the lists: returned as ListFiles.

    `full` takes all images of train2014 and val2014 as well, labelled in COCO's and in VOC's classes; seed: of a random
    choice instead of the authors'. Raises DataError for archives that are missing or damaged; running again goes on.
    """
    annotations, *images = archives.locate(ARCHIVES, folder)
    result, record = [], {"seed": seed, "lists": {}}
    for name, half, archive in zip(("train10k", "val1500"), ("train", "val"), images, strict=True):
        index = _Index.read(annotations, half)
        wanted = {name: choose(index.files, datasets.find("coco").size_of(name), seed)}
        if full:
            wanted[half] = sorted(index.files)
        ids = sorted({image for chosen in wanted.values() for image in chosen})
        _label(ledger, annotations, index, ids, full)
        _extract(ledger, archive, index, ids)
        for split, chosen in wanted.items():
            text = index.list_text(chosen)
            record["lists"][split] = {"images": len(chosen), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            result.append(ListFile(split, text))
        if full:
            with_voc = [image for image in wanted[half] if index.has_voc(image)]
            result.append(ListFile(f"{half}_voc", index.list_text(with_voc, "SegmentationVOC")))
    write_text(ledger.root / "list/subset.json", json.dumps(record, indent=1) + "\n")
    return result


def choose(ids, count, seed=None):
    """The `count` lowest ids, as the authors' lists have them (docs/release.md, The authors' working copy).

    The paper says "We randomly select 10K images from the training set and 1,500 images from the validation set". With
    a `seed` those with the least sha256 of "<seed>:<id>": anyone, with any version of anything, gets the same.
    """
    if seed is None:
        return sorted(ids)[:count]
    return sorted(sorted(ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())[:count])


def draw(annotations, height, width, classes):
    """The label map (height, width) uint8 of an image's `annotations`; `classes` is category id to class.

    Crowd regions are 255. Instances are drawn over them from the largest area to the smallest, ties by id, so that a
    small object in front of a large one stays. Categories that `classes` lacks are left out.
    """
    label = np.zeros((height, width), np.uint8)
    for annotation in sorted(annotations, key=lambda a: (not a["iscrowd"], -a["area"], a["id"])):
        if annotation["category_id"] in classes:
            value = IGNORE if annotation["iscrowd"] else classes[annotation["category_id"]]
            label[_mask(annotation["segmentation"], height, width)] = value
    return label


def _mask(segmentation, height, width):
    """Polygons, or run lengths (compressed or not), as a mask: pycocotools' own drawing.

    Polygons of fewer than three points cover nothing: pycocotools would take two for a box, and give up at one.
    """
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        segmentation = rle.merge(rle.frPyObjects(polygons, height, width))
    elif isinstance(segmentation["counts"], list):
        segmentation = rle.frPyObjects(segmentation, height, width)
    return rle.decode(segmentation).astype(bool)


class _Index:
    """What is needed of an instances file: images, their annotations, and which category is which class."""

    def __init__(self, where, half, content):
        self.where, self.folder = where, f"{half}2014"
        self.sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        self.files = {image["id"]: image["file_name"] for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        self.classes = {i: _COCO[name] for i, name in names.items()}
        self.voc_classes = {i: _VOC[TO_VOC[name]] for i, name in names.items() if name in TO_VOC}
        self._annotations = {}
        for annotation in content["annotations"]:
            self._annotations.setdefault(annotation["image_id"], []).append(annotation)

    @classmethod
    def read(cls, path, half):
        """That of train2014 or val2014, half "train" or "val", in the archive `path`. Raises DataError."""
        member = f"annotations/instances_{half}2014.json"
        where = f"{path}: {member}"
        with reading(where, DataError), zipfile.ZipFile(path) as archive:
            return cls(where, half, json.loads(archive.read(member)))

    def label(self, image, classes):
        """The label map of an image. Raises DataError."""
        with reading(f"{self.where}: image {image}", DataError):
            return draw(self._annotations.get(image, ()), *self.sizes[image], classes)

    def has_voc(self, image):
        """Whether an image holds an object of one of VOC's classes."""
        return any(a["category_id"] in self.voc_classes and not a["iscrowd"] for a in self._annotations.get(image, ()))

    def image_name(self, image):
        """Below the set's root."""
        return f"{self.folder}/{self.files[image]}"

    def label_name(self, image, labels="SegmentationClass"):
        """Below the set's root, in the folder `labels`."""
        return f"{labels}/{self.folder}/{Path(self.files[image]).stem}.png"

    def list_text(self, ids, labels="SegmentationClass"):
        """The list file of these images."""
        return list_text([(self.image_name(image), self.label_name(image, labels)) for image in ids])


def _label(ledger, archive, index, ids, full):
    kinds = {"SegmentationClass": index.classes, **({"SegmentationVOC": index.voc_classes} if full else {})}
    for folder, classes in kinds.items():
        wanted = {ledger.root / index.label_name(image, folder): image for image in ids}
        with ledger.step(f"{index.folder} {folder}", archive, wanted=wanted) as make:
            if make:
                for path, image in tqdm(wanted.items(), desc=f"{index.folder} annotation", unit="image"):
                    make(path, write_label, partial(index.label, image, classes))


def _extract(ledger, archive, index, ids):
    """Only what is wanted, since a zip archive can be read from anywhere."""
    step, wanted = f"{index.folder} images", {ledger.root / index.image_name(image) for image in ids}
    with ledger.step(step, archive, wanted=wanted) as make:
        if make:
            for member in archives.members(archive):
                if ledger.root / member.name in wanted:
                    make(ledger.root / member.name, write_bytes, member.read)
            ledger.demand(archive, wanted, step)
