"""Fetches a file of the manifest: resumed where it stopped, verified, and there whole or not at all."""

import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from attscale.errors import WeightsError
from attscale.files import make_folder, write_text, write_whole
from attscale.weights import caffemodel

CHECKSUMS = "checksums.json"
_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte
_ATTEMPTS = 4


def fetch(entry, folder, say=print):
    """Has the files of `entry` in `folder`, and returns their paths.

    What is there already is only verified. Raises WeightsError, with what to do, for a dead link, a file without a
    known address, one whose size, sha256 or contents are wrong, and an archive with paths that leave it.
    """
    folder = Path(folder)
    make_folder(folder)
    path = folder / entry.file
    if path.exists():
        say(f"{path}: there already")
        digest = _verify(entry, path, path)
    else:
        part = folder / f"{entry.file}.part"
        _download(entry, path, part, say)
        try:
            digest = _verify(entry, part, path)
        except WeightsError:
            part.unlink()  # complete and yet wrong: there is nothing to go on from
            raise
        os.replace(part, path)
    _record(folder, path.name, digest, say)
    if entry.members:
        _unpack(entry, path, folder)
    return [folder / name for name in entry.results]


def by_hand(entry, path):
    """What to do where no address works."""
    return f"fetch it by hand from {entry.page}, put it at {path}, and run the same command again"


def _download(entry, path, part, say):
    """Fills `part`. A dropped connection is taken up again at once, an interrupted call by the next."""
    if entry.url is None:
        raise WeightsError(f"{entry.name}: no address of {entry.file} is known; {by_hand(entry, path)}")
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(entry, part):
                return
        except urllib.error.HTTPError as error:
            raise WeightsError(f"{entry.url}: {error.code} {error.reason}; {by_hand(entry, path)}") from None
        except (OSError, http.client.HTTPException) as error:
            if not part.exists() or part.stat().st_size == before:
                reason = getattr(error, "reason", None) or error
                raise WeightsError(f"{entry.url}: {reason}; {by_hand(entry, path)}") from None
        if attempt < _ATTEMPTS - 1:
            say(f"{entry.file}: the connection was lost after {part.stat().st_size} bytes; going on from there")
    raise WeightsError(
        f"{entry.url}: the connection was lost {_ATTEMPTS} times; {part} holds {part.stat().st_size} bytes, "
        "and the same command goes on from there"
    )


def _transfer(entry, part):
    """One connection's worth of `part`; whether the file is complete.

    A server says with If-Range that the rest still belongs to what is there; without an ETag or date to ask it by,
    the file is begun anew, lest two versions be joined.
    """
    validator = part.with_name(part.name + ".etag")
    have = part.stat().st_size if part.exists() and validator.exists() else 0
    request = urllib.request.Request(entry.url, headers={"User-Agent": "attscale", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator.read_text())
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        if total == str(have):
            return _complete(validator)
        validator.unlink()  # another file than the one begun: the next attempt begins anew
        return False
    with response:
        begins = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
        resumed = response.status == http.client.PARTIAL_CONTENT and begins == str(have)
        place = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = place + int(length) if length else None
        tag = response.headers.get("ETag", "")
        tag = response.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
        with part.open("ab" if resumed else "wb") as file:
            if tag:
                validator.write_text(tag)
            else:
                validator.unlink(missing_ok=True)
            with tqdm(total=total, initial=place, unit="B", unit_scale=True, desc=entry.file) as bar:
                while chunk := response.read(_CHUNK):
                    _write(file, chunk)
                    bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        return False
    return _complete(validator)


def _write(file, chunk):
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:  # not the connection's fault, which is an OSError too
        raise WeightsError(f"{file.name}: cannot be written: {error.strerror}") from None


def _complete(validator):
    validator.unlink(missing_ok=True)
    return True


def _verify(entry, source, path):
    """The sha256 of `source`, which is `path` or will be, after its size, checksum and kind were found right."""
    size = source.stat().st_size
    if entry.size is not None and size != entry.size:
        raise WeightsError(f"{path}: has {size} bytes, expected {entry.size}; {by_hand(entry, path)}")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = path.parent / CHECKSUMS
    for expected, where in ((entry.sha256, "the manifest"), (_recorded(record).get(path.name), record)):
        if expected is not None and digest != expected:
            raise WeightsError(f"{path}: sha256 is {digest}, but {where} has {expected}; {by_hand(entry, path)}")
    if entry.members and not zipfile.is_zipfile(source):
        raise WeightsError(f"{path}: not a zip archive; {by_hand(entry, path)}")
    if not entry.members:
        _check_caffemodel(source, f"{path}: {{}}; {by_hand(entry, path)}")
    return digest


def _check_caffemodel(path, message):
    """Refuses what is none: a dead link often answers with a page that says so."""
    try:
        caffemodel.read(path)
    except WeightsError as error:
        raise WeightsError(message.format(str(error).removeprefix(f"{path}: "))) from None


def _recorded(path):
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from None
    if not isinstance(record, dict):
        raise WeightsError(f"{path}: expected an object of file names and sha256")
    return record


def _record(folder, name, digest, say):
    record = _recorded(folder / CHECKSUMS)
    if name not in record:
        say(f"{folder / name}: sha256 {digest}, recorded in {folder / CHECKSUMS}")
        write_text(folder / CHECKSUMS, json.dumps(record | {name: digest}, indent=1, sort_keys=True) + "\n")


def _unpack(entry, path, folder):
    """Takes the members out of the zip archive `path`, by their base names; nothing else of it is written."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                parts = PurePosixPath(info.filename).parts
                if info.filename.startswith("/") or ".." in parts or "\\" in info.filename or ":" in info.filename:
                    raise WeightsError(f"{path}: the member {info.filename!r} leaves the archive; nothing was unpacked")
                if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000, 0o040000):
                    raise WeightsError(f"{path}: the member {info.filename!r} is no plain file; nothing was unpacked")
            for wanted, name in entry.members.items():
                found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == wanted]
                if len(found) != 1:
                    names = ", ".join(info.filename for info in archive.infolist()[:8])
                    raise WeightsError(f"{path}: has {len(found)} members {wanted}, expected one; it holds {names}")
                if not _same(archive, found[0], folder / name):
                    write_whole(folder / name, lambda temporary, info=found[0]: _take(path, archive, info, temporary))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path}: cannot be unpacked: {error}") from None


def _same(archive, info, path):
    if not path.exists() or path.stat().st_size != info.file_size:
        return False
    with archive.open(info) as ours, path.open("rb") as theirs:
        return hashlib.file_digest(ours, "sha256").digest() == hashlib.file_digest(theirs, "sha256").digest()


def _take(path, archive, info, temporary):
    with archive.open(info) as source, Path(temporary).open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
    _check_caffemodel(temporary, f"{path}: the member {info.filename}: {{}}")
