"""What a run says of itself: a log of JSON lines, TensorBoard scalars, and the plot of its losses."""

import json
import time
from pathlib import Path

from tensorboardX import SummaryWriter

from attscale import plots
from attscale.errors import RunError
from attscale.files import write_text

LOG, PLOT = "log.jsonl", "losses.png"
_REDRAW = 30  # seconds


def read(folder):
    """The log of a run, a list of records; a last line that a kill cut short is left out. Raises RunError."""
    path = Path(folder, LOG)
    records = []
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise RunError(f"{path}:{number}: not a line of JSON") from None
    return records


class Journal:
    """Appends records; on resuming, what came after the snapshot is dropped and will be written again."""

    def __init__(self, folder, after):
        self._folder = Path(folder)
        self._records = [record for record in read(folder) if record["iteration"] <= after]
        write_text(self._folder / LOG, "".join(json.dumps(record) + "\n" for record in self._records))
        self._file = open(self._folder / LOG, "a", buffering=1)  # noqa: SIM115, closed by close
        self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=after + 1)
        self._drawn = time.monotonic()

    def write(self, record):
        """Appends a record that has an "iteration"; its numbers become scalars, those of "losses" by head."""
        self._records.append(record)
        self._file.write(json.dumps(record) + "\n")
        step = record["iteration"]
        for name, value in record.items():
            for part, number in value.items() if isinstance(value, dict) else [(None, value)]:
                if isinstance(number, int | float) and name != "iteration":
                    self._board.add_scalar(f"{name}/{part}" if part else name, number, step)
        if time.monotonic() - self._drawn > _REDRAW:
            self._draw()

    def close(self):
        self._file.close()
        self._board.close()
        self._draw()

    def _draw(self):
        if log := [record for record in self._records if "losses" in record]:
            plots.losses(self._folder / PLOT, log)
        self._drawn = time.monotonic()
