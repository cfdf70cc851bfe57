#!/usr/bin/env python3
"""Runs as one HTML page that needs nothing else: losses, scores, confusion, attention, pictures, the papers' tables."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/report.py runs/demo --out report.html")
    parser.add_argument("folders", metavar="FOLDER", nargs="*", help="where runs are (default: runs)")
    parser.add_argument("--out", metavar="FILE", default="report.html", help="the page (default: report.html)")
    parser.add_argument("--title", default="Results", help="of the page (default: Results)")
    arguments = parser.parse_args(argv)

    from attscale.files import write_bytes
    from attscale.results import benchmarks, report

    runs = report.find(arguments.folders)
    page = report.page(runs, arguments.title, benchmarks.find(arguments.folders)).encode()
    write_bytes(arguments.out, page)
    print(f"{arguments.out}: runs {len(runs)}, {len(page) / 1e6:.1f} MB")
    for run in runs:
        if run.result:
            if run.crf:
                print(f"with dense CRF       {100 * run.crf.mean_iou:6.2f}   {run.name}, {run.crf.images} images")
            print(f"mean IOU             {100 * run.result.mean_iou:6.2f}   {run.name}, {run.result.images} images")


if __name__ == "__main__":
    cli.run(main)
