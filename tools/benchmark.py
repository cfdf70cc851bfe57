#!/usr/bin/env python3
"""Measures speed and memory of two things in turn, and their ratio, beside what is asked of it."""

import subprocess
import sys
from pathlib import Path

from attscale import cli
from attscale.bench.catalogue import ON_THE_CPU, OPTIONS, PARTS
from attscale.errors import UserError


def main(argv):
    parser = cli.parser(__doc__, "python tools/benchmark.py step --rounds 3")
    what = parser.add_subparsers(dest="part", required=True, metavar="PART")

    def command(name, words, example):
        return cli.parser(words, f"python tools/benchmark.py {name} {example}", what.add_parser, name=name, help=words)

    commands = {name: command(name, part.words, part.example) for name, part in PARTS.items()}
    for name, part in PARTS.items():
        for option, usual in part.options.items():
            flag, words = f"--{option.replace('_', '-')}", f"{OPTIONS[option]} (default: {usual})"
            commands[name].add_argument(flag, metavar="N", type=cli.positive, default=usual, help=words)
        kept = "also keep it there, for tools/report.py (default: only print it)"
        commands[name].add_argument("--out", metavar="DIR", help=kept)
    commands["data"].add_argument("--memory", action="store_true", help="memory over 20,000 images instead")
    for name, usual in (("gpu", "gpu"), ("peer", "cpu")):
        where = {"dest": "on", "choices": ["gpu", "cpu"], "default": usual, "help": f"(default: {usual})"}
        commands[name].add_argument("--device", **where)
    all_of_them = "every part that needs no GPU, but for those whose files are of this commit, and the page of them"
    for name, words in (("all", all_of_them), ("page", "the page of what `all` has measured, DIR.md")):
        commands[name] = command(name, words, "docs/benchmarks")
        commands[name].add_argument("folder", metavar="DIR", help="the folder of the parts' files")
    arguments = parser.parse_args(argv)
    if arguments.part == "all":
        run_all(arguments.folder)
    elif arguments.part == "page":
        write_page(arguments.folder)
    elif arguments.part == "data" and arguments.memory:
        cli.check(commands["data"], arguments, apart=[("--memory", "--rounds"), ("--memory", "--out")])
        memory_of_data()
    else:
        run(arguments)


def run(arguments):
    """Measures a part, prints its table, and keeps it where that is asked for."""
    from attscale.bench import page
    from attscale.bench.measure import measure
    from attscale.results import benchmarks

    options = {name: value for name, value in vars(arguments).items() if name not in ("part", "out", "memory")}
    measured = measure(arguments.part, options, bar("measurement"))
    print("\n".join([*page.table(measured.findings), "", *page.machines({arguments.part: measured.machine})]))
    if arguments.out:
        print(benchmarks.write(arguments.out, measured))


def run_all(folder):
    """Each part in a process of its own; ends at the first that fails, and goes on there when called again."""
    from attscale.bench import machine
    from attscale.results import benchmarks

    now = machine.commit()
    for number, part in enumerate(ON_THE_CPU, start=1):
        path = benchmarks.path_of(folder, part)
        if "+" not in now and path.exists() and benchmarks.read(path).machine.commit == now:
            print(f"{path}: is of commit {now}")
            continue
        print(f"{part}, {number} of {len(ON_THE_CPU)}: {PARTS[part].words}", flush=True)
        if subprocess.run([sys.executable, __file__, part, "--out", folder]).returncode:
            raise UserError(f"{part} could not be measured; the parts before it are in {folder}, and stay")
    write_page(folder)


def write_page(folder):
    from attscale.bench import page
    from attscale.files import write_text

    path = Path(f"{Path(folder)}.md")
    write_text(path, page.page(folder))
    print(path)


def memory_of_data():
    from attscale.bench import speeds

    memory = speeds.data_memory(progress=bar("2000 images"))
    print("MiB after every 2000 images: " + " ".join(f"{value:.0f}" for value in memory))


def bar(unit):
    from attscale.progress import Bar

    return lambda steps: Bar(steps, unit=unit)


if __name__ == "__main__":
    cli.run(main)
