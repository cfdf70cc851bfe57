"""Which steps of a preparation are done, and from which archives: what an interrupted or repeated run goes by."""

import contextlib
import json
from pathlib import Path

from attscale.errors import DataError
from attscale.files import write_text

NAME = ".prepared.json"


class Ledger:
    """The file `.prepared.json` in the root of a set.

    A step is done only when all its files are written, each of them whole. One that was interrupted goes on: what
    it wrote from the same archives (same name, size and time) is kept. From other archives it begins anew.
    """

    def __init__(self, root):
        self.path = Path(root, NAME)
        try:
            self.steps = json.loads(self.path.read_text())
        except FileNotFoundError:
            self.steps = {}
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read ({error}); remove it to prepare the set anew") from None

    @contextlib.contextmanager
    def step(self, name, *sources):
        """Yields None if `name` was done from `sources`; else `keep(path)`: is this file there from an earlier try?

        `sources` are paths of archives, or any JSON values that decide the outcome.
        """
        recipe = [_identity(source) for source in sources]
        found = self.steps.get(name, {})
        if found == {"from": recipe, "done": True}:
            yield None
            return
        resumed = found == {"from": recipe, "done": False}
        self._note(name, {"from": recipe, "done": False})
        yield lambda path: resumed and Path(path).exists()
        self._note(name, {"from": recipe, "done": True})

    def _note(self, name, state):
        self.steps[name] = state
        write_text(self.path, json.dumps(self.steps, indent=1) + "\n")


def _identity(source):
    if not isinstance(source, Path):
        return source
    status = source.stat()
    return [source.name, status.st_size, status.st_mtime_ns]
