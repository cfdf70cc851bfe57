#!/usr/bin/env python3
"""Scores weights on a split, predictions on disk, or anyone's PNGs: mean IOU, accuracies, a line per class."""

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
    from attscale.inference import predictions, provenance
    from attscale.results import evaluations
    from attscale.scoring import evaluate
    from attscale.weights import caffemodel

    if arguments.out:
        check_folder(arguments.out)  # now, not after an hour
    dataset = datasets.find(row.dataset)
    split = None if arguments.pairs else arguments.split or dataset.val
    weights = caffemodel.read(arguments.weights) if arguments.weights else None
    after_crf = arguments.crf
    if arguments.predictions:
        provenance.check_predictions(arguments.predictions, row)
        after_crf = after_crf or provenance.CRF in provenance.records(arguments.predictions)
    if split and not arguments.although_seen:
        made_with = {"weights": weights, "predictions": arguments.predictions}
        provenance.refuse_seen(row, dataset, arguments.data, split, **made_with)
    pairs = evaluate.pair_up(*arguments.pairs) if arguments.pairs else lists.read_split(dataset, arguments.data, split)
    bar = lambda items: tqdm(items, unit="image", desc=row.name)  # noqa: E731
    if weights:
        predictor = predictions.load_predictor(row, weights, cli.gpus_of(arguments), arguments.threads)
        asked = {"branches": arguments.branches, "by_size": arguments.by_size}
        tally = evaluate.evaluate(predictor, pairs, len(dataset.classes), progress=bar, **asked)
    else:
        pairs = pairs if arguments.pairs else evaluate.of_split(arguments.predictions, pairs)
        tally = evaluate.evaluate_files(pairs, len(dataset.classes), bar)
    evaluation = evaluations.Evaluation.of(
        row,
        tally,
        split=split,
        weights=arguments.weights,
        predictions=arguments.pairs[0] if arguments.pairs else arguments.predictions,
        crf=after_crf,
        although_seen=arguments.although_seen,
    )
    print(evaluation.text)
    if arguments.out:
        evaluation.write(arguments.out)
        evaluation.draw(arguments.out)


if __name__ == "__main__":
    cli.run(main)
