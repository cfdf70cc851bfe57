"""What so many images would take, from one of them."""

import resource
import time

from attscale.machine import device


def lines(step, image, count, gpus):
    """Yields lines on memory and time. `step` works on the image of that name; count: of how many, None for unknown.

    The time is that of the second pass: the first one makes room for the image's size.
    """
    step()
    started = time.monotonic()
    step()
    seconds = time.monotonic() - started
    yield f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB of main memory at most"
    if gpus and (memory := device.gpu_memory()):
        used, of = (mib / 2**10 for mib in memory)
        yield f"GPU memory: {used:.2f} of {of:.2f} GiB in use, by all processes on that GPU"
    whole = f", so about {_duration(count * seconds)} for {count}" if count else ""
    yield f"time: {seconds:.2f} s for {image}{whole}"


def _duration(seconds):
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
