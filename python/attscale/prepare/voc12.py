"""PASCAL VOC 2012 with the annotations of SBD (Hariharan et al., "Semantic contours from inverse detectors").

Of the two, VOC's own annotation wins: SBD's images are among VOC's, their annotation is coarser.
"""

import re
from pathlib import Path

from tqdm import tqdm

from attscale.data.datasets import VOC_CLASSES
from attscale.data.images import check_label, read_label, write_index
from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import archives, matlab, splits
from attscale.prepare.archives import Source
from attscale.prepare.ledger import Ledger
from attscale.prepare.splits import Split

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
#: Lists and their sizes: VOC's readme, and the release (original-release, Protocol).
COUNTS = {"train": 1464, "val": 1449, "train_aug": 10582, "trainval_aug": 12031, "test": 1456}
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
    ledger = Ledger(root)
    for step, archive in (("voc", trainval), ("test images", test)):
        if archive:
            _unpack_voc(ledger, step, archive, root)
    train, val = (_read_ids(root / f"ImageSets/Segmentation/{name}.txt", trainval) for name in ("train", "val"))
    own = set(train) | set(val)
    _check_files(trainval, root, own, "SegmentationClass", ".png")
    with ledger.step("voc labels", trainval) as keep:
        if keep:
            for name in tqdm(sorted(own), desc="VOC's annotation", unit="image"):
                if not keep(target := root / LABELS / f"{name}.png"):
                    write_index(target, read_label(root / f"SegmentationClass/{name}.png"))
    _unpack_sbd(ledger, sbd, trainval, root, own)
    sbd_ids = {name for split in ("train", "val") for name in _read_ids(root / f"ImageSets/SBD/{split}.txt", sbd)}
    _check_files(sbd, root, sbd_ids, LABELS, ".png")
    train_aug = sorted((sbd_ids | set(train)) - set(val))
    _check_files(trainval, root, {*train_aug, *val}, "JPEGImages", ".jpg")
    members = {"train": train, "val": val, "train_aug": train_aug, "trainval_aug": sorted({*train_aug, *val})}
    if test:
        members["test"] = _read_ids(root / "ImageSets/Segmentation/test.txt", test)
        _check_files(test, root, members["test"], "JPEGImages", ".jpg")
    for name, ids in members.items():
        splits.check_count(name, len(ids), COUNTS[name], any_count)
    return [Split(name, tuple(_texts(name, ids, members)), SHA256.get(name, "")) for name, ids in members.items()]


def _texts(name, ids, members):
    if name == "test":  # nobody but the server has its label maps
        yield "".join(f"/JPEGImages/{member}.jpg\n" for member in ids)
    yield splits.pairs_text(ids, LABELS)
    if name == "trainval_aug":
        yield splits.pairs_text([*members["train_aug"], *members["val"]], LABELS)


def _unpack_voc(ledger, step, archive, root):
    with ledger.step(step, archive) as keep:
        if keep:
            for name, read in archives.members(archive):
                if (found := _VOC.fullmatch(name)) and not keep(root / found[1]):
                    write_bytes(root / found[1], read())


def _unpack_sbd(ledger, archive, trainval, root, own):
    with ledger.step("sbd", archive, trainval) as keep:
        if not keep:
            return
        for name, read in archives.members(archive):
            found = _SBD.fullmatch(name)
            if found and found["list"]:
                write_bytes(root / f"ImageSets/SBD/{found['list']}.txt", read())
            elif found and found["id"] not in own and not keep(target := root / LABELS / f"{found['id']}.png"):
                write_index(target, sbd_label(f"{archive}: {name}", read()))


def sbd_label(name, data):
    """The label map (H, W) uint8 of an SBD file: GTcls.Segmentation. Raises DataError."""
    struct = matlab.load(name, data, "GTcls")
    label = matlab.mask(name, matlab.field(name, struct, "Segmentation"))
    check_label(label, name, len(VOC_CLASSES))
    return label


def _read_ids(path, archive):
    try:
        return splits.ids(path, path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{archive}: lacks the list {path.name}; is it cut short?") from None


def _check_files(archive, root, names, folder, suffix):
    missing = sorted(name for name in names if not (root / folder / f"{name}{suffix}").is_file())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{archive}: lacks {folder}/{missing[0]}{suffix}{more}; is it cut short?")
