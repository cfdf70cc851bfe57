#!/usr/bin/env python3
"""Trains an experiment; a data set's name alone means its best model in the paper."""

import time

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(__doc__, "python tools/train.py voc --weights weights/vgg16_20M.caffemodel")
    cli.add_net_arguments(parser, weights_required=False)
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/NAME/TIME)")
    parser.add_argument("--max-iter", metavar="N", type=cli.positive, help="iterations (default: the experiment's)")
    parser.add_argument("--batch-size", metavar="N", type=cli.positive, help="images in memory at once")
    parser.add_argument("--iter-size", metavar="N", type=cli.positive, help="batches per iteration")
    parser.add_argument(
        "--seed", metavar="N", type=cli.seed, default=0, help="of data order, augmentation, fillers and dropout"
    )
    arguments = parser.parse_args(argv)
    row = experiments.find(arguments.name)

    from attscale import plots, runtime, solve

    runtime.limit_threads(row, arguments.threads)
    row = solve.with_solver(
        row, max_iter=arguments.max_iter, batch_size=arguments.batch_size, iter_size=arguments.iter_size
    )
    folder = arguments.out or f"runs/{row.name}/{time.strftime('%Y%m%d-%H%M%S')}"
    weights = solve.train(row, folder, data_root=arguments.data, weights_path=arguments.weights, seed=arguments.seed)
    if log := solve.read_log(folder):
        plots.losses(f"{folder}/losses.png", log)
    print(f"weights: {weights}\nscore them: python tools/evaluate.py {row.name} --weights {weights}")


if __name__ == "__main__":
    cli.run(main)
