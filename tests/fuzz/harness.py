"""Inputs to a reader, many in a forked child: what became of each, whatever it did to the child.

A child reads input after input and says of each how it went; when it dies or hangs, that is the outcome of the input
that it was at, and a new child goes on with the next. Input `number` of a reader depends on the seed alone.
"""

import collections
import contextlib
import dataclasses
import faulthandler
import math
import mmap
import os
import random
import re
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path

import psutil

from attscale.errors import UserError, one_line
from fuzz import mutations

OUTCOMES = ("refused", "accepted", "unexpected", "crashed", "hung", "changed")
FAULTS = OUTCOMES[2:]

_CHILDS_WORTH = 5000  # inputs, after which a fresh child has none of their leftovers
_MEMORY = 1 << 30  # bytes that a child may take besides what it has from its parent
_FILES = 1 << 30  # bytes of a file that it may write
_IDLE, _BUSY, _LONGEST = 4, 10, 60  # seconds at one input: without work, of work, at all
_KEPT = 5  # inputs of a kind of fault


@dataclasses.dataclass
class Fault:
    """One kind of fault: what it is, how often it came up, where the first inputs that have it were kept."""

    outcome: str
    what: str
    example: str  # what the first said
    count: int = 0
    kept: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tally:
    """What became of a reader's inputs."""

    reader: str
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: dict[tuple[str, str], Fault] = dataclasses.field(default_factory=dict)

    @property
    def inputs(self):
        return sum(self.counts.values())

    @property
    def values(self):
        """As JSON values."""
        faults = [dataclasses.asdict(fault) for fault in self.faults.values()]
        return {"reader": self.reader, "inputs": self.inputs, **{o: self.counts[o] for o in OUTCOMES}, "faults": faults}


class Inputs:
    """A reader's bases below `folder`, what is read of them, and any number of damaged ones."""

    def __init__(self, name, reader, folder, seed):
        """Raises AssertionError where a base is not taken: then there is nothing to go by."""
        self.name, self.reader, self.folder, self._seed = name, reader, Path(folder), seed
        self.bases = list(reader.bases(self.folder))
        self.values = {}
        for base in self.bases:
            self.restore(base)
        for base in self.bases:
            try:
                self.values[base.file] = reader.read(self.folder / base.file)
            except UserError as error:
                raise AssertionError(f"{name}: the undamaged {base.file} is refused: {error}") from error
            self.restore(base)

    def restore(self, base):
        """The base as it was, whatever lies in its place."""
        path = self.folder / base.file
        if path.is_symlink() or not path.is_file():
            _clear(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base.data)

    def of(self, number):
        """(base, bytes, whether checksums were made right again) of an input; what is no file has words for bytes."""
        if number < len(_STRANGE):
            return self.bases[0], list(_STRANGE)[number], False
        rng = random.Random(f"{self._seed} {self.name} {number}")
        base = rng.choice(self.bases)
        data = mutations.OF[base.form](rng, base.data)
        repaired = self.reader.repair is not None and rng.random() < 0.4
        return base, self.reader.repair(data) if repaired else data, repaired

    def place(self, base, data):
        path = self.folder / base.file
        if isinstance(data, str):
            _clear(path)
            _STRANGE[data](path)
        else:
            path.write_bytes(data)

    def outcome(self, number):
        """(outcome, kind of fault, what it says) of an input, read in this process."""
        base, data, repaired = self.of(number)
        self.place(base, data)
        try:
            other = self.reader.read(self.folder / base.file)
            damaged = isinstance(data, bytes) and not repaired
            if damaged and (words := self.reader.changed(base, self.values[base.file], data, other)):
                return "changed", words, base.file
            return "accepted", "", ""
        except UserError as error:
            if len(str(error).splitlines()) > 1:
                return "unexpected", "an error of several lines", str(error)
            return "refused", "", ""
        except Exception as error:  # noqa: BLE001, each of them is an outcome
            return (
                "unexpected",
                f"{type(error).__name__} at {_place(error)}",
                f"{type(error).__name__}: {one_line(error)}",
            )
        finally:
            self.restore(base)


#: What may lie in the place of a file: put there by name.
_STRANGE = {
    "nothing": lambda path: None,
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "an empty file": Path.touch,
}


def _clear(path):
    with contextlib.suppress(FileNotFoundError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _place(error):
    """The innermost line of ours that an exception came through: file and function."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/python/attscale/" in frame.filename]
    if not frames:
        return "no line of attscale"
    return f"{frames[-1].filename.rpartition('/attscale/')[2]} {frames[-1].name}"


def run(name, reader, folder, *, seed, seconds, keep, most=None):
    """Reads damaged inputs for so many seconds, or `most` of them; the Tally. Faulty ones are kept in `keep`.

    folder: one of its own, for the reader's files. What hangs takes no time from the others, nor does what is no file.
    """
    inputs = Inputs(name, reader, folder, seed)
    tally = Tally(name)
    number, until = 0, math.inf
    while time.monotonic() < until and (most is None or number < most):
        began, last = time.monotonic(), most or sys.maxsize
        last = min(last, len(_STRANGE) if number < len(_STRANGE) else number + _CHILDS_WORTH)
        for outcome, kind, words in _of_a_child(inputs, range(number, last), until):
            tally.counts[outcome] += 1
            if outcome in FAULTS:
                _note(tally, inputs, number, outcome, kind, words, Path(keep))
            if outcome == "hung":
                until += time.monotonic() - began
            number += 1
            began = time.monotonic()
            if number == len(_STRANGE):
                until = began + seconds
    return tally


def _note(tally, inputs, number, outcome, kind, words, keep):
    fault = tally.faults.setdefault((outcome, kind), Fault(outcome, kind, words[:500]))
    fault.count += 1
    if len(fault.kept) >= _KEPT:
        return
    base, data, _ = inputs.of(number)
    if isinstance(data, str):
        fault.kept.append(f"{data} in the place of {base.file}")
        return
    path = keep / inputs.name.replace(" ", "_") / f"{number:06d}-{outcome}-{Path(base.file).name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    fault.kept.append(str(path))


def _of_a_child(inputs, numbers, until):
    """Yields the outcomes of the inputs `numbers` in their order, as long as one child lasts."""
    said, says = os.pipe()
    errors = inputs.folder / ".stderr"
    child = os.fork()
    if not child:
        os.close(said)
        _child(inputs, numbers, until, says, errors)
    os.close(says)
    try:
        yield from _heard(child, said, errors)
    finally:
        os.close(said)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _heard(child, said, errors):
    rest = b""
    began, worked = time.monotonic(), _work(child)
    while True:
        ready, _, _ = select.select([said], [], [], 0.5)
        if ready:
            data = os.read(said, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield tuple(line.decode(errors="replace").split("\t"))
            began, worked = time.monotonic(), _work(child)
            continue
        elapsed, work = time.monotonic() - began, _work(child) - worked
        idle = elapsed > _IDLE and work < 0.2 and _sleeps(child)
        if idle or work > _BUSY or elapsed > _LONGEST:
            words = f"{elapsed:.0f} s, of which {work:.0f} s of work"
            yield "hung", "at work" if work > 0.2 else "waiting", words
            return
    _, status = os.waitpid(child, 0)
    if status == 0:
        return
    lines = errors.read_text(errors="replace").splitlines()
    ours = [re.sub(r'.*/attscale/(.*)", line \d+ in', r"\1", line) for line in lines if "/python/attscale/" in line]
    how = signal.Signals(status & 127).name if os.WIFSIGNALED(status) else f"exit {os.waitstatus_to_exitcode(status)}"
    trace = next((number for number, line in enumerate(lines) if line.startswith("Fatal Python error")), len(lines))
    words = " | ".join(line.strip() for line in lines[max(0, trace - 4) : trace + 8])
    yield "crashed", f"{how} at {ours[0].strip() if ours else 'no line of attscale'}", words


def _work(pid):
    """Seconds of work that a process has done."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0
    return times.user + times.system


def _sleeps(pid):
    """Whether a process waits for something that may never come, and not for a core or a disk."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_SLEEPING
    except psutil.NoSuchProcess:
        return False


def _child(inputs, numbers, until, says, errors):
    """Says what becomes of each input, a line each; never returns."""
    status = 1
    try:
        file = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(file, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115, of pytest's capture it may be another
        faulthandler.enable(file=2)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (held + _MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in numbers:
            if time.monotonic() > until:
                break
            os.ftruncate(file, 0)
            line = "\t".join(" ".join(word.split()) for word in inputs.outcome(number))
            os.write(says, line.encode(errors="replace")[:4000] + b"\n")
        status = 0
    except BaseException:  # noqa: BLE001, the child must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)
