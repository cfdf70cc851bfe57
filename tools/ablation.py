#!/usr/bin/env python3
"""The papers' claims on data that anyone has: trains what is missing for docs/results.md, and writes that page."""

import os
import subprocess
import sys
from pathlib import Path

from attscale import cli, processes
from attscale.errors import UserError


def main(argv):
    from attscale.ablation.missing import keep, sheet, sweeps, unseen
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
    run.add_argument("--net", metavar="NET", action="append", default=[], help="only this net of it (default: all)")
    only = "only this seed (default: the study's)"
    run.add_argument("--seed", metavar="N", type=cli.seed, action="append", default=[], help=only)
    cores = processes.cores()
    run.add_argument("--workers", metavar="N", type=cli.positive, default=cores, help=f"(default: {cores}, the cores)")
    cli.add_data_argument(run)
    arguments = parser.parse_args(argv)
    status = 0
    print(*keep(arguments.folder, arguments.runs), sep="\n")
    if arguments.what == "run":
        studies = [STUDIES[name] for name in arguments.study or STUDIES]
        check(studies, arguments)
        for study in studies:
            for one in sweeps(study, arguments.folder, arguments.runs, nets=arguments.net, seeds=arguments.seed):
                status = status or sweep(one, arguments)
            for words in unseen(study, arguments.runs, arguments.data):
                status = status or call("evaluate.py", *words)
            print(*keep(arguments.folder, arguments.runs), sep="\n")
            if words := sheet(study, arguments.folder, arguments.runs, arguments.data):
                status = status or call("visualize.py", *words)
    write_page(arguments.folder)
    sys.exit(status)  # of a sweep that has said what failed


def check(studies, arguments):
    """Raises UserError where a data set is not there, now and not after hours of other studies, or a net is in none."""
    for dataset in {study.dataset: study.experiment(study.nets[0]).dataset for study in studies}.values():
        path = Path(arguments.data, dataset.root, dataset.list_of(dataset.val))
        if not path.exists():
            raise UserError(f"{path}: no such list; python tools/prepare_data.py {dataset.name} makes it")
    for net in arguments.net:
        if any(net not in study.nets for study in studies):
            raise UserError(f"--net {net}: expected one of --study's: {', '.join(studies[0].nets)}")


def sweep(one, arguments):
    """tools/sweep.py; a thread each worker, which does more with the cores than several threads in one. Its status."""
    numbers = ",".join(map(str, one.seeds))
    print(f"{one.study.name}: {len(one.nets)} nets, seeds {numbers}", flush=True)
    names = [one.study.experiment(net).name for net in one.nets]
    command = [*names, "--seeds", numbers, "--threads", 1, "--workers", arguments.workers, "--data", arguments.data]
    command += ["--max-iter", one.study.max_iter, "--out", Path(arguments.runs, one.study.name), "--branches"]
    command += [*(["--by-size"] if one.study.by_size else []), *(["--start", one.start] if one.start else [])]
    command += ["--crf"] if one.crf else []
    return call("sweep.py", *command)


def call(tool, *words):
    """Another of these tools; its status."""
    command = [sys.executable, Path(__file__).with_name(tool), *words]
    return subprocess.run([str(word) for word in command], env=environment()).returncode


def environment():
    """With OpenBLAS's kernels for Haswell, which every processor with AVX2 has: others add up in another order."""
    with open("/proc/cpuinfo") as file:
        kernels = {"OPENBLAS_CORETYPE": "Haswell"} if " avx2" in file.read() else {}
    return kernels | os.environ


def write_page(folder):
    from attscale.ablation import page, pictures
    from attscale.files import write_text

    print(*pictures.draw(folder), sep="\n")
    path = Path(f"{Path(folder)}.md")
    write_text(path, page.page(folder))
    print(path)


if __name__ == "__main__":
    cli.run(main)
