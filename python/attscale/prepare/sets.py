"""Any of the real sets, from archives to lists: prepared, checked pair by pair, and only then listed."""

from functools import partial
from pathlib import Path

from attscale import datasets
from attscale.data import shapes, verify
from attscale.errors import DataError
from attscale.prepare import ade20k, archives, coco, voc10_part, voc12
from attscale.prepare.ledger import Ledger
from attscale.progress import Bar

MODULES = {"voc12": voc12, "voc10_part": voc10_part, "coco": coco, "ade20k": ade20k}


def how_to(name):
    """What somebody without the set `name` has to fetch, and the command that makes it."""
    name, said = ("coco", "coco --full") if name == "coco_voc" else (name, name)
    command = f"python tools/prepare_data.py {said} (in Docker: docker compose run prepare {said})"
    if name not in MODULES:
        return f"make it with {command}"
    groups = archives.needed(MODULES[name].ARCHIVES)
    wanted = [" or ".join(f"{archive.file} from {archive.page}" for archive in group) for group in groups]
    return f"fetch {', '.join(wanted)} into data/archives, then {command}"


def demand(dataset, split, data_root):
    """Makes `shapes` where it is missing; of another set says what to fetch (DataError), before anything is begun."""
    root = Path(data_root, dataset.root)
    if (root / dataset.list_of(split)).exists():
        return
    if root.exists() or dataset.name != "shapes":
        raise DataError(f"{root / dataset.list_of(split)}: no such list file: {how_to(dataset.name)}")
    shapes.make(root, progress=partial(Bar, unit="image", desc="making shapes"), seed=0, **dataset.sizes)


def make(name, root, folder, *, any_count=False, say=print, progress=lambda name: iter, **options):
    """Makes set `name` in `root` from the archives in `folder`; `options` are those of its module's `prepare`.

    Lists are written last, when every pair of them has been read: what they name can be trained on. `any_count` takes
    lists of another length than the official. `progress(name)` wraps the iteration over a list's pairs. Raises
    DataError.
    """
    root = Path(root)
    below = datasets.sharing(datasets.find(name))
    known = {split.list: (dataset, split) for dataset in below for split in dataset.splits.values()}
    classes = {path: len(dataset.classes) for path, (dataset, _) in known.items()}
    ledger = Ledger(root, known)

    def check(lists):
        for file in lists:
            _, split = known[file.path]
            if split.images is not None and not any_count:
                file.check_count(split.images)

    made = MODULES[name].prepare(ledger, folder, check=check, **options)
    if faults := _faults(root, made, classes, progress):
        # whatever happened to them since they were made: the archives are there to make them again
        say(f"{root}: {len(faults)} pairs are faulty, and made again; the first: {next(iter(faults.values()))}")
        ledger.forget(path for pair in faults for path in pair)
        made = MODULES[name].prepare(ledger, folder, **options)
        if faults := _faults(root, made, classes, progress):
            raise DataError(f"{root}: {len(faults)} pairs are faulty; the first: {next(iter(faults.values()))}")
    for file in made:
        file.write(root, say)
    return {file.name: file.images for file in made}


def _faults(root, made, classes, progress):
    """What is wrong with each faulty pair of the lists, every pair of which is read once."""
    checked, faults = set(), {}
    for file in made:
        new = [pair for pair in file.pairs(root) if pair not in checked]
        faults |= verify.check(new, classes[file.path], progress(file.name)).faults
        checked.update(new)
    return faults
