"""Never worse, measured: how far what was sound differs from the recording, as the result goes by."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from restorer.audio import Samples
from restorer.degradation import HardClip
from restorer.dsp.filters import sharp_lowpass
from restorer.dsp.runs import runs
from restorer.restoration.damage import by_channel
from restorer.restoration.regions import Regions
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Part, Task, for_channels, parts_of

UNTOUCHED_BAND = 0.9
"""Of the cutoff: below it bandwidth extension changes nothing that counts."""

_LEAK = 1e-3  # -60 dB of the recording's peak, which the crossover keeps with 20 dB to spare
_PASSES, _STOPS = 0.89, 0.919
"""Of the cutoff: what is measured whole, and what not at all; at UNTOUCHED_BAND, 1.8 dB too little. Higher up restored
highs begin, softly: of them, however loud, the crossover and this filter together let through less than -61 dB."""

_APART_S = 0.01


@dataclass(frozen=True)
class Verification:
    """where: what should have stayed. deviation: the largest change found there; allowed: the largest that is none.

    Both in full scale; peak: the recording's own, to which decibels refer. in_file: measured on the samples as they are
    stored, else before they were converted (another sample rate, a lower level, a lossy format). beyond: the samples
    there above full scale; where the format holds them, how far is no deviation.
    """

    where: str
    deviation: float
    allowed: float
    peak: float
    in_file: bool
    beyond: int = 0

    @property
    def is_kept(self) -> bool:
        return self.deviation <= self.allowed

    @property
    def deviation_db(self) -> float:
        """Relative to the recording's peak; -inf for none."""
        return 20 * math.log10(self.deviation / self.peak) if self.deviation and self.peak else -math.inf

    def __str__(self) -> str:
        what = (
            "exactly 0" if self.deviation == 0 else f"{self.deviation:.3g} of full scale ({self.deviation_db:.0f} dB)"
        )
        return f"largest deviation {self.where}: {what}" + ("" if self.in_file else ", before it was converted")


class Verifier:
    """Takes the recording by `heard` and what became of it by `compare`, in blocks of any sizes; tells what it found.

    A result of another length, or with a sample that is no number, even where it may differ, deviates without bounds.
    Holds only the part of the recording that was not yet compared. Raises nothing: a finding is for the report.
    """

    def __init__(
        self, task: Task, sample_rate: int, channels: int, *, step: float, in_file: bool, holds: bool = False
    ) -> None:
        """step: by how much storing a sample may move it: 0 where its format keeps it. holds: what is above full scale
        is held at it."""
        task = for_channels(task, channels)
        self._touched = Touched(parts_of(task), sample_rate)
        self._spared = _spared(task, sample_rate, channels, self._touched.where)
        self._step, self._in_file, self._holds = step, in_file, holds
        self._waiting: deque[Samples] = deque()
        self._at = 0
        self._peak = self._deviation = 0.0
        self._beyond = 0
        self._is_longer = False
        self.regions = Regions(round(_APART_S * sample_rate))

    @property
    def frames(self) -> int:
        """How many of the recording were compared."""
        return self._at

    def heard(self, block: Samples) -> None:
        if len(block):
            self._peak = max(self._peak, float(np.abs(block).max()))
            self._waiting.append(block)

    def compare(self, result: Samples) -> None:
        """The next frames of the result, none of which comes before those that were heard."""
        while len(result) and self._waiting:
            block = self._waiting.popleft()
            count = min(len(block), len(result))
            if count < len(block):
                self._waiting.appendleft(block[count:])
            self._measure(block[:count], result[:count])
            result = result[count:]
        self._is_longer |= len(result) > 0

    def finish(self) -> Verification:
        is_shorter = any(map(len, self._waiting))
        deviation = math.inf if is_shorter or self._is_longer else self._deviation
        return Verification(
            self._spared.where, deviation, self._spared.leak * self._peak + self._step, self._peak, self._in_file,
            self._beyond,
        )  # fmt: skip

    def _measure(self, block: Samples, result: Samples) -> None:
        is_number = np.isfinite(result - block)
        if not is_number.all():
            self._deviation, result = math.inf, np.where(is_number, result, block)
        touched = self._touched.on(block, self._at)
        self._beyond += int(np.count_nonzero(np.abs(block)[~touched] > 1.0))
        meant = np.clip(block, -1.0, 1.0) if self._holds else block
        synthetic, deviation = self._spared.look(result - meant, touched)
        self.regions.add(runs(synthetic, self._at))
        self._deviation = max(self._deviation, deviation)
        self._at += len(block)


Mask = NDArray[np.bool_]


class Touched:
    """Gaps, their fades, and flattened peaks; where: all samples but these."""

    def __init__(self, parts: Sequence[Part], sample_rate: int) -> None:
        self._gaps = [by_channel(part, sample_rate) for part in parts if isinstance(part, Inpainting)]
        self._levels = [_level(part.threshold) for part in parts if isinstance(part, Declipping)]
        gaps, peaks = "outside the gaps and their fades", "of the samples that were not clipped"
        self.where = " and ".join([gaps] * bool(self._gaps) + [peaks] * bool(self._levels))

    def on(self, block: Samples, start: int) -> Mask:
        """(frames, channels)"""
        touched: Mask = np.zeros(block.shape, dtype=bool)
        for channels in self._gaps:  # those of each, or one for all
            weights = [gaps.on([start], len(block)).weights(len(block))[0].numpy() for gaps in channels]
            touched |= np.stack(weights, axis=1) > 0
        for level in self._levels:
            touched |= np.abs(block) >= level
        return touched


def _level(threshold: float) -> float:
    clip = HardClip.symmetric(threshold)
    assert isinstance(clip.high, float)
    assert isinstance(clip.tolerance, float)
    return clip.high - clip.tolerance


class _Elsewhere:
    """All samples that nothing touches."""

    leak = 0.0

    def __init__(self, where: str) -> None:
        self.where = where

    def look(self, change: Samples, touched: Mask) -> tuple[Mask, float]:
        """Which frames are synthetic, and the largest change of the other samples."""
        synthetic: Mask = np.any(touched, axis=1)
        return synthetic, float(np.abs(change)[~touched].max(initial=0.0))


class _BelowCutoff:
    """The change is low-passed as it goes by, wherever the filter lies within the recording and meets nothing that was
    touched for another reason.

    At its ends, for the length of the filter (8,000 samples for 1 kHz at 44.1 kHz), the cut itself would be measured:
    what is added above the cutoff ends there as abruptly as the recording does.
    """

    leak = _LEAK

    def __init__(self, cutoff_hz: float, sample_rate: int, channels: int, where: str) -> None:
        self.where = " ".join([f"below {UNTOUCHED_BAND * cutoff_hz:g} Hz", where]).rstrip()
        self._taps = sharp_lowpass(_PASSES * cutoff_hz, _STOPS * cutoff_hz, sample_rate)[:, None]
        self._held = np.zeros((0, channels))
        self._held_touched: Mask = np.zeros(0, dtype=bool)

    def look(self, change: Samples, touched: Mask) -> tuple[Mask, float]:
        otherwise: Mask = np.any(touched, axis=1)
        return np.ones(len(change), dtype=bool), self._lows(np.where(otherwise[:, None], 0.0, change), otherwise)

    def _lows(self, change: Samples, touched: Mask) -> float:
        change = np.concatenate([self._held, change])
        touched = np.concatenate([self._held_touched, touched])
        keep, size = len(self._taps) - 1, len(self._taps)
        self._held, self._held_touched = change[max(0, len(change) - keep) :], touched[max(0, len(touched) - keep) :]
        if len(change) < size:
            return 0.0
        lows = np.abs(oaconvolve(change, self._taps, mode="valid", axes=0))
        met = np.cumsum(np.concatenate([[0], touched]))
        return float(lows[met[size:] == met[:-size]].max(initial=0.0))


def _spared(task: Task, sample_rate: int, channels: int, where: str) -> _Elsewhere | _BelowCutoff:
    for part in parts_of(task):
        if isinstance(part, BandwidthExtension):
            return _BelowCutoff(part.cutoff_hz, sample_rate, channels, where)
    return _Elsewhere(where)
