"""A training process: `python -m attscale.trainer FOLDER RANK PARENT`, started by `attscale.supervise` for each rank.

It is a process of its own because Caffe answers what it finds wrong by aborting the process: the parent lives on to
say so in one line.
"""

import os
import signal
import time
from pathlib import Path

from attscale import cli, processes, runs
from attscale.errors import RunError

_NCCL_ID = ".nccl"
_NCCL_WAIT = 300  # seconds for the first rank to start


def main(argv):
    folder, rank = Path(argv[0]), int(argv[1])
    processes.die_with_parent(int(argv[2]))
    second_interrupt_ends_at_once()
    run = runs.load(folder)
    row = run.row

    from attscale import device, limits, runtime, solve

    limits.check_batch(row)
    runtime.limit_threads(row, run.threads)
    device.choose(run.gpus, rank)
    nccl_id = _share_id(folder, rank, device.new_nccl_id) if len(run.gpus) > 1 else None
    names = ("data", "weights", "seed", "gpus", "test_interval", "snapshot_interval", "keep", "log_interval")
    training = solve.Training(rank=rank, **{name: getattr(run, name) for name in names})
    final = solve.train(row, folder, training, nccl_id=nccl_id)
    if rank == 0 and final:
        print(f"weights: {final}\nscore them: python tools/evaluate.py {row.name} --weights {final}")
    elif rank == 0:
        print(f"continue with: python tools/train.py --resume {folder}")


def second_interrupt_ends_at_once():
    """The parent passes on a first SIGINT or SIGTERM as such, and a second SIGINT as SIGQUIT."""
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(130))


def _share_id(folder, rank, make):
    """NCCL's id of this start, from the first rank to the others by way of a file that the parent has removed."""
    path = folder / _NCCL_ID
    if rank == 0:
        nccl_id = make()
        aside = path.with_suffix(".partial")
        aside.write_bytes(nccl_id)
        aside.rename(path)
        return nccl_id
    deadline = time.monotonic() + _NCCL_WAIT
    while not path.exists():
        if time.monotonic() > deadline:
            raise RunError(f"rank {rank}: the first rank did not start within {_NCCL_WAIT} s")
        time.sleep(0.1)
    return path.read_bytes()


if __name__ == "__main__":
    cli.run(main)
