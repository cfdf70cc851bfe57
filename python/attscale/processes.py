"""Other processes: started, watched and ended here, whoever they work for.

A child is `python -m MODULE ARGUMENT... PARENT`: it calls `adopt` first, which takes the parent's process id off its
arguments, and dies with the parent. `in_processes` is for plain functions. Why processes at all: Caffe answers what it
finds wrong by aborting the process, pycaffe holds Python's lock, and libjpeg complains on stderr alone.
"""

import collections
import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import multiprocessing.resource_tracker
import os
import re
import signal
import subprocess
import sys

from attscale import progress
from attscale.errors import OutOfMemoryError, RunError, UserError

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_CHECK = re.compile(r"F\d{4,8} .*?\] (?P<cause>.*)")
#: What Caffe and glog print around a failed CHECK.
NOISE = re.compile(r"\*\*\* |WARNING: Logging before |\s+@ |F\d{4,8} |PC: ")


class ProcessDiedError(RunError):
    """A child ended, not by an error of its own."""


def threads_at_hand():
    """OMP_NUM_THREADS where it is a number, else the cores that this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(said) if said.isdecimal() and int(said) else cores()


def cores():
    """The cores that this process may use: of a job or a container, not of the machine."""
    return len(os.sched_getaffinity(0))


def start(module, *arguments, **options):
    """Starts `python -m module arguments... PARENT`; returns the Popen, to which `options` go."""
    command = [sys.executable, "-m", module, *map(str, arguments), str(os.getpid())]
    return subprocess.Popen(command, **options)


def adopt(argv):
    """What a child calls first: it dies with its parent, however that ends; returns `argv` less the parent's id."""
    *arguments, parent = argv
    die_with_parent(int(parent))
    return arguments


def die_with_parent(parent):
    """Has the system kill this process when its parent ends, however that ends (Linux); at once if it has ended.

    parent: its process id, which it has told us, since nobody else knows it once it has ended. The system means the
    thread of it that started us.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the system was asked
        os.kill(os.getpid(), signal.SIGKILL)


def end(process):
    """Kills a child that is still there, and closes its pipes."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # of what it did not live to read
                pipe.close()


def run(module, *arguments):
    """Runs a child to its end; returns the last line of its stdout. Raises what `failure` says."""
    process = start(module, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate()
    finally:
        end(process)
    if process.returncode:
        raise failure(process.returncode, err.replace("\r", "\n").splitlines())
    return out.splitlines()[-1] if out else ""


def failed_check(line):
    """What a failed CHECK of Caffe says, if this line of its output is one; else None."""
    found = _CHECK.match(line)
    return found["cause"] if found else None


def failure(status, lines, what="the process"):
    """How a child came to its end, as the exception to raise, from its exit status and the lines of its stderr.

    Its own line of error, or Caffe's failed CHECK, or the signal and its last words; an OutOfMemoryError where memory
    was the cause, ProcessDiedError where it was no error of its own.
    """
    if own := [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]:
        return (OutOfMemoryError if is_memory(own[-1]) else UserError)(own[-1])
    if cause := next(filter(None, map(failed_check, lines)), None):
        kind = OutOfMemoryError if is_memory(cause) else ProcessDiedError
        full = " (is the disk full?)" if "SerializeToOstream" in cause else ""
        return kind(f"Caffe stopped: {cause}{full}")
    words = [line for line in lines if line.strip() and not NOISE.match(line) and not progress.is_line(line)]
    last = f"; its last words: {words[-1].strip()}" if words else ""
    if status < 0:
        name = signal.Signals(-status).name
        killed = " (by the system, for want of memory, perhaps)" if name == "SIGKILL" else ""
        return ProcessDiedError(f"{what} was ended by {name}{killed}{last}")
    return ProcessDiedError(f"{what} ended with status {status}{last}")


def is_memory(cause):
    """Whether a process failed for want of memory: of CUDA, of its libraries, of Caffe on the CPU, of NumPy."""
    known = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "host allocation of size")
    return any(words in cause for words in known)


def settle():
    """Has this process keep to one core and to its memory, as one of many of a kind.

    glibc would give what an image takes back to the system and take it again, page by page, image after image, which
    is a third of the time that reading images takes, and of the CRF's with kernels so narrow that its lattice is large.
    """
    import cv2
    import threadpoolctl

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)  # an array of the CRF's takes 90 MB of a VOC image
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def in_processes(function, jobs, processes=None):
    """Yields function(*job) in the order of `jobs`, from so many processes (default: one a core), each on one core.

    Raises what a job raises, the first in order, and UserError where a process is killed.
    """
    processes = min(processes or cores(), max(1, len(jobs)))
    context = multiprocessing.get_context("spawn")  # nothing of Caffe or BLAS is inherited
    with concurrent.futures.ProcessPoolExecutor(processes, context, _begin, (os.getpid(),)) as pool:
        try:
            with _deaf():
                futures = collections.deque(pool.submit(function, *job) for job in jobs)
            while futures:
                yield futures.popleft().result()  # a result that was taken is not kept
        except concurrent.futures.process.BrokenProcessPool:
            raise UserError(f"one of {processes} processes was killed, for want of memory, perhaps") from None
        except (KeyboardInterrupt, GeneratorExit):  # nobody waits for what they are at
            for process in pool._processes.values():
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _deaf():
    """Children that are started inside never hear Ctrl-C, which would end each in a trace; here it comes afterwards."""
    multiprocessing.resource_tracker.ensure_running()  # the first child would start it, and it resets the mask
    heard = []
    usual = signal.signal(signal.SIGINT, lambda *arguments: heard.append(arguments))  # other threads are not masked
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _begin(parent):
    die_with_parent(parent)  # a step of a sweep may be killed, and these would wait for work for ever
    settle()
