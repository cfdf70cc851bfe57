"""ADE20K scene parsing (the challenge of 2016): 150 classes. Its files have 0 for "other", which becomes 255."""

import re
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from attscale import datasets
from attscale.data.images import check_label, decode_label, write_index
from attscale.data.lists import list_text
from attscale.files import write_bytes
from attscale.prepare import archives
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile

ARCHIVES = (Archive("ADEChallengeData2016.zip", "http://sceneparsing.csail.mit.edu/", "images and annotation"),)
_MEMBER = re.compile(
    r"ADEChallengeData2016/(?:(?P<image>images/(?:training|validation)/\w+\.jpg)|"
    r"(?P<label>annotations/(?:training|validation)/\w+\.png))"
)


def prepare(ledger, folder, *, check=list):
    """Makes the set in the ledger's root from the archive in `folder`, less its lists: they are returned as ListFiles.

    `check(lists)` is called before anything is unpacked. Raises DataError for an archive that is missing or damaged;
    running again goes on.
    """
    root = ledger.root
    (archive,) = archives.locate(ARCHIVES, folder)
    pairs = _pairs(archive)
    result = [ListFile(name, list_text(pairs[name])) for name in pairs]
    check(result)
    with ledger.step("files", archive) as make:
        if make:
            for member in archives.members(archive):
                found = _MEMBER.fullmatch(member.name)
                if found and found["image"]:
                    make(root / found["image"], write_bytes, member.read)
                elif found:
                    make(root / found["label"], write_index, partial(_label, member))
    ledger.demand(archive, [root / file for split in pairs.values() for pair in split for file in pair], "files")
    return result


def _pairs(archive):
    """Images and label maps by split, as the archive's directory has the images."""
    found = [
        match["image"] for name in archives.names(archive) if (match := _MEMBER.fullmatch(name)) and match["image"]
    ]
    return {
        split: [
            (image, f"annotations/{half}/{PurePosixPath(image).stem}.png")
            for image in sorted(found)
            if image.startswith(f"images/{half}/")
        ]
        for half, split in (("training", "train"), ("validation", "val"))
    }


def _label(member):
    label = decode_label(member.read(), member.where) - np.uint8(1)  # 0 becomes the largest of the bytes, 255
    check_label(label, member.where, len(datasets.find("ade20k").classes))
    return label
