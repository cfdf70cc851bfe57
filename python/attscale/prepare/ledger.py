"""Which steps of a preparation are done, and from which archives: what an interrupted or repeated run goes by."""

import contextlib
import json
import time
from pathlib import Path

from attscale.errors import DataError, reading
from attscale.files import remove, write_text

NAME = ".prepared.json"
#: Seconds between two notes of a step's progress: a run that is killed does the last of them again.
INTERVAL = 5


class Ledger:
    """The file `.prepared.json` in the root of a set: every step's archives and the files that it made of them.

    What counts is what a step made from the archives that there are now (same name, size and time), and never what
    else lies in its folders: that may be of an archive that was refused, or of an earlier one.
    """

    def __init__(self, root, lists=()):
        """`lists` are those that are made of the steps' files: they are removed as soon as a step begins."""
        self.root, self.path = Path(root), Path(root, NAME)
        self._lists = [self.root / name for name in lists]
        self.steps = {}
        if self.path.exists():
            try:
                with reading(self.path, DataError):
                    for name, state in json.loads(self.path.read_text()).items():
                        files = dict(state["files"].items())
                        self.steps[name] = {"from": state["from"], "done": state["done"] is True, "files": files}
            except DataError as error:
                raise DataError(f"{error} (remove it to prepare the set anew)") from None

    @contextlib.contextmanager
    def step(self, name, *sources, wanted=()):
        """Yields None if `name` was done from `sources` and all its files are there; else `make`.

        `make(path, write, content)` calls `write(path, content())`, unless the file is there from an earlier try, or
        `content()` is None. `sources` are paths of archives, or any JSON values that decide the outcome. A step that
        was done without some of the paths `wanted` goes on. Raises DataError where two members make one file, of which
        the later would win or the earlier, as it happens.
        """
        recipe = [_identity(source) for source in sources]
        found = self.steps.get(name, {})
        recorded = found["files"] if found.get("from") == recipe else {}
        files = {file: size for file, size in recorded.items() if _size(self.root / file) == size}
        done = found.get("from") == recipe and found["done"] and files == recorded
        if done and {self._name(path) for path in wanted} <= files.keys():
            yield None
            return
        for path in self._lists:
            remove(path)
        self.steps[name] = state = {"from": recipe, "done": False, "files": files}
        self._save()
        saved, seen = time.monotonic(), set()

        def make(path, write, content):
            nonlocal saved
            file = self._name(path)
            if file in seen:
                raise DataError(f"{sources[0]}: has two members for {file}")
            seen.add(file)
            if file in files:
                return
            value = content()
            if value is None:
                return
            write(path, value)
            files[file] = _size(path)
            if time.monotonic() > saved + INTERVAL:
                self._save()
                saved = time.monotonic()

        try:
            yield make
            state["done"] = True
        finally:
            self._save()

    def files(self, *steps):
        """The paths of all files that the steps so called made."""
        return {self.root / file for step in steps if step in self.steps for file in self.steps[step]["files"]}

    def demand(self, archive, paths, *steps):
        """Raises DataError, which says that `archive` lacks them, unless the steps made all of `paths`."""
        missing = sorted(map(self._name, set(paths) - self.files(*steps)))
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(f"{archive}: lacks {missing[0]}{more}; is it cut short?")

    def forget(self, paths):
        """Has `paths` made again, and whatever else bears their names: label maps are made of others."""
        stems = {path.stem for path in paths}
        for state in self.steps.values():
            kept = {file: size for file, size in state["files"].items() if Path(file).stem not in stems}
            state["done"] &= kept == state["files"]
            state["files"] = kept
        self._save()

    def _name(self, path):
        return path.relative_to(self.root).as_posix()

    def _save(self):
        write_text(self.path, json.dumps(self.steps) + "\n")


def _size(path):
    """Bytes of a file; None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _identity(source):
    if not isinstance(source, Path):
        return source
    status = source.stat()
    return [source.name, status.st_size, status.st_mtime_ns]
