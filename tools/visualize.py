#!/usr/bin/env python3
"""Image, ground truth, prediction and the weight map of each scale, side by side in one PNG."""

from pathlib import Path

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(__doc__, "python tools/visualize.py shapes --weights runs/demo/final.caffemodel --count 8")
    cli.add_net_arguments(parser, weights_required=True)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files (default: the first of the val split)")
    parser.add_argument(
        "--count", metavar="N", type=cli.positive, default=6, help="how many, without IMAGE (default: 6)"
    )
    parser.add_argument("--out", metavar="PNG", default="attention.png", help="default: attention.png")
    arguments = parser.parse_intermixed_args(argv)  # NAME --weights W IMAGE...
    row = experiments.find(arguments.name)

    from attscale import plots, runtime
    from attscale.data import datasets, lists, samples
    from attscale.data.images import read_image
    from attscale.infer import Predictor

    dataset = datasets.find(row.dataset)
    labels = {}
    if not arguments.images or Path(arguments.data, dataset.root, dataset.splits[dataset.val]).exists():
        labels = dict(lists.read_split(dataset, arguments.data, dataset.val))
    images = [Path(name) for name in arguments.images] or list(labels)[: arguments.count]
    by_place = {image.resolve(): label for image, label in labels.items()}
    runtime.limit_threads(row, arguments.threads)
    predictor = Predictor(row, arguments.weights)
    rows = []
    for path in images:
        label_path = by_place.get(path.resolve())
        if label_path is None:
            image, label = read_image(path), None
        else:
            image, label = samples.load_pair(path, label_path, len(dataset.classes))
        predictor.forward(image)
        rows.append((image, label, predictor.labels(), predictor.attention()))
    plots.sheet(arguments.out, rows, row.scales)
    print(f"{arguments.out}: {len(rows)} images")


if __name__ == "__main__":
    cli.run(main)
