#!/usr/bin/env python3
"""Fetches the weights that nets start from: resumes, verifies, and says what to do where a link is dead."""

from pathlib import Path

from attscale import cli

WEIGHTS = Path(__file__).parent.parent / "weights"


def main(argv):
    parser = cli.parser(__doc__, "python tools/fetch_weights.py vgg16_20M")
    parser.add_argument("names", metavar="WEIGHTS", nargs="*", help="entries of the manifest (default: list them)")
    manifest_path, described = WEIGHTS / "manifest.toml", "(default: %(default)s)"
    parser.add_argument("--manifest", metavar="FILE", default=manifest_path, help=described)
    parser.add_argument("--out", metavar="DIR", default="weights", help=f"folder of the files {described}")
    arguments = parser.parse_args(argv)

    from attscale.weights import fetch, manifest

    entries = manifest.read(arguments.manifest)
    for entry in [manifest.find(entries, name) for name in arguments.names]:
        for path in fetch.fetch(entry, arguments.out):
            print(f"{path}: ready")
    if not arguments.names:
        for entry in entries.values():
            have = all((Path(arguments.out) / name).exists() for name in entry.results)
            print(f"{entry.name:24} {'here' if have else '-':5} {entry.what}\n{'':30} {entry.page}")


if __name__ == "__main__":
    cli.run(main)
