#!/usr/bin/env python3
"""The paper's figures: image, ground truth, baseline, prediction and the weight map of each scale, as PNG or video."""

from functools import partial
from pathlib import Path

from attscale import cli, experiments
from attscale.errors import UserError
from attscale.progress import Bar


def main(argv):
    parser = cli.parser(__doc__, "python tools/visualize.py shapes --weights runs/demo/final.caffemodel --count 8")
    cli.add_net_arguments(parser, weights_required=True)
    cli.add_device_arguments(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files (default: the first of the val split)")
    baseline = "weights of the single-scale net, for a column beside ours (default: no column)"
    parser.add_argument("--baseline", metavar="FILE", help=baseline)
    parser.add_argument("--count", metavar="N", type=cli.positive, default=6, help="how many of val (default: 6)")
    parser.add_argument("--per-sheet", metavar="N", type=cli.positive, default=8, help="images a PNG (default: 8)")
    video = "a video, its weight maps beside it; --out FILE.mp4 (default: images)"
    parser.add_argument("--video", metavar="FILE", help=video)
    parser.add_argument("--out", metavar="PNG", default="attention.png", help="(default: attention.png)")
    arguments = parser.parse_intermixed_args(argv)  # NAME --weights W IMAGE...
    alone = [("--video", name) for name in ("IMAGE", "--baseline", "--count", "--per-sheet")]
    cli.check(parser, arguments, apart=[*alone, ("IMAGE", "--count")])
    row = experiments.find(arguments.name)
    if arguments.video and Path(arguments.out).suffix.lower() not in (".mp4", ".avi"):
        raise UserError(f"--out {arguments.out}: a video needs a name that ends in .mp4 or .avi")

    from attscale.inference import predictions, sources, visualize
    from attscale.weights import caffemodel

    def load(row, path):
        return predictions.load_predictor(row, caffemodel.read(path), cli.gpus_of(arguments), arguments.threads)

    if arguments.video:
        bar = partial(Bar, total=sources.frame_count(arguments.video), unit="frame", desc=row.name)
        count = visualize.video(load(row, arguments.weights), arguments.video, arguments.out, bar)
        print(f"{arguments.out}: {count} frames")
        return
    chosen = choose(row, arguments)
    predictor = load(row, arguments.weights)
    baseline = load(experiments.find(row.baseline), arguments.baseline) if arguments.baseline else None
    for path in visualize.sheets(predictor, baseline, chosen, arguments.out, arguments.per_sheet):
        print(path)


def choose(row, arguments):
    """(image, label map or None) paths: the images asked for, with val's label maps where they are of it."""
    from attscale import datasets
    from attscale.data import lists

    dataset = datasets.find(row.dataset)
    labels = {}
    if not arguments.images or Path(arguments.data, dataset.root, dataset.list_of(dataset.val)).exists():
        labels = dict(lists.read_split(dataset, arguments.data, dataset.val))
    by_place = {image.resolve(): label for image, label in labels.items()}
    images = [Path(name) for name in arguments.images] or list(labels)[: arguments.count]
    return [(image, by_place.get(image.resolve())) for image in images]


if __name__ == "__main__":
    cli.run(main)
