"""Lists as a set's authors count them, and as the release wrote them."""

import dataclasses
import hashlib

from attscale.data.lists import list_text
from attscale.errors import DataError
from attscale.files import write_text


@dataclasses.dataclass(frozen=True)
class Split:
    """A list to write: what its text may be, the likeliest first, and how the sha256 of the release's begins."""

    name: str
    texts: tuple[str, ...]
    sha256: str = ""


def check_count(name, found, expected, any_count):
    """Raises DataError unless `found` members are `expected`, or any number was asked for."""
    if found != expected and not any_count:
        raise DataError(
            f"list {name} would have {found} members, expected {expected}; are the archives those of the official "
            "pages? (--any-count goes on with a set of your own)"
        )


def write_as_released(path, split, say):
    """Writes the text of `split` that has the release's checksum.

    The release's lists can be told by their checksums only. Where none fits, the first is written, and `say` gets a
    line: the members are right in number, but the release's order or form was another.
    """
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in split.texts]
    fitting = [text for text, digest in zip(split.texts, digests, strict=True) if digest.startswith(split.sha256)]
    if not fitting:
        say(f"{path}: sha256 begins {digests[0][:16]}, the release's {split.sha256}: members, order or form differ")
    write_text(path, (fitting or split.texts)[0])


def pairs_text(names, labels):
    """A list's text: the images of `names` and their label maps in the folder `labels`."""
    return list_text([(f"JPEGImages/{name}.jpg", f"{labels}/{name}.png") for name in names])


def ids(path, text):
    """The ids of a list in VOC's form, one a line, what follows them left out. Raises DataError if there are none."""
    try:
        result = [line.split()[0] for line in text.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None
    if not result:
        raise DataError(f"{path}: the list is empty")
    if bad := [name for name in result if not name.replace("_", "").isalnum()]:
        raise DataError(f"{path}: {bad[0]!r} is no image id")
    return result
