#!/usr/bin/env python3
"""Makes a data set ready for training, from the archives of its official page (`shapes` is generated), and checks it.

An interrupted run is continued by the same command; what is there already is kept.
"""

from functools import partial
from pathlib import Path

from attscale import cli
from attscale.errors import UserError


def main(argv):
    parser = cli.parser(__doc__, "python tools/prepare_data.py voc12 --archives ~/Downloads")
    parser.add_argument("dataset", choices=["voc12", "voc10_part", "coco", "ade20k", "shapes"])
    parser.add_argument("--root", metavar="DIR", help="where to put it (default: its folder below data/)")
    parser.add_argument("--archives", metavar="DIR", default="data/archives", help="(default: data/archives)")
    parser.add_argument("--verify", action="store_true", help="only check what is there; print pixels by class")
    parser.add_argument("--any-count", action="store_true", help="accept lists of other lengths than the official")
    parser.add_argument("--full", action="store_true", help="coco: all images as well, for pretraining")
    parser.add_argument("--train", metavar="N", type=cli.positive, default=1500, help="shapes: images (default: 1500)")
    parser.add_argument("--val", metavar="N", type=cli.positive, default=150, help="shapes: images (default: 150)")
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help="of shapes, and of coco's subsets")
    arguments = parser.parse_args(argv)

    from tqdm import tqdm

    from attscale import datasets

    dataset = datasets.find(arguments.dataset)
    root = Path(arguments.root or Path("data", dataset.root))
    if arguments.verify:
        verify(root, dataset)
    elif arguments.dataset == "shapes":
        make_shapes(root, arguments)
    else:
        from attscale.prepare import sets

        options = {"any_count": arguments.any_count}
        if arguments.dataset == "coco":
            options |= {"full": arguments.full, "seed": arguments.seed}
        say = tqdm.write
        bar = lambda name: partial(tqdm, unit="pair", desc=f"checking {name}")  # noqa: E731
        lists = sets.make(arguments.dataset, root, arguments.archives, say=say, progress=bar, **options)
        print(f"{root}: {', '.join(f'{name} {count}' for name, count in lists.items())}")


def make_shapes(root, arguments):
    from tqdm import tqdm

    from attscale.data import shapes

    made = shapes.make(
        root,
        train=arguments.train,
        val=arguments.val,
        seed=arguments.seed,
        progress=lambda numbers: tqdm(numbers, unit="image", desc="shapes"),
    )
    print(f"{root}: {arguments.train} training and {arguments.val} val images" + ("" if made else ", there already"))


def verify(root, dataset):
    """Every list of the set that is there and has label maps; faults are named, and counted in the error."""
    from tqdm import tqdm

    from attscale.data import verify

    faults = 0
    for path, report in verify.check_lists(root, dataset, lambda name: partial(tqdm, unit="pair", desc=name)):
        print(f"{path}: {report.pairs} pairs", *verify.table(report, dataset.classes), sep="\n")
        faults += len(report.faults)
    if faults:
        raise UserError(f"{root}: {faults} faulty pairs")


if __name__ == "__main__":
    cli.run(main)
