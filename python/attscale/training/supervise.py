"""The parent of the training processes: passes signals on, keeps their output, and explains how they ended."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

from attscale.errors import OutOfMemoryError, RunError, UserError
from attscale.files import Appended
from attscale.training import runs, stopping

LOG = "console.log"
_TAIL = 20  # lines
_PATIENCE = 0.2  # seconds between looks whether a process has ended
_PIPE = 1 << 20  # bytes; no more are in a pipe at once
_CHECK = re.compile(rb"^F\d{4,8} .*?\] (?P<cause>.*)$")
_NOISE = re.compile(rb"^(\*\*\* |WARNING: Logging before |\s+@ |F\d{4,8} |PC: )")  # a failed CHECK and its stack trace
_BEHIND_BAR = re.compile(rb"WARNING: Logging before InitGoogleLogging[^\r\n]*")  # which has no line end


def run(folder, ranks=1, *, module="attscale.training.trainer", temporary=False):
    """Trains the run in `folder` in a process for each rank; returns when all have finished or been stopped.

    module: what the processes run, with folder, rank and our process id as arguments. temporary: the folder will not
    last, so nobody is told to continue what is in it.
    Raises UserError with the one-line cause when one fails: its own, Caffe's failed CHECK, or the signal it died of;
    OutOfMemoryError where that was the cause. One that fails ends the others. A first SIGINT or SIGTERM is passed on,
    and the processes take a snapshot and end well; a second SIGINT ends them at once (KeyboardInterrupt).
    """
    folder = Path(folder)
    with runs.lock(folder), Appended(folder / LOG) as log:
        (folder / ".nccl").unlink(missing_ok=True)
        with _started(folder, ranks, module, temporary) as children:
            _watch(children, log)


def failed_check(lines):
    """What the first failed CHECK of Caffe among these lines of text says; None where none failed."""
    return next((found["cause"].decode() for line in lines if (found := _CHECK.match(line.encode()))), None)


class ProcessDiedError(RunError):
    """A training process ended, not by an error of its own: the run is as it was, and can be continued."""


class _Child:
    """A training process; `tail` is the end of what it said, `cause` the CHECK that failed, `error` its own line."""

    def __init__(self, folder, rank, module, temporary):
        command = [sys.executable, "-m", module, str(folder), str(rank), str(os.getpid())]
        # a session of its own: Ctrl-C at the terminal reaches only us, and is passed on once
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
        self.folder, self.rank, self.temporary = folder, rank, temporary
        self.tail, self.cause, self.error = deque(maxlen=_TAIL), None, None
        self._rest = b""

    def take(self, data, log):
        """Passes what the process said on to stderr and the log, less what a failed CHECK prints."""
        *lines, self._rest = re.split(rb"(?<=[\r\n])", self._rest + data)
        for line in lines:
            self._line(line, log)

    def _line(self, line, log):
        text = line.rstrip(b"\r\n")
        if line.endswith(b"\n"):
            log.write(line)
        if found := _CHECK.match(text):
            self.cause = self.cause or found["cause"].decode(errors="replace")
        elif text.startswith(b"error: "):
            self.error = text.removeprefix(b"error: ").decode(errors="replace")
        elif not _NOISE.match(text):
            sys.stderr.buffer.write(_BEHIND_BAR.sub(b"", line))
            sys.stderr.flush()
            if line.endswith(b"\n") and text.strip():
                self.tail.append(text.rpartition(b"\r")[2].decode(errors="replace"))

    def finish(self, log):
        """After the last output: raises UserError unless the process ended well."""
        if self._rest:
            self._line(self._rest + b"\n", log)
        log.flush()
        status = self.process.wait()
        if status == 0:
            return
        if self.error:
            raise (OutOfMemoryError if _is_memory(self.error) else UserError)(self.error)
        if status == 130:
            raise KeyboardInterrupt
        raise (OutOfMemoryError if self.cause and _is_memory(self.cause) else ProcessDiedError)(self._explain(status))

    def _explain(self, status):
        kept = (
            ""
            if self.temporary
            else (
                f"; continue with: python tools/train.py --resume {self.folder}; "
                f"the whole output is in {self.folder / LOG}"
            )
        )
        if self.cause:
            return f"Caffe stopped: {self.cause}{_advice(self.cause, self.folder)}{kept}"
        last = f"; its last words: {self.tail[-1]}" if self.tail else ""
        if status < 0:
            name = signal.Signals(-status).name
            killed = " (the system may have run out of memory)" if name == "SIGKILL" else ""
            return f"training process {self.rank} was ended by {name}{killed}{last}{kept}"
        return f"training process {self.rank} ended with status {status}{last}{kept}"

    def send(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def _watch(children, log):
    """Reads what the processes say until all have ended. The first that fails raises.

    One has ended when it is gone, whoever else may still hold its stderr: what it started has inherited that.
    """
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
                child.finish(log)


@contextlib.contextmanager
def _started(folder, ranks, module, temporary):
    """The training processes. Signals are passed on to them, those too that come before all are there."""
    children, asked = [], []

    def pass_on(number, _):
        again = number == signal.SIGINT and signal.SIGINT in asked
        asked.append(number)
        for child in children:
            child.send(signal.SIGQUIT if again else number)

    before = {number: signal.signal(number, pass_on) for number in stopping.SIGNALS}
    try:
        stopping.hold()  # which the processes inherit: each releases when it can answer
        for rank in range(ranks):
            children.append(_Child(folder, rank, module, temporary))
            for number in asked:
                children[-1].send(number)
        stopping.release()
        yield children
    finally:
        stopping.release()
        for child in children:
            child.end()
        for number, handler in before.items():
            signal.signal(number, handler)


def splits(batch_size, iter_size):
    """(batch_size, iter_size) and every smaller batch with as many images an iteration, the largest first."""
    images = batch_size * iter_size
    return [(n, images // n) for n in range(batch_size, 0, -1) if images % n == 0]


def _is_memory(cause):
    """Whether a process failed for want of memory: of CUDA, of its libraries, of Caffe on the CPU, of NumPy."""
    return any(words in cause for words in ("out of memory", "ALLOC_FAILED", "host allocation of size"))


def _advice(cause, folder):
    """What to do about the failures of Caffe that people meet."""
    if _is_memory(cause):
        run = runs.load(folder)
        smaller = splits(run.batch_size, run.iter_size)[1:]
        if not smaller:
            return " (one image at a time is the least; a smaller crop or more memory is needed)"
        (batch_size, iter_size), images = smaller[0], run.batch_size * run.iter_size
        less = f"--batch-size {batch_size} --iter-size {iter_size}"
        return f" (a new run with {less}, the same {images} images an iteration, would need less)"
    if "SerializeToOstream" in cause:
        return " (is the disk full?)"
    return ""
