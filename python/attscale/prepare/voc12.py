"""PASCAL VOC 2012 with the annotations of SBD (Hariharan et al., "Semantic contours from inverse detectors").

Of the two, VOC's own annotation wins: SBD's images are among VOC's, their annotation is coarser.
"""

import re
from functools import partial

from attscale import datasets
from attscale.data.images import check_label, read_label, write_index
from attscale.errors import DataError, reading
from attscale.files import write_bytes
from attscale.prepare import archives, listfiles, matlab
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile
from attscale.progress import Bar

_VOC_PAGE, _SERVER = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/", "http://host.robots.ox.ac.uk:8080"
ARCHIVES = (
    Archive("VOCtrainval_11-May-2012.tar", _VOC_PAGE, "images, VOC's annotation, lists"),
    Archive("benchmark.tgz", "http://home.bharathh.info/pubs/codes/SBD/download.html", "SBD's annotation"),
    Archive("VOC2012test.tar", _SERVER, "images of the test set, after login", optional=True),
)
#: First digits of the sha256 of the release's lists.
SHA256 = {
    "train_aug": "656221098f98c756",
    "val": "e8e5e47a6710a667",
    "test": "ec3a15639bfa6747",
    "trainval_aug": "ba7832c99bf8df07",
}
LABELS = "SegmentationClassAug"
_VOC = re.compile(
    r"VOCdevkit/VOC2012/(?:(?P<list>ImageSets/Segmentation/(?:train|val|test)\.txt)|"
    r"(?P<file>JPEGImages/\w+\.jpg|Segmentation(?:Class|Object)/\w+\.png))"
)
_SBD = re.compile(r"(?:benchmark_RELEASE/)?dataset/(?:cls/(?P<id>\w+)\.mat|(?P<list>train|val)\.txt)")


def prepare(ledger, folder, *, check=list):
    """Makes the set in the ledger's root from the archives in `folder`, less its lists: they are returned as ListFiles.

    `check(lists)` is called before images and label maps are unpacked. VOC's instance maps, SegmentationObject, are
    for `evaluate.py --by-size`, and may be absent. Raises DataError for archives that are missing, damaged, or not the
    official ones; running again goes on.
    """
    root = ledger.root
    trainval, sbd, test = archives.locate(ARCHIVES, folder)
    lists = root / "ImageSets"
    _unpack_voc(ledger, "voc lists", trainval, "list")
    train, val = (_ids(ledger, "voc lists", trainval, lists / f"Segmentation/{name}.txt") for name in ("train", "val"))
    listfiles.check_apart(train, val, trainval)
    own = {*train, *val}
    _unpack_sbd(ledger, "sbd lists", sbd, trainval, own)
    sbd_ids = {id_ for name in ("train", "val") for id_ in _ids(ledger, "sbd lists", sbd, lists / f"SBD/{name}.txt")}
    train_aug = sorted((sbd_ids | set(train)) - set(val))
    members = {"train": train, "val": val, "train_aug": train_aug, "trainval_aug": sorted({*train_aug, *val})}
    if test:
        _unpack_voc(ledger, "test lists", test, "list", ledger.files("voc lists"))
        members["test"] = _ids(ledger, "test lists", test, lists / "Segmentation/test.txt")
    result = [ListFile(name, _text(name, ids), SHA256.get(name, "")) for name, ids in members.items()]
    check(result)

    _unpack_voc(ledger, "voc files", trainval, "file")
    ledger.demand(trainval, _paths(root, "SegmentationClass", own, ".png"), "voc files")
    with ledger.step("voc labels", trainval) as make:
        if make:
            for name in Bar(sorted(own), desc="VOC's annotation", unit="image"):
                label = partial(read_label, root / f"SegmentationClass/{name}.png")
                make(root / LABELS / f"{name}.png", write_index, label)
    _unpack_sbd(ledger, "sbd labels", sbd, trainval, own)
    ledger.demand(sbd, _paths(root, LABELS, sbd_ids, ".png"), "sbd labels", "voc labels")
    ledger.demand(trainval, _paths(root, "JPEGImages", members["trainval_aug"], ".jpg"), "voc files")
    if test:
        _unpack_voc(ledger, "test images", test, "file", ledger.files("voc files"))
        ledger.demand(test, _paths(root, "JPEGImages", members["test"], ".jpg"), "voc files", "test images")
    return result


def _text(name, ids):
    if name == "test":  # nobody but the server has its label maps
        return "".join(f"/JPEGImages/{member}.jpg\n" for member in ids)
    return listfiles.pairs_text(ids, LABELS)


def _unpack_voc(ledger, step, archive, kind, others=()):
    """The members of a `kind`, "list" or "file"; `others` are files of another archive, which stay as they are."""
    with ledger.step(step, archive) as make:
        if make:
            for member in archives.members(archive):
                found = _VOC.fullmatch(member.name)
                if found and found[kind] and ledger.root / found[kind] not in others:
                    make(ledger.root / found[kind], write_bytes, member.read)


def _unpack_sbd(ledger, step, archive, trainval, own):
    """Step "sbd lists" or "sbd labels", of which VOC has its `own` already."""
    with ledger.step(step, archive, trainval) as make:
        if make:
            for member in archives.members(archive):
                found = _SBD.fullmatch(member.name)
                if found and found["list"] and step == "sbd lists":
                    make(ledger.root / f"ImageSets/SBD/{found['list']}.txt", write_bytes, member.read)
                elif found and found["id"] and found["id"] not in own and step == "sbd labels":
                    make(ledger.root / LABELS / f"{found['id']}.png", write_index, partial(_sbd_label, member))


def _sbd_label(member):
    """The label map (H, W) uint8 of an SBD file: GTcls.Segmentation. Raises DataError."""
    with reading(member.where, DataError):
        label = matlab.mask(matlab.load(member.read(), "GTcls").Segmentation)
    check_label(label, member.where, len(datasets.find("voc12").classes))
    return label


def _ids(ledger, step, archive, path):
    ledger.demand(archive, [path], step)
    return listfiles.ids(path)


def _paths(root, folder, names, suffix):
    return [root / folder / f"{name}{suffix}" for name in names]
