"""A training process: `python -m attscale.training.trainer FOLDER RANK PARENT`, one for each rank of a run.

It is a process of its own because Caffe answers what it finds wrong by aborting the process: the parent lives on to
say so in one line.
"""

import contextlib
import mmap
import os
import signal
import sys
import time
from pathlib import Path

from attscale import cli, processes
from attscale.training import runs, stopping


def main(argv):
    folder, rank = processes.adopt(argv)
    with stopping.Stop(ends=True) as stop:  # before anything that takes time
        train(Path(folder), int(rank), stop)


def train(folder, rank, stop):
    """Trains rank `rank` of the run in `folder` until it is finished, or exits as the signal that stopped it has it."""
    from attscale.training import models

    options = runs.load(folder)
    model = models.of(options, folder)
    set_up(model, options, rank)

    from attscale.training import journal, loop

    nccl_id = None
    if options.ranks > 1:
        memory, nccl_id = share(folder, rank)
        stop.share(memory, rank, options.ranks)
    with ending_alone(options.ranks > 1):
        final = loop.train(model, folder, options, rank=rank, stop=stop, nccl_id=nccl_id)
    if rank == 0 and final:
        *_, last = (record["losses"] for record in journal.read(folder) if "losses" in record)
        print(f"loss over the last iterations: {sum(last.values()):.3f}")
        net = options.experiment if options.net is None else f"--net {folder}"
        if not Path("data").exists() or not Path("data").samefile(options.data):
            net += f" --data {options.data}"
        print(f"weights: {final}\nscore them: python tools/evaluate.py {net} --weights {final}")
    elif rank == 0:
        print(f"continue with: python tools/train.py --resume {folder}")
        sys.exit(128 + signal.Signals[stop.asked])


@contextlib.contextmanager
def ending_alone(one_of_several):
    """A rank that fails ends at once: NCCL's own end would wait for the others, which wait in an iteration for it."""
    try:
        yield
    except Exception as error:
        if one_of_several:
            print(f"error: {cli.described(error)}", file=sys.stderr, flush=True)
            os._exit(1)
        raise


def set_up(model, options, rank=0):
    """Has this process use the run's threads and its device. Raises UserError where that or the batch cannot be."""
    from attscale.machine import device, limits
    from attscale.machine.threads import limit_threads

    limit_threads(model, options.threads)
    device.choose(options.gpus, rank)  # before the first net: with cuDNN it is on a GPU, or the end where there is none
    limits.check_batch(model)


def share(folder, rank):
    """What the ranks of this start share: the memory by which they agree to stop, and NCCL's id.

    Both are in a file that the first rank makes, after the parent has removed that of an earlier start.
    """
    path = folder / runs.SHARED
    if rank == 0:
        from attscale.machine import device

        aside = path.with_suffix(".partial")
        aside.write_bytes(bytes(stopping.SHARED) + device.new_nccl_id())
        aside.rename(path)
    while not path.exists():  # if the first rank fails, the parent ends us
        time.sleep(0.1)
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    return memory, memory[stopping.SHARED :]


if __name__ == "__main__":
    cli.run(main)
