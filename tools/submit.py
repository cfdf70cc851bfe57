#!/usr/bin/env python3
"""Makes the archive for VOC's evaluation server from predictions, after checking all that the server asks for."""

from attscale import cli
from attscale.errors import UserError

TEST_IMAGES = 1456


def main(argv):
    parser = cli.parser(__doc__, "python tools/submit.py predictions/voc12_attention3_esupv/test --out results.tgz")
    parser.add_argument("predictions", metavar="DIR", help="label maps, <id>.png with VOC's colour map")
    parser.add_argument("--competition", choices=["comp5", "comp6"], default="comp6", help="(default: comp6)")
    parser.add_argument("--split", choices=["test", "val"], default="test", help="(default: test)")
    parser.add_argument("--data", metavar="DIR", default="data", help="folder of the data sets (default: data)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the archive to write, .tgz")
    parser.add_argument("--any-count", action="store_true", help="accept a test list of your own")
    arguments = parser.parse_args(argv)

    from tqdm import tqdm

    from attscale import datasets
    from attscale.data import lists
    from attscale.inference import submission

    images = lists.read_images(datasets.find("voc12"), arguments.data, arguments.split)
    if arguments.split == "test" and len(images) != TEST_IMAGES and not arguments.any_count:
        raise UserError(f"the test list has {len(images)} images, expected {TEST_IMAGES} (--any-count accepts it)")
    bar = lambda items: tqdm(items, unit="image", desc="checking")  # noqa: E731
    submission.write(arguments.out, arguments.predictions, images, arguments.competition, arguments.split, bar)
    print(f"{arguments.out}: {len(images)} label maps")


if __name__ == "__main__":
    cli.run(main)
