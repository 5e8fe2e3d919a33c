"""A mean, and how well the recordings that were measured pin it down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from restorer.errors import UsageError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """The mean of `count` values and half the width of its confidence interval; None where there is none to give."""

    mean: float
    half_width: float | None
    count: int


def mean_interval(values: Sequence[float]) -> Mean:
    """The mean with Student's t interval, mean +- t(count - 1) s / sqrt(count), s with count - 1 in the denominator.

    Exact for independent values that are normally distributed: in a share CONFIDENCE of all repetitions the interval
    holds the true mean. A single value, and values that are not all finite, have no interval.
    Raises UsageError without values.
    """
    if not values:
        raise UsageError("no values have no mean: give at least one")
    x = np.asarray(values, dtype=np.float64)
    if x.size == 1 or not np.isfinite(x).all():
        return Mean(float(x.mean()), None, x.size)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, x.size - 1))
    return Mean(float(x.mean()), quantile * float(x.std(ddof=1)) / math.sqrt(x.size), x.size)
