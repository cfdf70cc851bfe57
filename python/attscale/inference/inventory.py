"""A folder of results that knows, item by item, what they were made of."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from attscale.errors import UserError
from attscale.files import make_folder, write_text


class Inventory:
    """Results in `folder`: `<kind>.json` says what made all of them, `<kind>.jsonl` what each was made of.

    Results of another making, or of other sources, are refused instead of mixed or taken for the new ones. Nothing is
    written before the first result is there. Several processes may share a folder: lines are appended whole.
    """

    def __init__(self, folder, kind, made_by, notes=None):
        """made_by: JSON values that must agree with what is there already; notes: values that are only recorded."""
        self.folder = Path(folder)
        self._record = self.folder / f"{kind}.json"
        self._lines = self.folder / f"{kind}.jsonl"
        self._values = {**made_by, **(notes or {})}
        self._sources = dict(_sources(self._lines))
        self._begun = False
        found = read(folder, kind)
        if found is None or not self._sources:
            self._sources = {}
            return
        if other := sorted(key for key in made_by if found.get(key) != made_by[key]):
            raise UserError(
                f"{self.folder}: holds {kind} with {other[0]} {found.get(other[0])}, not {made_by[other[0]]}; "
                "choose another --out"
            )
        self._begun = True

    def has(self, name, source, path):
        """Whether the result `name` was made, of `source`, a digest. Raises UserError where it was made of another.

        path: what the source is called in the error.
        """
        known = self._sources.get(name)
        if known not in (None, source):
            raise UserError(f"{self.folder}: its {name} was made of something else than {path}; choose another --out")
        return known is not None

    def add(self, name, source):
        """Notes that the result `name`, made of `source`, is there."""
        make_folder(self.folder)
        if not self._begun:
            write_text(self._record, json.dumps(self._values, indent=1) + "\n")
            self._begun = True
        line = json.dumps({"name": name, "source": source}) + "\n"
        try:
            with open(self._lines, "a") as file:
                file.write(line)
        except OSError as error:
            raise UserError(f"{self._lines}: cannot be written: {error.strerror}") from None
        self._sources[name] = source


def read(folder, kind):
    """The values of `<kind>.json` in `folder`; None where it is not there. Raises UserError for a broken one."""
    path = Path(folder, f"{kind}.json")
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds {type(found).__name__}, expected an object")
    return found


def digest(*paths):
    """The sha256 of the contents of files, as hexadecimal text. Raises UserError that names the file."""
    result = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                result.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise UserError(f"{path}: {os.strerror(error.errno)}") from None
    return result.hexdigest()


def _sources(path):
    """(name, digest) of each line; one that was cut short by a crash counts as not written."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            values = json.loads(line)
            yield str(values["name"]), str(values["source"])
