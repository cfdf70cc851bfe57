"""docs/benchmarks.md: what the files of the parts say, and sentences that people have written beside it."""

import tomllib
from pathlib import Path
from statistics import median

from attscale.bench.catalogue import PARTS
from attscale.errors import UserError, reading
from attscale.results import benchmarks
from attscale.results.benchmarks import three_digits, with_range

NOTES = "notes.toml"
_HEAD = """\
# Benchmarks

Written by `make bench`: the numbers are those of the files in [benchmarks](benchmarks), but for a few in the notes.

Times do not hold from machine to machine. So each figure is a ratio of two things that were measured in turn, each time
in a process of its own; medians of the rounds, and in brackets from where to where the rounds went. Nets have random
weights. A target that was missed stays, with what was tried and what it would take.
"""


def page(folder):
    """The page, Markdown, of the files in `folder`. Raises UserError that names what is wrong with one."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder")
    paths = {part: benchmarks.path_of(folder, part) for part in PARTS}
    found = {part: benchmarks.read(path) for part, path in paths.items() if path.exists()}
    notes = read_notes(Path(folder, NOTES), found)
    sections = [_HEAD]
    if found:
        sections.append("\n".join(machines({part: measured.machine for part, measured in found.items()})) + "\n")
    for part, about in PARTS.items():
        lines = [f"## {part}", "", f"`python tools/benchmark.py {part}`: {about.words}.", ""]
        lines += table(found[part].findings, notes.get(part, {})) if part in found else ["Not measured yet."]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def read_notes(path, found):
    """{part: {key of a Ratio: sentence}} of a TOML file, if there is one.

    found: {part: Measured}. Raises UserError for a key that such a part lacks.
    """
    if not path.exists():
        return {}
    with reading(path):
        notes = tomllib.loads(path.read_text(encoding="utf-8"))
    for part, sentences in notes.items():
        if part not in PARTS or not isinstance(sentences, dict):
            raise UserError(f"{path}: {part} is no part of the benchmark: {', '.join(PARTS)}")
        keys = [ratio.key for ratio in found[part].findings.ratios] if part in found else sentences
        for key, sentence in sentences.items():
            if key not in keys or not isinstance(sentence, str):
                raise UserError(f"{path}: {part}: expected sentences by one of {'; '.join(keys)}, got {key!r}")
    return notes


def machines(by_part):
    """The lines of a table of what parts were measured on; by_part: {part: Machine}."""
    yield from (
        "| part | date | commit | processor | cores | SGEMM, GFLOP/s | versions |",
        "|---|---|---|---|---|---|---|",
    )
    for part, machine in by_part.items():
        versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
        on = f"{machine.vectors}, {machine.card}" if machine.card else machine.vectors
        yield _row((part, machine.date, machine.commit, on, machine.cores, three_digits(machine.sgemm), versions))


def table(findings, notes=None):
    """The lines of a part: its Ratios with their targets, sentences about them by key, and each net by layers."""
    notes = notes or {}
    yield from ("| what | median | beside | median | ratio | target | |", "|---|---|---|---|---|---|---|")
    for ratio in findings.ratios:
        target, met = ratio.target or ("", None)
        yield _row((*ratio.texts, target, {True: "met", False: "**MISSED**", None: ""}[met]))
    about = [f"{key}: {sentence}" for key, sentence in notes.items()]
    yield from ("", *(f"- {line}" for line in (*findings.notes, *about))) if about or findings.notes else ()
    for net in findings.nets:
        yield from ("", f"### {net.title}", "", *_by_layer(net))


def _by_layer(net):
    sgemm = with_range(net.sgemm)
    yield f"A product of large matrices on as many threads: {sgemm} GFLOP/s."
    yield from ("", "| layer | forward, ms | GFLOP/s | of SGEMM | backward, ms | GFLOP/s | of SGEMM |")
    yield "|---|---|---|---|---|---|---|"
    for layer in net.layers:
        forward = _speed(layer.forward, layer.forward_gflop, net.sgemm)
        yield _row((layer.name, *forward, *_speed(layer.backward, layer.backward_gflop, net.sgemm)))


def _speed(seconds, gflop, sgemm):
    """Milliseconds, GFLOP/s, and the share that these are of SGEMM's, as texts; without operations the first alone."""
    milliseconds = three_digits(1000 * median(seconds))
    if not gflop:
        return milliseconds, "", ""
    rates = [gflop / value for value in seconds]
    shares = [rate / most for rate, most in zip(rates, sgemm, strict=True)]
    return milliseconds, three_digits(median(rates)), three_digits(median(shares))


def _row(cells):
    return f"| {' | '.join(map(str, cells))} |"
