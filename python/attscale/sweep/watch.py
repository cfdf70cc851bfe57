"""How far a sweep is, by its files and its futures, until it has ended."""

import contextlib
import os
import time
from pathlib import Path

from attscale.errors import UserError
from attscale.results import evaluations
from attscale.sweep.plan import SLOT, is_stage
from attscale.sweep.step import COMPLETE, CRF, images_of
from attscale.training import journal, runs

_SETTLE = 60  # seconds until a file that a worker has written is seen here: network file systems take their time


def status(row, root, crf=False):
    """What the files say of an experiment: (state, detail), for the table that is shown while a sweep runs.

    crf: it is done when it has been scored after the CRF as well.
    """
    folder = Path(root, row.name)
    if is_stage(row) and (folder / runs.FINAL).exists():
        return "done", "trained for others to start from"
    ends = [end(folder), end(folder / CRF)] if crf else [end(folder)]
    if None not in ends:
        return "done", ", with CRF ".join(ends)
    if (folder / runs.FINAL).exists():
        return "trained", ""
    log = [record for record in journal.read(folder) if "losses" in record]
    if log:
        return "training", f"iteration {log[-1]['iteration']}, loss {sum(log[-1]['losses'].values()):.3f}"
    return ("started", "") if (folder / runs.RECORD).exists() else ("waiting", "")


def end(folder):
    """What came of a finished experiment, or of its CRF: a score, or how many images await the server; None before."""
    with contextlib.suppress(UserError):
        return f"mean IOU {100 * evaluations.read(folder / evaluations.EVALUATION).mean_iou:.2f}"
    with contextlib.suppress(UserError):
        return f"{images_of(folder / COMPLETE)} images predicted, for VOC's server"
    return None


def watch(client, rows, futures, root, show, *, crf=False, interval=1.0, patience=30.0, settle=_SETTLE):
    """Calls `show(lines)` whenever the table changes, until all futures are done; returns {name: error} of failures.

    An experiment whose result is not in its folder has failed, whatever became of its future. The table says when no
    worker has offered a slot for `patience` seconds.
    """
    shown, ended = None, None
    slots = _Slots(client, patience)
    while True:
        # the futures before the files: a step writes its result before it ends
        states = {name: future.status for name, future in futures.items()}
        found = {row.name: status(row, root, crf) for row in rows}
        errors = {
            name: _failure(futures[name], state)
            for name, state in states.items()
            if state in ("error", "cancelled") and found[name][0] != "done"
        }
        pending = "pending" in states.values()
        # "lost" is a result of no interest that died with its worker, for what counts is in its folder
        missing = [name for name in found if found[name][0] != "done" and name not in errors]
        if not pending:
            ended = ended or time.monotonic()
            if time.monotonic() - ended >= settle:
                errors |= {name: f"ended without a result in {os.path.join(root, name)}" for name in missing}
                missing = []
        found |= {name: ("failed", error) for name, error in errors.items()}
        lines = [f"{name:44} {state:9} {detail}" for name, (state, detail) in found.items()]
        if pending and (warning := slots.warning()):
            lines.append(f"waiting for workers: {warning}")
        if lines != shown:
            show(lines)
            shown = lines
        if not pending and not missing:
            return errors
        time.sleep(interval)


def _failure(future, state):
    if state == "cancelled":
        return "cancelled, or the scheduler is gone; the same command goes on from here"
    return str(future.exception())


class _Slots:
    """Looks, every few seconds, whether any worker offers what every step takes one of."""

    def __init__(self, client, patience):
        self._client, self._patience = client, patience
        self._seen = self._looked = time.monotonic()
        self._warning = None

    def warning(self):
        """What is wrong with the workers, once it has been so for a while; None where one has a slot."""
        now = time.monotonic()
        if now - self._looked >= min(5, self._patience):
            self._looked = now
            workers = self._client.scheduler_info()["workers"].values()
            if any(worker["resources"].get(SLOT, 0) >= 1 for worker in workers):
                self._seen = now
            self._warning = None
            if now - self._seen >= self._patience:
                with_none = f"none of {len(workers)} was started with --resources {SLOT}=1"
                self._warning = with_none if workers else "none is there"
        return self._warning
