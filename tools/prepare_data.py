#!/usr/bin/env python3
"""Makes a data set ready for training, and checks it: from the archives of its official page, or your own photographs.

`shapes` is generated; your own set is described by data/NAME/dataset.toml (docs/data.md). An interrupted run is
continued by the same command; what is there already is kept.
"""

from functools import partial
from pathlib import Path

from attscale import cli, datasets
from attscale.errors import UserError
from attscale.progress import Bar

#: Options that only some sets have.
_ONLY = {"--full": ("coco",), "--seed": ("shapes", "coco"), "--train": ("shapes",), "--val": ("shapes",)}


def main(argv):
    shapes = datasets.find("shapes").sizes
    parser = cli.parser(__doc__, "python tools/prepare_data.py voc12 --archives ~/Downloads")
    parser.add_argument("dataset", metavar="SET", help=f"{', '.join(datasets.built_in())}, or your own")
    cli.add_data_argument(parser)
    parser.add_argument("--root", metavar="DIR", help="where to put it (default: its folder below --data)")
    parser.add_argument("--archives", metavar="DIR", help="camvid: or the clone (default: archives below --data)")
    parser.add_argument("--verify", action="store_true", help="only check what is there; print pixels by class")
    parser.add_argument("--any-count", action="store_true", help="accept lists of other lengths than the official")
    parser.add_argument("--full", action="store_true", help="coco: all images as well, for pretraining")
    for split, count in shapes.items():
        said = f"shapes: images (default: {count})"
        parser.add_argument(f"--{split}", metavar="N", type=cli.positive, default=count, help=said)
    parser.add_argument("--seed", metavar="N", type=cli.seed, help="of shapes (default: 0); coco: a random subset")
    arguments = parser.parse_args(argv)

    dataset = datasets.find(arguments.dataset, arguments.data)
    for option in cli.given(parser, argv):
        if dataset.name not in _ONLY.get(option, (dataset.name,)):
            raise UserError(f"{option} is for {' and '.join(_ONLY[option])}, not for {dataset.name}")
    root = Path(arguments.root or Path(arguments.data, dataset.root))
    own_set = dataset.name not in datasets.built_in()
    if own_set:
        from attscale.prepare import own, sets

        if dataset.folders and not arguments.verify:
            counts = own.make_lists(dataset, root)
            print(f"{root}: {', '.join(f'{split} {count}' for split, count in counts.items())} images")
        sets.check_own(dataset, root, any_count=arguments.any_count)
        print(*own.remarks(dataset, root, verify(root, [dataset])), sep="\n")
    elif arguments.verify:
        verify(root, datasets.sharing(dataset))
    elif dataset.name == "shapes":
        make_shapes(root, arguments)
    else:
        from attscale.prepare import sets

        options = {"full": arguments.full, "seed": arguments.seed} if dataset.name == "coco" else {}
        options |= {"partial": arguments.any_count} if dataset.name == "camvid" else {}
        lists = sets.make(
            dataset.name, root, arguments.archives or Path(arguments.data, "archives"),
            any_count=arguments.any_count, say=Bar.write, progress=bar, **options,
        )  # fmt: skip
        print(f"{root}: {', '.join(f'{name} {count}' for name, count in lists.items())}")


def make_shapes(root, arguments):
    from attscale.data import shapes

    progress = partial(Bar, unit="image", desc="shapes")
    made = shapes.make(root, train=arguments.train, val=arguments.val, seed=arguments.seed or 0, progress=progress)
    print(f"{root}: {arguments.train} training and {arguments.val} val images" + ("" if made else ", there already"))


def verify(root, sets):
    """{list file: Report} of the lists of `sets` that are there and have label maps; faults are named and counted."""
    from attscale.data import verify

    reports = {}
    for path, of, report in verify.check_lists(root, sets, bar):
        print(f"{path}: {report.pairs} pairs", *verify.table(report, of.classes), sep="\n")
        reports[path] = report
    if faults := sum(len(report.faults) for report in reports.values()):
        raise UserError(f"{root}: {faults} faulty pairs")
    return reports


def bar(name):
    return partial(Bar, unit="pair", desc=f"checking {name}")


if __name__ == "__main__":
    cli.run(main)
