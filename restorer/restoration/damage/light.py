"""Damage that a classical method repairs better than the prior; see README for the evidence."""

from collections.abc import Iterable

Gap = tuple[float, float]

LIGHT_GAP_S = 0.1
"""Up to here a gap goes to autoregression."""

LIGHT_CLIPPING = 0.5
"""Up to this share of clipped samples in a window the prior has nothing to add to social sparsity."""

_ROUNDING_S = 1e-6  # of a difference of two times that a user typed
_APART_S = 0.2  # what autoregression hears beside a gap


def split_gaps(gaps_s: Iterable[Gap]) -> tuple[list[Gap], list[Gap]]:
    """The light gaps and the others, both in order; a short gap goes along with a long one that is near.

    >>> split_gaps([(1.0, 1.02), (2.0, 2.5), (2.6, 2.61)])
    ([(1.0, 1.02)], [(2.0, 2.5), (2.6, 2.61)])
    """
    gaps_s = list(gaps_s)
    long = [gap for gap in gaps_s if gap[1] - gap[0] > LIGHT_GAP_S + _ROUNDING_S]
    light: list[Gap] = []
    heavy: list[Gap] = []
    for gap in gaps_s:
        near = any(first - _APART_S < gap[1] and gap[0] < stop + _APART_S for first, stop in long)
        (heavy if near else light).append(gap)
    return light, heavy
