"""Any of the real sets, from archives to lists: prepared, checked pair by pair, and only then listed."""

from pathlib import Path

from tqdm import tqdm

from attscale import datasets
from attscale.data import shapes, verify
from attscale.errors import DataError
from attscale.prepare import ade20k, coco, splits, voc10_part, voc12
from attscale.prepare.ledger import Ledger

MODULES = {"voc12": voc12, "voc10_part": voc10_part, "coco": coco, "ade20k": ade20k}


def how_to(name):
    """What somebody without the set `name` has to fetch, and the command that makes it."""
    command = f"python tools/prepare_data.py {name} (in Docker: docker compose run prepare {name})"
    if name not in MODULES:
        return f"make it with {command}"
    sources = [f"{source.file} from {source.page}" for source in MODULES[name].SOURCES if not source.optional]
    return f"fetch {', '.join(sources)} into data/archives, then {command}"


def demand(dataset, split, data_root):
    """Makes `shapes` where it is missing; of another set says what to fetch (DataError), before anything is begun."""
    root = Path(data_root, dataset.root)
    if (root / dataset.list_of(split)).exists():
        return
    if root.exists() or dataset.name != "shapes":
        raise DataError(f"{root / dataset.list_of(split)}: no such list file: {how_to(dataset.name)}")
    bar = lambda numbers: tqdm(numbers, unit="image", desc="making shapes")  # noqa: E731
    shapes.make(root, progress=bar, seed=0, **dataset.sizes)


def make(name, root, folder, *, say=print, progress=iter, **options):
    """Makes set `name` in `root` from the archives in `folder`; `options` are those of its module's `prepare`.

    Lists are written last, when every pair of them has been read: what they name can be trained on. Raises DataError.
    """
    root = Path(root)
    earlier = Ledger(root).files()
    made = MODULES[name].prepare(root, folder, **options)
    faulty = _faulty(root, name, made, progress, earlier)
    if faulty:  # by whatever happened to them since they were made: the archives are there to make them again
        say(f"{root}: {len(faulty)} pairs are faulty, and made again; the first: {faulty[0][0]}")
        Ledger(root).forget(path for pair in faulty for path in pair)
        made = MODULES[name].prepare(root, folder, **options)
        _faulty(root, name, made, progress)
    for split in made:
        splits.write_as_released(root / f"list/{split.name}.txt", split, say)
    return {split.name: split.texts[0].count("\n") for split in made}


def _faulty(root, name, made, progress, earlier=frozenset()):
    """The faulty pairs of which a file is one of `earlier`. Raises DataError if there are others."""
    known = {
        dataset.list_of(split): len(dataset.classes)
        for dataset in map(datasets.find, datasets.names())
        for split in dataset.splits
        if dataset.root == datasets.find(name).root
    }
    checked, faulty = set(), []
    for split in made:
        lines = [line.split() for line in split.texts[0].splitlines()]
        pairs = [tuple(root / part.lstrip("/") for part in line) for line in lines if len(line) == 2]
        new = [pair for pair in pairs if pair not in checked]
        path = f"list/{split.name}.txt"
        report = verify.check(new, known[path], progress(split.name))
        if report.faults:
            found = [pair for pair in new if verify.check([pair], known[path]).faults] if earlier else []
            if not found or any(earlier.isdisjoint(pair) for pair in found):
                report.raise_faults(root / path)
            faulty += found
        checked.update(new)
    return faulty
