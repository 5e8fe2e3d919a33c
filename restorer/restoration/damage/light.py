"""Damage that a classical method repairs better than the prior; see README for the evidence."""

from collections.abc import Iterable

Gap = tuple[float, float]

LIGHT_GAP_S = 0.1
"""Up to here a gap goes to autoregression."""

LIGHT_CLIPPING = 0.5
"""Up to this share of clipped samples in a window the prior has nothing to add to social sparsity."""

_ROUNDING_S = 1e-6  # of a difference of two times that a user typed
_SAMPLE_S = 1 / 4000  # of the lowest rates, with some to spare
_APART_S = 0.2  # what autoregression hears beside a gap


def split_gaps(gaps_s: Iterable[Gap]) -> tuple[list[Gap], list[Gap]]:
    """The light gaps and the others, both in order; a short gap goes along with one of the others that is near.

    gaps_s: in order. Those that meet, but for rounding to samples, count as one.

    >>> split_gaps([(1.0, 1.02), (2.0, 2.5), (2.6, 2.61)])
    ([(1.0, 1.02)], [(2.0, 2.5), (2.6, 2.61)])
    """
    gaps_s = list(gaps_s)
    runs = _runs(gaps_s)
    heavy = [gap for run in runs if run[-1][1] - run[0][0] > LIGHT_GAP_S + _ROUNDING_S for gap in run]
    while more := [gap for gap in gaps_s if gap not in heavy and any(_near(gap, other) for other in heavy)]:
        heavy += more
    return [gap for gap in gaps_s if gap not in heavy], sorted(heavy)


def _near(a: Gap, b: Gap) -> bool:
    return b[0] - _APART_S < a[1] and a[0] < b[1] + _APART_S


def _runs(gaps_s: Iterable[Gap]) -> list[list[Gap]]:
    """Gaps between which there is not even a sample."""
    runs: list[list[Gap]] = []
    for gap in gaps_s:
        if runs and gap[0] - runs[-1][-1][1] < _SAMPLE_S:
            runs[-1].append(gap)
        else:
            runs.append([gap])
    return runs
