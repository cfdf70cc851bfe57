#!/usr/bin/env python3
"""Predicts a split, images, a folder of images or a video: label maps with VOC's colours, scores on request.

What is there already is kept, so that the same command goes on where it stopped.
"""

import argparse
import math
from functools import partial

from tqdm import tqdm

from attscale import cli, experiments
from attscale.errors import UserError


def main(argv):
    parser = cli.parser(__doc__, "python tools/predict.py voc --weights W.caffemodel --split val --scores")
    cli.add_net_arguments(parser, weights_required=True)
    cli.add_device_arguments(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files or folders of them")
    parser.add_argument("--split", help="of the data set, instead of images (default: its validation set)")
    parser.add_argument("--video", metavar="FILE", help="its frames, instead of images")
    parser.add_argument("--out", metavar="DIR", help="(default: predictions/NAME/SPLIT, or predictions/NAME)")
    parser.add_argument("--scores", action="store_true", help="also scores/<id>.npz, float16, for tools/crf.py")
    parser.add_argument(
        "--weight-maps", action="store_true", help="also weight_maps/<id>.npz: how much each scale counted"
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image (not of the paper)")
    parser.add_argument("--scales", metavar="N,N", type=scales, default=(1.0,), help="average over these sizes, too")
    arguments = parser.parse_intermixed_args(argv)
    row = experiments.find(arguments.name)
    if sum(map(bool, (arguments.images, arguments.split, arguments.video))) > 1:
        raise UserError("give images, or --split, or --video")

    from attscale.inference import predictions, sources

    names = ("scores", "weight_maps", "flip", "scales")
    options = predictions.Options(**{name: getattr(arguments, name) for name in names})
    if arguments.video:
        images, split, total = sources.frames(arguments.video), None, None
    else:
        paths, split = sources.choose(row, arguments.images, arguments.split, arguments.data)
        images, total = sources.files(paths, oriented=split is None), len(paths)
    folder = arguments.out or predictions.folder_of(row, split)
    count, seconds = predictions.predict(
        row,
        arguments.weights,
        images,
        folder,
        options,
        gpus=cli.gpus_of(arguments),
        threads=arguments.threads,
        progress=partial(tqdm, total=total, unit="image", desc=row.name),
    )
    print(f"{folder}: {count} predicted, {count / seconds:.2f} images/s")


def scales(text):
    """Factors of the image's size, for argparse."""
    values = tuple(float(part) for part in text.split(","))
    if not all(math.isfinite(value) and 0 < value <= 8 for value in values):
        raise argparse.ArgumentTypeError(f"{text}, expected factors of the image's size, more than 0 and up to 8")
    return values


if __name__ == "__main__":
    cli.run(main)
