"""Means and their confidence intervals."""

import math

import numpy as np
import pytest

from restorer.errors import UsageError
from restorer.metrics.interval import mean_interval


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    draws = 5 + 2 * np.random.default_rng(0).standard_normal((4000, 4))
    means = [mean_interval(list(draw)) for draw in draws]
    share = np.mean([abs(each.mean - 5) <= each.half_width for each in means])
    # The share of 4000 repetitions has a deviation of 0.0034; a normal quantile instead of Student's would give 0.86.
    assert share == pytest.approx(0.95, abs=4 * 0.0034)


def test_two_values_by_hand():
    # s = sqrt(2), t(1, 97.5 %) = 12.706
    found = mean_interval([1.0, 3.0])
    assert (found.mean, found.count) == (2.0, 2)
    assert found.half_width == pytest.approx(12.7062, abs=1e-4)


def test_one_value_and_infinite_ones_have_no_interval():
    assert mean_interval([4.0]).half_width is None
    assert (mean_interval([1.0, math.inf]).mean, mean_interval([1.0, math.inf]).half_width) == (math.inf, None)


def test_no_values_have_no_mean():
    with pytest.raises(UsageError, match="no values have no mean: give at least one"):
        mean_interval([])
