"""Damage that a classical method repairs better than the prior; see README for the evidence."""

from collections.abc import Iterable
from itertools import pairwise

from restorer.restoration.task import Gap, Inpainting, gaps_of

LIGHT_GAP_S = 0.1
"""Up to here a gap goes to autoregression."""

LIGHT_CLIPPING = 0.5
"""Up to this share of clipped samples in a window the prior has nothing to add to social sparsity."""

_ROUNDING_S = 1e-6  # of a difference of two times that a user typed
_SAMPLE_S = 1 / 1000  # of the lowest rate


def split(gaps: Inpainting) -> tuple[Inpainting, Inpainting]:
    """The light gaps and the others, of each channel as if it were alone."""
    own = [split_gaps(each) for each in gaps.of_channels_s]
    light, others = (gaps_of(each) for each in zip(*own, strict=True))
    return light, others


def split_gaps(gaps_s: Iterable[Gap]) -> tuple[list[Gap], list[Gap]]:
    """The light gaps and the others, both in order.

    A short one goes along with one of the others that is nearer than it is long: autoregression, which hears nothing
    beyond that one, would have too little to learn from. gaps_s: in order. Those that meet, but for rounding to
    samples, count as one.

    >>> split_gaps([(1.0, 1.02), (2.0, 2.5), (2.51, 2.57), (2.6, 2.61)])
    ([(1.0, 1.02), (2.6, 2.61)], [(2.0, 2.5), (2.51, 2.57)])
    """
    runs = _runs(gaps_s)
    heavy = [_length(run) > LIGHT_GAP_S + _ROUNDING_S for run in runs]
    neighbours = list(enumerate(pairwise(runs)))
    for i, (before, after) in neighbours:
        heavy[i + 1] |= heavy[i] and _apart(before, after) < _length(after)
    for i, (before, after) in reversed(neighbours):
        heavy[i] |= heavy[i + 1] and _apart(before, after) < _length(before)
    light = [gap for run, is_heavy in zip(runs, heavy, strict=True) if not is_heavy for gap in run]
    others = [gap for run, is_heavy in zip(runs, heavy, strict=True) if is_heavy for gap in run]
    return light, others


def _runs(gaps_s: Iterable[Gap]) -> list[list[Gap]]:
    """Gaps between which there is not even a sample."""
    runs: list[list[Gap]] = []
    for gap in gaps_s:
        if runs and _apart(runs[-1], [gap]) < _SAMPLE_S:
            runs[-1].append(gap)
        else:
            runs.append([gap])
    return runs


def _length(run: list[Gap]) -> float:
    return run[-1][1] - run[0][0]


def _apart(before: list[Gap], after: list[Gap]) -> float:
    return after[0][0] - before[-1][1]
