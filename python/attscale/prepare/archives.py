"""Archives as they were downloaded: found or asked for by name, and read member by member, trusting no path."""

import dataclasses
import gzip
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from attscale.errors import DataError, reading


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive by the file name of its official page; `optional` ones are used where they are there."""

    file: str
    page: str
    what: str
    optional: bool = False


def locate(archives, folder):
    """The archives' paths in `folder`, None for an optional one that is not there.

    Raises DataError that names every archive that is missing, and the page it comes from.
    """
    paths = {archive: Path(folder, archive.file) for archive in archives}
    missing = [
        f"{archive.file} ({archive.what}; from {archive.page})"
        for archive, path in paths.items()
        if not archive.optional and not path.is_file()
    ]
    if missing:
        raise DataError(f"{folder} lacks {', and '.join(missing)}")
    return [path if path.is_file() else None for path in paths.values()]


@dataclasses.dataclass(frozen=True)
class Member:
    """A plain file of an archive: its name inside, without `.` parts; where it is, for errors; how to get its bytes."""

    name: str
    where: str
    unpack: Callable[[], bytes]

    def read(self):
        """Its bytes. Raises DataError."""
        with reading(self.where, DataError):
            return self.unpack()


def members(path):
    """Yields every plain file of the tar or zip archive `path` as a Member, to be read before the next is asked for.

    Raises DataError for an archive that is damaged, and for a member, wanted or not, that is a link or a device or
    whose path would leave the folder it is unpacked to. A tar archive may end early where a member's header would
    come: what it lacks then has to be noticed by who wants it.
    """
    with reading(path, DataError):
        for name, plain, unpack in _of_zip(path) if path.suffix == ".zip" else _of_tar(path):
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts:
                raise DataError(f"{path}: the member {name!r} would land outside of its folder")
            if not plain:
                raise DataError(f"{path}: the member {name!r} is a link or a device")
            yield Member(str(pure), f"{path}: {pure}", unpack)


def _of_zip(path):
    """(name, whether it is a plain file, how to read it) of all members but folders."""
    with zipfile.ZipFile(path) as archive:
        for info in tqdm(archive.infolist(), desc=path.name, unit="file"):
            kind = (info.external_attr >> 16) & 0o170000  # of Unix; 0 where another system made the archive
            if not info.is_dir():
                yield info.filename, kind in (0, 0o100000), partial(archive.read, info)


def _of_tar(path):
    """As `_of_zip`."""
    bar = partial(tqdm.wrapattr, method="read", total=path.stat().st_size, desc=path.name)
    with path.open("rb") as file, bar(file) as raw:
        zipped = file.peek(2)[:2] == b"\x1f\x8b"  # some browsers unzip what they save
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                if not info.isdir():
                    yield info.name, info.isfile(), lambda info=info: archive.extractfile(info).read()
        while stream.read(1 << 20):  # gzip tells at its end whether what it gave was whole
            pass
