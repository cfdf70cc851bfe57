"""The data sets, a TOML file each in this folder: classes, where they lie, their splits and how large those are."""

import dataclasses
import functools
import tomllib
from pathlib import Path

from attscale.errors import ExperimentError, reading
from attscale.options import from_values

#: The value of pixels that are neither trained on nor scored, in the label maps of every set.
IGNORE = 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A list file, relative to the set's root (see `attscale.data.lists`), and how many images it has, if known."""

    list: str
    images: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """A set in VOC's folder layout; label maps hold indices of `classes`, or IGNORE."""

    name: str
    title: str
    root: str  # below the folder that --data names
    train: str  # the split that the paper trains on
    val: str  # and the one that it reports
    classes: tuple[str, ...]
    splits: dict[str, Split]

    def list_of(self, split):
        """The list file of a split, relative to the root. Raises ExperimentError where there is no such split."""
        return self._split(split).list

    def size_of(self, split):
        """How many images a split has when it is whole; None where that is not known. Raises ExperimentError."""
        return self._split(split).images

    @property
    def sizes(self):
        """The splits whose number of images is known, with that."""
        return {name: split.images for name, split in self.splits.items() if split.images is not None}

    def _split(self, name):
        if name not in self.splits:
            raise ExperimentError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]


def find(name):
    """The data set of that name. Raises ExperimentError with the known ones."""
    if name not in names():
        raise ExperimentError(f"no data set {name!r}; known are {', '.join(names())}")
    return _read(Path(__file__).with_name(f"{name}.toml"))


def sharing(dataset):
    """All sets in the folder of this one, itself among them: MS-COCO's, in its own classes and in VOC's."""
    return [other for other in map(find, names()) if other.root == dataset.root]


@functools.cache
def names():
    """The names of all data sets, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


@functools.cache
def _read(path):
    with reading(path, ExperimentError):
        return from_values(DataSet, tomllib.loads(path.read_text(encoding="utf-8")))
