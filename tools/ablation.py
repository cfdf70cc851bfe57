#!/usr/bin/env python3
"""The papers' claims on data that anyone has: trains what is missing for docs/results.md, and writes that page."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

from attscale import cli


def main(argv):
    from attscale.ablation.studies import STUDIES

    parser = cli.parser(__doc__, "python tools/ablation.py run docs/results --study shapes")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    missing = "trains and scores what DIR lacks, by tools/sweep.py, and writes the page; goes on where it was stopped"
    commands = {}
    for name, words in (("run", missing), ("page", "keeps what has been finished, and writes the page, DIR.md")):
        example = f"python tools/ablation.py {name} docs/results"
        commands[name] = cli.parser(words, example, what.add_parser, name=name, help=words)
        commands[name].add_argument("folder", metavar="DIR", help="the folder of the runs' JSON")
        commands[name].add_argument("--runs", metavar="DIR", default="runs/ablation", help="(default: runs/ablation)")
    run = commands["run"]
    run.add_argument("--study", choices=STUDIES, action="append", help="only this one, or these (default: all)")
    cores = len(os.sched_getaffinity(0))
    run.add_argument("--workers", metavar="N", type=cli.positive, default=cores, help=f"(default: {cores}, the cores)")
    run.add_argument("--data", metavar="DIR", default="data", help="folder of the data sets (default: data)")
    arguments = parser.parse_args(argv)
    keep(arguments)
    if arguments.what == "run":
        for name in arguments.study or STUDIES:
            train(STUDIES[name], arguments)
            keep(arguments)
    write_page(arguments.folder)


def keep(arguments):
    """The JSON of every run that has finished since."""
    from attscale.ablation import kept
    from attscale.ablation.studies import STUDIES

    for study in STUDIES.values():
        for net, seed in itertools.product(study.nets, study.seeds):
            folder = study.folder(arguments.runs, net, seed)
            if not kept.path_of(arguments.folder, study, net, seed).exists() and kept.is_finished(study, net, folder):
                print(kept.write(arguments.folder, study, kept.of_run(study, net, seed, folder)))


def train(study, arguments):
    """Sweeps over what a study lacks; before them over the nets that they start from, where those are gone."""
    from attscale.ablation import kept
    from attscale.ablation.studies import STUDIES
    from attscale.training.runs import FINAL

    missing = {
        seed: [net for net in study.nets if not kept.path_of(arguments.folder, study, net, seed).exists()]
        for seed in study.seeds
    }
    seeds = [seed for seed, nets in missing.items() if nets]
    start = None
    if study.start and seeds:
        first, net = STUDIES[study.start[0]], study.start[1]
        gone = [seed for seed in seeds if not (first.folder(arguments.runs, net, seed) / FINAL).exists()]
        if gone:
            sweep(first, [net], gone, arguments)
        start = str(first.folder(arguments.runs, net, "{seed}") / FINAL)
    for nets in dict.fromkeys(tuple(missing[seed]) for seed in seeds):
        alike = [seed for seed in seeds if tuple(missing[seed]) == nets]
        with_crf = [net for net in nets if net in study.crf]
        without = [net for net in nets if net not in study.crf]
        if without:
            sweep(study, without, alike, arguments, start)
        if with_crf:
            sweep(study, with_crf, alike, arguments, start, "--crf")


def sweep(study, nets, seeds, arguments, start=None, *options):
    """tools/sweep.py over nets of a study; every worker has one thread, which several networks at once make best of."""
    names = [study.experiment(net).name for net in nets]
    numbers = ",".join(map(str, seeds))
    print(f"{study.name}: {len(names)} nets, seeds {numbers}", flush=True)
    command = [sys.executable, Path(__file__).with_name("sweep.py"), *names, "--seeds", numbers, "--threads", 1]
    command += ["--max-iter", study.max_iter, "--out", Path(arguments.runs, study.name), "--data", arguments.data]
    command += ["--workers", arguments.workers, "--branches", *(["--by-size"] if study.by_size else [])]
    command += ["--start", start] if start else []
    status = subprocess.run([str(word) for word in (*command, *options)]).returncode
    if status:
        sys.exit(status)  # it has said why; what has finished stays, and the same command goes on


def write_page(folder):
    from attscale.ablation import page, pictures
    from attscale.files import write_text

    for picture in pictures.draw(folder):
        print(picture)
    path = Path(f"{Path(folder)}.md")
    write_text(path, page.page(folder))
    print(path)


if __name__ == "__main__":
    cli.run(main)
