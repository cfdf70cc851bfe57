"""Archives as they were downloaded: found or asked for by name, and read member by member, trusting no path."""

import dataclasses
import gzip
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from attscale.errors import DataError, reading
from attscale.progress import Bar

#: Bytes of the largest member that is expected of a set's archives: a photograph, a label map, a list.
LARGEST = 64 << 20


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive by the file name of its official page; `optional` ones are used where they are there.

    Of those that have the same `role`, one is enough.
    """

    file: str
    page: str
    what: str
    optional: bool = False
    role: str = ""


def locate(archives, folder):
    """The archives' paths in `folder`, None for one that is not there and need not be.

    Raises DataError that names every archive that is missing, and the page it comes from.
    """
    paths = {archive: Path(folder, archive.file) for archive in archives}
    missing = [group for group in needed(archives) if not any(paths[archive].is_file() for archive in group)]
    if missing:
        names = [" or ".join(f"{a.file} ({a.what}; from {a.page})" for a in group) for group in missing]
        raise DataError(f"{folder} lacks {', and '.join(names)}")
    return [path if path.is_file() else None for path in paths.values()]


def needed(archives):
    """Those without which a set cannot be made, in groups of which one archive is enough."""
    groups = {}
    for archive in archives:
        if not archive.optional:
            groups.setdefault(archive.role or archive.file, []).append(archive)
    return list(groups.values())


@dataclasses.dataclass(frozen=True)
class Member:
    """A plain file of an archive: its name inside, without `.` parts; where it is, for errors; how to get its bytes."""

    name: str
    where: str
    unpack: Callable[[], bytes]
    size: int | None = None  # bytes that the archive says it has

    def read(self, largest=LARGEST):
        """Its bytes. Raises DataError, also for one of more than `largest`, before it is read."""
        if self.size is not None and self.size > largest:
            raise DataError(f"{self.where}: says that it has {self.size} bytes, expected at most {largest}")
        with reading(self.where, DataError):
            data = self.unpack()
        if self.size is not None and len(data) != self.size:
            raise DataError(f"{self.where}: has {len(data)} bytes, expected {self.size}")
        return data


def members(path):
    """Yields every plain file of the tar or zip archive `path` as a Member, to be read before the next is asked for.

    Raises DataError for an archive that is damaged, and for a member, wanted or not, that is a link or a device or
    whose path would leave the folder it is unpacked to. A tar archive may end early where a member's header would
    come: what it lacks then has to be noticed by who wants it.
    """
    with reading(path, DataError):
        for name, plain, unpack, size in _of_zip(path) if path.suffix == ".zip" else _of_tar(path):
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts:
                raise DataError(f"{path}: the member {name!r} would land outside of its folder")
            if not plain:
                raise DataError(f"{path}: the member {name!r} is a link or a device")
            yield Member(str(pure), f"{path}: {pure}", unpack, size)


def names(path):
    """The names of all plain files of the zip archive `path`, out of its directory. Raises DataError, as `members`."""
    return [member.name for member in members(path)]


def read_member(path, name, largest=LARGEST):
    """The bytes of one member of the archive `path`. Raises DataError where it has none of that name, or two."""
    found = [member.read(largest) for member in members(path) if member.name == name]
    if len(found) != 1:
        raise DataError(f"{path}: has {len(found) or 'no'} members {name}, expected one")
    return found[0]


def _of_zip(path):
    """(name, whether it is a plain file, how to read it, its size) of all members but folders."""
    with zipfile.ZipFile(path) as archive:
        for info in Bar(archive.infolist(), desc=path.name, unit="file"):
            kind = (info.external_attr >> 16) & 0o170000  # of Unix; 0 where another system made the archive
            if not info.is_dir():
                yield info.filename, kind in (0, 0o100000), partial(archive.read, info), info.file_size


def _of_tar(path):
    """As `_of_zip`."""
    bar = partial(Bar.wrapattr, method="read", total=path.stat().st_size, desc=path.name)
    with path.open("rb") as file, bar(file) as raw:
        zipped = file.peek(2)[:2] == b"\x1f\x8b"  # some browsers unzip what they save
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                if not info.isdir():
                    yield info.name, info.isfile(), lambda info=info: archive.extractfile(info).read(), info.size
        while stream.read(1 << 20):  # gzip tells at its end whether what it gave was whole
            pass
