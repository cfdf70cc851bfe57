#!/usr/bin/env python3
"""Kills train, predict, crf and sweep at random times, has them go on, and compares with undisturbed runs: `make soak`.

A round is a command that is killed a few times, each time begun again as a user would, and at last left alone. Then
weights (bit for bit), losses, scores, label maps and evaluations are those of the undisturbed run, and nothing else is
left in its folder, among the data, or in the temporary directory, and no process. Exits with 1 otherwise.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from attscale.inference import scores
from attscale.results.evaluations import EVALUATION
from attscale.training import journal, runs
from attscale.weights import caffemodel

REPO = Path(__file__).resolve().parents[2]
NET = "shapes_largefov"  # the quickest
ITERATIONS = 24  # a few more than there are between two records of the log
_PATIENCE = 20  # seconds that processes may take to end whose parent was killed
_SLOWER = 10  # times as long as undisturbed, and a minute: then a command hangs
_NOT_COMPARED = {"tensorboard"}  # folders: a file for every start is what they are meant to have


@dataclasses.dataclass
class Part:
    """One command: what became of it."""

    name: str
    seconds: float = 0  # undisturbed
    rounds: int = 0
    kills: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)


class Soak:
    """The parts in `folder`: undisturbed in `whole`, killed in `disturbed`, with an own temporary directory."""

    def __init__(self, folder, parts, rng, say=print):
        self.folder, self.rng, self.say = Path(folder).resolve(), rng, say
        self.parts = {name: Part(name) for name in parts}
        self.temporary = self.folder / "tmp"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.temporary.mkdir(parents=True)

    def arguments(self, part, place):
        """The command as it is given again after a kill."""
        out, weights = self.folder / place / part, self.folder / "whole/train" / runs.FINAL
        length = ["--max-iter", ITERATIONS, "--snapshot-interval", 1]
        if part == "train" and runs.is_begun(out):
            return ["train.py", "--resume", out]
        return {
            "train": ["train.py", NET, *length, "--batch-size", 1, "--out", out],
            "predict": ["predict.py", NET, "--weights", weights, "--split", "val", "--scores", "--out", out],
            "crf": ["crf.py", NET, "--scores", self.folder / "whole/predict/scores", "--out", out, "--processes", 2],
            "sweep": ["sweep.py", NET, *length, "--crf", "--shards", 2, "--workers", 2, "--out", out],
        }[part]

    def start(self, arguments):
        """A command in a session of its own, which says what it says into `said`."""
        command = [sys.executable, *map(str, [REPO / "tools" / arguments[0], *arguments[1:]])]
        with open(self.folder / "said", "w") as said:
            environment = {**os.environ, "TMPDIR": str(self.temporary)}
            options = {"cwd": self.folder, "env": environment, "start_new_session": True}
            return subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, **options)

    def undisturbed(self):
        """Runs what every comparison is with."""
        self.whole(["prepare_data.py", "shapes", "--train", 6, "--val", 4])
        for name in ("train", "predict", "crf", "sweep"):
            if name in self.parts or (name != "sweep" and {"predict", "crf"} & self.parts.keys()):
                began = time.monotonic()
                self.whole(self.arguments(name, "whole"))
                if name in self.parts:
                    self.parts[name].seconds = time.monotonic() - began
        self.around = self.names(self.folder / "data"), self.names(self.temporary)

    def whole(self, arguments):
        if self.start(arguments).wait():
            raise SystemExit(f"{arguments[0]}, undisturbed, failed:\n{self.said()}")

    def said(self):
        return (self.folder / "said").read_text(errors="replace")

    def round(self, part, most):
        """One round of up to `most` kills."""
        part.rounds += 1
        shutil.rmtree(self.folder / "disturbed" / part.name, ignore_errors=True)
        faults = []
        for _ in range(self.rng.randint(1, most)):
            process = self.start(self.arguments(part.name, "disturbed"))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.rng.uniform(0, part.seconds))
                if process.returncode:
                    faults.append(f"does not go on: {self.last_words()}")
                break
            part.kills += 1
            faults += self.kill(part, process)
        faults += self.to_the_end(part) + self.compared(part) + self.left_behind(part)
        if faults:
            kept = self.folder / f"faulty-{part.name}-{part.rounds}"
            kept.mkdir()
            (self.folder / "said").rename(kept / "said")
            if (left := self.folder / "disturbed" / part.name).exists():
                left.rename(kept / part.name)
            part.faults += [f"round {part.rounds}: {fault}" for fault in faults]
        self.say(f"{part.name}, round {part.rounds}: {part.kills} kills so far{''.join(f'; {f}' for f in faults)}")

    def kill(self, part, process):
        """Kills the command, its group, one of its children, or all at once; what should have ended and has not."""
        others = [pid for pid in self.processes() if pid != process.pid]
        how = self.rng.choice(("command", "group", "all", *(["child"] * 2 if others else [])))
        victims = {
            "command": [process.pid],
            "all": [process.pid, *others],
            "child": self.rng.sample(others, 1 if others else 0),
        }
        names = {pid: name_of(pid) for pid in others}
        what = names[victims["child"][0]] if how == "child" else f"its {how}"
        for end, pid in [(os.killpg, process.pid)] if how == "group" else [(os.kill, pid) for pid in victims[how]]:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                end(pid, signal.SIGKILL)
        try:
            process.wait(_SLOWER * part.seconds + 60)
        except subprocess.TimeoutExpired:
            return [f"hangs after {what} was killed", *self.ended(0)]
        faults = self.ended(_PATIENCE)
        if how == "child" and process.returncode:  # else somebody did its work
            said = self.said()
            if "Traceback" in said or not said.rstrip().rpartition("\n")[2].startswith("error: "):
                faults.append(f"no line of error after {what} was killed: {self.last_words()}")
        return faults

    def to_the_end(self, part):
        process = self.start(self.arguments(part.name, "disturbed"))
        try:
            if process.wait(_SLOWER * part.seconds + 60):
                return [f"does not go on: {self.last_words()}", *self.ended(_PATIENCE)]
        except subprocess.TimeoutExpired:
            return ["hangs where it should go on", *self.ended(0)]
        return self.ended(_PATIENCE)

    def ended(self, seconds):
        """The faults of processes that are still there after so many seconds; ends them."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        faults = [f"left a process: {name_of(pid)}" for pid in left] if seconds else []
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return faults

    def processes(self):
        """Those that have our temporary directory in their environment, which all that they start inherit."""
        ours = str(self.temporary)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TMPDIR") == ours:
                    found.append(process.pid)
        return found

    def last_words(self):
        return " | ".join(line for line in self.said().replace("\r", "\n").splitlines() if line.strip())[-600:]

    def compared(self, part):
        """What is not as the undisturbed run has it."""
        found, expected = (outcome(self.folder / place / part.name) for place in ("disturbed", "whole"))
        return [f"lost: {name}" for name in expected.keys() - found.keys()] + [
            f"differs: {name}" for name in expected.keys() & found.keys() if found[name] != expected[name]
        ]

    def left_behind(self, part):
        """What the undisturbed run did not leave."""
        killed, whole = (self.names(self.folder / place / part.name) for place in ("disturbed", "whole"))
        data, temporary = (self.names(self.folder / name) for name in ("data", "tmp"))
        left = {
            **dict.fromkeys(killed - whole, "its folder"),
            **dict.fromkeys(data - self.around[0], "the data"),
            **dict.fromkeys(temporary - self.around[1], "the temporary directory"),
        }
        for name in os.listdir(self.temporary):  # each is told once
            if name not in self.around[1]:
                shutil.rmtree(self.temporary / name, ignore_errors=True)
        return [f"left in {where}: {name}" for name, where in sorted(left.items())]

    @staticmethod
    def names(folder):
        paths = (path.relative_to(folder) for path in folder.rglob("*"))
        return {str(path) for path in paths if not _NOT_COMPARED & {*path.parts}}


def outcome(folder):
    """By file: all that a run is for, without the times and places that differ from run to run."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.name == runs.FINAL:
            layers = caffemodel.read(path).layers.values()
            found[name] = [(layer.name, [blob.tobytes() for blob in layer.blobs]) for layer in layers]
        elif path.name == runs.LOG:
            found[name] = [(record["iteration"], record.get("losses")) for record in journal.read(path.parent)]
        elif path.name == EVALUATION:
            found[name] = {**json.loads(path.read_text()), "weights": None}
        elif path.suffix == scores.SUFFIX:
            found[name] = scores.read(path).tobytes()
        elif path.suffix == ".png" and path.stem.isdecimal():
            found[name] = path.read_bytes()
    return found


def name_of(pid):
    """A process as its command line begins."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return "a process"
    return " ".join(words[1:4])[:120] or "a process"


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", metavar="N", type=int, default=20, help="(default: 20)")
    parser.add_argument("--most", metavar="N", type=int, default=5, help="kills in a round (default: 5)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the times and of what is killed")
    parser.add_argument("--part", choices=["train", "predict", "crf", "sweep"], action="append", help="this one alone")
    parser.add_argument("--folder", metavar="DIR", default=str(REPO / "build/soak"), help="(default: build/soak)")
    parser.add_argument("--json", metavar="FILE", help="also write the table, with all faults, there")
    arguments = parser.parse_args(argv)
    names = arguments.part or ["train", "predict", "crf", "sweep"]
    soak = Soak(arguments.folder, names, random.Random(arguments.seed), lambda line: print(line, flush=True))
    try:
        soak.undisturbed()
        parts = soak.parts.values()
        for part in itertools.cycle(parts):
            kills = sum(part.kills for part in parts)
            if kills >= arguments.kills:
                break
            soak.round(part, min(arguments.most, arguments.kills - kills))
    finally:
        soak.ended(0)
    print(f"\n{'':10}{'rounds':>8}{'kills':>8}{'faults':>8}")
    for part in parts:
        print(f"{part.name:10}{part.rounds:>8}{part.kills:>8}{len(part.faults):>8}")
    for part in parts:
        print(*(f"{part.name}, {fault}" for fault in part.faults), sep="\n", end="\n" if part.faults else "")
    if arguments.json:
        values = [dataclasses.asdict(part) for part in parts]
        Path(arguments.json).write_text(json.dumps(values, indent=1) + "\n")
    return int(any(part.faults for part in parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
