"""One step of a run that is not made: what it would need."""

import dataclasses
import resource
import tempfile
import time
from pathlib import Path

from attscale.runs import RunOptions


def report(options: RunOptions):
    """Trains two iterations in a temporary folder; yields lines on memory and time."""
    from attscale import device, inspection, journal, runtime, solve

    row = dataclasses.replace(options, max_iter=2).row
    runtime.limit_threads(row, options.threads)
    device.choose(options.gpus[:1])
    with tempfile.TemporaryDirectory() as folder:
        training = solve.Training(data=options.data, weights=options.weights, seed=options.seed, log_interval=1)
        started = time.monotonic()
        solve.train(row, folder, training)
        seconds = time.monotonic() - started
        log = journal.read(folder)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.caffemodel"))
    images = options.batch_size * options.iter_size
    second = images / log[-1]["images_per_second"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield f"{row.name}: {images} images an iteration, {options.batch_size} at once"
    yield f"loss {sum(log[-1]['losses'].values()):.3f} after two iterations"
    one = inspection.total(inspection.inspect(row))
    tops, parameters = 2 * one.memory * options.batch_size, 4 * one.parameters
    histories = 2 if row.solver.type == "Adam" else 1
    yield f"memory: {peak:.2f} GiB of main memory at most; weights {size / 2**20:.0f} MiB on disk"
    yield (
        f"of the net: {tops / 2**30:.2f} GiB for the tops of a batch and their gradients, "
        f"{(2 + histories) * parameters / 2**30:.2f} GiB for parameters, gradients and the solver's history"
    )
    yield f"time: {second:.2f} s an iteration (the second; both and building the net {seconds:.1f} s),"
    yield f"so {options.max_iter} iterations in about {options.max_iter * second / 3600:.1f} h"
