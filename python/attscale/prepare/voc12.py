"""PASCAL VOC 2012 with the annotations of SBD (Hariharan et al., "Semantic contours from inverse detectors").

Of the two, VOC's own annotation wins: SBD's images are among VOC's, their annotation is coarser.
"""

import functools
import re
from pathlib import Path

from tqdm import tqdm

from attscale import datasets
from attscale.data.images import check_label, read_label, write_index
from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import archives, matlab, splits
from attscale.prepare.archives import Source
from attscale.prepare.ledger import Ledger
from attscale.prepare.splits import Split

_SET = datasets.find("voc12")
SOURCES = (
    Source(
        "VOCtrainval_11-May-2012.tar",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        "images, VOC's annotation, lists",
    ),
    Source(
        "benchmark.tgz",
        "http://home.bharathh.info/pubs/codes/SBD/download.html",
        "SBD's annotation",
    ),
    Source("VOC2012test.tar", "http://host.robots.ox.ac.uk:8080", "images of the test set, after login", optional=True),
)
COUNTS = _SET.sizes
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


def prepare(root, folder, *, any_count=False):
    """Makes the set in `root` from the archives in `folder`, less its lists, which are returned as Splits.

    Raises DataError for archives that are missing, damaged, or not the official ones; running again goes on.
    """
    root = Path(root)
    trainval, sbd, test = archives.locate(SOURCES, folder)
    ledger = Ledger(root, COUNTS)
    _unpack_voc(ledger, "voc", trainval, root)
    lists = root / "ImageSets"
    train, val = (_ids(ledger, "voc", trainval, lists / f"Segmentation/{name}.txt") for name in ("train", "val"))
    own = set(train) | set(val)
    ledger.demand(trainval, _paths(root, "SegmentationClass", own, ".png"), "voc")
    with ledger.step("voc labels", trainval) as make:
        if make:
            for name in tqdm(sorted(own), desc="VOC's annotation", unit="image"):
                label = functools.partial(read_label, root / f"SegmentationClass/{name}.png")
                make(root / LABELS / f"{name}.png", write_index, label)
    _unpack_sbd(ledger, sbd, trainval, root, own)
    sbd_ids = {name for split in ("train", "val") for name in _ids(ledger, "sbd", sbd, lists / f"SBD/{split}.txt")}
    ledger.demand(sbd, _paths(root, LABELS, sbd_ids, ".png"), "sbd", "voc labels")
    train_aug = sorted((sbd_ids | set(train)) - set(val))
    ledger.demand(trainval, _paths(root, "JPEGImages", [*train_aug, *val], ".jpg"), "voc")
    members = {"train": train, "val": val, "train_aug": train_aug, "trainval_aug": sorted({*train_aug, *val})}
    if test:
        _unpack_voc(ledger, "test images", test, root, ledger.files("voc"))
        members["test"] = _ids(ledger, "test images", test, lists / "Segmentation/test.txt")
        ledger.demand(test, _paths(root, "JPEGImages", members["test"], ".jpg"), "voc", "test images")
    for name, ids in members.items():
        splits.check_count(name, len(ids), COUNTS[name], any_count)
    return [Split(name, tuple(_texts(name, ids, members)), SHA256.get(name, "")) for name, ids in members.items()]


def _texts(name, ids, members):
    if name == "test":  # nobody but the server has its label maps
        yield "".join(f"/JPEGImages/{member}.jpg\n" for member in ids)
    yield splits.pairs_text(ids, LABELS)
    if name == "trainval_aug":
        yield splits.pairs_text([*members["train_aug"], *members["val"]], LABELS)


def _unpack_voc(ledger, step, archive, root, others=()):
    """`others` are files of another archive, which stay as they are."""
    with ledger.step(step, archive) as make:
        if make:
            for name, read in archives.members(archive):
                if (found := _VOC.fullmatch(name)) and root / found[1] not in others:
                    make(root / found[1], write_bytes, read)


def _unpack_sbd(ledger, archive, trainval, root, own):
    with ledger.step("sbd", archive, trainval) as make:
        if not make:
            return
        for name, read in archives.members(archive):
            found = _SBD.fullmatch(name)
            if found and found["list"]:
                make(root / f"ImageSets/SBD/{found['list']}.txt", write_bytes, read)
            elif found and found["id"] not in own:
                label = functools.partial(_sbd_label, f"{archive}: {name}", read)
                make(root / LABELS / f"{found['id']}.png", write_index, label)


def _sbd_label(name, read):
    return sbd_label(name, read())


def sbd_label(name, data):
    """The label map (H, W) uint8 of an SBD file: GTcls.Segmentation. Raises DataError."""
    struct = matlab.load(name, data, "GTcls")
    label = matlab.mask(name, matlab.field(name, struct, "Segmentation"))
    check_label(label, name, len(_SET.classes))
    return label


def _ids(ledger, step, archive, path):
    if path not in ledger.files(step):
        raise DataError(f"{archive}: lacks the list {path.name}; is it cut short?")
    return splits.ids(path, path.read_bytes())


def _paths(root, folder, names, suffix):
    return [root / folder / f"{name}{suffix}" for name in names]
