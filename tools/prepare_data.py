#!/usr/bin/env python3
"""Makes a data set ready for training, from the archives of its official page (`shapes` is generated), and checks it.

An interrupted run is continued by the same command; what is there already is kept.
"""

from functools import partial
from pathlib import Path

from attscale import cli, datasets, experiments
from attscale.errors import UserError
from attscale.progress import Bar


def main(argv):
    shapes = datasets.find("shapes").sizes
    parser = cli.parser(__doc__, "python tools/prepare_data.py voc12 --archives ~/Downloads")
    parser.add_argument("dataset", choices=["voc12", "voc10_part", "coco", "ade20k", "shapes"])
    parser.add_argument("--root", metavar="DIR", help="where to put it (default: its folder below data/)")
    parser.add_argument("--archives", metavar="DIR", default="data/archives", help="(default: data/archives)")
    parser.add_argument("--verify", action="store_true", help="only check what is there; print pixels by class")
    parser.add_argument("--any-count", action="store_true", help="accept lists of other lengths than the official")
    parser.add_argument("--full", action="store_true", help="coco: all images as well, for pretraining")
    for split, count in shapes.items():
        said = f"shapes: images (default: {count})"
        parser.add_argument(f"--{split}", metavar="N", type=cli.positive, default=count, help=said)
    parser.add_argument("--seed", metavar="N", type=cli.seed, help="of shapes (default: 0); coco: a random subset")
    arguments = parser.parse_args(argv)

    dataset = datasets.find(arguments.dataset)
    root = Path(arguments.root or Path("data", dataset.root))
    if all(row.dataset != dataset.name for row in experiments.EXPERIMENTS.values()):
        print(f"{dataset.name}: there is no net for it yet; it is made and checked, and nothing trains on it")
    if arguments.verify:
        verify(root, dataset)
    elif arguments.dataset == "shapes":
        make_shapes(root, arguments)
    else:
        from attscale.prepare import sets

        options = {"full": arguments.full, "seed": arguments.seed} if arguments.dataset == "coco" else {}
        lists = sets.make(
            arguments.dataset, root, arguments.archives,
            any_count=arguments.any_count, say=Bar.write, progress=bar, **options,
        )  # fmt: skip
        print(f"{root}: {', '.join(f'{name} {count}' for name, count in lists.items())}")


def make_shapes(root, arguments):
    from attscale.data import shapes

    progress = partial(Bar, unit="image", desc="shapes")
    made = shapes.make(root, train=arguments.train, val=arguments.val, seed=arguments.seed or 0, progress=progress)
    print(f"{root}: {arguments.train} training and {arguments.val} val images" + ("" if made else ", there already"))


def verify(root, dataset):
    """Every list of the set that is there and has label maps; faults are named, and counted in the error."""
    from attscale.data import verify

    faults = 0
    for path, of, report in verify.check_lists(root, datasets.sharing(dataset), bar):
        print(f"{path}: {report.pairs} pairs", *verify.table(report, of.classes), sep="\n")
        faults += len(report.faults)
    if faults:
        raise UserError(f"{root}: {faults} faulty pairs")


def bar(name):
    return partial(Bar, unit="pair", desc=f"checking {name}")


if __name__ == "__main__":
    cli.run(main)
