"""Snapshots of a run: written aside, synced, then renamed; checked before they are trusted. Knows nothing of Caffe."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

from attscale.errors import RunError, reading
from attscale.files import make_folder, naming, sync, write_text
from attscale.options import from_values, to_values
from attscale.training.runs import PARTIAL, SNAPSHOTS

WEIGHTS, STATE, RECORD = "weights.caffemodel", "state.solverstate", "snapshot.json"


class _OtherNetError(RunError):
    """A snapshot that is whole, but of another net."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """What the loop has again on resuming: sums of losses by head since the last record, best (mean IOU, iteration)."""

    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    best: tuple[float, int] | None = None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One that was found good: its folder, the iteration it was taken after, and what was kept with it."""

    path: Path
    iteration: int
    kept: "Kept"


def write(run, iteration, net, save, kept):
    """Has `save(folder)` write WEIGHTS and STATE, and makes them the run's snapshot of `iteration`.

    net: the fingerprint of the net; kept: a Kept, to have again on resuming. Whatever goes wrong, earlier
    snapshots stay as they are; a good one of the same iteration is not made again, since its weights are the same.
    """
    with contextlib.suppress(RunError):
        return _check(_path(run, iteration), net).path
    aside = partial(run)
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(aside)
    with naming(aside):
        save(aside)
    sums = {name: _sha256(aside / name) for name in (WEIGHTS, STATE)}
    record = {"iteration": iteration, "net": net, "sha256": sums, "kept": to_values(kept)}
    write_text(aside / RECORD, json.dumps(record) + "\n")
    final = _path(run, iteration)
    with naming(final):
        for name in (WEIGHTS, STATE, RECORD, "."):
            sync(aside / name)
        shutil.rmtree(final, ignore_errors=True)  # a bad one, which a resumed run comes by again
        aside.rename(final)
        sync(final.parent)
    return final


def reserve(run, size):
    """Raises RunError unless `size` bytes can be written now, by a file that takes them and is removed again.

    Free space as the system counts it does not know of quotas; and Caffe would not notice that the end of a file is
    missing.
    """
    path = Path(run, f".reserve{PARTIAL}")
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise RunError(f"{run}: no room for weights of {size / 2**20:.0f} MiB: {error.strerror}") from None
    finally:
        path.unlink(missing_ok=True)


def newest_good(run, net, say):
    """The newest snapshot of the run that is whole and of this net; None where there is none.

    One that is not is named to `say`, with what is wrong, and the one before it is tried. Raises RunError where all are
    of another net: the run was begun by another version of this project, and would start anew.
    """
    paths = sorted(Path(run, SNAPSHOTS).glob("iter_*"), reverse=True)
    others = 0
    for path in paths:
        try:
            return _check(path, net)
        except RunError as error:
            others += isinstance(error, _OtherNetError)
            say(f"{error}; the one before it is tried")
    if others and others == len(paths):
        raise RunError(f"{run}: its experiment has another net now than when it was begun; choose another --out")
    return None


def prune(run, net, keep, best=None):
    """Removes what is older than the newest `keep` good snapshots, but not that of iteration `best`.

    Bad ones do not count, or they would push out the good one that the run goes on from.
    """
    good = 0
    for path in sorted(Path(run, SNAPSHOTS).glob("iter_*"), reverse=True):
        if good < keep:
            with contextlib.suppress(RunError):
                _check(path, net)
                good += 1
        elif best is None or path != _path(run, best):
            shutil.rmtree(path)


def partial(run):
    """Where a snapshot is written before it is one."""
    return Path(run, SNAPSHOTS, PARTIAL)


def _path(run, iteration):
    return Path(run, SNAPSHOTS, f"iter_{iteration:08d}")


def _check(path, net):
    with reading(path / RECORD, RunError):
        record = json.loads((path / RECORD).read_text())
        of, iteration, kept = record["net"], record["iteration"], from_values(Kept, record["kept"])
        sums = {name: record["sha256"][name] for name in (WEIGHTS, STATE)}
    if of != net:
        raise _OtherNetError(f"{path}: the snapshot of another net")
    for name, recorded in sums.items():
        with reading(path / name, RunError):
            digest = _sha256(path / name)
        if digest != recorded:
            raise RunError(f"{path / name}: damaged or cut short, its checksum is not the recorded one")
    with reading(path / STATE, RunError):
        of_state = _iteration((path / STATE).read_bytes()[:11])
    if (iteration, path.name) != (of_state, f"iter_{of_state:08d}"):
        raise RunError(f"{path / RECORD}: says iteration {iteration!r}, the solver's state says {of_state}")
    return Snapshot(path, iteration, kept)


def _iteration(data):
    """What a solver's state begins with: field 1 of its message, a varint, which protobuf writes first."""
    if data[0] != 1 << 3:
        raise ValueError("no state of a solver")
    digits = [byte & 0x7F for byte in data[1 : next(i for i in range(1, len(data)) if data[i] < 0x80) + 1]]
    return sum(digit << 7 * place for place, digit in enumerate(digits))


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
