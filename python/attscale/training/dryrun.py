"""Two iterations of a run that is not made: what it would need.

`python -m attscale.training.dryrun FOLDER RANK PARENT`: a process of their own, started by `training.supervise`, as
the processes of real runs are, and for the same reason.
"""

import dataclasses
import json
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from attscale import cli, processes
from attscale.errors import OutOfMemoryError
from attscale.files import write_text
from attscale.training import runs, stopping, supervise, trainer

_MEASURED = "measured.json"


def report(options):
    """Yields lines on memory and time; where the batch does not fit, of the next smaller split that does.

    Raises UserError, as `supervise.run`, where none fits or something else is wrong.
    """
    refused = None
    for batch_size, iter_size in runs.splits(options.batch_size, options.iter_size):
        split = dataclasses.replace(options, batch_size=batch_size, iter_size=iter_size)
        try:
            measured = _attempt(split)
        except OutOfMemoryError as error:
            refused = error
            yield f"--batch-size {batch_size} --iter-size {iter_size}: out of memory"
        else:
            yield from _lines(split, measured)
            if options.gpus or refused:
                yield f"the split chosen by measured memory: --batch-size {batch_size} --iter-size {iter_size}"
            return
    raise refused


def _attempt(options):
    """What `measure` says, in a process of its own and on the first of the GPUs. Raises UserError."""
    short = {"max_iter": 2, "log_interval": 1, "test_interval": 0, "snapshot_interval": 2, "gpus": options.gpus[:1]}
    with tempfile.TemporaryDirectory() as folder:
        runs.create(folder, dataclasses.replace(options, **short), sys.argv)
        if status := supervise.run(folder, module="attscale.training.dryrun", temporary=True):
            sys.exit(status)
        return json.loads(Path(folder, _MEASURED).read_text())


def main(argv):
    folder, _ = processes.adopt(argv)
    from attscale.training import models

    options = runs.load(folder)
    with stopping.Stop(ends=True) as stop:
        trainer.set_up(models.of(options), options)
        measured = measure(options, folder, stop)
    if measured is None:
        sys.exit(128 + signal.Signals[stop.asked])
    write_text(Path(folder, _MEASURED), json.dumps(measured))


def measure(options, folder, stop=None):
    """Trains the run's iterations in `folder`, which should be two; what was measured, by name; None where stopped.

    Without weights, too: what the net needs does not depend on them.
    """
    from attscale.machine import device, inspection
    from attscale.training import journal, loop, models

    model = models.of(options)
    one = inspection.total(inspection.inspect(model))  # its net is gone before the other is made
    started = time.monotonic()
    final = loop.train(model, folder, options, stop=stop, measured=True)
    if final is None:
        return None
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    last = journal.read(folder)[-1]
    gpu = device.gpu_memory() if options.gpus else None
    return {
        "loss": sum(last["losses"].values()),
        "seconds": seconds,
        "seconds_of_the_last": options.batch_size * options.iter_size / last["images_per_second"],
        "memory_mib": peak,
        "gpu_memory_mib": last.get("gpu_memory_mib"),
        "gpu_memory_of_mib": gpu and gpu[1],
        "weights_bytes": final.stat().st_size,
        "tops_bytes": 2 * one.memory * options.batch_size,
        "parameters": one.parameters,
        "histories": 2 if model.solver.type == "Adam" else 1,
        "needs_weights": bool(model.start),
    }


def _lines(options, measured):
    second, each = measured["seconds_of_the_last"], " on each GPU" if options.ranks > 1 else ""
    images = options.batch_size * options.iter_size * options.ranks
    yield f"{options.experiment}: {images} images an iteration, {options.batch_size} at once{each}"
    untrained = (
        ", without the weights that it starts from" if measured["needs_weights"] and options.weights is None else ""
    )
    yield f"loss {measured['loss']:.3f} after two iterations{untrained}"
    yield (
        f"memory: {measured['memory_mib'] / 2**10:.2f} GiB of main memory at most; "
        f"weights {measured['weights_bytes'] / 2**20:.0f} MiB on disk"
    )
    if options.gpus and measured["gpu_memory_mib"] is None:
        yield "GPU memory: the driver does not say"
    elif options.gpus:
        used, of = measured["gpu_memory_mib"] / 2**10, measured["gpu_memory_of_mib"] / 2**10
        yield f"GPU memory: {used:.2f} of {of:.2f} GiB in use after two iterations, by all processes on that GPU"
    parameters, histories = 4 * measured["parameters"], measured["histories"]
    yield (
        f"of the net: {measured['tops_bytes'] / 2**30:.2f} GiB for the tops of a batch and their gradients, "
        f"{(2 + histories) * parameters / 2**30:.2f} GiB for parameters, gradients and the solver's history"
    )
    yield f"time: {second:.2f} s an iteration (the second; both and building the net {measured['seconds']:.1f} s),"
    yield f"so {options.max_iter} iterations in about {options.max_iter * second / 3600:.1f} h"


if __name__ == "__main__":
    cli.run(main)
