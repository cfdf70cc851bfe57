"""A training process: `python -m attscale.training.trainer FOLDER RANK PARENT`, one for each rank of a run.

It is a process of its own because Caffe answers what it finds wrong by aborting the process: the parent lives on to
say so in one line.
"""

import mmap
import os
import signal
import time
from pathlib import Path

from attscale import cli, processes
from attscale.errors import RunError
from attscale.training import runs, stopping

_SHARED = ".nccl"  # removed by the parent before a start
_NCCL_WAIT = 300  # seconds for the first rank to start


def main(argv):
    folder, rank = Path(argv[0]), int(argv[1])
    processes.die_with_parent(int(argv[2]))
    second_interrupt_ends_at_once()
    with stopping.Stop() as stop:  # before anything that takes time
        train(folder, rank, stop)


def train(folder, rank, stop):
    """Trains rank `rank` of the run in `folder` until it is finished or `stop` says so."""
    run = runs.load(folder)
    row = run.row

    from attscale.machine import device, limits
    from attscale.machine.threads import limit_threads
    from attscale.training import loop

    limits.check_batch(row)
    limit_threads(row, run.threads)
    device.choose(run.gpus, rank)
    nccl_id = None
    if len(run.gpus) > 1:
        memory, nccl_id = share(folder, rank, device.new_nccl_id)
        stop.share(memory, rank, len(run.gpus))
    names = ("data", "weights", "seed", "gpus", "test_interval", "snapshot_interval", "keep", "log_interval")
    training = loop.Training(rank=rank, **{name: getattr(run, name) for name in names})
    final = loop.train(row, folder, training, stop=stop, nccl_id=nccl_id)
    if rank == 0 and final:
        print(f"weights: {final}\nscore them: python tools/evaluate.py {row.name} --weights {final}")
    elif rank == 0:
        print(f"continue with: python tools/train.py --resume {folder}")


def second_interrupt_ends_at_once():
    """The parent passes on a first SIGINT or SIGTERM as such, and a second SIGINT as SIGQUIT."""
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(130))


def share(folder, rank, make):
    """What the ranks of this start share: the memory by which they agree to stop, and NCCL's id as `make` gives it.

    Both are in a file that the first rank makes, after the parent has removed that of an earlier start.
    """
    path = folder / _SHARED
    if rank == 0:
        aside = path.with_suffix(".partial")
        aside.write_bytes(bytes(stopping.SHARED) + make())
        aside.rename(path)
    deadline = time.monotonic() + _NCCL_WAIT
    while not path.exists():
        if time.monotonic() > deadline:
            raise RunError(f"rank {rank}: the first rank did not start within {_NCCL_WAIT} s")
        time.sleep(0.1)
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    return memory, memory[stopping.SHARED :]


if __name__ == "__main__":
    cli.run(main)
