#!/usr/bin/env python3
"""Damages files of every kind, has them read, and counts what became of each: `make fuzz`.

refused: a UserError; accepted; unexpected: any other exception; crashed: the process died; hung; changed: accepted
as something else, where a checksum tells. Exits with 1 where anything but the first two happened. The inputs that did
it are kept below build/fuzz.
"""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
os.environ.setdefault("GLOG_minloglevel", "2")
for library in ("OPENBLAS", "OMP"):  # no threads, which a forked child would lack
    os.environ[f"{library}_NUM_THREADS"] = "1"

import argparse  # noqa: E402
import concurrent.futures  # noqa: E402
import json  # noqa: E402
import multiprocessing  # noqa: E402
import tempfile  # noqa: E402

KEPT = TESTS.parent / "build/fuzz"
MEMORY = Path("/dev/shm")  # writing a file takes ten times as long elsewhere


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", metavar="N", type=float, default=60, help="for each reader (default: 60)")
    parser.add_argument("--inputs", metavar="N", type=int, help="at most, for each reader")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the damage (default: 0)")
    parser.add_argument("--reader", metavar="NAME", action="append", help="this one alone; may be given repeatedly")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", metavar="N", type=int, default=cores, help="readers at once (default: one a core)")
    parser.add_argument("--json", metavar="FILE", help="also write the table, with all faults, there")
    parser.add_argument("--keep", metavar="DIR", default=str(KEPT), help="for faulty inputs (default: build/fuzz)")
    parser.add_argument("--input", metavar="N", type=int, help="of one --reader: only this, with its trace")
    arguments = parser.parse_args(argv)

    import cv2

    from fuzz import readers

    cv2.setNumThreads(0)
    names = arguments.reader or list(readers.READERS)
    if unknown := [name for name in names if name not in readers.READERS]:
        parser.error(f"no reader {unknown[0]!r}; there are {', '.join(readers.READERS)}")
    if arguments.input is not None:
        return show(names[0], arguments)
    print(line("reader", ["inputs", *outcomes()]), flush=True)
    tallies = []
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs, context, max_tasks_per_child=None) as pool:
        for tally in pool.map(of_reader, names, [arguments] * len(names)):
            print(line(tally.reader, [tally.inputs, *(tally.counts[outcome] for outcome in outcomes())]), flush=True)
            tallies.append(tally)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([tally.values for tally in tallies], indent=1) + "\n")
    for tally in tallies:
        for fault in tally.faults.values():
            print(f"\n{tally.reader}: {fault.outcome} {fault.count}: {fault.what}\n  {fault.example}")
            print(*(f"  {place}" for place in fault.kept[:2]), sep="\n")
    return int(any(tally.faults for tally in tallies))


def outcomes():
    from fuzz import harness

    return harness.OUTCOMES


def line(name, cells):
    return f"{name:16}" + "".join(f"{cell:>11}" for cell in cells)


def of_reader(name, arguments):
    """The Tally of a reader."""
    from fuzz import harness, readers

    with scratch() as folder:
        limits = {"seed": arguments.seed, "seconds": arguments.seconds, "most": arguments.inputs}
        try:
            return harness.run(name, readers.READERS[name], folder, keep=arguments.keep, **limits)
        except Exception as error:  # noqa: BLE001, the others are run all the same
            fault = harness.Fault("unexpected", "before any damage", f"{type(error).__name__}: {error}", 1)
            return harness.Tally(name, faults={("unexpected", "before any damage"): fault})


def scratch():
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)


def show(name, arguments):
    """Reads one input in this process, for a look at what happens; it is kept."""
    from fuzz import harness, readers

    with scratch() as folder:
        inputs = harness.Inputs(name, readers.READERS[name], folder, arguments.seed)
        base, data, repaired = inputs.of(arguments.input)
        print(f"{base.file}, {len(data)} bytes{', checksums made right' if repaired else ''}", file=sys.stderr)
        inputs.place(base, data)
        print(inputs.reader.read(inputs.folder / base.file))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
