#!/usr/bin/env python3
"""Trains an experiment; a data set's name alone means its best model in the paper.

Ctrl-C or SIGTERM finishes the iteration, takes a snapshot and ends (130, 143); --resume continues to the same weights.
"""

import sys
import time
from pathlib import Path

from attscale import cli, experiments
from attscale.errors import RunError, UserError
from attscale.training import runs, supervise


def main(argv):
    parser = cli.parser(__doc__, "python tools/train.py voc --weights weights/vgg16_20M.caffemodel")
    weights = "caffemodel to start from (default: the experiment's, if it is in weights/)"
    cli.add_net_arguments(parser, weights_required=False, weights=weights)
    run = "continue the run in this folder, from its newest good snapshot (default: begin one)"
    parser.add_argument("--resume", metavar="RUN", help=run)
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/NAME/TIME)")
    parser.add_argument("--max-iter", metavar="N", type=cli.positive, help="iterations (default: the experiment's)")
    own = "(default: the experiment's)"
    parser.add_argument("--batch-size", metavar="N", type=cli.positive, help=f"images at once, on each GPU {own}")
    parser.add_argument("--iter-size", metavar="N", type=cli.positive, help=f"batches an iteration {own}")
    seed = "of data order, augmentation, fillers and dropout (default: 0)"
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help=seed)
    parser.add_argument("--device", choices=["cpu", "gpu"], help=f"(default: {cli.default_device()})")
    parser.add_argument("--gpus", metavar="N,N", type=gpus, default=(), help="a process on each (default: none)")
    interval = "mean IOU on val every N iterations (default: never)"
    parser.add_argument("--test-interval", metavar="N", type=cli.positive, default=0, help=interval)
    parser.add_argument("--snapshot-interval", metavar="N", type=cli.positive, default=500, help="(default: 500)")
    parser.add_argument(
        "--keep", metavar="N", type=cli.positive, default=3, help="snapshots, and the best (default: 3)"
    )
    parser.add_argument("--dry-run", action="store_true", help="run two iterations, estimate memory and time")
    arguments = parser.parse_args(argv)
    if arguments.resume:
        if others := [name for name in cli.given(parser, argv) if name != "--resume"]:
            begun = "--resume continues a run with the options that it was begun with"
            raise RunError(f"{begun}: leave out {', '.join(others)}")
        return resume(Path(arguments.resume))
    if not (arguments.name or arguments.net):
        parser.error("name an experiment, or edited prototxts with --net, or a run to --resume")
    cli.check_net(parser, arguments)
    if arguments.gpus and arguments.device == "cpu":
        raise UserError("--gpus does not go with --device cpu")
    net, own = edited(arguments) if arguments.net else experiment(arguments)

    from attscale.prepare import sets

    sets.demand(net.dataset, net.list, arguments.data)
    if arguments.weights is None and net.initial_weights and Path("weights", net.initial_weights).is_file():
        arguments.weights = Path("weights", net.initial_weights)
        print(f"starting from {arguments.weights}", file=sys.stderr)
    options = runs.RunOptions(
        experiment=net.name,
        net=str(Path(arguments.net).resolve()) if arguments.net and net.row is None else None,
        data=str(Path(arguments.data).resolve()),
        weights=str(Path(arguments.weights).resolve()) if arguments.weights else None,
        seed=arguments.seed,
        max_iter=arguments.max_iter or own.max_iter,
        **runs.split_batch(own, len(arguments.gpus), arguments.batch_size, arguments.iter_size),
        gpus=arguments.gpus or ((0,) if (arguments.device or cli.default_device()) == "gpu" else ()),
        threads=arguments.threads,
        test_interval=arguments.test_interval,
        snapshot_interval=arguments.snapshot_interval,
        keep=arguments.keep,
    )
    if arguments.dry_run:
        from attscale.training import dryrun

        for line in dryrun.report(options):
            print(line, flush=True)
        return None
    folder = Path(arguments.out or f"runs/{net.name}/{time.strftime('%Y%m%d-%H%M%S')}")
    with runs.begun(folder, options, [Path(sys.executable).name, *sys.argv]):
        sys.exit(supervise.run(folder))


def experiment(arguments):
    """The row, and what has its iterations and batch."""
    row = experiments.find(arguments.name, arguments.data)
    return row, row.solver


def edited(arguments):
    """The Model, twice: it has them itself. Only here is Caffe imported, which reads prototxts."""
    from attscale import prototxt

    model = prototxt.choose(None, arguments.net, arguments.data)
    return model, model


def resume(folder):
    if (folder / runs.FINAL).exists():
        print(f"{folder / runs.FINAL}: this run is finished")
    else:
        sys.exit(supervise.run(folder))


def gpus(text):
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    cli.run(main)
