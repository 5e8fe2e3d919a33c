"""Where peaks were cut: one level at which waves turn flat, again and again, and above which there is nothing.

A wave that was clipped stands still at the level and leaves it at a corner; the same level comes back at every loud
peak, whatever gain followed. An undamaged wave turns in a curve, at a level of its own each time. What was rounded to
16 bits stands still, too, but without corners. A soft clipper leaves curves, crowded below its ceiling.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]

_STEP = 0.0005  # of the level: the width of a bin
_LOWEST = 1e-3
_BINS = 16_000  # up to 3 times full scale, which floating point may hold
_NEAR = 3  # bins: what dither and rounding spread
_ROUNDING = 1.01 / 32768  # full scale: neighbours this close count as equal; one step of 16 bits
_CORNER = 3.0
_LONGEST_S = 0.025  # flat for longer is no clipped wave
_LEAST_EVENTS = 4.0
_FLAT_SHARE = 0.25
_ABOVE_SHARE = 0.02
_SOFT_EVENTS = 200
_SOFT_SPREAD = 40  # bins, 2 %
_SOFT_RISE = 1.4
_TWO_LEVELS = 0.98  # of the samples that are not zero
_CELL_S = 0.005
_CELLS, _PASSED = 8, 3  # a click is in two cells at most
_TONE = 0.5  # a steady tone, all of whose peaks are equally high, was not clipped: there must be peaks below, too


@dataclass(frozen=True)
class Ceiling:
    """The level (full scale, with its sign) of one polarity; share: of all samples that were held there.

    kind "soft": peaks crowd below the level, none was cut flat. confidence: 0 to 1.
    """

    level: float
    kind: Literal["hard", "soft"]
    share: float
    confidence: float


class PeakMeter:
    """One channel in, (time,) block by block; its ceilings out. What it remembers is histograms of peaks."""

    def __init__(self, sample_rate: int) -> None:
        self._longest = round(_LONGEST_S * sample_rate)
        self._held = np.zeros(0)
        self._signs = {1: _Peaks(), -1: _Peaks()}
        self._samples = self._sounding = 0
        self._sustained = Sustained(sample_rate)

    def push(self, samples: Wave) -> None:
        self._samples += len(samples)
        self._sounding += int(np.count_nonzero(samples))
        self._sustained.push(samples)
        wave = np.concatenate([self._held, samples])
        starts = np.concatenate([[0], np.flatnonzero(np.abs(np.diff(wave)) > _ROUNDING) + 1])
        if len(starts) > 2:
            first, last = starts[1:-1], starts[2:] - 1
            before, after = wave[first - 1], wave[last + 1]
            for sign, peaks in self._signs.items():
                rise, fall = sign * (wave[first] - before), sign * (wave[last] - after)
                peaks.add(sign * wave[first], sign * wave[last], rise, fall, last - first + 1, self._longest)
            # The last run may go on. It waits, with the sample before it.
            wave = wave[last[-1] :]
        if len(wave) > 4 * self._longest:  # of a silence, more is not needed to know that it is too long for a wave
            wave = np.concatenate([wave[:2], wave[-2 * self._longest :]])
        self._held = wave.copy()

    def result(self) -> tuple[Ceiling, ...]:
        """Of the negative and the positive polarity, those there are."""
        found = []
        for sign in (-1, 1):
            ceiling = self._signs[sign].ceiling(self._samples)
            if ceiling is not None:
                found.append(Ceiling(sign * ceiling.level, ceiling.kind, ceiling.share, ceiling.confidence))
        # Square waves and pulses have no other levels than those two, and were not clipped.
        if sum(each.share for each in found) * self._samples > _TWO_LEVELS * self._sounding:
            return ()
        return tuple(found)

    @property
    def sustained(self) -> float:
        """The highest magnitude that the wave keeps passing; a click, or the corner of one wave, does it only once."""
        return self._sustained.level


class Sustained:
    """The highest level that is passed in three of eight cells of 5 ms in a row."""

    def __init__(self, sample_rate: int) -> None:
        self._cell = max(1, round(_CELL_S * sample_rate))
        self._held = np.zeros(0)
        self._latest = np.zeros(_CELLS - 1)
        self.level = 0.0

    def push(self, samples: Wave) -> None:
        wave = np.concatenate([self._held, np.abs(samples)])
        whole = len(wave) // self._cell * self._cell
        self._held = wave[whole:].copy()
        peaks = np.concatenate([self._latest, wave[:whole].reshape(-1, self._cell).max(axis=1)])
        if len(peaks) >= _CELLS:
            around = np.lib.stride_tricks.sliding_window_view(peaks, _CELLS)
            self.level = max(self.level, float(np.partition(around, -_PASSED, axis=1)[:, -_PASSED].max()))
        self._latest = peaks[1 - _CELLS :]


class _Peaks:
    """Histograms by level: all peaks; flat ones with corners, how many samples they hold, and their exact levels."""

    def __init__(self) -> None:
        self._all, self._flat = np.zeros(_BINS), np.zeros(_BINS)
        self._samples, self._levels = np.zeros(_BINS), np.zeros(_BINS)

    def add(self, first: Wave, last: Wave, rise: Wave, fall: Wave, length: NDArray[np.intp], longest: int) -> None:
        """Runs of equal samples: the first and the last, how far they stand above their neighbours, and how many."""
        level = np.maximum(first, last)
        is_peak = (rise > 0) & (fall > 0) & (level > _LOWEST)
        first, last, rise, fall, level = (each[is_peak] for each in (first, last, rise, fall, level))
        length = length[is_peak]
        bins = np.minimum((np.log(level / _LOWEST) / _STEP).astype(np.intp), _BINS - 1)
        # A parabola rounded to steps, of which three or more samples in a row are equal, leaves by four steps at most.
        corner = np.minimum(rise, fall) >= _CORNER * np.abs(last - first)
        steep = rise + fall > 2 * _CORNER * _ROUNDING * np.where(length == 2, 3.0, 1.5)
        flat = corner & steep & (length >= 2) & (length <= longest)
        self._all += np.bincount(bins, minlength=_BINS)
        self._flat += np.bincount(bins[flat], minlength=_BINS)
        self._samples += np.bincount(bins[flat], length[flat], minlength=_BINS)
        self._levels += np.bincount(bins[flat], level[flat], minlength=_BINS)

    def ceiling(self, total: int) -> Ceiling | None:
        return self._hard(total) or self._soft()

    def _hard(self, total: int) -> Ceiling | None:
        # Flat peaks of three samples and more are what chance makes rarest: samples beyond the second count.
        width = np.ones(2 * _NEAR + 1)
        weight = np.convolve(self._samples - self._flat, width, "same")
        centre = int(np.argmax(weight))
        near = slice(max(0, centre - _NEAR), centre + _NEAR + 1)
        flat, peaks = self._flat[near].sum(), self._all[near].sum()
        if flat == 0:
            return None
        # Of a tone whose period is a whole number of samples, every crest may have two equal ones at its top.
        if self._samples[near].sum() == 2 * flat and peaks > _TONE * self._all.sum():
            return None
        above, below = self._all[near.stop :].sum(), self._all[max(0, centre - 200) : near.start].sum()
        expected = below * (2 * _NEAR + 1) / 200  # were the peaks at the level no more crowded than below it
        evidence = (weight[centre]) / (1 + expected)
        if evidence < _LEAST_EVENTS or flat < _FLAT_SHARE * peaks or above > _ABOVE_SHARE * peaks + 0.5:
            return None
        level = self._levels[near].sum() / flat
        held = float(self._samples[near].sum() / total)
        return Ceiling(float(level), "hard", held, float(1 - 0.5 * _LEAST_EVENTS / evidence))

    def _soft(self) -> Ceiling | None:
        """Peaks more crowded within 2 % below the highest than in the 10 % below, where music has fewer the higher."""
        there = np.flatnonzero(self._all)
        if not len(there):
            return None
        top = int(there[-1]) + 1
        first, second, third = (max(0, top - n * _SOFT_SPREAD) for n in (1, 6, 10))
        crowd, below = self._all[first:top].sum(), self._all[second:first].sum() / 5
        rise = float(crowd / max(below, 1))
        if crowd < _SOFT_EVENTS or rise < _SOFT_RISE or self._all[third:first].sum() < _TONE * crowd:
            return None
        return Ceiling(float(_LOWEST * np.exp((top - 0.5) * _STEP)), "soft", 0.0, 1 - 0.5 * _SOFT_RISE / rise)
