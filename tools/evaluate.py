#!/usr/bin/env python3
"""Scores weights on a split, predictions on disk, or anyone's PNGs: mean IOU, accuracies, a line per class."""

from pathlib import Path

from attscale import cli
from attscale.errors import UserError

SOURCES = ("--weights", "--predictions", "--pairs")
APART = [SOURCES, ("--pairs", "--split"), ("--weights", "--crf"), ("--dry-run", "--out")]
NEEDS = dict.fromkeys(("--branches", "--by-size", "--dry-run", "--device", "--gpu", "--threads"), ("--weights",))


def main(argv):
    parser = cli.parser(__doc__, "python tools/evaluate.py shapes --weights runs/demo/final.caffemodel --branches")
    weights = "caffemodel of the net to score (default: --predictions or --pairs)"
    cli.add_net_arguments(parser, weights_required=False, weights=weights)
    cli.add_device_arguments(parser)
    parser.add_argument("--split", help="list of the data set (default: its validation set)")
    predictions = "score the label maps <id>.png there instead of weights (default: weights)"
    parser.add_argument("--predictions", metavar="DIR", help=predictions)
    pairs = "score predictions beside ground truth, PNGs of the same names in two folders (default: weights)"
    parser.add_argument("--pairs", metavar="DIR", nargs=2, help=pairs)
    parser.add_argument("--branches", action="store_true", help="also score each scale's own score map")
    parser.add_argument("--by-size", action="store_true", help="also mean IOU and weight of each scale by object size")
    parser.add_argument("--although-seen", action="store_true", help="score images that were trained on, too")
    parser.add_argument("--crf", action="store_true", help="note that the label maps went through the CRF")
    out = "folder of evaluation.json, evaluation.md and plots (default: that of the run whose final weights they are)"
    parser.add_argument("--out", metavar="DIR", help=out)
    parser.add_argument("--dry-run", action="store_true", help="score nothing: estimate memory and time from one image")
    arguments = parser.parse_args(argv)
    cli.check_net(parser, arguments)
    cli.check(parser, arguments, apart=APART, needs=NEEDS)
    if not (arguments.weights or arguments.predictions or arguments.pairs):
        raise UserError("give one of --weights, --predictions and --pairs")

    from functools import partial

    from attscale import prototxt
    from attscale.data import lists
    from attscale.files import check_folder
    from attscale.inference import estimate, predictions, provenance
    from attscale.progress import Bar, say
    from attscale.results import evaluations, presentation
    from attscale.scoring import evaluate
    from attscale.weights import caffemodel

    model = prototxt.choose(arguments.name, arguments.net, arguments.data)
    dataset = model.dataset
    split = None if arguments.pairs else arguments.split or dataset.val
    folder = arguments.pairs[0] if arguments.pairs else arguments.predictions  # of label maps
    out = arguments.out
    if arguments.weights and split == dataset.val and not arguments.although_seen:
        out = out or evaluations.folder_of(arguments.weights)
    if out and not arguments.dry_run:
        check_folder(out)  # now, not after an hour
    weights = caffemodel.read(arguments.weights) if arguments.weights else None
    after_crf = arguments.crf
    if arguments.predictions:
        provenance.check_predictions(arguments.predictions, model)
        after_crf = after_crf or provenance.CRF in provenance.records(arguments.predictions)
    if split and not arguments.although_seen:
        made_with = {"weights": weights, "predictions": arguments.predictions}
        provenance.refuse_seen(model, arguments.data, split, **made_with)
    pairs = evaluate.pair_up(*arguments.pairs) if arguments.pairs else lists.read_split(dataset, arguments.data, split)
    bar = partial(Bar, unit="image", desc=model.name)
    if weights:
        predictor = predictions.load_predictor(model, weights, cli.gpus_of(arguments), arguments.threads)
        asked = {"branches": arguments.branches, "by_size": arguments.by_size}
        if arguments.dry_run:
            step = partial(evaluate.evaluate, predictor, pairs[:1], **asked)
            print(*estimate.lines(step, pairs[0][0], len(pairs), cli.gpus_of(arguments)), sep="\n")
            return
        tally = evaluate.evaluate(predictor, pairs, progress=bar, **asked)
    else:
        attention = None
        if arguments.predictions:
            attention = provenance.attention(folder, [image.stem for image, _ in pairs])
            pairs = evaluate.of_split(folder, pairs)
        tally = evaluate.evaluate_files(pairs, dataset, weights=attention, progress=bar)
    evaluation = evaluations.Evaluation.of(
        model,
        tally,
        split=split,
        weights=arguments.weights,
        predictions=folder,
        crf=after_crf,
        although_seen=arguments.although_seen,
    )
    print(presentation.text(evaluation))
    if out:
        evaluation.write(out)
        presentation.draw(evaluation, out)
        say(f"wrote {Path(out, evaluations.EVALUATION)}")


if __name__ == "__main__":
    cli.run(main)
