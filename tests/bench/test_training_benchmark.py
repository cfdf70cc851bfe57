"""What training costs besides Caffe's own work."""

import pytest

from attscale.bench import training
from attscale.errors import RunError


def test_growth_and_share_worked_out_by_hand():
    """200 MiB at most in the first 100 iterations, 203 later: 1.5 %. 0.5 of 50 s outside of Caffe: 1 %; 2 s: 4 %."""
    memory = ((0, 90.0), (40, 200.0), (100, 195.0), (120, 203.0), (2000, 201.0))
    cost = training.Cost(memory=memory, seconds=50.0, outside=0.5, waited=2.0)
    assert cost.growth == pytest.approx(0.015)
    first, second = training.lines(cost)
    assert first == "memory after the first 100 iterations: +1.50% (at most 2%)"
    assert second == (
        "time outside of Caffe's forward, backward and update: 1.00% (at most 2%); "
        "waiting for data, inside of forward: 4.00%"
    )


@pytest.mark.slow
def test_two_thousand_iterations_are_within_what_is_allowed():
    cost = training.measure(2000)
    assert cost.growth <= training.MOST_GROWTH
    assert cost.outside <= training.MOST_OUTSIDE * cost.seconds


def test_too_few_iterations_are_refused():
    with pytest.raises(RunError, match="150 iterations, expected at least 200"):
        training.measure(150)
