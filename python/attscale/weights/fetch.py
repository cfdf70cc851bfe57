"""Fetches a file of the manifest: resumed where it stopped, verified, and there whole or not at all.

Resuming is written by hand: the files are large, the servers are old and slow, and the libraries that download and
verify (pooch) begin anew.
"""

import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

from attscale.errors import WeightsError, reading
from attscale.files import make_folder, naming, write_bytes, write_text
from attscale.prepare import archives
from attscale.progress import Bar
from attscale.weights import caffemodel, statedict

CHECKSUMS = "checksums.json"
_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte
_ATTEMPTS = 4
_LARGEST = 2 << 30  # bytes of a caffemodel, at most: protobuf's own limit


class _DeadEndError(Exception):
    """The address leads nowhere, or to something else: the user has to fetch the file."""


def fetch(entry, folder, say=print):
    """Has the files of `entry` in `folder`, and returns their paths.

    What is there already is only verified. Raises WeightsError, with what to do, for a dead link, a file without a
    known address, and one whose size, sha256 or contents are wrong; DataError for an archive that is damaged or whose
    paths leave it.
    """
    folder = Path(folder)
    make_folder(folder)
    path, part = folder / entry.file, folder / f"{entry.file}.part"
    try:
        if path.exists():
            say(f"{path}: there already")
            _verify(entry, path, path, say)
        else:
            _download(entry, part, say)
            try:
                _verify(entry, part, path, say)
            except _DeadEndError:
                part.unlink()  # complete and yet wrong: there is nothing to go on from
                raise
            os.replace(part, path)
    except _DeadEndError as error:
        raise WeightsError(
            f"{error}; fetch it by hand from {entry.page}, put it at {path}, and run the same command again"
        ) from None
    if entry.members:
        _unpack(entry, path, folder)
    return [folder / name for name in entry.results]


def _download(entry, part, say):
    """Fills `part`. A dropped connection is taken up again at once, an interrupted call by the next."""
    if entry.url is None:
        raise _DeadEndError(f"{entry.name}: no address of {entry.file} is known")
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(entry, part):
                return
        except urllib.error.HTTPError as error:
            raise _DeadEndError(f"{entry.url}: {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            if not part.exists() or part.stat().st_size == before:
                raise _DeadEndError(f"{entry.url}: {getattr(error, 'reason', None) or error}") from None
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
        validator.unlink()  # it is all there; or it is of another file, and the next attempt begins anew
        return total == str(have)
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
            with Bar(total=total, initial=place, unit="B", unit_scale=True, desc=entry.file) as bar:
                while chunk := response.read(_CHUNK):
                    with naming(part):  # a full disk is not the connection's fault
                        file.write(chunk)
                        file.flush()
                    bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        return False
    validator.unlink(missing_ok=True)
    return True


def _verify(entry, source, path, say):
    """Checks size, sha256 and kind of `source`, which is `path` or will be; records the sha256 of a first copy.

    Raises _DeadEndError: a dead link often answers with a page that says so.
    """
    data = source.read_bytes()
    if entry.size is not None and len(data) != entry.size:
        raise _DeadEndError(f"{path}: has {len(data)} bytes, expected {entry.size}")
    record, digest = path.parent / CHECKSUMS, hashlib.sha256(data).hexdigest()
    with reading(record):
        recorded = dict(json.loads(record.read_text()).items()) if record.exists() else {}
    for expected, where in ((entry.sha256, "the manifest"), (recorded.get(path.name), record)):
        if expected is not None and digest != expected:
            raise _DeadEndError(f"{path}: sha256 is {digest}, but {where} has {expected}")
    if entry.members:
        if not zipfile.is_zipfile(source):
            raise _DeadEndError(f"{path}: not a zip archive")
    else:
        try:
            if path.suffix == ".pth":
                statedict.read(source)
            else:
                caffemodel.decode(data, path)
        except WeightsError as error:
            raise _DeadEndError(error) from None
    if path.name not in recorded:
        say(f"{path}: sha256 {digest}, recorded in {record}")
        write_text(record, json.dumps(recorded | {path.name: digest}, indent=1, sort_keys=True) + "\n")


def _unpack(entry, path, folder):
    """Takes the members out of the archive `path`, by their base names; nothing else of it is written."""
    found = {}
    for member in archives.members(path):
        wanted = PurePosixPath(member.name).name
        if wanted in found:
            raise WeightsError(f"{path}: has two members {wanted}, expected one")
        if wanted in entry.members:
            found[wanted] = member.read(_LARGEST)
            caffemodel.decode(found[wanted], member.where)
    if lacking := sorted(entry.members.keys() - found):
        raise WeightsError(f"{path}: has no member {lacking[0]}")
    for wanted, data in found.items():
        target = folder / entry.members[wanted]
        if not target.exists() or target.read_bytes() != data:
            write_bytes(target, data)
