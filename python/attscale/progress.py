"""How far a command has come: a bar on a terminal; a line now and then where stderr is a file, a pipe or a log."""

import contextlib
import os
import re
import sys
import time

from tqdm import tqdm

#: Set for a child whose stderr is passed on to a terminal.
TERMINAL = "ATTSCALE_TERMINAL"
_EVERY = 60  # seconds between lines
_LINE = re.compile(r".*\[(\d+:)+\d\d(<|, |\])")


class Bar(tqdm):
    """tqdm, whose arguments it takes, that writes lines where bars would only pile up: one a minute, and the last.

    One with leave=False, the part of something larger, ends without a line.
    """

    def __init__(self, *arguments, **options):
        self._lines, self._told = not on_terminal(), None  # the number that the last line said
        if self._lines:  # without a delay the first line would say that nothing has been done
            options |= {"miniters": 1, "mininterval": _EVERY, "maxinterval": _EVERY, "delay": 1e-9, "ncols": 0}
        super().__init__(*arguments, **options)
        if self._lines and not self.disable:
            self._decr_instances(self)  # `tqdm.write` would draw it again after every line

    def display(self, msg=None, pos=None):
        """Draws the bar, or writes a line."""
        if not self._lines:
            return super().display(msg, pos)
        self._told = self.n
        self.fp.write(f"{str(self) if msg is None else msg}\n")
        self.fp.flush()
        return True

    def close(self):
        """The last of it."""
        if self.disable or not self._lines:
            super().close()
        else:
            self.disable = True
            if self.leave and self._told != self.n:
                self.display()

    @contextlib.contextmanager
    def pause(self):
        """What is done inside does not count as time of this bar's."""
        began = time.time()  # tqdm's clock
        yield
        if not self.disable:
            away = time.time() - began
            self.start_t += away
            self.last_print_t += away


def on_terminal():
    """Whether somebody sees a bar move: stderr is a terminal, or is passed on to one."""
    return bool(os.environ.get(TERMINAL)) or sys.stderr.isatty()


def say(line):
    """Writes a line to stderr, above the bars."""
    tqdm.write(line, file=sys.stderr)


def is_line(text):
    """Whether a line of output is a progress bar's, or one of these lines."""
    return bool(_LINE.match(text))
