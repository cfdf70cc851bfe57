"""Processes that a test has begun, and those that these begin."""

import contextlib
from pathlib import Path

import psutil


def of_module(module):
    """(process, arguments) of every `python -m MODULE` on this machine."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words[1:3] == ["-m", module]:
                yield process, words[3:]


def has_ended(pid):
    """Whether the process is gone, or only waits to be waited for: a container's first process may never do that."""
    try:
        return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of(folder, module="attscale.training.trainer"):
    """Those of the module, trainers if not said otherwise, one of whose arguments names the folder: a run's, a set's.

    folder: an absolute path; what is relative in an argument is so to where its process runs, for others that run at
    the same time have folders of the same names.
    """
    found = []
    for process, arguments in of_module(module):
        with contextlib.suppress(psutil.Error):
            place = Path(process.cwd())
            if any(str(folder) in str(place / argument) for argument in arguments):
                found.append(process.pid)
    return found
