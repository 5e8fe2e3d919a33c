"""Where a low-pass has cut: a fall of the long-term spectrum that music's own slope does not explain.

Two spectra are kept, of loud moments and of quiet ones: the first hears partials, the second the noise between notes,
and a low-pass has taken of both alike. Which low-pass it was, steepness.py tells.
"""

from dataclasses import dataclass

import numpy as np

from restorer.degradation.detect.lowpasses import Spectrum
from restorer.degradation.detect.steepness import lowest_fall

WINDOW_S = 0.38
KAISER_BETA = 16.0  # leaks less than 24 bits' noise into what a low-pass has emptied
QUIET = 1e-5  # of the mean square of the loudest frame so far: 50 dB below it a frame tells of noise alone
SILENT = 1e-9  # mean square; -90 dB of full scale
NEAR_NYQUIST = 0.9  # anti-alias filters work above it
SEGMENT_S = 20.0
CODEC_FROM_HZ = 14_500.0  # the lowest low-pass that lossy codecs choose at usual rates for music

_ISLANDS = 0.03  # of the frames; recordings that no codec has touched have none
_BAND_HZ = 1000.0
_NOTHING_DB = -160.0  # a bin, where the top of the spectrum is emptier still
_BLOCK = 4  # frames, 0.8 s: time for a note to begin
_QUIET_POWER = -0.25  # of the power, whose mean is ruled by what is quiet
_TINY = 1e-24  # power a bin, -240 dB: below what float64 leaves of full scale


@dataclass(frozen=True)
class Edge:
    """Nothing is left above cutoff_hz; fall_db: how far down its fall is seen.

    has_holes: below it bands come and go as a lossy codec makes them; confidence: 0 to 1.
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
        self._window = np.kaiser(self._size, KAISER_BETA)
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
        windowed = frame * self._window
        energy = float(np.sum(windowed**2) / np.sum(self._window**2))
        self._loudest = max(self._loudest, energy)
        if energy < max(SILENT, QUIET * self._loudest):
            return
        power = np.abs(np.fft.rfft(windowed)) ** 2 * self._norm
        has_islands = _has_islands(power, self._rate)
        self._whole.add(power, has_islands)
        self._part.add(power, has_islands)

    def _close_part(self) -> None:
        if self._part.frames:
            edge = self._part.edge(self._rate, self._size)
            here = Stretch(self._part_from / self._rate, self._position / self._rate, edge)
            if self._stretches and same(self._stretches[-1].edge, edge):
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
    """Sums over frames, bin by bin. Loud: the geometric mean of blocks' mean powers, so that every block's loudest
    moments count, and a single click for no more than one block. Quiet: the power mean of exponent -1/4."""

    def __init__(self, size: int) -> None:
        bins = size // 2 + 1
        self._block, self._loud, self._quiet = np.zeros(bins), np.zeros(bins), np.zeros(bins)
        self._in_block = self._blocks = self._islands = 0
        self.frames = 0

    def add(self, power: Spectrum, has_islands: bool) -> None:
        self._block += power
        self._quiet += (power + _TINY) ** _QUIET_POWER
        self._islands += has_islands
        self.frames += 1
        self._in_block += 1
        if self._in_block == _BLOCK:
            self._close_block()

    def _close_block(self) -> None:
        self._loud += np.log10(self._block / self._in_block + _TINY)
        self._blocks += 1
        self._in_block = 0
        self._block[:] = 0

    def edge(self, rate: int, size: int) -> Edge | None:
        if not self.frames:
            return None
        if not self._blocks:
            self._close_block()
        hz: Spectrum = np.fft.rfftfreq(size, 1 / rate).astype(np.float64)
        loud = 10 * self._loud / self._blocks
        quiet = 10 / _QUIET_POWER * np.log10(self._quiet / self.frames)
        fall = lowest_fall(hz, loud, quiet, self.frames * size / 2 / rate, rate)
        if fall is None or fall.cutoff_hz >= NEAR_NYQUIST * rate / 2:
            return None
        has_holes = fall.comes_and_goes or self._islands > _ISLANDS * self.frames
        return Edge(fall.cutoff_hz, fall.fall_db, has_holes, _confidence(fall.score))


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
    """0.5 for a fall that just passes, 0.9 for one of twice the evidence, towards 1."""
    return float(1 - 0.5 * 5 ** (1 - score)) if score < 4 else 0.999


def same(one: Edge | None, other: Edge | None) -> bool:
    """Whether the cutoffs differ by no more than the scatter of gentle ones, 10 %."""
    if one is None or other is None:
        return one is other
    return abs(np.log(one.cutoff_hz / other.cutoff_hz)) < 0.1 and one.is_codec == other.is_codec


def _surer(one: Edge | None, other: Edge | None) -> Edge | None:
    if one is None or other is None:
        return one
    return max(one, other, key=lambda edge: edge.confidence)
