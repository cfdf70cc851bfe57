"""Whether every listed pair can be trained on, and how many pixels each class has."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import queue
import subprocess
import sys
from pathlib import Path

import numpy as np

from attscale.data.lists import read_split
from attscale.data.loader import WORKER_ENVIRONMENT
from attscale.errors import DataError, UserError
from attscale.files import write_text

STAMPS = ".verified.json"
_WORTH = 50  # pairs that take as long to read as a process to start


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check` found: faults are complete messages; `pixels` counts the values 0 to 255 of the faultless maps."""

    pairs: int
    faults: tuple[str, ...]
    pixels: np.ndarray

    def raise_faults(self, where):
        """Raises DataError with the first fault and the number of all, if there are any."""
        if self.faults:
            raise DataError(
                f"{where}: {len(self.faults)} of {self.pairs} pairs are faulty; the first: {self.faults[0]}"
            )


def check(pairs, classes, progress=iter):
    """Reads every pair of `pairs`: both exist, decode without damage, have the same size, and the label map has classes
    and 255 only.

    `progress` wraps the iteration over pairs (tqdm, say). Raises DataError if reading a pair kills a process.
    """
    pairs = list(pairs)
    faults, pixels = [], np.zeros(256, np.int64)
    number = min(os.cpu_count(), -(-len(pairs) // _WORTH))
    with _checkers(number, classes) as count, concurrent.futures.ThreadPoolExecutor(max(1, number)) as pool:
        results = [pool.submit(count, pair) for pair in pairs]
        try:
            for _, future in zip(progress(range(len(results))), results, strict=True):
                answer = future.result()
                if answer["fault"] is not None:
                    faults.append(answer["fault"])
                else:
                    pixels += answer["pixels"]
        finally:
            pool.shutdown(cancel_futures=True)
    return Report(len(results), tuple(faults), pixels)


@contextlib.contextmanager
def _checkers(number, classes):
    """Starts so many processes of `attscale.data.checker`; gives a function of a pair that has an idle one read it."""
    command = [sys.executable, "-m", "attscale.data.checker", str(classes)]
    environment = {**os.environ, **WORKER_ENVIRONMENT}
    idle = queue.SimpleQueue()

    def count(pair):
        process = idle.get()
        try:
            with contextlib.suppress(BrokenPipeError):  # the answer that does not come says it
                print(json.dumps([str(path) for path in pair]), file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                status = process.wait()
                raise DataError(f"{pair[0]}: the process that read it and its label map ended with status {status}")
            return json.loads(answer)
        finally:
            idle.put(process)

    with contextlib.ExitStack() as stack:
        for _ in range(number):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
                process_group=0,  # Ctrl-C is for this process, which ends them
            )
            stack.callback(_end, process)
            idle.put(process)
        yield count


def _end(process):
    process.kill()
    process.wait()
    with contextlib.suppress(BrokenPipeError):  # of a question that it did not live to read
        process.stdin.close()
    process.stdout.close()


def table(report, classes, most=10):
    """The lines of a table of pixels by class, and of the first `most` faults."""
    total = report.pixels.sum()
    for value, name in [*enumerate(classes), (255, "ignored (255)")]:
        yield f"{value:3} {name:24} {report.pixels[value]:14,} {report.pixels[value] / max(1, total):9.4%}"
    for fault in report.faults[:most]:
        yield f"fault: {fault}"
    if len(report.faults) > most:
        yield f"and {len(report.faults) - most} more"


def ensure(dataset, data_root, split, progress=iter):
    """Checks a split before it is trained on; one that has not changed since it passed is not read again.

    What passed is remembered in the set's root, by list, sizes and times of all files, where that can be written.
    Raises DataError for the first fault.
    """
    root = Path(data_root, dataset.root)
    pairs = read_split(dataset, data_root, split)
    fingerprint = _fingerprint(pairs, len(dataset.classes))
    stamps = _stamps(root)
    key = f"{dataset.name}/{split}"
    if stamps.get(key) == fingerprint:
        return
    check(pairs, len(dataset.classes), progress).raise_faults(root / dataset.list_of(split))
    with contextlib.suppress(UserError):  # a set that cannot be written to is checked every time
        write_text(root / STAMPS, json.dumps({**_stamps(root), key: fingerprint}, indent=1) + "\n")


def _fingerprint(pairs, classes):
    digest = hashlib.sha256(str(classes).encode())
    for pair in pairs:
        for path in pair:
            status = path.stat()
            digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _stamps(root):
    try:
        stamps = json.loads((root / STAMPS).read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}
