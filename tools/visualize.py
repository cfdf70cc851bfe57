#!/usr/bin/env python3
"""Figures like the papers': image, truth, baseline, prediction, weights of scales, recalibration, as PNG or video."""

from functools import partial
from pathlib import Path

from attscale import cli
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
    without = "no photographs and no ground truth, where these may not be published"
    parser.add_argument("--without-image", action="store_true", help=without)
    video = "a video, its weight maps beside it; --out FILE.mp4 (default: images)"
    parser.add_argument("--video", metavar="FILE", help=video)
    parser.add_argument("--out", metavar="PNG", default="attention.png", help="(default: attention.png)")
    arguments = parser.parse_intermixed_args(argv)  # NAME --weights W IMAGE...
    alone = [("--video", name) for name in ("IMAGE", "--baseline", "--count", "--per-sheet", "--without-image")]
    cli.check_net(parser, arguments)
    cli.check(parser, arguments, apart=[*alone, ("IMAGE", "--count"), ("--net", "--baseline")])
    if arguments.video and Path(arguments.out).suffix.lower() not in (".mp4", ".avi"):
        raise UserError(f"--out {arguments.out}: a video needs a name that ends in .mp4 or .avi")

    from attscale import prototxt
    from attscale.inference import predictions, sources, visualize
    from attscale.weights import caffemodel

    model = prototxt.choose(arguments.name, arguments.net, arguments.data)

    def load(model, path):
        return predictions.load_predictor(model, caffemodel.read(path), cli.gpus_of(arguments), arguments.threads)

    if arguments.video:
        bar = partial(Bar, total=sources.frame_count(arguments.video), unit="frame", desc=model.name)
        count = visualize.video(load(model, arguments.weights), arguments.video, arguments.out, bar)
        print(f"{arguments.out}: {count} frames")
        return
    chosen = choose(model.dataset, arguments)
    predictor = load(model, arguments.weights)
    baseline = None
    if arguments.baseline:
        baseline = load(prototxt.choose(model.row.baseline, None, arguments.data), arguments.baseline)
    how = {"without_image": arguments.without_image}
    for path in visualize.sheets(predictor, baseline, chosen, arguments.out, arguments.per_sheet, **how):
        print(path)


def choose(dataset, arguments):
    """(image, label map or None) paths: the images asked for, with val's label maps where they are of it."""
    from attscale.data import lists

    labels = {}
    if not arguments.images or Path(arguments.data, dataset.root, dataset.list_of(dataset.val)).exists():
        labels = dict(lists.read_split(dataset, arguments.data, dataset.val))
    by_place = {image.resolve(): label for image, label in labels.items()}
    images = [Path(name) for name in arguments.images] or list(labels)[: arguments.count]
    return [(image, by_place.get(image.resolve())) for image in images]


if __name__ == "__main__":
    cli.run(main)
