#!/usr/bin/env python3
"""Predicts a split, images, a folder of images or a video: label maps with VOC's colours, scores on request.

What is there already is kept, so that the same command goes on where it stopped.
"""

import argparse
import math
from functools import partial

from attscale import cli
from attscale.progress import Bar


def main(argv):
    parser = cli.parser(__doc__, "python tools/predict.py voc --weights W.caffemodel --split val --scores")
    cli.add_net_arguments(parser, weights_required=True)
    cli.add_device_arguments(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files or folders of them")
    parser.add_argument("--split", help="of the data set, instead of images (default: its validation set)")
    parser.add_argument("--video", metavar="FILE", help="its frames, instead of images (default: none)")
    parser.add_argument("--out", metavar="DIR", help="(default: predictions/NAME/SPLIT, or predictions/NAME)")
    parser.add_argument("--scores", action="store_true", help="also scores/<id>.npz, float16, for tools/crf.py")
    parser.add_argument(
        "--weight-maps", action="store_true", help="also weight_maps/<id>.npz: how much each scale counted"
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image (not of the paper)")
    factors = "factors of the image's size to average over, beside the net's own scales (default: 1; not of the paper)"
    parser.add_argument("--scales", metavar="N,N", type=scales, default=(1.0,), help=factors)
    parser.add_argument("--dry-run", action="store_true", help="write nothing: estimate memory and time from one image")
    arguments = parser.parse_intermixed_args(argv)
    cli.check_net(parser, arguments)
    cli.check(parser, arguments, apart=[("IMAGE", "--split", "--video"), ("--dry-run", "--out")])

    from attscale import prototxt
    from attscale.inference import predictions, sources

    model = prototxt.choose(arguments.name, arguments.net, arguments.data)

    names = ("scores", "weight_maps", "flip", "scales")
    options = predictions.Options(**{name: getattr(arguments, name) for name in names})
    if arguments.video:
        images, split, total = sources.frames(arguments.video), None, sources.frame_count(arguments.video)
    else:
        paths, split = sources.choose(model.dataset, arguments.images, arguments.split, arguments.data)
        images, total = sources.files(paths, oriented=split is None), len(paths)
    on = {"gpus": cli.gpus_of(arguments), "threads": arguments.threads}
    if arguments.dry_run:
        for line in predictions.estimate(model, arguments.weights, images, total, options, **on):
            print(line)
        return
    folder = arguments.out or predictions.folder_of(model, split)
    bar = partial(Bar, total=total, unit="image", desc=model.name)
    done = predictions.predict(model, arguments.weights, images, folder, options, **on, progress=bar)
    print(f"{folder}: {done.count} predicted, {done.count / done.seconds:.2f} images/s; {done.there} were there")


def scales(text):
    """Factors of the image's size, for argparse."""
    values = tuple(float(part) for part in text.split(","))
    if not all(math.isfinite(value) and 0 < value <= 8 for value in values):
        raise argparse.ArgumentTypeError(f"{text}, expected factors of the image's size, more than 0 and up to 8")
    return values


if __name__ == "__main__":
    cli.run(main)
