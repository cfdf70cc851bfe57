"""ADE20K scene parsing (the challenge of 2016): 150 classes. Its files have 0 for "other", which becomes 255."""

import functools
import re
from pathlib import Path

import numpy as np

from attscale import datasets
from attscale.data.images import check_label, decode_label, write_index
from attscale.data.lists import list_text
from attscale.datasets import IGNORE
from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import archives, splits
from attscale.prepare.archives import Source
from attscale.prepare.ledger import Ledger
from attscale.prepare.splits import Split

_SET = datasets.find("ade20k")
SOURCES = (Source("ADEChallengeData2016.zip", "http://sceneparsing.csail.mit.edu/", "images and annotation"),)
COUNTS = _SET.sizes
_FOLDERS = {"training": "train", "validation": "val"}
_MEMBER = re.compile(
    r"ADEChallengeData2016/(?:(?P<image>images/(?P<of>training|validation)/(?P<id>\w+)\.jpg)|"
    r"(?P<label>annotations/(?:training|validation)/\w+\.png))"
)


def prepare(root, folder, *, any_count=False):
    """Makes the set in `root` from the archive in `folder`, less its lists, which are returned as Splits.

    Raises DataError for an archive that is missing, damaged, or not the official one; running again goes on.
    """
    root = Path(root)
    (archive,) = archives.locate(SOURCES, folder)
    ledger = Ledger(root, COUNTS)
    with ledger.step("files", archive) as make:
        if make:
            for name, read in archives.members(archive):
                found = _MEMBER.fullmatch(name)
                if found and found["image"]:
                    make(root / found["image"], write_bytes, read)
                elif found:
                    label = functools.partial(_label, f"{archive}: {name}", read)
                    make(root / found["label"], write_index, label)
    result = []
    for folder_name, name in _FOLDERS.items():
        folder_path = root / "images" / folder_name
        ids = sorted(path.stem for path in ledger.files("files") if path.parent == folder_path)
        splits.check_count(name, len(ids), COUNTS[name], any_count)
        if not ids:
            raise DataError(f"{archive}: has no images/{folder_name}/*.jpg; is it cut short?")
        pairs = [(f"images/{folder_name}/{i}.jpg", f"annotations/{folder_name}/{i}.png") for i in ids]
        ledger.demand(archive, [root / label for _, label in pairs], "files")
        result.append(Split(name, (list_text(pairs),)))
    return result


def _label(name, read):
    return shift(decode_label(read(), name), name)


def shift(label, name):
    """The files' 1 to 150 as 0 to 149, their 0 as 255. Raises DataError for any other value."""
    shifted = np.where(label == 0, IGNORE, label - np.uint8(1)).astype(np.uint8)
    if (label == IGNORE).any():  # 254 after the shift, which is no class either
        raise DataError(f"{name}: has the value 255, expected 0 to {len(_SET.classes)}")
    check_label(shifted, name, len(_SET.classes))
    return shifted
