#!/usr/bin/env python3
"""Scores weights on a split, predictions on disk, or anyone's PNGs: mean IOU, accuracies, a line per class."""

import json

from attscale import cli, experiments
from attscale.errors import UserError


def main(argv):
    parser = cli.parser(__doc__, "python tools/evaluate.py shapes --weights runs/demo/final.caffemodel --branches")
    cli.add_net_arguments(parser, weights_required=False)
    cli.add_device_arguments(parser)
    parser.add_argument("--split", help="list of the data set (default: its validation set)")
    parser.add_argument("--predictions", metavar="DIR", help="score the label maps <id>.png there instead of weights")
    parser.add_argument("--pairs", metavar="DIR", nargs=2, help="predictions and ground truth, PNGs of the same names")
    parser.add_argument("--branches", action="store_true", help="also score each scale's own score map")
    parser.add_argument("--by-size", action="store_true", help="also the mean weight of each scale by object size")
    parser.add_argument("--although-seen", action="store_true", help="score images that were trained on, too")
    parser.add_argument("--crf", action="store_true", help="note that --pairs went through the CRF")
    parser.add_argument("--out", metavar="DIR", help="also write evaluation.json, evaluation.md and the plots there")
    arguments = parser.parse_args(argv)
    row = experiments.find(arguments.name)
    if sum(map(bool, (arguments.weights, arguments.predictions, arguments.pairs))) != 1:
        raise UserError("give one of --weights, --predictions and --pairs")
    if (arguments.by_size or arguments.branches) and not arguments.weights:
        raise UserError("--branches and --by-size need --weights")
    if arguments.by_size and row.merge != "attention":
        raise UserError(f"{row.name} has no attention to show --by-size")

    from tqdm import tqdm

    from attscale import datasets
    from attscale.data import lists
    from attscale.files import check_folder
    from attscale.inference import provenance
    from attscale.scoring import evaluate, metrics

    if arguments.out:
        check_folder(arguments.out)  # now, not after an hour
    dataset = datasets.find(row.dataset)
    split = None if arguments.pairs else arguments.split or dataset.val
    made_with = {"weights": arguments.weights, "predictions": arguments.predictions}
    records = provenance.of_predictions(arguments.predictions) if arguments.predictions else {}
    if arguments.predictions:
        provenance.check_predictions(arguments.predictions, row)
    if split and not arguments.although_seen:
        provenance.refuse_seen(row, dataset, arguments.data, split, **made_with)
    bar = lambda items: tqdm(items, unit="image", desc=row.name)  # noqa: E731
    if arguments.weights:
        result = score_weights(row, dataset, split, arguments, bar)
    else:
        pairs = (
            evaluate.pair_up(*arguments.pairs)
            if arguments.pairs
            else evaluate.of_split(arguments.predictions, lists.read_split(dataset, arguments.data, split))
        )
        matrix = evaluate.evaluate_files(pairs, len(dataset.classes), bar)
        result = evaluate.Evaluation(len(pairs), matrix, {}, [])
    report = {
        "experiment": row.name,
        "split": split,
        "weights": arguments.weights,
        "predictions": arguments.predictions or (arguments.pairs and arguments.pairs[0]),
        "crf": arguments.crf or "crf" in records,
        "although_seen": arguments.although_seen,
        "images": result.images,
        **evaluate.scores_of(result.matrix, dataset.classes),
        "mean_iou_of_all_background": metrics.mean_iou(evaluate.all_background(result.matrix)),
        "mean_iou_of_branches": {f"{float(s):g}": metrics.mean_iou(m) for s, m in result.branches.items()},
        "attention_by_size": [[*line[:3], line[3].tolist()] for line in evaluate.by_size(result.objects)],
    }
    show(report, row)
    if arguments.out:
        write(arguments.out, report, result, row, dataset)


def score_weights(row, dataset, split, arguments, bar):
    from attscale.data import lists
    from attscale.inference import predictions
    from attscale.scoring import evaluate

    pairs = lists.read_split(dataset, arguments.data, split)
    if arguments.by_size:
        evaluate.check_instances(pairs)
    predictor = predictions.predictor(row, arguments.weights, cli.gpus_of(arguments), arguments.threads)
    asked = {"branches": arguments.branches, "by_size": arguments.by_size}
    return evaluate.evaluate(predictor, pairs, len(dataset.classes), progress=bar, **asked)


def show(report, row):
    for name, score in report["iou"].items():
        print(f"{name:20} " + ("     -" if score is None else f"{100 * score:6.2f}"))
    if report["attention_by_size"]:
        print("\nobject size (px)  objects  " + "".join(f"scale {float(s):<6g}" for s in row.scales))
        for low, high, count, weights in report["attention_by_size"]:
            print(f"{low:6} to {high:<6}  {count:7}  " + "".join(f"{weight:<12.3f}" for weight in weights))
    print(f"\nbackground alone     {100 * report['mean_iou_of_all_background']:6.2f}")
    for scale, score in report["mean_iou_of_branches"].items():
        print(f"scale {scale:<6} alone   {100 * score:6.2f}")
    print(f"pixel accuracy       {100 * report['pixel_accuracy']:6.2f}")
    print(f"mean accuracy        {100 * report['mean_accuracy']:6.2f}")
    print(f"mean IOU             {100 * report['mean_iou']:6.2f}   {row.name}, {report['images']} images")


def write(folder, report, result, row, dataset):
    from attscale import plots
    from attscale.files import write_text
    from attscale.scoring import evaluate

    write_text(f"{folder}/evaluation.json", json.dumps(report, indent=1) + "\n")
    write_text(f"{folder}/evaluation.md", evaluate.markdown(report))
    plots.confusion(f"{folder}/confusion.png", result.matrix, dataset.classes)
    if result.objects:
        plots.attention_by_size(f"{folder}/attention_by_size.png", evaluate.by_size(result.objects), row.scales)


if __name__ == "__main__":
    cli.run(main)
