"""PASCAL-Person-Part: six parts of persons on VOC 2010, from the authors' archive or from PASCAL-Part itself.

PASCAL-Part (Chen et al., "Detect what you can") has 24 parts of a person, which the paper merges into six
(section 4.1). The authors' own archive has them merged; it is taken where it is there.
"""

import re
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from attscale import datasets
from attscale.data.images import check_label, decode_label, write_label
from attscale.errors import DataError, reading
from attscale.files import write_bytes
from attscale.prepare import archives, listfiles, matlab
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile

_AUTHORS_PAGE = "http://liangchiehchen.com/projects/DeepLab.html"
_PART_PAGE = "http://www.stat.ucla.edu/~xianjie.chen/pascal_part_dataset/pascal_part.html"
_SET = datasets.find("voc10_part")
ARCHIVES = (
    Archive("VOCtrainval_03-May-2010.tar", "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/", "images and lists"),
    Archive("pascal_person_part.zip", _AUTHORS_PAGE, "the authors' label maps and lists", role="labels"),
    Archive("trainval.tar.gz", _PART_PAGE, "PASCAL-Part's annotation", role="labels"),
)
LABELS = "pascal_person_part_gt"  # as in the authors' archive
#: PASCAL-Part's names to those of the six (authors' my_part2ind.m; docs/release.md, Protocol).
MERGED = {
    "head": ("head", "neck", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"),
    "torso": ("torso",),
    "upper arms": ("luarm", "ruarm"),
    "lower arms": ("llarm", "rlarm", "lhand", "rhand"),
    "upper legs": ("luleg", "ruleg"),
    "lower legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}
_CLASS = {part: _SET.classes.index(merged) for merged, parts in MERGED.items() for part in parts}
_VOC = re.compile(r"VOCdevkit/VOC2010/(?:(?P<list>ImageSets/Main/(?:train|val)\.txt)|(?P<image>JPEGImages/\w+\.jpg))")
_AUTHORS = re.compile(
    r"(?:pascal_person_part/)?(?:pascal_person_part_gt/(?P<id>\w+)\.png|"
    r"pascal_person_part_trainval_list/(?P<list>train|val)\.txt)"
)
_PART = re.compile(r"Annotations_Part/(?P<id>\w+)\.mat")


def prepare(ledger, folder, *, check=list):
    """Makes the set in the ledger's root from the archives in `folder`, less its lists: they are returned as ListFiles.

    `check(lists)` is called before images are unpacked, and the authors' label maps; which images PASCAL-Part has a
    person's parts of, its label maps alone say. Raises DataError for archives that are missing, damaged, or
    not the official ones; running again goes on.
    """
    root = ledger.root
    voc, authors, part = archives.locate(ARCHIVES, folder)
    members = _lists_of_authors(ledger, authors) if authors else _from_part(ledger, part, voc)
    listfiles.check_apart(*members.values(), authors or voc)
    result = [ListFile(name, listfiles.pairs_text(ids, LABELS)) for name, ids in members.items()]
    check(result)
    if authors:
        _labels_of_authors(ledger, authors)
    _unpack_voc(ledger, "voc images", voc, "image")
    for ids in members.values():
        ledger.demand(voc, [root / f"JPEGImages/{image}.jpg" for image in ids], "voc images")
        ledger.demand(authors or part, [root / LABELS / f"{image}.png" for image in ids], "labels")
    return result


def _unpack_voc(ledger, step, archive, kind):
    """VOC's members of a `kind`, "list" or "image"."""
    with ledger.step(step, archive) as make:
        if make:
            for member in archives.members(archive):
                if (found := _VOC.fullmatch(member.name)) and found[kind]:
                    make(ledger.root / found[kind], write_bytes, member.read)


def _lists_of_authors(ledger, archive):
    lists = {name: ledger.root / f"ImageSets/PersonPart/{name}.txt" for name in _SET.splits}
    with ledger.step("lists", archive) as make:
        if make:
            for member in archives.members(archive):
                if (found := _AUTHORS.fullmatch(member.name)) and found["list"]:
                    make(lists[found["list"]], write_bytes, partial(_ids_text, member))
    ledger.demand(archive, lists.values(), "lists")
    return {name: listfiles.ids(path) for name, path in lists.items()}


def _labels_of_authors(ledger, archive):
    with ledger.step("labels", archive) as make:
        if make:
            for member in archives.members(archive):
                if (found := _AUTHORS.fullmatch(member.name)) and found["id"]:
                    make(ledger.root / LABELS / f"{found['id']}.png", write_label, partial(_authors_label, member))


def _authors_label(member):
    label = decode_label(member.read(), member.where)
    check_label(label, member.where, len(_SET.classes))
    return label


def _ids_text(member):
    """The authors' lists name an image and its label map; either way the first name's stem is the id."""
    with reading(member.where, DataError):
        firsts = [line.split()[0] for line in member.read().decode().splitlines() if line.strip()]
    return "".join(f"{PurePosixPath(first).stem}\n" for first in firsts).encode()


def _from_part(ledger, archive, voc):
    """VOC's own split of the images in which a person has parts, of those that PASCAL-Part annotates."""
    _unpack_voc(ledger, "lists", voc, "list")
    lists = {name: ledger.root / f"ImageSets/Main/{name}.txt" for name in _SET.splits}
    ledger.demand(voc, lists.values(), "lists")
    with ledger.step("labels", archive) as make:
        if make:
            for member in archives.members(archive):
                if found := _PART.fullmatch(member.name):
                    make(ledger.root / LABELS / f"{found['id']}.png", write_label, partial(_part_label, member))
    labelled = {path.stem for path in ledger.files("labels")}
    return {name: [image for image in listfiles.ids(path) if image in labelled] for name, path in lists.items()}


def _part_label(member):
    return merge(member.where, member.read())


def merge(name, data):
    """The six parts of all persons in a PASCAL-Part file, (H, W) uint8; None where nothing is seen of any.

    Objects and their parts are drawn in the file's order, so where masks overlap the later one wins; the parts of
    others than persons as background (PASCAL-Part's mat2map, which the authors call). Raises DataError.
    """
    label = None
    with reading(name, DataError):
        for thing in matlab.items(matlab.load(data, "anno").objects):
            person = getattr(thing, "class") == "person"
            for part in matlab.items(thing.parts):
                mask = matlab.mask(part.mask)
                label = np.zeros_like(mask) if label is None else label
                label[mask != 0] = _CLASS[part.part_name] if person else 0
    return None if label is None or not label.any() else label
