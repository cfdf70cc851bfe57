"""What benchmarks measured: two things in turn, and on which machine; a file of JSON for each part."""

import dataclasses
import json
from pathlib import Path
from statistics import median

from attscale.errors import UserError, reading
from attscale.files import write_text
from attscale.options import decode, to_values
from attscale.results import files

PATTERN = "benchmark_*.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two things in one unit, round by round, in the same minutes of the same machine; and what is asked of the ratio.

    Of seconds, bytes and shares it is to be `at_most` something, of rates and gains `at_least`; or nothing is asked.
    """

    name: str
    values: tuple[float, ...]
    beside: str
    beside_values: tuple[float, ...]
    unit: str = "images/s"
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self):
        even = len(self.values) == len(self.beside_values) > 0
        if not even or min(self.values) < 0 or min(self.beside_values) <= 0:
            raise UserError(f"{self.key}: expected as many values as of what it stands beside, and those more than 0")

    @property
    def key(self):
        """What tells it from the others of its part."""
        return f"{self.name} / {self.beside}"

    @property
    def ratios(self):
        """Of each round, ascending."""
        return sorted(value / other for value, other in zip(self.values, self.beside_values, strict=True))

    @property
    def texts(self):
        """What is measured, its median, what it stands beside, that one's median; the median ratio with its range."""
        own, other = (f"{three_digits(median(values))} {self.unit}" for values in (self.values, self.beside_values))
        return self.name, own, self.beside, other, with_range(self.ratios)

    @property
    def target(self):
        """What is asked of the median ratio, in words, and whether it is so; None where nothing is asked."""
        if self.at_most is not None:
            return f"at most {three_digits(self.at_most)}", median(self.ratios) <= self.at_most
        if self.at_least is not None:
            return f"at least {three_digits(self.at_least)}", median(self.ratios) >= self.at_least
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTime:
    """Seconds of a layer in each round, or of all layers of a type; and the 10^9 operations that it is for.

    A multiply-add is two operations. Without any it is no product of matrices: its seconds alone are of interest.
    """

    name: str
    forward: tuple[float, ...]
    backward: tuple[float, ...]
    forward_gflop: float = 0.0
    backward_gflop: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetTime:
    """A net by layers; sgemm: GFLOP/s of a product of large matrices in each round, on as many threads."""

    title: str
    sgemm: tuple[float, ...]
    layers: tuple[LayerTime, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """What a part found; notes: sentences about it, such as what could not be measured."""

    ratios: tuple[Ratio, ...]
    nets: tuple[NetTime, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What it was measured on, when, and with what."""

    vectors: str  # the widest vector instructions of the processor
    cores: int
    sgemm: float  # GFLOP/s of a product of large matrices on all cores, in this run
    date: str  # UTC
    commit: str  # of what was measured; a + behind it where files differ
    versions: dict[str, str]
    card: str = ""  # the GPU and its driver


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One part of tools/benchmark.py."""

    part: str
    machine: Machine
    findings: Findings


def three_digits(value):
    """A number for people."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def with_range(values):
    """The median, and from where to where they go, if they are not all the same."""
    middle, least, most = map(three_digits, (median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def path_of(folder, part):
    """Where a part's file is in a folder."""
    return Path(folder, PATTERN.replace("*", part))


def write(folder, measured):
    """Keeps a Measured in `folder`; returns the file's path."""
    path = path_of(folder, measured.part)
    write_text(path, json.dumps(to_values(measured), indent=1) + "\n")
    return path


def read(path):
    """The Measured in a file. Raises UserError that names it."""
    with reading(path):
        text = Path(path).read_text(encoding="utf-8")
    try:
        return decode(Measured, text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def find(folders=()):
    """Every Measured in and below `folders` (default: `runs`). Raises UserError that names a broken file."""
    return [read(path) for path in files.find(folders, PATTERN)]
