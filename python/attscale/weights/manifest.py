"""weights/manifest.toml: which files nets start from, where they are, and what is known of their contents."""

import dataclasses
import difflib
import tomllib
from pathlib import Path

from attscale.errors import UserError, WeightsError


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file of the manifest, whose comments explain the fields; `members` of an archive: name there to name here."""

    name: str
    what: str
    page: str
    file: str
    licence: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    members: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def results(self):
        """The names of the caffemodels that are there in the end."""
        return tuple(self.members.values()) or (self.file,)


_REQUIRED = {"name", "what", "page", "file", "licence"}
_INTEGERS, _TABLES = {"size"}, {"members"}


def read(path):
    """The entries of the manifest `path`, by name. Raises UserError for what it does not understand."""
    try:
        tables = tomllib.loads(Path(path).read_text()).get("file", [])
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    if not isinstance(tables, list) or not tables:
        raise UserError(f"{path}: expected entries, each headed [[file]]")
    entries = [_entry(path, table) for table in tables]
    result = {entry.name: entry for entry in entries}
    if len(result) != len(entries):
        raise UserError(f"{path}: two entries have the same name")
    return result


def find(entries, name):
    """Entry `name`. Raises WeightsError with the closest known names."""
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=2) or sorted(entries)
    raise WeightsError(f"unknown weights {name!r}; the manifest has {', '.join(close)}")


def _entry(path, table):
    where = f"{path}: {table.get('name', 'an entry without name')}"
    known = {field.name for field in dataclasses.fields(Entry)}
    if unknown := sorted(set(table) - known):
        raise UserError(f"{where}: unknown key {unknown[0]!r}; it knows {', '.join(sorted(known))}")
    if missing := sorted(_REQUIRED - set(table)):
        raise UserError(f"{where}: the key {missing[0]!r} is missing")
    for key, value in table.items():
        kind = int if key in _INTEGERS else dict if key in _TABLES else str
        if type(value) is not kind:
            raise UserError(f"{where}: {key} is {value!r}, expected {kind.__name__}")
    for name in (table["file"], *table.get("members", {}).values()):
        if not isinstance(name, str) or name != Path(name).name or name.startswith("."):
            raise UserError(f"{where}: {name!r} is no plain file name")
    if not table.get("url", "http://").startswith(("http://", "https://")):
        raise UserError(f"{where}: url is {table['url']!r}, expected http:// or https://")
    digest = table.get("sha256", "0" * 64)
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise UserError(f"{where}: sha256 is {digest!r}, expected 64 small hexadecimal digits")
    return Entry(**table)
