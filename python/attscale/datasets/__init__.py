"""Data sets, a TOML file each: those of this folder, and anyone's own in `data/<name>/dataset.toml`."""

import dataclasses
import functools
import re
import tomllib
from pathlib import Path, PurePosixPath

from attscale import recipe as recipes
from attscale.errors import ExperimentError, UserError, reading
from attscale.options import from_values

#: The value of pixels that are neither trained on nor scored, in the label maps of every set.
IGNORE = 255
#: BGR mean of the original release, in grey levels.
MEAN = (104.008, 116.669, 122.675)
#: A user's own data set, in its folder.
FILE = "dataset.toml"
#: Names of data sets and nets: of folders of prototxts, and in names of layers.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A list file, relative to the set's root (see `attscale.data.lists`), and how many images it has, if known."""

    list: str
    images: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folders:
    """Images and label maps of the same names in two folders below the root, from which the lists are made."""

    images: str = "images"
    labels: str = "labels"
    val: float = 0.2  # the share of them that is the validation set
    seed: int = 0  # which ones


@dataclasses.dataclass(frozen=True)
class LabelValues:
    """What the values in a set's label maps mean where they are not the classes' indices.

    Of a PNG of indices: `ignore` become IGNORE, `map` pairs (value, class) that class; with a map no other values may
    be there. Of one in colour: `colours`, RGB, are the classes in their order, `ignore_colours` become IGNORE.
    """

    ignore: tuple[int, ...] = ()
    map: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    ignore_colours: tuple[tuple[int, int, int], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """A set below one root; its label maps hold indices of `classes`, or IGNORE, or what `values` says."""

    name: str
    title: str
    root: str  # below the folder that --data names
    train: str = "train"  # the split that the paper trains on
    val: str = "val"  # and the one that it reports
    classes: tuple[str, ...]
    splits: dict[str, Split] = dataclasses.field(hash=False)
    folders: Folders | None = None
    colours: tuple[tuple[int, int, int], ...] = ()  # RGB of each class; none: VOC's colour map
    ignore: tuple[int, ...] = ()
    map: dict[str, int] = dataclasses.field(default_factory=dict, hash=False)  # value of the label maps to class
    ignore_colours: tuple[tuple[int, int, int], ...] = ()
    mean: tuple[float, float, float] = MEAN  # BGR, grey levels
    test_size: int = 513  # images are padded to it
    recipe: recipes.Recipe = recipes.USUAL
    narrow: recipes.Recipe = recipes.NARROW  # of nets whose names end in _narrow

    def __post_init__(self):
        if not NAME.fullmatch(self.name):
            raise ExperimentError(f"name is {self.name!r}, expected letters and digits, with single _ between them")
        if re.search(r"_res\d+(_interp)?$", f"fc8_{self.name}"):  # a layer of every net; fc8_voc12_res05 is a scale's
            raise ExperimentError(f"name is {self.name!r}, whose end would be taken for a scale; choose another")
        self._check_classes()
        self._check_values()
        recipes.check_size("test_size", self.test_size)
        for name in (self.train, self.val):
            self._split(name)
        for where, path in self._paths():
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ExperimentError(f"{where} is {path!r}, expected a path inside of the set's folder")
        if self.folders and not 0 < self.folders.val < 1:
            raise ExperimentError(f"folders.val is {self.folders.val}, expected a share between 0 and 1")
        if self.folders and PurePosixPath(self.folders.images) == PurePosixPath(self.folders.labels):
            raise ExperimentError(f"folders has {self.folders.images!r} for images and labels, expected two folders")
        if self.folders and PurePosixPath(self.list_of(self.train)) == PurePosixPath(self.list_of(self.val)):
            raise ExperimentError(
                f"train and val are both {self.list_of(self.val)}, expected two lists: folders are divided into them"
            )

    def _paths(self):
        """(key, path below the root) of all that it names there."""
        yield from ((f"splits.{name}.list", split.list) for name, split in self.splits.items())
        if self.folders:
            yield from (("folders.images", self.folders.images), ("folders.labels", self.folders.labels))

    def _check_classes(self):
        if not 2 <= len(self.classes) <= IGNORE:
            raise ExperimentError(f"classes has {len(self.classes)} names, expected 2 to {IGNORE}")
        if twice := _twice(self.classes):
            raise ExperimentError(f"classes has {twice!r} twice")
        if self.colours and len(self.colours) != len(self.classes):
            raise ExperimentError(
                f"colours has {len(self.colours)} of them, expected one for each of the {len(self.classes)} classes"
            )
        for colour in (*self.colours, *self.ignore_colours):
            if not all(0 <= part < 256 for part in colour):
                raise ExperimentError(f"the colour {list(colour)} is not of numbers from 0 to 255")
        if twice := _twice((*self.colours, *self.ignore_colours)):
            raise ExperimentError(f"the colour {list(twice)} is given twice")

    def _check_values(self):
        mapped = {}
        for value, index in self.map.items():
            if not value.isdecimal() or not 0 <= int(value) < 256:
                raise ExperimentError(f"map has {value!r}, expected values of label maps, 0 to 255")
            if not 0 <= index < len(self.classes):
                raise ExperimentError(f"map has {value} = {index}, expected a class from 0 to {len(self.classes) - 1}")
            mapped[int(value)] = index
        for value in self.ignore:
            if not 0 <= value < 256:
                raise ExperimentError(f"ignore has {value}, expected values of label maps, 0 to 255")
            if value in mapped:
                raise ExperimentError(f"ignore has {value}, which map makes class {mapped[value]}")
            if value < len(self.classes) and not mapped:
                raise ExperimentError(f"ignore has {value}, which is the class {self.classes[value]!r}")

    @property
    def values(self):
        """The LabelValues of its label maps; None where they hold indices and IGNORE alone."""
        if not (self.ignore or self.map or self.colours or self.ignore_colours):
            return None
        pairs = tuple(sorted((int(value), index) for value, index in self.map.items()))
        return LabelValues(self.ignore, pairs, self.colours, self.ignore_colours)

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


def find(name, data="data"):
    """The data set of that name: of this folder, or `name`/dataset.toml below the folder `data`.

    Raises ExperimentError with the known ones, and for a file that says something else than a data set, or has the
    name of one of this folder.
    """
    own = Path(data, name, FILE)
    if name in built_in():
        if own.is_file():
            raise ExperimentError(f"{own}: {name} is a data set of the project's own; give the folder another name")
        return _read(Path(__file__).with_name(f"{name}.toml"))
    if name in _own(data):
        return _read_own(own)
    raise ExperimentError(f"no data set {name!r}; known are {', '.join(names(data))}, and there is no {own}")


def names(data="data"):
    """The names of all data sets: those of this folder, then those below the folder `data`."""
    return (*built_in(), *_own(data))


def sharing(dataset):
    """All sets in the folder of this one, itself among them: MS-COCO's, in its own classes and in VOC's."""
    return [dataset, *(other for other in map(find, built_in()) if other.root == dataset.root and other != dataset)]


@functools.cache
def built_in():
    """The names of the data sets of this folder, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


def _own(data):
    return sorted({path.parent.name for path in Path(data).glob(f"*/{FILE}")} - set(built_in()))


@functools.cache
def _read(path):
    with reading(path, ExperimentError):
        return _of(tomllib.loads(path.read_text(encoding="utf-8")))


def _read_own(path):
    """A user's own: its name is its folder's, which is its root; lists that it does not name are in list/."""
    with reading(path, ExperimentError):
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' Notepad begins files with a mark
    folder = path.parent.name
    usual = {"name": folder, "title": folder, "root": folder}
    if "splits" not in values:
        usual["splits"] = {name: {"list": f"list/{name}.txt"} for name in ("train", "val")}
    try:
        found = _of(usual | values)
        for name in ("name", "root"):
            if getattr(found, name) != folder:
                raise ExperimentError(f"{name} is {getattr(found, name)!r}, expected that of its folder, {folder!r}")
    except UserError as error:
        raise ExperimentError(f"{path}: {error}") from None
    return found


def _of(values):
    """The DataSet; what its [narrow] does not say is as usual for narrow nets."""
    if isinstance(narrow := values.get("narrow"), dict):
        values = values | {"narrow": _merged(dataclasses.asdict(recipes.NARROW), narrow)}
    return from_values(DataSet, values)


def _merged(usual, given):
    """The tables `given` over those of `usual`."""
    tables = {name for name, value in given.items() if isinstance(value, dict) and name in usual}
    return usual | given | {name: _merged(usual[name], given[name]) for name in tables}


def _twice(items):
    """The first of them that is there twice; None where none is."""
    seen = set()
    return next((item for item in items if item in seen or seen.add(item)), None)
