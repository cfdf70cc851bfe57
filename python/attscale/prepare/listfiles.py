"""List files of a set as the release wrote them."""

import dataclasses
import hashlib
from pathlib import Path

from attscale.data.lists import list_text
from attscale.errors import DataError, reading
from attscale.files import write_text


@dataclasses.dataclass(frozen=True)
class ListFile:
    """A list to write, and how the sha256 of the release's begins, if it has that list."""

    name: str
    text: str
    sha256: str = ""

    @property
    def path(self):
        """Below the set's root."""
        return f"list/{self.name}.txt"

    @property
    def images(self):
        """How many it names."""
        return self.text.count("\n")

    def pairs(self, root):
        """The paths of its images and label maps; none of a list that has images only."""
        lines = [line.split() for line in self.text.splitlines()]
        return [tuple(root / part.lstrip("/") for part in line) for line in lines if len(line) == 2]

    def check_count(self, expected):
        """Raises DataError where it names another number of images."""
        if self.images != expected:
            raise DataError(
                f"list {self.name} would have {self.images} members, expected {expected}; are the archives those of "
                "the official pages? (--any-count goes on with a set of your own)"
            )

    def write(self, root, say):
        """Writes the list below `root`; `say` gets a line where it is not the release's, by the checksum."""
        path, digest = Path(root, self.path), hashlib.sha256(self.text.encode()).hexdigest()
        if not digest.startswith(self.sha256):
            say(f"{path}: sha256 begins {digest[:16]}, the release's {self.sha256}: members, order or form differ")
        write_text(path, self.text)


def pairs_text(ids, labels):
    """A list's text: the images of `ids` and their label maps in the folder `labels`."""
    return list_text([(f"JPEGImages/{image}.jpg", f"{labels}/{image}.png") for image in ids])


def ids(path):
    """The ids of a list in VOC's form, one a line, what follows them left out.

    Raises DataError, also for an id that is there twice.
    """
    with reading(path, DataError):
        found = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    if len(set(found)) < len(found):
        raise DataError(f"{path}: has {next(name for name in found if found.count(name) > 1)} twice")
    return found


def check_apart(train, val, archive):
    """Raises DataError where an id of `archive` is in train and in val: what is trained on says nothing of the net."""
    if both := sorted({*train} & {*val}):
        raise DataError(f"{archive}: has {both[0]} in train and in val, as {len(both)} of its images")
