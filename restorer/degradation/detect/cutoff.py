"""Where a low-pass has cut: a fall of the long-term spectrum that music's own slope does not explain.

Two spectra are kept, of loud moments and of quiet ones: the first hears partials, the second the noise between notes,
and a low-pass has taken of both alike. Which low-pass it was, steepness.py tells.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from restorer.degradation.detect.lowpasses import Spectrum
from restorer.degradation.detect.steepness import LOWEST_HZ, lowest_fall

WINDOW_S = 0.38
KAISER_BETA = 16.0  # leaks less than 24 bits' noise into what a low-pass has emptied
QUIET = 1e-5  # of the mean square of the loudest frame so far: 50 dB below it a frame tells of noise alone
SILENT = 1e-9  # mean square; -90 dB of full scale
NEAR_NYQUIST = 0.9  # anti-alias filters work above it
SEGMENT_S = 20.0
CODEC_FROM_HZ = 14_500.0  # the lowest low-pass that lossy codecs choose at usual rates for music
LOSSY_FROM_HZ = 5_000.0  # and at the lowest (AAC of 48 kbit/s: 7.4 kHz), where the file is known to come from one

_ISLANDS = 0.03  # of the frames; recordings that no codec has touched have none
_BAND_HZ = 1000.0
_NOTHING_DB = -160.0  # a bin, where the top of the spectrum is emptier still
_BLOCK = 4  # frames, 0.8 s: time for a note to begin
_QUIET_POWER = -0.25  # of the power, whose mean is ruled by what is quiet
_HIGHS_DB = 10.0  # above a cutoff, more than where highs are lost
_ABOVE = 1.1  # times a cutoff: beyond the scatter of gentle ones
_TINY = 1e-24  # power a bin, -240 dB: below what float64 leaves of full scale


@dataclass(frozen=True)
class Edge:
    """Nothing is left above cutoff_hz; fall_db: how far down its fall is seen. confidence: 0 to 1.

    is_codec: a lossy codec's own low-pass, as far as the frequency tells, and bands below it that come and go.
    """

    cutoff_hz: float
    fall_db: float
    is_codec: bool
    confidence: float


@dataclass(frozen=True)
class Stretch:
    """The edge of the stretch from start_s to stop_s; None where it has none.

    has_highs: there is more above the cutoffs of the other stretches than they have. What is merely too soft to tell
    has neither highs nor an edge.
    """

    start_s: float
    stop_s: float
    edge: Edge | None
    has_highs: bool


@dataclass(frozen=True)
class _Part:
    """What SEGMENT_S seconds had. levels: dB, in thirds of an octave; is_soft: less than half of it sounds."""

    start_s: float
    stop_s: float
    edge: Edge | None
    levels: Spectrum
    is_soft: bool


class SpectrumMeter:
    """Frames of one channel in, its long-term spectra out; and those of every SEGMENT_S seconds, as edges.

    push: samples (time,) at sample_rate, in blocks of any size; the result does not depend on the sizes. It remembers
    half a kilobyte of every segment. is_lossy: they come from a file of a lossy codec.
    """

    def __init__(self, sample_rate: int, is_lossy: bool = False) -> None:
        self._rate = sample_rate
        self._codec_from_hz = LOSSY_FROM_HZ if is_lossy else CODEC_FROM_HZ
        self._size = 1 << round(np.log2(WINDOW_S * sample_rate))
        self._window = np.kaiser(self._size, KAISER_BETA)
        self._norm = 2 / (np.sum(self._window**2) * self._size)
        self._held = np.zeros(0)
        self._position = 0
        self._loudest = 0.0
        self._whole, self._part = _Sums(self._size), _Sums(self._size)
        self._part_from = 0
        self._parts: list[_Part] = []

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
        part = self._part
        if part.frames:
            is_soft = part.frames * self._size < self._position - self._part_from  # frames overlap by half
            self._parts.append(
                _Part(
                    self._part_from / self._rate, self._position / self._rate, self._edge(part),
                    part.levels(self._rate, self._size), is_soft,
                )
            )  # fmt: skip
        self._part = _Sums(self._size)
        self._part_from = self._position

    def _edge(self, sums: "_Sums") -> Edge | None:
        return sums.edge(self._rate, self._size, self._codec_from_hz)

    def result(self) -> tuple[Edge | None, tuple[Stretch, ...]]:
        """The edge of the whole, and the stretches in order, equal neighbours as one (silence has none)."""
        self._close_part()
        return self._edge(self._whole), _stretches(self._parts, self._rate)


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

    def _loud_db(self) -> Spectrum:
        if not self._blocks:
            self._close_block()
        return 10 * self._loud / self._blocks

    def levels(self, rate: int, size: int) -> Spectrum:
        """Of loud moments, in thirds of an octave."""
        bins = np.round(_thirds_hz(rate) * size / rate).astype(np.intp)
        loud = self._loud_db()
        return np.array([loud[first:stop].mean() for first, stop in pairwise(bins)])

    def edge(self, rate: int, size: int, codec_from_hz: float) -> Edge | None:
        if not self.frames:
            return None
        hz: Spectrum = np.fft.rfftfreq(size, 1 / rate).astype(np.float64)
        loud = self._loud_db()
        quiet = 10 / _QUIET_POWER * np.log10(self._quiet / self.frames)
        fall = lowest_fall(hz, loud, quiet, self.frames * size / 2 / rate, rate)
        if fall is None or fall.cutoff_hz >= NEAR_NYQUIST * rate / 2:
            return None
        has_holes = fall.comes_and_goes or self._islands > _ISLANDS * self.frames
        is_codec = has_holes or fall.cutoff_hz >= codec_from_hz
        return Edge(fall.cutoff_hz, fall.fall_db, is_codec, _confidence(fall.score))


def _thirds_hz(rate: int) -> Spectrum:
    """Where thirds of an octave begin and end, up to where anti-alias filters work."""
    octaves = np.log2(NEAR_NYQUIST * rate / 2 / LOWEST_HZ)
    return LOWEST_HZ * 2 ** np.arange(0, octaves, 1 / 3)


def _stretches(parts: list[_Part], rate: int) -> tuple[Stretch, ...]:
    """Parts in order, equal neighbours as one."""
    stretches: list[Stretch] = []
    for part, has_highs in zip(parts, _have_highs(parts, rate), strict=True):
        here = Stretch(part.start_s, part.stop_s, part.edge, has_highs)
        last = stretches[-1] if stretches else None
        if last and same(last.edge, here.edge) and last.has_highs == has_highs:
            stretches[-1] = Stretch(last.start_s, here.stop_s, _surer(last.edge, here.edge), has_highs)
        else:
            stretches.append(here)
    return tuple(stretches)


def _have_highs(parts: list[_Part], rate: int) -> list[bool]:
    """Of each part without an edge, whether it has more in the octave above all cutoffs than parts with one have.

    Noise that was added afterwards is as loud in both, and what is soft has less: neither tells of highs.
    """
    dull = [part for part in parts if part.edge]
    if not dull:
        return [False] * len(parts)
    cutoff_hz = max(part.edge.cutoff_hz for part in dull if part.edge)
    above = np.flatnonzero(_thirds_hz(rate)[:-1] > _ABOVE * cutoff_hz)[:3]
    if not len(above):
        return [False] * len(parts)
    lost = np.median([part.levels[above] for part in dull], axis=0)
    return [not (part.edge or part.is_soft) and bool(np.mean(part.levels[above] - lost) > _HIGHS_DB) for part in parts]


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
    """Whether both are none, or of one kind and about one cutoff."""
    if one is None or other is None:
        return one is other
    return is_about(one.cutoff_hz, other.cutoff_hz) and one.is_codec == other.is_codec


def is_about(one_hz: float, other_hz: float) -> bool:
    """Whether cutoffs differ by no more than the scatter of gentle ones, 10 %."""
    return bool(abs(np.log(one_hz / other_hz)) < 0.1)


def _surer(one: Edge | None, other: Edge | None) -> Edge | None:
    if one is None or other is None:
        return one
    return max(one, other, key=lambda edge: edge.confidence)
