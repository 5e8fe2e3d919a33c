"""Where a spectrum falls as music does not, and which low-pass would make it fall so."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import sici

Spectrum = NDArray[np.float64]

LOWEST_HZ = 650.0

_STEP_DB = 10.0  # of what is seen within a third of an octave; a minute of undamaged piano or band reaches 6
_FALL_DB = 14.0  # within two thirds; these reach 8
_FEW_NOTES_S = 8.0  # so much more is asked of a short piece, whose spectrum is rough: twice as much of eight seconds
_STEP_OCTAVES, _FALL_OCTAVES = 0.356, 0.756  # between the middles of what is compared
_OUTSTANDING = 0.4  # of the greatest score
_HALF_AN_OCTAVE = 12  # steps of the grid
_ORDERS = (4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 100, 200, 400)
_CHEBYSHEV_ORDERS = (4, 5, 6, 8, 10)
_CHEBYSHEV_RIPPLE_DB = 0.1
_CLIFF = 64
_FIRST_DB = 30.0
_DEEP_DB = 55.0  # a fall as deep as this is all of one piece
_PAPER_TAPS = 501
_LEAST_FALL_DB = 6.0


def suspect(
    hz: Spectrum, usual_db: Spectrum, mean_db: Spectrum, seconds: float
) -> tuple[float, float, float, float] | None:
    """The lowest frequency where a fall stands out, by how much of what is needed, how many dB, and within how many
    octaves; None where none does.

    The lowest, for a second low-pass above the first cuts what the first has left. A step tells the place better than a
    fall, and is preferred."""
    grid = LOWEST_HZ * 2 ** (np.arange(400) / 24)
    grid = grid[grid < 0.97 * hz[-1]]
    both = np.array([[_falls(hz, level, near) for level in (usual_db, mean_db)] for near in grid])
    least = np.nan_to_num(both.min(axis=1), nan=0.0)
    needed = 1 + _FEW_NOTES_S / seconds
    scores = least / np.array([_STEP_DB, _FALL_DB]) / needed
    for score, drop, octaves in zip(scores.T, least.T, (_STEP_OCTAVES, _FALL_OCTAVES), strict=True):
        if score.max() >= 1:
            first = int(np.argmax(score >= max(1.0, _OUTSTANDING * score.max())))
            best = first + int(np.argmax(score[first : first + _HALF_AN_OCTAVE]))
            return float(grid[best]), float(scores[best].max()), float(drop[best]), octaves
    return None


def _falls(hz: Spectrum, level: Spectrum, near: float) -> tuple[float, float]:
    """How much lower it is just above, and from two thirds of an octave above on, than the slope below has it."""
    slope = _slope(hz, level, near)
    step = _median(hz, level, 0.85 * near, 0.97 * near) - _median(hz, level, 1.08 * near, 1.25 * near)
    fall = _median(hz, level, 0.8 * near, near) - _median(hz, level, 1.35 * near, 1.7 * near)
    return step - slope * _STEP_OCTAVES, fall - slope * _FALL_OCTAVES


def _slope(hz: Spectrum, level: Spectrum, near: float) -> float:
    """dB an octave that the level falls towards `near`: 0 to 30, what music does."""
    fall = _median(hz, level, 0.4 * near, 0.55 * near) - _median(hz, level, 0.8 * near, 0.97 * near)
    return float(np.clip(fall / np.log2(0.885 / 0.47), 0, 30))


def _median(hz: Spectrum, level: Spectrum, low: float, high: float) -> float:
    """Of the level between two frequencies; NaN, which no comparison passes, where there is nothing to speak of."""
    first, last = np.searchsorted(hz, (low, high))
    return float(np.median(level[first:last])) if last - first > 2 else float("nan")


def fitted(hz: Spectrum, level: Spectrum, near: float, fall_db: float, octaves: float) -> float:
    """The cutoff by the best of Butterworth's curves, in the first decibels of its fall (L1, so that partials that
    stick out do not count for more than others)."""
    is_deep = fall_db > _DEEP_DB
    least_order = 0.8 * fall_db / (6.02 * octaves)  # Butterworth's curves fall by 6 dB an octave and order, at most
    depth = float(np.clip(0.8 * fall_db, _LEAST_FALL_DB, fall_db if is_deep else _FIRST_DB))
    points = near * 2 ** np.linspace(-0.6, 0.5, 132)
    points = points[(points < hz[-1])]
    width = 2 ** (1.5 / 120)
    smooth = np.array([_near(hz, level, point / width, point * width) for point in points])
    slope = _slope(hz, level, near * 0.8)
    flat = smooth + slope * np.log2(points / near)
    best_loss, best_hz = np.inf, near
    for cutoff in near * 2 ** np.arange(-0.45, 0.4, 1 / 120):
        known = (points > 0.45 * cutoff) & (points < 0.95 * cutoff)
        for curve, order in _curves(points, cutoff, 2 * hz[-1], least_order):
            offset = np.median(flat[known] - curve[known])
            loss = float(np.mean(np.abs(np.clip(flat - offset, -depth, depth / 2) - np.maximum(curve, -depth))))
            if loss < best_loss:
                # Behind a cliff, which is a resampler's or a codec's, nothing is left from its foot on, some 20 to 30
                # dB down; other low-passes are named after where they bend, 3 dB down.
                foot = (1000 if is_deep else 100) ** (0.5 / order) if order >= _CLIFF else 1.0
                best_loss, best_hz = loss, cutoff * foot
    return float(best_hz)


def _curves(points: Spectrum, cutoff: float, rate: float, least_order: float) -> Iterator[tuple[Spectrum, int]]:
    """Low-passes in dB at these frequencies, and their orders; 0 for the paper's filter."""
    ratio = points / cutoff
    for order in (each for each in _ORDERS if each >= least_order):
        yield -10 * np.log10(1 + 10 ** np.minimum(2 * order * np.log10(ratio), 30.0)), order
    beyond = np.arccosh(np.maximum(ratio, 1))
    ripple = 10 ** (_CHEBYSHEV_RIPPLE_DB / 10) - 1
    for order in _CHEBYSHEV_ORDERS:
        yield -10 * np.log10(1 + ripple * np.where(ratio > 1, np.cosh(order * beyond), 0.0) ** 2), order
    lobes, level = _rectangular_window()
    yield np.interp((points - cutoff) * _PAPER_TAPS / rate, lobes, level), 0


@cache
def _rectangular_window() -> tuple[Spectrum, Spectrum]:
    """A low-pass cut by a rectangular window, as the paper's is: (distance from the cutoff in lobes, level in dB), the
    lobes evened out. Its response is the integral of a sinc."""
    lobes = np.linspace(-6, 200, 20_601)
    response = 0.5 - sici(np.pi * lobes)[0] / np.pi
    power = np.convolve(response**2, np.full(100, 0.01), "same")
    level = np.where(lobes < -1, 0.0, 10 * np.log10(power))
    return lobes[100:-100], level[100:-100]


def _near(hz: Spectrum, level: Spectrum, low: float, high: float) -> float:
    first, last = np.searchsorted(hz, (low, high))
    if last - first < 3:
        return float(np.interp((low + high) / 2, hz, level))
    return float(np.median(level[first:last]))
