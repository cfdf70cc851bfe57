"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path, write):
    """Calls `write(temporary)` with a name beside `path`, then renames: `path` is never half-written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text):
    """`text` into the file `path`, whole or not at all."""
    write_whole(path, lambda temporary: Path(temporary).write_text(text))
