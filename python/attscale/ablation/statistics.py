"""Means over seeds, and differences between two nets that have the seed in common."""

import dataclasses
from statistics import fmean, stdev

from scipy import stats

CONFIDENCE = 0.95
HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"


@dataclasses.dataclass(frozen=True)
class Difference:
    """What one value is ahead of another by, seed by seed, or any other number that a seed has."""

    by_seed: tuple[float, ...]

    @property
    def mean(self):
        return fmean(self.by_seed)

    @property
    def interval(self):
        """(low, high) of the mean by Student's t, with the confidence CONFIDENCE; None for fewer than two seeds."""
        n = len(self.by_seed)
        if n < 2:
            return None
        half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * stdev(self.by_seed) / n**0.5
        return self.mean - half, self.mean + half

    @property
    def verdict(self):
        """Whether it is more than nothing: HOLDS or FAILS where the whole interval says so, else OPEN."""
        if self.interval is None:
            return OPEN
        low, high = self.interval
        return HOLDS if low > 0 else FAILS if high < 0 else OPEN


def paired(values, others):
    """The Difference of two {seed: number}, over the seeds that both have; None where there is none."""
    seeds = sorted(values.keys() & others.keys())
    return Difference(tuple(values[seed] - others[seed] for seed in seeds)) if seeds else None


def mean_and_spread(values):
    """(mean, standard deviation over seeds or None, how many) of {seed: number}."""
    numbers = list(values.values())
    return fmean(numbers), stdev(numbers) if len(numbers) > 1 else None, len(numbers)


def printed(difference, digits):
    """The mean and its interval, with more digits where the interval would seem to end at zero."""
    if difference.interval is None:
        return f"{difference.mean:+.{digits}f}"
    low, high = difference.interval
    while digits < 4 and any(bound and round(bound, digits) == 0 for bound in (low, high)):
        digits += 1  # on which side of zero it ends
    return f"{difference.mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
