"""What a reader of files is, for the harness, and what several readers need."""

import dataclasses

import cv2
import numpy as np

from attscale import experiments
from conftest import REAL

ROW = experiments.find("shapes")


@dataclasses.dataclass(frozen=True)
class Base:
    """A file that is whole: its name below the reader's folder, what it holds, and which mutations suit it."""

    file: str
    data: bytes
    form: str = "bytes"  # a key of mutations.OF


class Reader:
    """A kind of file. Subclasses are found by their names."""

    #: Makes checksums right again, for some of the inputs: else nothing behind them is ever reached.
    repair = None

    def bases(self, folder):
        """The Bases; writes what else the call needs into `folder`."""
        raise NotImplementedError

    def read(self, path):
        """What a command makes of the file at `path`. Raises UserError for what it refuses."""
        raise NotImplementedError

    def changed(self, base, value, data, other):
        """How it can be told that `data`, a damaged base, was taken for something else; None where it cannot.

        value: what was read of the base; other: what was read of `data`.
        """
        return None


def real(pattern, most=4, largest=200_000):
    """(name, bytes) of the first real files that match and are not large; none where there are no real files."""
    found = [path for path in sorted(REAL.glob(pattern)) if path.stat().st_size <= largest]
    return [(path.name, path.read_bytes()) for path in found[:most]]


def same(one, other):
    """Whether two arrays, or containers of them, are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return np.array_equal(one, other)


def taken_for(what, damage_of, data, value, other):
    """As `Reader.changed`, by a second opinion of whether `data` is damaged; what: the kind of value, in words."""
    if not same(value, other) and (damage := damage_of(data)):
        return f"{damage}, and yet another {what} is read"
    return None


def picture(height=24, width=31, seed=0):
    return cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8), (5, 5), 0)


def encoded(suffix, *flags, image=None):
    return cv2.imencode(suffix, picture() if image is None else image, flags)[1].tobytes()
