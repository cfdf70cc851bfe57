#!/usr/bin/env python3
"""Measures speeds of two things run in turn, and their ratio."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/benchmark.py data --rounds 3")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    def part(name, words, example):
        return cli.parser(words, f"python tools/benchmark.py {name}{example}", what.add_parser, name=name, help=words)

    data = part("data", "SegData's loader beside cv2.imread on the same files", " --out runs/bench")
    data.add_argument("--memory", action="store_true", help="memory over 20,000 images instead")
    crf = part("crf", "the dense CRF on two processes beside one", " --rounds 2")
    gpu = part("gpu", "baseline and attention net on a GPU: time, memory, inference", " --size 321 --batch-size 5")
    gpu.add_argument("--device", choices=["gpu", "cpu"], default="gpu", help="cpu: to try this command (default: gpu)")
    gpu.add_argument("--size", metavar="N", type=cli.positive, help="of all images (default: 321 and 513)")
    gpu.add_argument("--batch-size", metavar="N", type=cli.positive, default=10, help="images at once (default: 10)")
    gpu.add_argument("--iter-size", metavar="N", type=cli.positive, default=3, help="batches an iteration (default: 3)")
    gpu.add_argument("--iterations", metavar="N", type=cli.positive, default=10, help="timed a round (default: 10)")
    kept = "also keep it there, for tools/report.py (default: only print it)"
    for command, rounds, run in ((data, 5, data_loading), (crf, 3, crf_scaling), (gpu, 5, nets)):
        command.add_argument("--rounds", metavar="N", type=cli.positive, default=rounds, help=f"(default: {rounds})")
        command.add_argument("--out", metavar="DIR", help=kept)
        command.set_defaults(run=run)
    training = part("training", "memory and time besides Caffe's own, on the narrow shapes net", " --iterations 400")
    training.add_argument("--iterations", metavar="N", type=cli.positive, default=2000, help="(default: 2000)")
    training.set_defaults(run=training_costs)
    arguments = parser.parse_args(argv)
    if arguments.what == "data":
        cli.check(data, arguments, apart=[("--memory", "--rounds"), ("--memory", "--out")])
    arguments.run(arguments)


def data_loading(arguments):
    from attscale.bench import speeds

    if arguments.memory:
        memory = speeds.data_memory(progress=bar("2000 images"))
        print("MiB after every 2000 images: " + " ".join(f"{value:.0f}" for value in memory))
    else:
        tell(speeds.data_loading(rounds=arguments.rounds, progress=bar("round")), arguments)


def crf_scaling(arguments):
    from attscale.bench import speeds

    tell(speeds.crf_scaling(rounds=arguments.rounds, progress=bar("round")), arguments)


def nets(arguments):
    from attscale.bench import netspeed

    options = {name: getattr(arguments, name) for name in ("batch_size", "iter_size", "iterations", "rounds")}
    sizes = {"crop": arguments.size or 321, "image": arguments.size or 513}
    lines, measured = netspeed.compare(on=arguments.device, progress=bar("round"), **sizes, **options)
    tell(measured, arguments, lines)


def training_costs(arguments):
    from attscale.bench import training

    print("\n".join(training.lines(training.measure(arguments.iterations))))


def bar(unit):
    from attscale.progress import Bar

    return lambda steps: Bar(steps, unit=unit)


def tell(measured, arguments, lines=None):
    """Prints `lines`, or else a sentence for each Ratio, and keeps the Ratios where that is asked for."""
    from attscale.results import ratios

    print("\n".join(map(sentence, measured) if lines is None else lines))
    if arguments.out:
        print(ratios.write(arguments.out, arguments.what, measured))


def sentence(ratio):
    name, rate, beside, beside_rate, share = ratio.texts
    return f"{name}: {rate} images/s; {beside}: {beside_rate}; ratio {share}"


if __name__ == "__main__":
    cli.run(main)
