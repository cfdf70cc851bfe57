"""Files that are there whole or not at all."""

import contextlib
import fcntl
import io
import os
import tempfile
from pathlib import Path

from attscale.errors import UserError

_PARTIAL = ".partial"  # the end of temporary names


def write_whole(path, write, *, durable=False):
    """Calls `write(temporary)` with a name beside `path`, then renames: `path` is never half-written.

    A `durable` file is on the disk before it gets its name, so that a power failure leaves it whole or not there. That
    takes ten times as long for a small file (2.5 ms instead of 0.2), so thousands of images go without.
    Makes the folder. Raises UserError where the system refuses; the temporary file is removed whatever happens, or by
    `clear` after a kill.
    """
    path = Path(path)
    with naming(path):
        make_folder(path.parent)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)  # `clear` sees by it that somebody is at work
            write(temporary)
            if durable:
                sync(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


class Appended(io.FileIO):
    """A file that is appended to, unbuffered. Raises UserError where the system refuses."""

    def __init__(self, path):
        with naming(path):
            super().__init__(path, "ab")

    def write(self, data):
        with naming(self.name):
            return super().write(data)


@contextlib.contextmanager
def naming(path, what="cannot be written"):
    """Has a refusal of the system inside, a full disk's say, end as the UserError that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: {what}: {error.strerror or error}") from None


def make_folder(path):
    """Makes the folder `path` and those above it. Raises UserError where the system refuses."""
    with naming(path, "cannot make this folder"):
        Path(path).mkdir(parents=True, exist_ok=True)


def check_folder(path):
    """Raises UserError where the folder `path` is not there and could not be made; makes nothing."""
    path = Path(path)
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "may not be written to" if nearest.is_dir() else "is not a folder"
        raise UserError(f"{path}: cannot make this folder: {nearest} {why}")


def remove(path):
    """Removes the file `path`, if it is there. Raises UserError where the system refuses."""
    with naming(path, "cannot be removed"):
        Path(path).unlink(missing_ok=True)


def clear(folder):
    """Removes what processes that were killed in `write_whole` have left in `folder` and the folders inside.

    Others may be at work there: what somebody is still writing stays.
    """
    for path in Path(folder).rglob(f".*{_PARTIAL}"):
        # to be written: network file systems lock nothing else
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path):
    """Waits until the file or folder `path` is on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path, text):
    """`text` into the file `path`, whole or not at all, durably: texts are records, lists and logs."""
    write_whole(path, lambda temporary: Path(temporary).write_text(text), durable=True)


def write_bytes(path, data, *, durable=False):
    """`data` into the file `path`, whole or not at all."""
    write_whole(path, lambda temporary: Path(temporary).write_bytes(data), durable=durable)
