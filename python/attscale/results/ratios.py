"""Speeds of two things measured in turn, as a benchmark prints and keeps them: a line of JSON each."""

import dataclasses
from pathlib import Path
from statistics import median

from attscale.errors import UserError, reading
from attscale.files import write_text
from attscale.options import decode, encode
from attscale.results import evaluations

PATTERN = "benchmark_*.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """Images per second of two things, round by round, in the same minutes of the same machine."""

    name: str
    rates: tuple[float, ...]
    beside: str
    beside_rates: tuple[float, ...]
    cores: int

    def __post_init__(self):
        even = len(self.rates) == len(self.beside_rates) > 0
        if not even or min(*self.rates, *self.beside_rates) <= 0:
            raise UserError(f"{self.name}: expected as many rates as of what it stands beside, all more than 0")

    @property
    def rate(self):
        return median(self.rates)

    @property
    def beside_rate(self):
        return median(self.beside_rates)

    @property
    def ratios(self):
        """Of each round, ascending."""
        return sorted(rate / other for rate, other in zip(self.rates, self.beside_rates, strict=True))

    @property
    def texts(self):
        """What is measured, its rate, what it stands beside, that one's rate, and the ratio with its range."""
        ratio = f"{median(self.ratios):.2f} ({self.ratios[0]:.2f} to {self.ratios[-1]:.2f})"
        return self.name, _three_digits(self.rate), self.beside, _three_digits(self.beside_rate), ratio


def _three_digits(rate):
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def write(folder, name, measured):
    """Keeps `measured`, Ratios, as benchmark_<name>.jsonl in `folder`; returns its path."""
    path = Path(folder, PATTERN.replace("*", name))
    write_text(path, "".join(f"{encode(ratio)}\n" for ratio in measured))
    return path


def find(folders=()):
    """The Ratios in and below `folders` (default: `runs`). Raises UserError that names a broken file and its line."""
    return [ratio for path in evaluations.files(folders, PATTERN) for ratio in _read(path)]


def _read(path):
    with reading(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield decode(Ratio, line)
        except UserError as error:
            raise UserError(f"{path}:{number}: {error}") from None
