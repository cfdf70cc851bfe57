"""weights/manifest.toml: which files nets start from, where they are, and what is known of their contents."""

import dataclasses
import difflib
import tomllib
from pathlib import Path

from attscale.errors import UserError, WeightsError, reading
from attscale.options import from_values

#: The project's own.
FILE = Path(__file__).with_name("manifest.toml")  # a link to the one in the folder weights/; in a wheel, a copy


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    makes: str | None = None  # the caffemodel that `by` makes of it
    by: str | None = None

    @property
    def results(self):
        """The names of the caffemodels that are there in the end."""
        return tuple(self.members.values()) or (self.file,)


def advice(file):
    """The end of a message that lacks the file of weights named `file`: the command that fetches it, if one does."""
    for entry in read(FILE).values() if file else ():
        if Path(file).name in entry.results:
            return f"; python tools/fetch_weights.py {entry.name} fetches it"
        if Path(file).name == entry.makes:
            return f"; python tools/fetch_weights.py {entry.name} gets or names what {entry.by} makes it of"
    return ""


def read(path):
    """The entries of the manifest `path`, by name. Raises UserError for what it does not understand.

    It is trusted as the code is: it comes with the repository, and says where files are written.
    """
    with reading(path):
        entries = {}
        for name, table in tomllib.loads(Path(path).read_text()).items():
            try:
                entries[name] = from_values(Entry, {"name": name, **table})
            except UserError as error:
                raise UserError(f"{path}: {name}: {error}") from None
        return entries


def find(entries, name):
    """Entry `name`. Raises WeightsError with the closest known names."""
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=2) or sorted(entries)
    raise WeightsError(f"unknown weights {name!r}; the manifest has {', '.join(close)}")
