"""PASCAL VOC 2012 with the annotations of SBD (Hariharan et al., "Semantic contours from inverse detectors").

Of the two, VOC's own annotation wins: SBD's images are among VOC's, their annotation is coarser.
"""

import re
from functools import partial

from tqdm import tqdm

from attscale import datasets
from attscale.data.images import check_label, read_label, write_index
from attscale.errors import DataError, reading
from attscale.files import write_bytes
from attscale.prepare import archives, listfiles, matlab
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile

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
    r"VOCdevkit/VOC2012/(JPEGImages/\w+\.jpg|SegmentationClass/\w+\.png|"
    r"ImageSets/Segmentation/(?:train|val|test)\.txt)"
)
_SBD = re.compile(r"(?:benchmark_RELEASE/)?dataset/(?:cls/(?P<id>\w+)\.mat|(?P<list>train|val)\.txt)")


def prepare(ledger, folder):
    """Makes the set in the ledger's root from the archives in `folder`, less its lists: they are returned as ListFiles.

    Raises DataError for archives that are missing, damaged, or not the official ones; running again goes on.
    """
    root = ledger.root
    trainval, sbd, test = archives.locate(ARCHIVES, folder)
    _unpack_voc(ledger, "voc", trainval)
    lists = root / "ImageSets"
    train, val = (_ids(ledger, "voc", trainval, lists / f"Segmentation/{name}.txt") for name in ("train", "val"))
    own = {*train, *val}
    ledger.demand(trainval, _paths(root, "SegmentationClass", own, ".png"), "voc")
    with ledger.step("voc labels", trainval) as make:
        if make:
            for name in tqdm(sorted(own), desc="VOC's annotation", unit="image"):
                label = partial(read_label, root / f"SegmentationClass/{name}.png")
                make(root / LABELS / f"{name}.png", write_index, label)
    _unpack_sbd(ledger, sbd, trainval, own)
    sbd_ids = {name for split in ("train", "val") for name in _ids(ledger, "sbd", sbd, lists / f"SBD/{split}.txt")}
    ledger.demand(sbd, _paths(root, LABELS, sbd_ids, ".png"), "sbd", "voc labels")
    train_aug = sorted((sbd_ids | set(train)) - set(val))
    ledger.demand(trainval, _paths(root, "JPEGImages", [*train_aug, *val], ".jpg"), "voc")
    members = {"train": train, "val": val, "train_aug": train_aug, "trainval_aug": sorted({*train_aug, *val})}
    if test:
        _unpack_voc(ledger, "test images", test, ledger.files("voc"))
        members["test"] = _ids(ledger, "test images", test, lists / "Segmentation/test.txt")
        ledger.demand(test, _paths(root, "JPEGImages", members["test"], ".jpg"), "voc", "test images")
    return [ListFile(name, _text(name, ids), SHA256.get(name, "")) for name, ids in members.items()]


def _text(name, ids):
    if name == "test":  # nobody but the server has its label maps
        return "".join(f"/JPEGImages/{member}.jpg\n" for member in ids)
    return listfiles.pairs_text(ids, LABELS)


def _unpack_voc(ledger, step, archive, others=()):
    """`others` are files of another archive, which stay as they are."""
    with ledger.step(step, archive) as make:
        if make:
            for member in archives.members(archive):
                if (found := _VOC.fullmatch(member.name)) and ledger.root / found[1] not in others:
                    make(ledger.root / found[1], write_bytes, member.read)


def _unpack_sbd(ledger, archive, trainval, own):
    with ledger.step("sbd", archive, trainval) as make:
        if make:
            for member in archives.members(archive):
                found = _SBD.fullmatch(member.name)
                if found and found["list"]:
                    make(ledger.root / f"ImageSets/SBD/{found['list']}.txt", write_bytes, member.read)
                elif found and found["id"] not in own:
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
