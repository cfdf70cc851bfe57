"""The parent of the training processes: passes signals on, keeps their output, and says how they ended."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

from attscale import cli, processes, progress
from attscale.errors import OutOfMemoryError
from attscale.files import Appended
from attscale.training import runs, stopping

_LINES = 1000  # of what a process said last, among which is why it ended
_PATIENCE = 0.2  # seconds between looks whether a process has ended
_PIPE = 1 << 20  # bytes; no more are in a pipe at once
#: Where traces begin, of Caffe's or of Python's; perhaps behind a progress bar, which has no line end.
_TRACE = re.compile(r"WARNING: Logging before InitGoogleLogging|Traceback \(most recent call last\):")


def run(folder, *, module="attscale.training.trainer", temporary=False):
    """Trains the run in `folder` in a process for each rank; returns 0, or 128 + the signal that stopped it.

    module: what the processes run, with folder, rank and our process id as arguments. temporary: the folder will not
    last, so nobody is told to continue what is in it.
    Raises UserError with the one-line cause when one fails, as `processes.failure`. One that fails ends the others. A
    first SIGINT or SIGTERM is passed on, and the processes take a snapshot and end well; a second SIGINT ends all at
    once, by SystemExit here: a process in the middle of an iteration hears nothing. What they say is in the run's
    console.log, with the traces of errors.
    """
    folder = Path(folder)
    options = runs.load(folder)
    kept = f"; continue with: python tools/train.py --resume {folder}; the whole output is in {folder / runs.CONSOLE}"
    with runs.lock(folder), Appended(folder / runs.CONSOLE) as log:
        runs.tidy(folder)
        try:
            with _started(folder, options.ranks, module) as children:
                return _watch(children, log)
        except OutOfMemoryError as error:
            raise OutOfMemoryError(f"{error} ({_smaller(options)}){'' if temporary else kept}") from None
        except processes.ProcessDiedError as error:
            raise processes.ProcessDiedError(f"{error}{'' if temporary else kept}") from None


def _smaller(options):
    """What would need less memory than the run."""
    smaller = runs.splits(options.batch_size, options.iter_size)[1:]
    if not smaller:
        return "one image at a time is the least; a smaller crop or more memory is needed"
    batch_size, iter_size = smaller[0]
    images = f"the same {batch_size * iter_size} images an iteration"
    return f"a new run with --batch-size {batch_size} --iter-size {iter_size}, {images}, would need less"


class _Child:
    """A training process, and what it said last."""

    def __init__(self, folder, rank, module):
        # a session of its own: Ctrl-C at the terminal reaches only us, and is passed on once
        terminal = {progress.TERMINAL: "1"} if progress.on_terminal() else {}
        options = {"start_new_session": True, "env": {**os.environ, **terminal, cli.DEBUG: "1"}}
        self.process = processes.start(module, folder, rank, stderr=subprocess.PIPE, **options)
        self.name = f"training process {rank}"
        self._lines, self._rest, self._tracing = deque(maxlen=_LINES), b"", False

    def take(self, data, log):
        """Passes what the process said on to the log, and to stderr less errors and traces, which are for the log."""
        *lines, self._rest = re.split(rb"(?<=[\r\n])", self._rest + data)
        for line in lines:
            text = line.decode(errors="replace")
            if text.endswith("\n"):  # others are a progress bar's
                log.write(line)
                self._lines.append(text.rstrip())
            sys.stderr.write(self._shown(text))
            sys.stderr.flush()

    def _shown(self, text):
        """What the terminal shows of a line."""
        if os.environ.get(cli.DEBUG):
            return text
        self._tracing &= not text.endswith("\r")  # a progress bar: it goes on
        if self._tracing or processes.NOISE.match(text) or text.startswith("error: "):
            return ""
        if not (found := _TRACE.search(text)):
            return text
        self._tracing = found[0].startswith("Traceback")
        return text[: found.start()] + "\n" if found.start() else ""

    def finish(self, log):
        """After the last output: the exit status of a process that ended well or was stopped. Raises UserError."""
        if self._rest:
            self.take(b"\n", log)
        status = self.process.wait()
        if status and status not in stopping.STATUSES:
            raise processes.failure(status, self._lines, self.name)
        return status


def _watch(children, log):
    """Reads what the processes say until all have ended; returns the highest status. The first that fails raises.

    One has ended when it is gone, whoever else may still hold its stderr: what it started has inherited that.
    """
    statuses = []
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.process.stderr, selectors.EVENT_READ, child)
        while selector.get_map():
            # asked before reading: what a process said before it ended is then in the pipe, whole
            ended = [key.data for key in selector.get_map().values() if key.data.process.poll() is not None]
            for key, _ in selector.select(0 if ended else _PATIENCE):
                if data := os.read(key.fd, _PIPE):
                    key.data.take(data, log)
                elif key.data not in ended:
                    ended.append(key.data)
            for child in ended:
                selector.unregister(child.process.stderr)
                statuses.append(child.finish(log))
    return max(statuses)


@contextlib.contextmanager
def _started(folder, ranks, module):
    """The training processes. Signals are passed on to them, those too that come before all are there."""
    children, asked = [], []

    def pass_on(number, _):
        if number == signal.SIGINT and signal.SIGINT in asked:
            sys.exit(128 + number)  # which kills the children on its way
        asked.append(number)
        for child in children:
            child.process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in stopping.SIGNALS}
    try:
        stopping.hold()  # which the processes inherit: each releases when it can answer
        for rank in range(ranks):
            children.append(_Child(folder, rank, module))
            for number in asked:
                children[-1].process.send_signal(number)
        stopping.release()
        yield children
    finally:
        stopping.release()
        for child in children:
            processes.end(child.process)
        for number, handler in before.items():
            signal.signal(number, handler)
