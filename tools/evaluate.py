#!/usr/bin/env python3
"""Mean IOU of trained weights on a split and a line per class; each scale alone and attention by size on request."""

import json

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(__doc__, "python tools/evaluate.py shapes --weights runs/demo/final.caffemodel --branches")
    cli.add_net_arguments(parser, weights_required=True)
    parser.add_argument("--split", help="list of the data set (default: its validation set)")
    parser.add_argument("--branches", action="store_true", help="also score each scale's own score map")
    parser.add_argument("--by-size", action="store_true", help="also the mean weight of each scale by object size")
    parser.add_argument("--out", metavar="DIR", help="also write evaluation.json and the plots there")
    arguments = parser.parse_args(argv)
    row = experiments.find(arguments.name)

    from tqdm import tqdm

    from attscale import evaluate, metrics, plots, runtime
    from attscale.data import datasets, lists
    from attscale.errors import ExperimentError
    from attscale.files import write_text
    from attscale.infer import Predictor

    if arguments.by_size and row.merge != "attention":
        raise ExperimentError(f"{row.name} has no attention to show --by-size")
    dataset = datasets.find(row.dataset)
    pairs = lists.read_split(dataset, arguments.data, arguments.split or dataset.val)
    runtime.limit_threads(row, arguments.threads)
    result = evaluate.evaluate(
        Predictor(row, arguments.weights),
        pairs,
        len(dataset.classes),
        branches=arguments.branches,
        by_size=arguments.by_size,
        progress=lambda items: tqdm(items, unit="image", desc=row.name),
    )
    background = metrics.mean_iou(evaluate.all_background(result.matrix))
    report = {
        "experiment": row.name,
        "weights": arguments.weights,
        "images": result.images,
        "mean_iou": metrics.mean_iou(result.matrix),
        "iou": dict(zip(dataset.classes, metrics.iou(result.matrix).tolist(), strict=True)),
        "mean_iou_of_all_background": background,
        "mean_iou_of_branches": {f"{float(s):g}": metrics.mean_iou(m) for s, m in result.branches.items()},
    }
    for name, score in report["iou"].items():
        print(f"{name:20} {100 * score:6.2f}")
    if arguments.by_size:
        table = evaluate.by_size(result.objects)
        print("\nobject size (px)  objects  " + "".join(f"scale {float(s):<6g}" for s in row.scales))
        for low, high, count, weights in table:
            print(f"{low:6} to {high:<6}  {count:7}  " + "".join(f"{weight:<12.3f}" for weight in weights))
        report["attention_by_size"] = [[low, high, count, weights.tolist()] for low, high, count, weights in table]
        if arguments.out:
            plots.attention_by_size(f"{arguments.out}/attention_by_size.png", table, row.scales)
    print(f"\nbackground alone     {100 * background:6.2f}")
    for scale, score in report["mean_iou_of_branches"].items():
        print(f"scale {scale:<6} alone   {100 * score:6.2f}")
    if arguments.out:
        write_text(f"{arguments.out}/evaluation.json", json.dumps(report, indent=2) + "\n")
    print(f"mean IOU             {100 * report['mean_iou']:6.2f}   {row.name}, {result.images} images")


if __name__ == "__main__":
    cli.run(main)
