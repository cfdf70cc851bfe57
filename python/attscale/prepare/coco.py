"""MS-COCO 2014: instances to label maps, the paper's subsets, and the whole set in VOC's classes for pretraining."""

import hashlib
import json
import operator
import re
from functools import partial
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from attscale import datasets
from attscale.data.images import write_label
from attscale.data.lists import list_text
from attscale.datasets import IGNORE
from attscale.errors import DataError, reading
from attscale.files import write_bytes, write_text
from attscale.prepare import archives
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile
from attscale.progress import Bar

_PAGE = "https://cocodataset.org/#download"
ARCHIVES = (
    Archive("annotations_trainval2014.zip", _PAGE, "annotation"),
    Archive("train2014.zip", _PAGE, "training images"),
    Archive("val2014.zip", _PAGE, "validation images"),
)
_INSTANCES = 2 << 30  # bytes of an instances file, at most; train2014's has 0.3 GB
_FILE = re.compile(r"\w+\.jpg")
_LONGEST = 10_000  # pixels of a side; COCO's images have 640
_COCO, _VOC = (
    {name: index for index, name in enumerate(datasets.find(dataset).classes)} for dataset in ("coco", "voc12")
)
#: VOC's class of COCO's, for pretraining in VOC's classes; all others are background there.
TO_VOC = {
    **{name: name for name in _VOC if name in _COCO and name != "background"},
    **{"airplane": "aeroplane", "motorcycle": "motorbike", "dining table": "diningtable"},
    **{"potted plant": "pottedplant", "couch": "sofa", "tv": "tvmonitor"},
}


def prepare(ledger, folder, *, check=list, full=False, seed=None):
    """Makes the paper's subsets of 10,000 and 1500 images in the ledger's root, less the lists: returned as ListFiles.

    `full` takes all images of train2014 and val2014 as well, labelled in COCO's and in VOC's classes; seed: of a random
    choice instead of the authors'. `check(lists)` is called before anything is drawn or unpacked. Raises DataError for
    archives that are missing or damaged; running again goes on.
    """
    annotations, *images = archives.locate(ARCHIVES, folder)
    result, record = [], {"seed": seed, "lists": {}}
    for half in ("train", "val"):  # read twice, since both at once would take gigabytes
        index = _Index.read(annotations, half)
        wanted = _wanted(index, half, full, seed)
        for split, chosen in wanted.items():
            text = index.list_text(chosen)
            record["lists"][split] = {"images": len(chosen), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            result.append(ListFile(split, text))
        if full:
            with_voc = [image for image in wanted[half] if index.has_voc(image)]
            result.append(ListFile(f"{half}_voc", index.list_text(with_voc, "SegmentationVOC")))
    check(result)
    for half, archive in zip(("train", "val"), images, strict=True):
        index = _Index.read(annotations, half)
        ids = sorted({image for chosen in _wanted(index, half, full, seed).values() for image in chosen})
        _label(ledger, annotations, index, ids, full)
        _extract(ledger, archive, index, ids)
    write_text(ledger.root / "list/subset.json", json.dumps(record, indent=1) + "\n")
    return result


def _wanted(index, half, full, seed):
    """The ids of the images to take of a half, by split."""
    name = {"train": "train10k", "val": "val1500"}[half]
    subset = {name: choose(index.files, datasets.find("coco").size_of(name), seed)}
    return {**subset, half: sorted(index.files)} if full else subset


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
    small object in front of a large one stays. Categories that `classes` lacks are left out. Raises ValueError for a
    segmentation that is not of an image of this size.
    """
    label = np.zeros((height, width), np.uint8)
    for annotation in sorted(annotations, key=lambda a: (not a["iscrowd"], -a["area"], a["id"])):
        if annotation["category_id"] in classes:
            value = IGNORE if annotation["iscrowd"] else classes[annotation["category_id"]]
            label[_mask(annotation["segmentation"], height, width)] = value
    return label


def _mask(segmentation, height, width):
    """Polygons, by pycocotools' own drawing, or run lengths (compressed or not) as a mask.

    Polygons of fewer than three points cover nothing: pycocotools would take two for a box, and give up at one. It
    checks neither where their points are nor what run lengths cover, and draws from memory that is not its own.
    """
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        for polygon in polygons:
            _check_polygon(polygon, height, width)
        return rle.decode(rle.merge(rle.frPyObjects(polygons, height, width))).astype(bool)
    counts, size = segmentation["counts"], [height, width]
    runs = counts if isinstance(counts, list) else _runs(counts)
    if not all(type(run) is int and run >= 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"run lengths that do not cover {width}x{height} pixels")
    if segmentation["size"] != size:
        raise ValueError(f"run lengths of size {segmentation['size']!r:.60}, in an image of {size}")
    inside = np.arange(len(runs)) % 2 == 1  # the first run is outside; runs go down the columns
    return np.repeat(inside, runs).reshape(width, height).T


def _check_polygon(polygon, height, width):
    """Raises ValueError unless its points are pairs of numbers, and less than an image's size away from the image."""
    points = np.array(polygon)
    size = np.array([width, height])
    if points.ndim != 1 or points.dtype.kind not in "if" or len(points) % 2:
        raise ValueError("a polygon that is no list of coordinates")
    if not (np.abs(points.reshape(-1, 2) - size / 2) <= 1.5 * size).all():  # nor is NaN
        raise ValueError(f"a polygon far outside of {width}x{height} pixels")


def _runs(code):
    """The run lengths in COCO's compressed form (maskApi.c, rleFrString).

    A character holds five bits, of 48 + them, and a sixth for "more of this number"; from the fourth run on, numbers
    are differences to the run before the last. Raises ValueError.
    """
    runs, value, shift = [], 0, 0
    for character in code if isinstance(code, bytes) else code.encode("ascii"):
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("run lengths that are not in COCO's compressed form")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4) << shift  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


class _Index:
    """What is needed of an instances file: images, their annotations, and which category is which class."""

    def __init__(self, where, half, content):
        self.where, self.folder = where, f"{half}2014"
        self.sizes, self.files = {}, {}
        for image in content["images"]:
            number, name, size = operator.index(image["id"]), image["file_name"], (image["height"], image["width"])
            if number in self.sizes:
                raise ValueError(f"image {number} is there twice")
            if not _FILE.fullmatch(name):
                raise ValueError(f"image {number} has the name {name!r:.60}, which is no JPEG's")
            if not all(1 <= operator.index(side) <= _LONGEST for side in size):
                raise ValueError(f"image {number} has {size[1]}x{size[0]} pixels")
            self.sizes[number], self.files[number] = size, name
        if len(set(self.files.values())) < len(self.files):
            raise ValueError("two images have the same name")
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
        content = archives.read_member(path, member, _INSTANCES)
        with reading(where, DataError):
            return cls(where, half, json.loads(content))

    def label(self, image, classes):
        """The label map of an image. Raises DataError."""
        with reading(f"{self.where}: image {image}", DataError):
            return draw(self._annotations.get(image, ()), *self.sizes[image], classes)

    def has_voc(self, image):
        """Whether an image holds an object of one of VOC's classes."""
        with reading(f"{self.where}: image {image}", DataError):
            found = self._annotations.get(image, ())
            return any(a["category_id"] in self.voc_classes and not a["iscrowd"] for a in found)

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
                for path, image in Bar(wanted.items(), desc=f"{index.folder} annotation", unit="image"):
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
