"""Where results are looked for, and names of folders as text."""

from pathlib import Path

from attscale.errors import UserError

RUNS = "runs"  # where results are looked for unless folders are named


def find(folders, name):
    """The files called `name` in and below `folders`, sorted, each once; the default, `runs`, need not be there.

    Raises UserError for a folder that is not there.
    """
    found = {}
    for folder in map(Path, folders or [RUNS]):
        if folder.is_dir():
            found |= {path.resolve(): path for path in folder.rglob(name)}
        elif folders:
            raise UserError(f"{folder}: no such folder")
    return sorted(found.values())


def printable(text):
    """`text` without what UTF-8 cannot hold: the name of a folder may have it."""
    return text.encode("utf-8", "replace").decode()
