"""Whether every listed pair can be trained on, and how many pixels each class has."""

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from attscale import datasets
from attscale.data.images import orientation
from attscale.data.lists import check_pairs, has_labels, read_list
from attscale.data.samples import load_pair
from attscale.errors import DataError, UserError, reading
from attscale.files import write_text
from attscale.processes import cores, in_processes

STAMPS = ".verified.json"
_WORTH = 50  # pairs that take as long to read as a process to start


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check` found: complete messages by faulty pair; `pixels` counts the values 0 to 255 of the others."""

    pairs: int
    faults: dict[tuple[Path, Path], str]
    pixels: np.ndarray

    def note(self, pair, fault, counts):
        """Adds what was found of a pair."""
        if fault is not None:
            self.faults[pair] = fault
        else:
            self.pixels[...] += counts

    def raise_faults(self, where):
        """Raises DataError with the first fault and the number of all, if there are any."""
        if self.faults:
            first = next(iter(self.faults.values()))
            raise DataError(f"{where}: {len(self.faults)} of {self.pairs} pairs are faulty; the first: {first}")


def check(pairs, classes, progress=iter, values=None, upright=False):
    """Reads every pair of `pairs`: both exist, decode without damage, have the same size, and the label map has classes
    and 255 only.

    values: the data set's LabelValues; upright: an image with another EXIF orientation is faulty. `progress` wraps the
    iteration over pairs (tqdm, say). In processes, because damage to a JPEG is said on the standard error alone, which
    the threads of a process share. Raises DataError if reading a pair kills one.
    """
    pairs = list(pairs)
    report = _empty(pairs)
    for found in _results(pairs, classes, values, upright, progress):
        report.note(*found)
    return report


def _empty(pairs):
    return Report(len(pairs), {}, np.zeros(256, np.int64))


def _results(pairs, classes, values, upright, progress):
    """Yields (pair, what is wrong with it or None, pixels by value or None) of all pairs, in their order."""
    jobs = [(*pair, classes, values, upright) for pair in pairs]
    number = min(cores(), -(-len(pairs) // _WORTH))
    with contextlib.closing(in_processes(_read, jobs, number)) as results:
        for pair in progress(pairs):
            try:
                fault, counts = next(results)
            except UserError as error:
                raise DataError(f"{pair[0]}: the check of the data ended here: {error}") from None
            yield pair, fault, counts


def _read(image, label, classes, values, upright):
    """What is wrong with a pair, or None; and how many pixels of its label map have the values 0 to 255."""
    try:
        if upright:
            _check_upright(image)
        _, label = load_pair(image, label, classes, values)
    except DataError as error:
        return str(error), None
    return None, np.bincount(label.ravel(), minlength=256)


def _check_upright(image):
    if (tag := orientation(image)) != 1:
        raise DataError(
            f"{image}: has the EXIF orientation {tag}; save it upright (mogrify -auto-orient), or without that tag if "
            "its label map is not upright either"
        )


def _upright(dataset):
    """Whether images are to be upright: one's own are, for who draws label maps sees them so.

    Those of the papers' sets, whose label maps fit what is stored, are read as the release reads them.
    """
    return dataset.name not in datasets.built_in()


def check_lists(root, sets, progress=lambda name: iter):
    """Yields (list file, its DataSet, Report) of every list of `sets`, in one root, that is there and has label maps.

    A pair that several lists name is read once. `progress(name)` is that of the list so called, as in `check`. Raises
    DataError where there is no list.
    """
    known = {split.list: dataset for dataset in sets for split in dataset.splits.values()}
    there = [path for path in known if (root / path).exists()]
    if not there:
        raise DataError(f"{root}: has none of the lists {', '.join(known)}; prepare the set first")
    lists = {path: read_list(root, path) for path in there if has_labels(root, path)}
    reports = {path: _empty(pairs) for path, pairs in lists.items()}
    unread = {}  # pair to the reports of the lists that name it
    for path, pairs in lists.items():
        for pair in dict.fromkeys(pairs):
            unread.setdefault(pair, []).append(reports[path])
    for path, pairs in lists.items():
        new = [pair for pair in dict.fromkeys(pairs) if pair in unread]
        of = known[path]
        for found in _results(new, len(of.classes), of.values, _upright(of), progress(Path(path).stem)):
            for report in unread.pop(found[0]):
                report.note(*found)
        yield root / path, of, reports[path]


def table(report, classes, most=10):
    """The lines of a table of pixels by class, and of the first `most` faults."""
    total = report.pixels.sum()
    for value, name in [*enumerate(classes), (255, "ignored (255)")]:
        yield f"{value:3} {name:24} {report.pixels[value]:14,} {report.pixels[value] / max(1, total):9.4%}"
    for fault in list(report.faults.values())[:most]:
        yield f"fault: {fault}"
    if len(report.faults) > most:
        yield f"and {len(report.faults) - most} more"


def ensure(dataset, data_root, name, progress=iter):
    """Checks the list `name` before it is trained on; one that has not changed since it passed is not read again.

    What passed is remembered in the set's root, by list, sizes and times of all files, where that can be written.
    Raises DataError for the first fault.
    """
    root = Path(data_root, dataset.root)
    pairs = read_list(root, name)
    check_pairs(pairs, root / name)
    fingerprint = _fingerprint(pairs, dataset)
    stamps = _stamps(root)
    key = f"{dataset.name}/{name}"
    if stamps.get(key) == fingerprint:
        return
    check(pairs, len(dataset.classes), progress, dataset.values, _upright(dataset)).raise_faults(root / name)
    with contextlib.suppress(UserError):  # a set that cannot be written to is checked every time
        write_text(root / STAMPS, json.dumps({**_stamps(root), key: fingerprint}, indent=1) + "\n")


def _fingerprint(pairs, dataset):
    digest = hashlib.sha256(f"{len(dataset.classes)} {dataset.values}".encode())
    for pair in pairs:
        for path in pair:
            status = path.stat()
            digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _stamps(root):
    try:
        with reading(root / STAMPS):
            return dict(json.loads((root / STAMPS).read_text()).items())
    except UserError:  # no record: nothing has passed
        return {}
