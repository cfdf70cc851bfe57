"""What training costs besides Caffe's own work."""

import pytest

from attscale.bench import training
from attscale.errors import RunError


def test_growth_and_share_worked_out_by_hand():
    """200 MiB at most in the first 100 iterations, 203 later: 1.015. 0.5 of 50 s outside of Caffe: 1 %; 2 s: 4 %."""
    memory = ((0, 90.0), (40, 200.0), (100, 195.0), (120, 203.0), (2000, 201.0))
    growth, outside, waited = training.findings(
        training.Cost(memory=memory, seconds=50.0, outside=0.5, waited=2.0)
    ).ratios
    assert (growth.ratios, growth.at_most) == ([pytest.approx(1.015)], 1.02)
    assert (outside.ratios, outside.at_most) == ([0.01], 0.02)
    assert (waited.ratios, waited.target) == ([0.04], None)


@pytest.mark.slow
def test_two_thousand_iterations_are_within_what_is_allowed():
    growth, outside, _ = training.costs(iterations=2000).ratios
    assert growth.target[1]
    assert outside.target[1]


def test_too_few_iterations_are_refused():
    with pytest.raises(RunError, match="150 iterations, expected at least 200"):
        training.measure(150)
