"""Batches loaded ahead by worker processes into memory shared with the solver.

pycaffe holds Python's lock while it solves, so threads would stand still: workers are processes. Batch b belongs to
worker b mod W, whatever the speed of each, so the sequence depends on the seed alone. Only indices travel through
the pipes; pixels are written once, where the solver reads them.
"""

import contextlib
import dataclasses
import json
import mmap
import os
import subprocess
import weakref

import numpy as np

from attscale import processes
from attscale.data import order, transforms
from attscale.data.lists import read_list
from attscale.datasets import MEAN, LabelValues
from attscale.errors import DataError, UserError
from attscale.options import encode


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """What SegData needs to know; the JSON in its `param_str`."""

    root: str  # folder that the list's paths start from
    source: str  # list file, below root
    classes: int  # labels are 0 .. classes - 1 and 255
    crop_size: int  # pixels
    batch_size: int
    mean: tuple[float, float, float] = MEAN  # BGR, grey levels
    values: LabelValues | None = None  # of the label maps, where they are not the classes' indices
    mirror: bool = False
    scales: tuple[float, ...] = ()  # random scaling by one of these factors (v2 fork); none: off
    scale_range: tuple[float, ...] = ()  # or by one between the least and the largest (paper, section 4.2)
    shuffle: bool = False
    seed: int = 0
    workers: int = 1
    rank: int = 0  # of `ranks` solvers that share the set: batches of the one sequence, in turn
    ranks: int = 1
    first: int = 0  # the batch to begin with: where a resumed run goes on

    def __post_init__(self):
        for name in ("classes", "crop_size", "batch_size", "workers"):
            if getattr(self, name) < 1:
                raise UserError(f"SegData: {name} is {getattr(self, name)}, expected at least 1")
        if self.scale_range and (len(self.scale_range) != 2 or self.scale_range[0] > self.scale_range[1]):
            raise UserError(f"SegData: scale_range is {list(self.scale_range)}, expected least and largest factor")
        if self.scales and self.scale_range:
            raise UserError("SegData: give either scales or scale_range")
        if any(factor <= 0 for factor in (*self.scales, *self.scale_range)):
            raise UserError("SegData: a factor of scales or scale_range is not above 0")


def slot_arrays(buffer, options):
    """The batches in the shared memory `buffer`, all slots at once.

    inside (slots, N, 3) int32, what is not padding; data (slots, N, 3, crop, crop) and label, both uint8.
    """
    slots, n, crop = 2 * options.workers, options.batch_size, options.crop_size
    inside = np.ndarray((slots, n, 3), np.int32, buffer)
    data = np.ndarray((slots, n, 3, crop, crop), np.uint8, buffer, offset=inside.nbytes)
    label = np.ndarray((slots, n, crop, crop), np.uint8, buffer, offset=inside.nbytes + data.nbytes)
    return data, label, inside


def positions(batch, options):
    """The positions, in the sequence that all ranks share, of the samples of this rank's batch number `batch`."""
    start = (batch * options.ranks + options.rank) * options.batch_size
    return range(start, start + options.batch_size)


def batch_files(batch, options):
    """The pairs of files that the samples of batch number `batch` come from, in order."""
    pairs = read_list(options.root, options.source)
    chosen = (
        order.sample(p, n=len(pairs), seed=options.seed, shuffle=options.shuffle) for p in positions(batch, options)
    )
    return [pairs[index] for index in chosen]


def buffer_size(options):
    """Bytes of shared memory: two batches a worker, four bytes a pixel (data, label), three numbers a sample."""
    return 2 * options.workers * options.batch_size * (4 * options.crop_size**2 + 3 * np.int32().nbytes)


class BatchLoader:
    """Endless batches in the order that `attscale.data.order` gives.

    Raises DataError for what a worker met, ProcessDiedError where one is killed.

    Rank r of R gets batches r, r + R, r + 2R, ... of it: together the ranks see what one of them alone would.
    """

    def __init__(self, options):
        self.options = options
        handle = os.memfd_create("attscale-batches")  # gone with the last process that holds it, even after SIGKILL
        try:
            os.ftruncate(handle, buffer_size(options))
            self._data, self._label, self._inside = slot_arrays(mmap.mmap(handle, 0), options)
            self._workers = [_start_worker(handle, options) for _ in range(options.workers)]
        finally:
            os.close(handle)
        self._finalizer = weakref.finalize(self, _stop_workers, self._workers)
        self._next = options.first
        for batch in range(options.first, options.first + len(self._data)):
            self._ask(batch)

    def read(self, data, label):
        """The next batch, less the mean, into data (N, 3, crop, crop) and label (N, crop, crop), both float32.

        Has another one loaded. Pixels cross the processes as bytes, a quarter of what floats would be.
        """
        batch = self._next
        worker = self._workers[batch % len(self._workers)]
        answer = worker.stdout.readline()
        if not answer:
            status = worker.wait()
            self.close()
            raise processes.failure(status, (), f"a data loading worker (process {worker.pid})")
        if error := json.loads(answer)["error"]:
            self.close()
            raise DataError(error)
        slot = batch % len(self._data)
        transforms.subtract_mean(self._data[slot], self._inside[slot], self.options.mean, data)
        label[...] = self._label[slot]
        self._next += 1
        self._ask(batch + len(self._data))

    @property
    def pids(self):
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]

    def close(self):
        """Ends the workers; `read` cannot be called any more."""
        self._finalizer()

    def _ask(self, batch):
        worker = self._workers[batch % len(self._workers)]
        # A worker that is gone breaks the pipe; `read` says so, after the batches that it finished.
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.write(b"%d\n" % batch)


def _start_worker(handle, options):
    # A module of its own rather than multiprocessing: nothing of the parent (caffe, CUDA) is imported or inherited.
    pipe = subprocess.PIPE
    return processes.start(
        "attscale.data.worker", handle, encode(options), stdin=pipe, stdout=pipe, bufsize=0, pass_fds=[handle]
    )


def _stop_workers(workers):
    for worker in workers:
        processes.end(worker)
