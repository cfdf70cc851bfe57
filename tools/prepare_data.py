#!/usr/bin/env python3
"""Makes a data set ready for training: so far `shapes`, the generated one."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/prepare_data.py shapes --root data/shapes")
    parser.add_argument("dataset", choices=["shapes"])
    parser.add_argument("--root", metavar="DIR", default="data/shapes", help="where to put it (default: data/shapes)")
    parser.add_argument("--train", metavar="N", type=cli.positive, default=1500, help="images (default: 1500)")
    parser.add_argument("--val", metavar="N", type=cli.positive, default=150, help="images (default: 150)")
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help="another seed, another set (default: 0)")
    arguments = parser.parse_args(argv)

    from tqdm import tqdm

    from attscale.data import shapes

    made = shapes.make(
        arguments.root,
        train=arguments.train,
        val=arguments.val,
        seed=arguments.seed,
        progress=lambda numbers: tqdm(numbers, unit="image", desc="shapes"),
    )
    print(
        f"{arguments.root}: {arguments.train} training and {arguments.val} val images"
        + ("" if made else ", there already")
    )


if __name__ == "__main__":
    cli.run(main)
