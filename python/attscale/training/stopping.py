"""How a training run is asked to stop, and how its ranks stop after the same iteration. Standard library only."""

import signal
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: How a process ends that one of them has stopped, as shells have it.
STATUSES = tuple(128 + number for number in SIGNALS)
#: Bytes of memory that the ranks of a run share, zero at first.
SHARED = 8

_UNDECIDED, _NEVER_BEGUN, _UNDER_WAY = 0, -1, -2  # or the iteration to stop after, at least 1
_LOOK = 0.05  # seconds


class StoppedError(Exception):
    """The run is to stop before its first iteration."""


class Stop:
    """SIGINT and SIGTERM ask for a stop after an iteration; `asked` names the signal.

    Where several ranks wait for each other in every iteration, the first decides for all, at the latest before the
    iteration that is to be the last. No rank can finish an iteration before the first has begun it (`device.wait`), so
    all learn of it in time.

    ends: the process has nothing to do after it but to end. A signal that comes then is ignored, since all is kept;
    by default it would end the process, and look like a failure.
    """

    def __init__(self, *, ends=False):
        self.asked = None
        self._ends = ends
        self._rank, self._ranks = 0, 1
        self._decided = memoryview(bytearray(SHARED)).cast("q")

    def __enter__(self):
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        release()
        return self

    def __exit__(self, kind, *_):
        ended_well = kind in (None, SystemExit)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._ends and ended_well else handler)

    def share(self, memory, rank, ranks):
        """Decides from now on together with the other ranks, by way of SHARED bytes of `memory` that all map."""
        self._decided = memoryview(memory)[:SHARED].cast("q")
        self._rank, self._ranks = rank, ranks

    def check(self):
        """Between the steps of starting up: raises StoppedError where the run is to stop before it begins."""
        if self._rank == 0 and self.asked and self._decided[0] == _UNDECIDED:
            self._decided[0] = _NEVER_BEGUN
        if self._decided[0] == _NEVER_BEGUN:
            raise StoppedError

    def begin(self):
        """The last check; what needs all ranks can follow. Ranks other than the first wait for it to come here."""
        self.check()
        if self._rank == 0:
            self._decided[0] = _UNDER_WAY
        while self._decided[0] == _UNDECIDED:
            time.sleep(_LOOK)
        self.check()

    def before(self, iteration):
        """To be called before an iteration."""
        if self._rank == 0 and self.asked and self._decided[0] == _UNDER_WAY:
            self._decided[0] = iteration

    def after(self, iteration):
        """Whether this iteration, which has been finished, is the last."""
        if self._ranks == 1:
            self.before(iteration)  # nobody else has to know
        return self._decided[0] == iteration

    def _ask(self, number, _):
        self.asked = signal.Signals(number).name


def hold():
    """Signals wait until `release`, in this process and in those that it starts meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release():
    """What `hold` held arrives now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
