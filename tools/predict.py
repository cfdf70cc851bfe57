#!/usr/bin/env python3
"""Predicts a split, images, a folder of images or a video: label maps with VOC's colours, scores on request.

What is there already is kept, so that the same command goes on where it stopped.
"""

import argparse
import math
import time

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
        "--weight-maps", action="store_true", help="also weight_maps/<id>.npz: how much each scale said"
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image (not of the paper)")
    parser.add_argument("--scales", metavar="N,N", type=scales, default=(1.0,), help="average over these sizes, too")
    arguments = parser.parse_intermixed_args(argv)
    row = experiments.find(arguments.name)
    if sum(map(bool, (arguments.images, arguments.split, arguments.video))) > 1:
        raise UserError("give images, or --split, or --video")
    if arguments.weight_maps and (arguments.flip or len(arguments.scales) > 1):
        raise UserError("--weight-maps are of one pass: without --flip and --scales")

    from tqdm import tqdm

    from attscale import datasets
    from attscale.data import lists
    from attscale.inference import predictions

    dataset = datasets.find(row.dataset)
    split = None if arguments.images or arguments.video else arguments.split or dataset.val
    options = {"flip": arguments.flip, "scales": arguments.scales}
    if arguments.video:
        images, total = predictions.frames(arguments.video), None
        options["video_sha256"] = predictions.digest_of_video(arguments.video)
    elif split:
        images = predictions.files(lists.read_images(dataset, arguments.data, split), oriented=False)
        total = len(images)
    else:
        images = predictions.files(predictions.find_images(arguments.images), oriented=True)
        total = len(images)
    output = predictions.output(
        arguments.out or "/".join(filter(None, ("predictions", row.name, split))),
        row,
        arguments.weights,
        with_scores=arguments.scores,
        with_weight_maps=arguments.weight_maps,
        **options,
    )
    predictor = predictions.predictor(row, arguments.weights, cli.gpus_of(arguments), arguments.threads)
    started = time.monotonic()
    bar = lambda items: tqdm(items, total=total, unit="image", desc=row.name)  # noqa: E731
    count = predictions.predict(predictor, images, output, flip=arguments.flip, scales=arguments.scales, progress=bar)
    rate = count / (time.monotonic() - started)
    print(f"{output.folder}: {count} predicted, {rate:.2f} images/s")


def scales(text):
    """Factors of the image's size, for argparse."""
    values = tuple(float(part) for part in text.split(","))
    if not all(math.isfinite(value) and 0 < value <= 8 for value in values):
        raise argparse.ArgumentTypeError(f"{text}, expected factors of the image's size, more than 0 and up to 8")
    return values


if __name__ == "__main__":
    cli.run(main)
