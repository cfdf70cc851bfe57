"""Means over seeds and paired differences, against numbers from tables of Student's t."""

import pytest

from attscale.ablation.statistics import FAILS, HOLDS, OPEN, Difference, mean_and_spread, paired


def test_an_interval_by_hand():
    """Of 1, 2, 3, 4, 5: mean 3, standard deviation sqrt(2.5); t for 4 degrees of freedom and 97.5 % is 2.776."""
    low, high = Difference((1.0, 2.0, 3.0, 4.0, 5.0)).interval
    half = 2.7764 * 2.5**0.5 / 5**0.5
    assert (low, high) == pytest.approx((3 - half, 3 + half), abs=1e-3)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((1.0, 1.1, 0.9), HOLDS),
        ((-1.0, -1.1, -0.9), FAILS),
        ((1.0, -1.0, 0.5), OPEN),
        ((5.0,), OPEN),  # of one seed nothing is known about the next
        ((0.0, 0.0), OPEN),
    ],
)
def test_verdicts(values, verdict):
    assert Difference(values).verdict == verdict


def test_only_seeds_that_both_have_are_paired():
    assert paired({0: 5.0, 1: 7.0, 3: 1.0}, {1: 4.0, 0: 1.0, 2: 9.0}).by_seed == (4.0, 3.0)
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_mean_and_spread():
    assert mean_and_spread({0: 1.0, 1: 3.0}) == (2.0, pytest.approx(2**0.5), 2)
    assert mean_and_spread({4: 1.5}) == (1.5, None, 1)
