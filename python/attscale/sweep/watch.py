"""How far a sweep is, by its files and its futures, until it has ended."""

import contextlib
import time

from attscale.errors import UserError
from attscale.results import evaluations
from attscale.sweep.plan import SLOT, is_coco_stage
from attscale.sweep.step import COMPLETE, CRF, images_of
from attscale.training import journal, runs

_SETTLE = 60  # seconds until a file that a worker has written is seen here: network file systems take their time


def status(job):
    """What the files say of a Job's experiment: (state, detail), for the table that is shown while a sweep runs.

    It is done when everything that was asked for has been scored, after the CRF as well.
    """
    folder = job.folder
    if is_coco_stage(job.name) and (folder / runs.FINAL).exists():
        return "done", "trained for others to start from"
    ends = [end(folder, branches=job.branches, by_size=job.by_size), *([end(folder / CRF)] if job.crf else [])]
    if None not in ends:
        return "done", ", with CRF ".join(ends)
    if (folder / runs.FINAL).exists():
        return "trained", ""
    log = [record for record in journal.read(folder) if "losses" in record]
    if log:
        return "training", f"iteration {log[-1]['iteration']}, loss {sum(log[-1]['losses'].values()):.3f}"
    return ("started", "") if runs.is_begun(folder) else ("waiting", "")


def end(folder, *, branches=False, by_size=False):
    """What came of a finished experiment, or of its CRF: a score, or how many images await the server; None before.

    branches, by_size: the score does not count without these.
    """
    with contextlib.suppress(UserError):
        found = evaluations.read(folder / evaluations.EVALUATION)
        if (found.iou_by_size or not by_size) and (found.mean_iou_of_branches or not branches):
            return f"mean IOU {100 * found.mean_iou:.2f}"
    with contextlib.suppress(UserError):
        return f"{images_of(folder / COMPLETE)} images predicted, for VOC's server"
    return None


def watch(client, jobs, futures, show, *, interval=1.0, patience=30.0, settle=_SETTLE):
    """Calls `show(lines)` whenever the table changes, until all futures are done; returns {label: error} of failures.

    jobs: a Job of each experiment; futures: by their labels. An experiment whose result is not in its folder has
    failed, whatever became of its future. The table says when no worker has offered a slot for `patience` seconds.
    """
    shown, ended = None, None
    slots = _Slots(client, patience)
    by_label = {job.label: job for job in jobs}
    while True:
        # the futures before the files: a step writes its result before it ends
        states = {label: future.status for label, future in futures.items()}
        found = {label: status(job) for label, job in by_label.items()}
        errors = {
            label: _failure(futures[label], state)
            for label, state in states.items()
            if state in ("error", "cancelled") and found[label][0] != "done"
        }
        pending = "pending" in states.values()
        # "lost" is a result of no interest that died with its worker, for what counts is in its folder
        missing = [label for label in found if found[label][0] != "done" and label not in errors]
        if not pending:
            ended = ended or time.monotonic()
            if time.monotonic() - ended >= settle:
                errors |= {label: f"ended without a result in {by_label[label].folder}" for label in missing}
                missing = []
        found |= {label: ("failed", error) for label, error in errors.items()}
        lines = [f"{label:44} {state:9} {detail}" for label, (state, detail) in found.items()]
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
