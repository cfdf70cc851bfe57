"""Any of the real sets, from archives to lists: prepared, checked pair by pair, and only then listed."""

from functools import partial
from pathlib import Path

from attscale import datasets
from attscale.data import shapes, verify
from attscale.data.lists import read_list
from attscale.errors import DataError
from attscale.prepare import ade20k, archives, camvid, coco, own, voc10_part, voc12
from attscale.prepare.ledger import Ledger
from attscale.progress import Bar

MODULES = {"voc12": voc12, "voc10_part": voc10_part, "coco": coco, "ade20k": ade20k, "camvid": camvid}


def how_to(name):
    """What somebody without the set `name` has to fetch, and the command that makes it."""
    name, said = ("coco", "coco --full") if name == "coco_voc" else (name, name)
    command = f"python tools/prepare_data.py {said} (in Docker: docker compose run prepare {said})"
    if name not in MODULES:
        return f"make it with {command}"
    groups = archives.needed(MODULES[name].ARCHIVES)
    wanted = [" or ".join(f"{archive.file} from {archive.page}" for archive in group) for group in groups]
    return f"fetch {', '.join(wanted)} into data/archives, then {command}"


def demand(dataset, name, data_root):
    """Makes `shapes` where it is missing; of another set, whose list `name` is missing, says what to fetch.

    Raises DataError, before anything is begun.
    """
    root = Path(data_root, dataset.root)
    if (root / name).exists():
        return
    if root.exists() or dataset.name != "shapes":
        raise missing(dataset, root, name)
    shapes.make(root, progress=partial(Bar, unit="image", desc="making shapes"), seed=0, **dataset.sizes)


def missing(dataset, root, name):
    """The DataError of the list `name`, which is not in `root`: what to fetch, of one's own set what to write."""
    path = Path(root, name)
    if dataset.name in datasets.built_in():
        return DataError(f"{path}: no such list file: {how_to(dataset.name)}")
    if name in own.lists(dataset):
        return DataError(f"{path}: no such list file: make it with python tools/prepare_data.py {dataset.name}")
    made = "write it, an image and its label map a line"
    if not dataset.folders:
        made += f", or name two [folders] in {datasets.FILE} (docs/data.md)"
    return DataError(f"{path}: no such list file: {made}")


def check_own(dataset, root, *, any_count=False):
    """Raises DataError for a list of one's own set that is not there, or of another length than its file says.

    Of a set with folders, which make the lists of train and val, others need not be there. any_count: whatever the
    file says.
    """
    for split in dataset.splits.values():
        path = Path(root, split.list)
        if not path.exists():
            if dataset.folders and split.list not in own.lists(dataset):
                continue
            raise missing(dataset, root, split.list)
        found = len(read_list(root, split.list, labels=False))
        if split.images not in (None, found) and not any_count:
            raise DataError(f"{path}: names {found} images, {datasets.FILE} says {split.images} (--any-count)")


def make(name, root, folder, *, any_count=False, say=print, progress=lambda name: iter, **options):
    """Makes set `name` in `root` from the archives in `folder`; `options` are those of its module's `prepare`.

    Lists are written last, when every pair of them has been read: what they name can be trained on. `any_count` takes
    lists of another length than the official. `progress(name)` wraps the iteration over a list's pairs. Raises
    DataError.
    """
    root = Path(root)
    below = datasets.sharing(datasets.find(name))
    known = {split.list: (dataset, split) for dataset in below for split in dataset.splits.values()}
    sets = {path: dataset for path, (dataset, _) in known.items()}
    ledger = Ledger(root, known)

    def check(lists):
        for file in lists:
            _, split = known[file.path]
            if split.images is not None and not any_count:
                file.check_count(split.images)

    made = MODULES[name].prepare(ledger, folder, check=check, **options)
    if faults := _faults(root, made, sets, progress):
        # whatever happened to them since they were made: the archives are there to make them again
        say(f"{root}: {len(faults)} pairs are faulty, and made again; the first: {next(iter(faults.values()))}")
        ledger.forget(path for pair in faults for path in pair)
        made = MODULES[name].prepare(ledger, folder, **options)
        if faults := _faults(root, made, sets, progress):
            raise DataError(f"{root}: {len(faults)} pairs are faulty; the first: {next(iter(faults.values()))}")
    for file in made:
        file.write(root, say)
    return {file.name: file.images for file in made}


def _faults(root, made, sets, progress):
    """What is wrong with each faulty pair of the lists, every pair of which is read once."""
    checked, faults = set(), {}
    for file in made:
        new = [pair for pair in file.pairs(root) if pair not in checked]
        dataset = sets[file.path]
        faults |= verify.check(new, len(dataset.classes), progress(file.name), dataset.values).faults
        checked.update(new)
    return faults
