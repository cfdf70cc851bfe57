"""Processes that belong to another."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent):
    """Has the system kill this process when its parent ends, however that ends (Linux); at once if it has ended.

    parent: its process id, which it has told us, since nobody else knows it once it has ended. The system means the
    thread of it that started us.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the system was asked
        os.kill(os.getpid(), signal.SIGKILL)
