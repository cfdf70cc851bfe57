#!/usr/bin/env python3
"""The papers' tables with the results of runs beside them, as Markdown: every evaluation.json below the folders."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/compare.py runs --out comparison.md")
    parser.add_argument("folders", metavar="FOLDER", nargs="*", help="where results are (default: runs)")
    parser.add_argument("--out", metavar="FILE", help="write it there (default: print it)")
    arguments = parser.parse_args(argv)

    from attscale.files import write_bytes
    from attscale.results import compare, evaluations

    found = evaluations.find(arguments.folders)
    text = compare.markdown(compare.tables(found), found)
    if not arguments.out:
        print(text, end="")
        return
    write_bytes(arguments.out, text.encode())  # UTF-8, whatever the system's own encoding
    print(f"{arguments.out}: results {len(found)}")


if __name__ == "__main__":
    cli.run(main)
