"""PASCAL-Person-Part: six parts of persons on VOC 2010, from the authors' archive or from PASCAL-Part itself.

PASCAL-Part (Chen et al., "Detect what you can") has 24 parts of a person, which the paper merges into six
(section 4.1). The authors' own archive has them merged; it is taken where it is there.
"""

import functools
import re
from pathlib import Path, PurePosixPath

import numpy as np

from attscale import datasets
from attscale.data.images import check_label, decode_label, write_label
from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import archives, matlab, splits
from attscale.prepare.archives import Source
from attscale.prepare.ledger import Ledger
from attscale.prepare.splits import Split

_AUTHORS_PAGE = "http://liangchiehchen.com/projects/DeepLab.html"
_PART_PAGE = "http://www.stat.ucla.edu/~xianjie.chen/pascal_part_dataset/pascal_part.html"
_SET = datasets.find("voc10_part")
SOURCES = (
    Source("VOCtrainval_03-May-2010.tar", "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/", "images and lists"),
    Source("pascal_person_part.zip", _AUTHORS_PAGE, "the authors' label maps and lists", optional=True),
    Source("trainval.tar.gz", _PART_PAGE, "PASCAL-Part's annotation", optional=True),
)
COUNTS = _SET.sizes
LABELS = "pascal_person_part_gt"  # as in the authors' archive
#: PASCAL-Part's names to those of the six (docs/release.md, Protocol).
MERGED = {
    "head": ("head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"),
    "torso": ("torso", "neck"),
    "upper arms": ("luarm", "ruarm"),
    "lower arms": ("llarm", "rlarm", "lhand", "rhand"),
    "upper legs": ("luleg", "ruleg"),
    "lower legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}
_CLASS = {part: _SET.classes.index(merged) for merged, parts in MERGED.items() for part in parts}
_VOC = re.compile(r"VOCdevkit/VOC2010/(JPEGImages/\w+\.jpg|ImageSets/Main/(?:train|val)\.txt)")
_AUTHORS = re.compile(
    r"(?:pascal_person_part/)?(?:pascal_person_part_gt/(?P<id>\w+)\.png|"
    r"pascal_person_part_trainval_list/(?P<list>train|val)\.txt)"
)
_PART = re.compile(r"Annotations_Part/(?P<id>\w+)\.mat")


def prepare(root, folder, *, any_count=False):
    """Makes the set in `root` from the archives in `folder`, less its lists, which are returned as Splits.

    Raises DataError for archives that are missing, damaged, or not the official ones; running again goes on.
    """
    root = Path(root)
    voc, authors, part = archives.locate(SOURCES, folder)
    if not (authors or part):
        raise DataError(f"{folder} lacks {SOURCES[1].file} (from {_AUTHORS_PAGE}) or {SOURCES[2].file} ({_PART_PAGE})")
    ledger = Ledger(root, COUNTS)
    with ledger.step("voc", voc) as make:
        if make:
            for name, read in archives.members(voc):
                if found := _VOC.fullmatch(name):
                    make(root / found[1], write_bytes, read)
    members = _from_authors(ledger, authors, root) if authors else _from_part(ledger, part, voc, root)
    for name, ids in members.items():
        ledger.demand(voc, [root / f"JPEGImages/{image}.jpg" for image in ids], "voc")
        ledger.demand(authors or part, [root / LABELS / f"{image}.png" for image in ids], "labels")
        splits.check_count(name, len(ids), COUNTS[name], any_count)
    return [Split(name, (splits.pairs_text(ids, LABELS),)) for name, ids in members.items()]


def _from_authors(ledger, archive, root):
    lists = {name: root / f"ImageSets/PersonPart/{name}.txt" for name in COUNTS}
    with ledger.step("labels", archive) as make:
        if make:
            for name, read in archives.members(archive):
                found = _AUTHORS.fullmatch(name)
                if found and found["list"]:
                    text = functools.partial(_ids_text, f"{archive}: {name}", read)
                    make(lists[found["list"]], write_bytes, text)
                elif found:
                    label = functools.partial(_authors_label, f"{archive}: {name}", read)
                    make(root / LABELS / f"{found['id']}.png", write_label, label)
    ledger.demand(archive, lists.values(), "labels")
    return {name: splits.ids(path, path.read_bytes()) for name, path in lists.items()}


def _authors_label(name, read):
    label = decode_label(read(), name)
    check_label(label, name, len(_SET.classes))
    return label


def _ids_text(name, read):
    """The authors' lists name an image and its label map; either way the first name's stem is the id."""
    try:
        firsts = [line.split()[0] for line in read().decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DataError(f"{name}: not a text file") from None
    return "".join(f"{PurePosixPath(first).stem}\n" for first in firsts).encode()


def _from_part(ledger, archive, voc, root):
    """VOC's own split of the images in which a person has parts, of those that PASCAL-Part annotates."""
    with ledger.step("labels", archive) as make:
        if make:
            for name, read in archives.members(archive):
                if found := _PART.fullmatch(name):
                    label = functools.partial(_part_label, f"{archive}: {name}", read)
                    make(root / LABELS / f"{found['id']}.png", write_label, label)
    labelled = {path.stem for path in ledger.files("labels")}
    lists = {name: root / f"ImageSets/Main/{name}.txt" for name in COUNTS}
    ledger.demand(voc, lists.values(), "voc")
    return {
        name: [image for image in splits.ids(path, path.read_bytes()) if image in labelled]
        for name, path in lists.items()
    }


def _part_label(name, read):
    return merge(name, read())


def merge(name, data):
    """The six parts of all persons in a PASCAL-Part file, (H, W) uint8; None where no person has a part.

    Persons and parts are drawn in the file's order, so where masks overlap the later one wins. Raises DataError.
    """
    anno = matlab.load(name, data, "anno")
    label = None
    for person in matlab.items(matlab.field(name, anno, "objects")):
        if matlab.field(name, person, "class") != "person":
            continue
        for part in matlab.items(matlab.field(name, person, "parts")):
            part_name = matlab.field(name, part, "part_name")
            if part_name not in _CLASS:
                raise DataError(f"{name}: {part_name!r} is no part of a person; known are {', '.join(_CLASS)}")
            mask = matlab.mask(name, matlab.field(name, part, "mask"))
            label = np.zeros_like(mask) if label is None else label
            if mask.shape != label.shape:
                raise DataError(f"{name}: the mask of {part_name} is {mask.shape}, others are {label.shape}")
            label[mask != 0] = _CLASS[part_name]
    return label
