#!/usr/bin/env python3
"""Measures speeds, as ratios of two things run in turn."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/benchmark.py data")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    data = what.add_parser("data", help="SegData's loader beside cv2.imread on the same files")
    data.add_argument("--rounds", metavar="N", type=cli.positive, default=5, help="(default: 5)")
    data.add_argument("--memory", action="store_true", help="memory over 20,000 images instead")
    what.add_parser("crf", help="the dense CRF on two processes beside one")
    arguments = parser.parse_args(argv)

    from statistics import median

    from tqdm import tqdm

    from attscale import benchmarks

    if arguments.what == "crf":
        rates = benchmarks.crf_scaling(progress=lambda rounds: tqdm(rounds, unit="round"))
        ratios = sorted(two / one for one, two in zip(rates[1], rates[2], strict=True))
        print(f"images/s with 1 process {median(rates[1]):.2f}, with 2 {median(rates[2]):.2f}")
        print(f"ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        return
    if arguments.memory:
        memory = benchmarks.data_memory(progress=lambda steps: tqdm(steps, unit="2000 images"))
        print("MiB after every 2000 images: " + " ".join(f"{value:.0f}" for value in memory))
        return
    rates = benchmarks.data_loading(rounds=arguments.rounds, progress=lambda rounds: tqdm(rounds, unit="round"))
    print(f"{'images/s':10} {'imread':>8} {'loader':>8}  ratio; imread in as many processes as the loader has workers")
    for workers in (1, 2):
        imread, loader = rates["imread", workers], rates["loader", workers]
        ratios = sorted(rate / bare for rate, bare in zip(loader, imread, strict=True))
        name = f"{workers} worker{'s' * (workers > 1)}"
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:10} {median(imread):8.0f} {median(loader):8.0f}  {spread}")


if __name__ == "__main__":
    cli.run(main)
