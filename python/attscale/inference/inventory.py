"""A folder of results that knows, item by item, what they were made of."""

import contextlib
import hashlib
import json
from pathlib import Path

from attscale.errors import UserError, reading
from attscale.files import Appended, clear, make_folder, write_text


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
        found = read(folder, kind)
        noted = lines(folder, kind) if found is not None else {}
        self._sources = {name: values["source"] for name, values in noted.items()}
        self._begun = bool(self._sources)  # a record without results may be replaced
        clear(self.folder)
        if self._begun and (other := sorted(key for key in made_by if found.get(key) != made_by[key])):
            raise UserError(
                f"{self.folder}: holds {kind} with {other[0]} {found.get(other[0])}, not {made_by[other[0]]}; "
                "choose another --out"
            )

    def has(self, name, source, path):
        """Whether the result `name` was made, of `source`, a digest. Raises UserError where it was made of another.

        path: what the source is called in the error.
        """
        known = self._sources.get(name)
        if known not in (None, source):
            raise UserError(f"{self.folder}: its {name} was made of something else than {path}; choose another --out")
        return known is not None

    def add(self, name, source, **measured):
        """Notes that the result `name`, made of `source`, is there; measured: JSON values that `lines` gives back."""
        make_folder(self.folder)
        if not self._begun:
            write_text(self._record, json.dumps(self._values, indent=1) + "\n")
            self._begun = True
        with Appended(self._lines) as file:
            file.write((json.dumps({"name": name, "source": source, **measured}) + "\n").encode())
        self._sources[name] = source


def read(folder, kind):
    """The values of `<kind>.json` in `folder`; None where it is not there. Raises UserError for a broken one."""
    path = Path(folder, f"{kind}.json")
    if not path.exists():
        return None
    with reading(path):
        return dict(json.loads(path.read_text()))


def digest(*contents):
    """The sha256 of what files hold, as hexadecimal text; of several, that of their sha256s."""
    digests = [hashlib.sha256(content) for content in contents]
    return (digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(d.digest() for d in digests))).hexdigest()


def lines(folder, kind):
    """{name: values} of each line of `<kind>.jsonl` in `folder`; one that was cut short by a crash was not written."""
    path, found = Path(folder, f"{kind}.jsonl"), {}
    if path.exists():
        with reading(path):
            text = path.read_text()
            for line in text.splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    values = json.loads(line)
                    found[values["name"]] = {"source": values["source"], **values}
    return found
