"""A loading worker: `python -m attscale.data.worker FD OPTIONS PARENT`, started by `attscale.data.loader`.

Reads batch numbers, a line each, from stdin; writes each batch into the shared memory behind FD and answers with a
line of JSON, `{"error": null}` or the error's text. Ends with its input, or in the middle of a batch with the process
PARENT.
"""

import json
import mmap
import os
import sys

from attscale import processes
from attscale.data import order
from attscale.data.lists import read_list
from attscale.data.loader import LoaderOptions, positions, slot_arrays
from attscale.data.samples import load_sample
from attscale.errors import UserError
from attscale.options import decode


def main(argv):
    handle, text = processes.adopt(argv)
    processes.settle()
    options = decode(LoaderOptions, text)
    with mmap.mmap(int(handle), 0) as buffer:
        data, label, inside = slot_arrays(buffer, options)
        pairs = read_list(options.root, options.source)
        for line in sys.stdin:
            batch = int(line)
            slot = batch % len(data)
            try:
                for i, position in enumerate(positions(batch, options)):
                    index = order.sample(position, n=len(pairs), seed=options.seed, shuffle=options.shuffle)
                    rng = order.generator(position, seed=options.seed)
                    inside[slot, i] = load_sample(pairs[index], rng, options, data[slot, i], label[slot, i])
                error = None
            except UserError as problem:
                error = str(problem)
            print(json.dumps({"error": error}), flush=True)
        del data, label, inside  # they point into the buffer, which could not be closed otherwise


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:  # the solver is gone, however it ended: there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
