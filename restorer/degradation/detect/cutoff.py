"""Where a low-pass has cut: a fall of the long-term spectrum that is steeper than music's own.

Music falls by up to 30 dB an octave, and its partials make the spectrum rough; a low-pass takes partials and the noise
between them alike, within a fraction of an octave. So levels just below and just above every frequency are compared, as
medians, less what the slope of the octave below makes expect. Where the fall is large, Butterworth's curves of many
orders, from gentle to a cliff, are laid over its first decibels; the one that fits best has the cutoff.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import sici

Spectrum = NDArray[np.float64]

WINDOW_S = 0.19
QUIET = 1e-5  # of the mean square of the loudest frame so far: 50 dB below it a frame tells of noise alone
SILENT = 1e-9  # mean square; -90 dB of full scale
LOWEST_HZ = 650.0
NEAR_NYQUIST = 0.9  # anti-alias filters work above it
SEGMENT_S = 20.0
CODEC_FROM_HZ = 14_500.0  # the lowest low-pass that lossy codecs choose at usual rates for music

_STEP_DB = 10.0  # of what is seen within a third of an octave; a minute of undamaged piano or band reaches 6
_FALL_DB = 14.0  # within two thirds; these reach 8
_FEW_NOTES_S = 8.0  # so much more is asked of a short piece, whose spectrum is rough: twice as much of eight seconds
_OUTSTANDING = 0.4  # of the greatest score
_HALF_AN_OCTAVE = 12  # steps of the grid
_ISLANDS = 0.03  # of the frames; recordings that no codec has touched have none
_BAND_HZ = 1000.0
_NOTHING_DB = -160.0  # a bin, where the top of the spectrum is emptier still
_ORDERS = (4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 100, 200, 400)
_CHEBYSHEV_ORDERS = (4, 5, 6, 8, 10)
_CHEBYSHEV_RIPPLE_DB = 0.1
_CLIFF = 64
_FIRST_DB = 30.0
_DEEP_DB = 55.0  # a fall as deep as this is all of one piece
_PAPER_TAPS = 501
_LEAST_FALL_DB = 6.0
_ROOTS = (1, 2, 4)
_TINY = 1e-24  # power a bin, -240 dB: below what float64 leaves of full scale


@dataclass(frozen=True)
class Edge:
    """Nothing is left above cutoff_hz; fall_db: how much more the level drops there than music does by itself.

    has_holes: the octave below has the time-frequency holes of a lossy codec; confidence: 0 to 1.
    """

    cutoff_hz: float
    fall_db: float
    has_holes: bool
    confidence: float

    @property
    def is_codec(self) -> bool:
        """A lossy codec's own low-pass, as far as holes and the frequency tell."""
        return self.has_holes or self.cutoff_hz >= CODEC_FROM_HZ


@dataclass(frozen=True)
class Stretch:
    """The edge of the stretch from start_s to stop_s; None where it has none."""

    start_s: float
    stop_s: float
    edge: Edge | None


class SpectrumMeter:
    """Frames of one channel in, its long-term spectra out; and those of every SEGMENT_S seconds, as edges.

    push: samples (time,) at sample_rate, in blocks of any size; the result does not depend on the sizes.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = 1 << round(np.log2(WINDOW_S * sample_rate))
        self._window = np.blackman(self._size)
        self._norm = 2 / (np.sum(self._window**2) * self._size)
        self._held = np.zeros(0)
        self._position = 0
        self._loudest = 0.0
        self._whole, self._part = _Sums(self._size), _Sums(self._size)
        self._part_from = 0
        self._stretches: list[Stretch] = []

    def push(self, samples: Spectrum) -> None:
        held = np.concatenate([self._held, samples])
        hop = self._size // 2
        while len(held) >= self._size:
            self._add(held[: self._size])
            held = held[hop:]
            self._position += hop
            if self._position - self._part_from >= SEGMENT_S * self._rate:
                self._close_part()
        self._held = held.copy()

    def _add(self, frame: Spectrum) -> None:
        energy = float(np.mean(frame**2))
        self._loudest = max(self._loudest, energy)
        if energy < max(SILENT, QUIET * self._loudest):
            return
        power = np.abs(np.fft.rfft(frame * self._window)) ** 2 * self._norm
        has_islands = _has_islands(power, self._rate)
        self._whole.add(power, has_islands)
        self._part.add(power, has_islands)

    def _close_part(self) -> None:
        if self._part.frames:
            edge = self._part.edge(self._rate, self._size)
            here = Stretch(self._part_from / self._rate, self._position / self._rate, edge)
            if self._stretches and _same(self._stretches[-1].edge, edge):
                here = Stretch(self._stretches[-1].start_s, here.stop_s, _surer(self._stretches.pop().edge, edge))
            self._stretches.append(here)
        self._part = _Sums(self._size)
        self._part_from = self._position

    def result(self) -> tuple[Edge | None, tuple[Stretch, ...]]:
        """The edge of the whole, and the stretches in order, equal neighbours as one (silence has none)."""
        self._close_part()
        edge = self._whole.edge(self._rate, self._size)
        return edge, tuple(self._stretches)


class _Sums:
    """Sums over frames, bin by bin: of the power, and of its roots, which hear more of what lies between loud moments
    and less of single clicks; and the number of frames with islands."""

    def __init__(self, size: int) -> None:
        self._sums = np.zeros((len(_ROOTS), size // 2 + 1))
        self._islands = 0
        self.frames = 0

    def add(self, power: Spectrum, has_islands: bool) -> None:
        root = np.sqrt(power)
        self._sums += (power, root, np.sqrt(root))
        self._islands += has_islands
        self.frames += 1

    def edge(self, rate: int, size: int) -> Edge | None:
        if not self.frames:
            return None
        hz: Spectrum = np.fft.rfftfreq(size, 1 / rate).astype(np.float64)
        mean, usual, even = (
            10 * np.log10((total / self.frames) ** root + _TINY) for total, root in zip(self._sums, _ROOTS, strict=True)
        )
        seconds = self.frames * size / 2 / rate
        found = _suspect(hz, usual, mean, 1 + _FEW_NOTES_S / seconds)
        if found is None:
            return None
        near_hz, score, fall_db = found
        has_holes = self._islands > _ISLANDS * self.frames
        cutoff_hz = _fitted(hz, mean if has_holes else even, near_hz, fall_db)
        if cutoff_hz >= NEAR_NYQUIST * rate / 2:
            return None
        return Edge(cutoff_hz, fall_db, has_holes, _confidence(score))


def _has_islands(power: Spectrum, rate: int) -> bool:
    """Whether in one frame a dead band lies below a living one: music does not do that, lossy codecs do. Dead is what
    is as low as the top of the spectrum, above every codec's low-pass."""
    width = round(_BAND_HZ * 2 * (len(power) - 1) / rate)
    bands = 10 * np.log10(
        np.median(power[4 * width :][: (len(power) // width - 4) * width].reshape(-1, width), axis=1) + _TINY
    )
    if len(bands) < 8:
        return False
    floor = max(bands[-2:].mean(), _NOTHING_DB)
    alive, dead = bands > floor + 20, bands < floor + 8
    return bool(alive.any() and dead[: int(np.flatnonzero(alive)[-1])].any())


def _confidence(score: float) -> float:
    """0.5 for a fall that just passes, 0.9 for one of twice as many decibels, towards 1."""
    return float(1 - 0.5 * 5 ** (1 - score)) if score < 4 else 0.999


def _suspect(hz: Spectrum, usual_db: Spectrum, mean_db: Spectrum, needed: float) -> tuple[float, float, float] | None:
    """The lowest frequency where a fall stands out, by how much of what is needed, and in dB; None where none does.

    The lowest, for a second low-pass above the first cuts what the first has left. A step tells the place better than a
    fall, and is preferred."""
    grid = LOWEST_HZ * 2 ** (np.arange(400) / 24)
    grid = grid[grid < 0.97 * hz[-1]]
    both = np.array([[_falls(hz, level, near) for level in (usual_db, mean_db)] for near in grid])
    least = np.nan_to_num(both.min(axis=1), nan=0.0)
    scores = least / np.array([_STEP_DB, _FALL_DB]) / needed
    for score, drop in zip(scores.T, least.T, strict=True):
        if score.max() >= 1:
            first = int(np.argmax(score >= max(1.0, _OUTSTANDING * score.max())))
            best = first + int(np.argmax(score[first : first + _HALF_AN_OCTAVE]))
            return float(grid[best]), float(scores[best].max()), float(drop[best])
    return None


def _falls(hz: Spectrum, level: Spectrum, near: float) -> tuple[float, float]:
    """How much lower it is just above, and from two thirds of an octave above on, than the slope below has it."""
    slope = _slope(hz, level, near)
    step = _median(hz, level, 0.85 * near, 0.97 * near) - _median(hz, level, 1.08 * near, 1.25 * near)
    fall = _median(hz, level, 0.8 * near, near) - _median(hz, level, 1.35 * near, 1.7 * near)
    return step - slope * np.log2(1.165 / 0.91), fall - slope * np.log2(1.52 / 0.9)


def _slope(hz: Spectrum, level: Spectrum, near: float) -> float:
    """dB an octave that the level falls towards `near`: 0 to 30, what music does."""
    fall = _median(hz, level, 0.4 * near, 0.55 * near) - _median(hz, level, 0.8 * near, 0.97 * near)
    return float(np.clip(fall / np.log2(0.885 / 0.47), 0, 30))


def _median(hz: Spectrum, level: Spectrum, low: float, high: float) -> float:
    """Of the level between two frequencies; NaN, which no comparison passes, where there is nothing to speak of."""
    first, last = np.searchsorted(hz, (low, high))
    return float(np.median(level[first:last])) if last - first > 2 else float("nan")


def _fitted(hz: Spectrum, level: Spectrum, near: float, fall_db: float) -> float:
    """The cutoff by the best of Butterworth's curves, in the first decibels of its fall (L1, so that partials that
    stick out do not count for more than others)."""
    is_deep = fall_db > _DEEP_DB
    depth = float(np.clip(0.8 * fall_db, _LEAST_FALL_DB, fall_db if is_deep else _FIRST_DB))
    points = near * 2 ** np.linspace(-1.2, 0.9, 252)
    points = points[(points < hz[-1])]
    width = 2 ** (1.5 / 120)
    smooth = np.array([_near(hz, level, point / width, point * width) for point in points])
    slope = _slope(hz, level, near * 0.8)
    flat = smooth + slope * np.log2(points / near)
    best_loss, best_hz = np.inf, near
    for cutoff in near * 2 ** np.arange(-0.45, 0.4, 1 / 120):
        known = (points > 0.45 * cutoff) & (points < 0.95 * cutoff)
        for curve, order in _curves(points, cutoff, 2 * hz[-1]):
            offset = np.median(flat[known] - curve[known])
            loss = float(np.mean(np.abs(np.clip(flat - offset, -depth, depth / 2) - np.maximum(curve, -depth))))
            if loss < best_loss:
                # Behind a cliff, which is a resampler's or a codec's, nothing is left from its foot on, some 20 to 30
                # dB down; other low-passes are named after where they bend, 3 dB down.
                foot = (1000 if is_deep else 100) ** (0.5 / order) if order >= _CLIFF else 1.0
                best_loss, best_hz = loss, cutoff * foot
    return float(best_hz)


def _curves(points: Spectrum, cutoff: float, rate: float) -> Iterator[tuple[Spectrum, int]]:
    """Low-passes in dB at these frequencies, and their orders; 0 for the paper's filter."""
    ratio = points / cutoff
    for order in _ORDERS:
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


def _same(one: Edge | None, other: Edge | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(np.log(one.cutoff_hz / other.cutoff_hz)) < 0.1 and one.is_codec == other.is_codec


def _surer(one: Edge | None, other: Edge | None) -> Edge | None:
    if one is None or other is None:
        return one
    return max(one, other, key=lambda edge: edge.confidence)
