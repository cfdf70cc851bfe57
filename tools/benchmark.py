#!/usr/bin/env python3
"""Measures speeds, as ratios of two things run in turn."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/benchmark.py data")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    data = what.add_parser("data", help="SegData's loader beside cv2.imread on the same files")
    data.add_argument("--memory", action="store_true", help="memory over 20,000 images instead")
    crf = what.add_parser("crf", help="the dense CRF on two processes beside one")
    for command, rounds in ((data, 5), (crf, 3)):
        command.add_argument("--rounds", metavar="N", type=cli.positive, default=rounds, help=f"(default: {rounds})")
        command.add_argument("--out", metavar="DIR", help="also keep it there, for tools/report.py")
    arguments = parser.parse_args(argv)

    from tqdm import tqdm

    from attscale import benchmarks, ratios

    if arguments.what == "data" and arguments.memory:
        memory = benchmarks.data_memory(progress=lambda steps: tqdm(steps, unit="2000 images"))
        print("MiB after every 2000 images: " + " ".join(f"{value:.0f}" for value in memory))
        return
    rounds = lambda numbers: tqdm(numbers, unit="round")  # noqa: E731
    if arguments.what == "crf":
        measured = benchmarks.crf_scaling(rounds=arguments.rounds, progress=rounds)
    else:
        measured = benchmarks.data_loading(rounds=arguments.rounds, progress=rounds)
    for ratio in measured:
        name, rate, beside, beside_rate, share = ratio.texts
        print(f"{name}: {rate} images/s; {beside}: {beside_rate}; ratio {share}")
    if arguments.out:
        print(ratios.write(arguments.out, arguments.what, measured))


if __name__ == "__main__":
    cli.run(main)
