"""Impulses: a few samples that are no music, as dust in a groove or a lost bit makes them."""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from restorer.degradation.detect.missing import Hole, Wave

_CLICK_S = 1e-3
_CLICK = 8.0
_SUSPECT = 20.0
_NEIGHBOURS = 24


def clicks(wave: Wave, rate: int, step: float) -> Iterator[Hole]:
    """Impulses: a few samples that no neighbours could lead to, ten times farther off than any others nearby are."""
    if len(wave) < 256:
        return
    bend = np.abs(np.diff(wave, 2))
    size = 256
    whole = bend[: len(bend) // size * size].reshape(-1, size)
    usual = np.repeat(np.quantile(whole, 0.7, axis=1), size)
    usual = np.concatenate([usual, np.full(len(bend) - len(usual), usual[-1])])
    suspects = np.flatnonzero(bend > _SUSPECT * usual + 8 * step) + 1
    longest = max(4, round(_CLICK_S * rate))
    for first, last in _groups(suspects, longest // 2):
        length = last - first + 1
        if length > longest or first < 40 * 2 or len(wave) - last < 40 * 2:
            continue
        if not (np.ptp(wave[first - 9 : first - 1]) and np.ptp(wave[last + 2 : last + 10])):
            continue  # an edge of digital silence
        off = _interpolation_error(wave, first, last)
        apart = max(length, 3)
        places = [at for k in range(_NEIGHBOURS) for at in (first - 6 - k * apart - length, last + 6 + k * apart)]
        limit = 0.0
        for at in places:
            if at >= 4 and at + length + 4 <= len(wave):
                limit = max(limit, _CLICK * (_interpolation_error(wave, at, at + length - 1) + step))
                if off <= limit:
                    break
        else:
            yield Hole(int(first), int(last) + 1, "click", float(1 - 0.5 * limit / off))


def _groups(samples: NDArray[np.intp], apart: int) -> Iterable[tuple[int, int]]:
    """First and last of those that lie less than `apart` samples from each other."""
    if not len(samples):
        return []
    cuts = np.flatnonzero(np.diff(samples) > apart)
    firsts, lasts = samples[np.concatenate([[0], cuts + 1])], samples[np.concatenate([cuts, [len(samples) - 1]])]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _interpolation_error(wave: Wave, first: int, last: int) -> float:
    """How far the samples first to last lie from a cubic through two samples on either side."""
    known = wave[[first - 2, first - 1, last + 1, last + 2]]
    return float(np.abs(wave[first : last + 1] - _cubic(last - first + 1) @ known).max())


@cache
def _cubic(length: int) -> Wave:
    """(length, 4): what the two samples before and the two behind contribute to each sample between (Lagrange)."""
    known = np.array([-2.0, -1.0, length, length + 1.0])
    between = np.arange(length)[:, None]
    rows = []
    for own in range(4):
        others = np.delete(known, own)
        rows.append(np.prod((between - others) / (known[own] - others), axis=1))
    return np.stack(rows, axis=1)
