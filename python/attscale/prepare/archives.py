"""Archives as they were downloaded: found or asked for by name, and read member by member, trusting no path."""

import contextlib
import dataclasses
import functools
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from attscale.errors import DataError

_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, struct.error, UnicodeDecodeError),  # zipfile: of a method, a field, a name that is damaged
)


@dataclasses.dataclass(frozen=True)
class Source:
    """An archive by the file name of its official page; `optional` ones are used where they are there."""

    file: str
    page: str
    what: str
    optional: bool = False


def locate(sources, folder):
    """The sources' paths in `folder`, None for an optional one that is not there.

    Raises DataError that names every archive that is missing, and the page it comes from.
    """
    paths = [Path(folder, source.file) for source in sources]
    missing = [
        f"{source.file} ({source.what}; from {source.page})"
        for source, path in zip(sources, paths, strict=True)
        if not source.optional and not path.is_file()
    ]
    if missing:
        raise DataError(f"{folder} lacks {', and '.join(missing)}")
    return [path if path.is_file() else None for path in paths]


def members(path):
    """Yields (name, read) for every plain file of the tar or zip archive `path`; `read()` gives its bytes.

    Names are relative, without `.` parts. Raises DataError for an archive that is damaged, cut short or encrypted, as
    `read()` does, and for a member that is a link, a device, or whose path would leave the folder it is unpacked to,
    wanted or not.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        found = _of_zip(path, stack) if path.suffix == ".zip" else _of_tar(path, stack)
        while True:
            with reading(path):  # not around the `yield`: what the caller raises is no fault of the archive
                name, read = next(found, (None, None))
            if name is None:
                return
            yield name, functools.partial(_read, f"{path}: {name}", read)


def _read(where, read):
    with reading(where):
        return read()


@contextlib.contextmanager
def reading(where):
    """Turns whatever tarfile, zipfile and their decompressors raise on bad archives into DataError about `where`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"{where}: {error.strerror}") from None
        raise DataError(f"{where}: damaged or cut short: {error}") from None  # gzip's and bz2's own
    except _BROKEN as error:
        raise DataError(f"{where}: damaged or cut short: {error}") from None


def open_zip(path, stack):
    """The zip archive `path`, closed by `stack`. Raises DataError where a member is encrypted; call it in `reading`."""
    archive = stack.enter_context(zipfile.ZipFile(path))
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise DataError(f"{path}: the member {info.filename!r} is encrypted")
    return archive


def _of_zip(path, stack):
    archive = open_zip(path, stack)
    for info in tqdm(archive.infolist(), desc=path.name, unit="file"):
        name = _safe(path, info.filename)
        kind = (info.external_attr >> 16) & 0o170000
        if info.is_dir():
            continue
        if kind not in (0, 0o100000):
            raise DataError(f"{path}: the member {info.filename!r} is a link or a device")
        yield name, lambda info=info: archive.read(info)


def _of_tar(path, stack):
    raw = stack.enter_context(path.open("rb"))
    zipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    stream = _Stream(stack.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw)
    archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))  # noqa: SIM115, the stack closes it
    bar = stack.enter_context(tqdm(total=path.stat().st_size, desc=path.name, unit="B", unit_scale=True))
    for info in archive:
        bar.update(raw.tell() - bar.n)
        name = _safe(path, info.name)
        if info.isdir():
            continue
        if not info.isfile():
            raise DataError(f"{path}: the member {info.name!r} is a link or a device")
        yield name, lambda info=info: archive.extractfile(info).read()
    stream.drain()
    if stream.tail != bytes(_Stream.END):  # tarfile takes the end of the file for the end of the archive
        raise DataError(f"{path}: damaged or cut short: no end of archive")


class _Stream:
    """A stream that remembers how it ended: a tar archive ends in two blocks of zeros."""

    END = 2 * tarfile.BLOCKSIZE

    def __init__(self, stream):
        self._stream, self.tail = stream, b""

    def read(self, size):
        data = self._stream.read(size)
        self.tail = (self.tail + data)[-self.END :]
        return data

    def drain(self):
        while self.read(1 << 20):
            pass


def _safe(path, name):
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise DataError(f"{path}: the member {name!r} would land outside of its folder")
    return str(pure)
