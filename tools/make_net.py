#!/usr/bin/env python3
"""Writes prototxt/<data set>/<net>/{train,deploy,solver}.prototxt for the named experiments, or for all."""

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(__doc__, "python tools/make_net.py voc12_attention3_esupv")
    parser.add_argument("names", metavar="NAME", nargs="*", help="experiments (default: all of the papers)")
    cli.add_data_argument(parser)
    parser.add_argument("--out", metavar="DIR", default="prototxt", help="folder to write to (default: prototxt)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="print the papers' experiments and numbers for each")
    action.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file differs, is missing or has no experiment"
    )
    arguments = parser.parse_args(argv)
    cli.check(parser, arguments, apart=[("--list", "--out")])
    rows = [experiments.find(name, arguments.data) for name in arguments.names] or list(
        experiments.EXPERIMENTS.values()
    )
    if arguments.list:
        width = max(len(row.name) for row in rows)
        for row in rows:
            print(f"{row.name:{width}}  {'; '.join(map(str, row.cells)) or row.title}")
        return

    from attscale.errors import ExperimentError
    from attscale.prototxt import artefacts

    if not arguments.check:
        artefacts.write(rows, arguments.out)
        print(f"wrote {len(rows)} nets to {arguments.out}/")
        return
    problems = artefacts.check(rows, arguments.out)
    for problem in problems:
        print(problem)
    if problems:
        raise ExperimentError(f"{len(problems)} differences; python tools/make_net.py writes the files anew")
    print(f"{len(rows)} nets in {arguments.out}/ are as generated")


if __name__ == "__main__":
    cli.run(main)
