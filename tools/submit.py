#!/usr/bin/env python3
"""Makes the archive for VOC's evaluation server from predictions, after checking all that the server asks for."""

from functools import partial

from attscale import cli
from attscale.errors import UserError
from attscale.progress import Bar


def main(argv):
    parser = cli.parser(__doc__, "python tools/submit.py predictions/voc12_attention3_esupv/test --out results.tgz")
    parser.add_argument("predictions", metavar="DIR", help="label maps, <id>.png with VOC's colour map")
    parser.add_argument(
        "--competition",
        choices=["comp5", "comp6"],
        default="comp6",
        help="comp5: with the challenge's data alone, comp6: with any (default: comp6)",
    )
    parser.add_argument("--split", choices=["test", "val"], default="test", help="(default: test)")
    cli.add_data_argument(parser)
    parser.add_argument("--out", metavar="FILE", required=True, help="the archive to write, .tgz")
    parser.add_argument("--any-count", action="store_true", help="accept a test list of your own")
    arguments = parser.parse_args(argv)

    from attscale import datasets
    from attscale.data import lists
    from attscale.inference import submission

    dataset = datasets.find("voc12")
    images, expected = lists.read_images(dataset, arguments.data, arguments.split), dataset.size_of(arguments.split)
    if arguments.split == "test" and len(images) != expected and not arguments.any_count:
        raise UserError(f"the test list has {len(images)} images, expected {expected} (--any-count)")
    bar = partial(Bar, unit="image", desc="checking")
    submission.write(arguments.out, arguments.predictions, images, arguments.competition, arguments.split, bar)
    print(f"{arguments.out}: {len(images)} label maps")


if __name__ == "__main__":
    cli.run(main)
