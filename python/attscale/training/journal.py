"""What a run says of itself: a log of JSON lines, TensorBoard scalars, and the plot of its losses."""

import contextlib
import gc
import json
import math
import operator
import sys
import time
from pathlib import Path

from attscale.errors import RunError, UserError, reading
from attscale.files import make_folder, naming, write_text
from attscale.training.runs import BOARD, LOG, PLOT

_REDRAW = 30  # seconds


@contextlib.contextmanager
def _without_torch():
    """Has an import of torch fail: tensorboardX does one, for graphs that nobody draws here, and it takes 2 s."""
    there = "torch" in sys.modules
    sys.modules.setdefault("torch", None)
    try:
        yield
    finally:
        if not there:
            del sys.modules["torch"]


with _without_torch():
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2


def read(folder):
    """The log of a run, a list of records; a last line that a kill cut short is left out. Raises RunError."""
    path = Path(folder, LOG)
    if not path.exists():
        return []
    with reading(path, RunError):
        lines = path.read_text().splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            if number < len(lines):
                raise RunError(f"{path}:{number}: not a line of JSON") from None
            break
        try:
            _check(records[-1])
        except (KeyError, TypeError, AttributeError):
            raise RunError(f"{path}:{number}: not a record with its iteration, and numbers for losses") from None
    return records


def _check(record):
    operator.index(record["iteration"])
    for loss in record.get("losses", {}).values():
        math.isfinite(loss)  # raises for what is no number


class Journal:
    """Appends records; on resuming, what came after the snapshot is dropped and will be written again.

    Raises UserError, with the file's name, where there is no room.
    """

    def __init__(self, folder, after):
        self._folder = Path(folder)
        self._records = [record for record in read(folder) if record["iteration"] <= after]
        write_text(self._folder / LOG, "".join(json.dumps(record) + "\n" for record in self._records))
        self._board_folder = self._folder / BOARD
        make_folder(self._board_folder)
        with naming(self._folder / LOG):
            self._file = open(self._folder / LOG, "a", buffering=1)  # noqa: SIM115, closed by __exit__
        with naming(self._board_folder):
            # of tensorboardX the part that writes: its SummaryWriter does so in a thread, where errors are lost
            self._board = EventsWriter(str(self._board_folder / "events"))
            started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._board.write_event(event_pb2.Event(step=after + 1, session_log=started))  # hides what came later
            self._board.flush()
        self._drawn = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            with contextlib.ExitStack() as closing:
                closing.callback(self._draw)
                closing.callback(self._close, self._board, self._board_folder)
                closing.callback(self._close, self._file, self._folder / LOG)
        except UserError:
            if kind is None:  # after another error, what closing meets is not worth a word
                raise

    def _close(self, file, path):
        with naming(path):
            file.close()

    def write(self, record):
        """Appends a record that has an "iteration"; its numbers become scalars, those of "losses" by head."""
        self._records.append(record)
        with naming(self._folder / LOG):
            self._file.write(json.dumps(record) + "\n")
        with naming(self._board_folder):
            for name, value in record.items():
                for part, number in value.items() if isinstance(value, dict) else [(None, value)]:
                    if isinstance(number, int | float) and name != "iteration":
                        self._scalar(f"{name}/{part}" if part else name, number, record["iteration"])
            self._board.flush()
        if time.monotonic() - self._drawn > _REDRAW:
            self._draw()

    def _scalar(self, name, number, step):
        event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary.scalar(name, number))
        self._board.write_event(event)

    def _draw(self):
        if log := [record for record in self._records if "losses" in record]:
            from attscale import plots  # matplotlib, which takes longer to import than a small net to build

            plots.losses(self._folder / PLOT, log)
            gc.collect()  # a figure is in cycles, of 1.5 MB that add up until Python looks by itself
        self._drawn = time.monotonic()
