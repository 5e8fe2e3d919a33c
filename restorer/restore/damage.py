"""Each task as the engine and the job need it: the operator, where it hurts, and what may be changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from restorer.audio import Samples
from restorer.degradation import Degradation, Gaps, HardClip, LowPass
from restorer.dsp.filters import apply_fir
from restorer.prior import Prior
from restorer.restore.task import BandwidthExtension, Declipping, Inpainting, Task
from restorer.restore.windows import Window, fills, grid, grid_size

_RESTLESS = 1 / 64  # share of a window, beside a gap, where its edge rings in the whitened domain


class Damage(Protocol):
    """A task at the prior's rate (tensors) and at the file's rate (Samples)."""

    @property
    def degradation(self) -> Degradation: ...

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        """(batch, 1): the level of each window's undamaged whitened signal, as far as it is heard; 0 for silence."""

    def warm(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        """(batch, time): the waveform to which the sampler adds its first noise."""

    def confined(self, change: Tensor) -> Tensor:
        """The part of a window's change (batch, time) that may reach the recording."""

    def windows(self, length: int) -> Iterator[Window]:
        """The windows to restore, in order; endless where the damage may be anywhere."""

    def count(self, length: int, total: int) -> int:
        """How many of them a recording of `total` samples (prior's rate) has."""

    def after(self, known_until: int) -> Self:
        """What is left of the damage once all before that sample (prior's rate) has been restored."""

    def heard(self, original: Samples, start: int) -> Samples:
        """What of the recording's samples from `start` on (file's rate) the prior may hear."""

    def hurts(self, block: Samples) -> bool:
        """Whether a window with these samples (prior's rate) needs restoring."""

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        """The recording's samples from `start` on (file's rate), with the change where it may be, else bit for bit."""


class _Anywhere:
    """Damage that may be anywhere: windows of a grid, each on its own."""

    def windows(self, length: int) -> Iterator[Window]:
        return grid(length)

    def count(self, length: int, total: int) -> int:
        return grid_size(length, total)

    def after(self, known_until: int) -> Self:
        return self

    def heard(self, original: Samples, start: int) -> Samples:
        return original


@dataclass(frozen=True)
class LostHighs(_Anywhere):
    """Band-limited: all below the cutoff stays, by a complementary crossover."""

    degradation: LowPass

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        return prior.level(whitened, below_hz=0.9 * self.degradation.cutoff_hz)

    def warm(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        return self.degradation.project(torch.zeros_like(y), y)

    def confined(self, change: Tensor) -> Tensor:
        return apply_fir(change, self.degradation.crossover)

    def hurts(self, block: Samples) -> bool:
        return bool(block.any())

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        return original + change


@dataclass(frozen=True)
class LostSpans:
    """Gaps; `at_file_rate` are the same ones in the file's samples."""

    degradation: Gaps
    at_file_rate: Gaps

    def windows(self, length: int) -> Iterator[Window]:
        return iter(fills(self.degradation.spans, length))

    def count(self, length: int, total: int) -> int:
        return len(fills(self.degradation.spans, length))

    def after(self, known_until: int) -> Self:
        left = ((max(first, known_until), stop) for first, stop in self.degradation.spans if stop > known_until)
        return replace(self, degradation=replace(self.degradation, spans=tuple(left)))

    def heard(self, original: Samples, start: int) -> Samples:
        missing = self.at_file_rate.on([start], len(original)).weights(len(original))[0].numpy() == 1
        return np.where(missing[:, None], 0.0, original)

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        length = whitened.shape[-1]
        wide = replace(self.degradation, fade=round(_RESTLESS * length)).on(starts, length)
        return prior.level(whitened, heard=(wide.weights(length) == 0).to(whitened))

    def warm(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        return self.degradation.on(starts, y.shape[-1]).project(torch.zeros_like(y), y)

    def confined(self, change: Tensor) -> Tensor:
        return change

    def hurts(self, block: Samples) -> bool:
        return True

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        weight = self.at_file_rate.on([start], len(original)).weights(len(original))[0].numpy()[:, None]
        missing = weight == 1
        # In a gap the recording's own samples are not to be trusted, and may not even be finite music: start from 0.
        return np.where(missing, 0.0, original) + weight * change


@dataclass(frozen=True)
class LostPeaks(_Anywhere):
    """Flattened at +-threshold; `at_file_rate` decides which samples were reliable."""

    degradation: HardClip
    at_file_rate: HardClip

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        return prior.level(whitened)

    def warm(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        return y

    def confined(self, change: Tensor) -> Tensor:
        return change

    def hurts(self, block: Samples) -> bool:
        return bool(self.degradation.clipped(torch.from_numpy(block)).any())

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        wave = torch.from_numpy(original)
        projected: Samples = self.at_file_rate.project(wave + torch.from_numpy(change), wave).numpy()
        return projected


def damage_of(task: Task, file_rate: int, prior_rate: int) -> Damage:
    """The task for a file at file_rate and a prior at prior_rate (Hz).

    Raises UsageError for a cutoff that is not below half the prior's rate.
    """
    match task:
        case BandwidthExtension(cutoff_hz):
            return LostHighs(LowPass.kaiser(cutoff_hz, prior_rate))
        case Inpainting(gaps_s):
            return LostSpans(Gaps(_spans(gaps_s, prior_rate)), Gaps(_spans(gaps_s, file_rate)))
        case Declipping(threshold):
            at_file_rate = HardClip.symmetric(threshold)
            if file_rate == prior_rate:
                return LostPeaks(at_file_rate, at_file_rate)
            # Between the samples of another rate a flattened peak ripples about its level.
            return LostPeaks(HardClip.symmetric(threshold, tolerance=0.05 * threshold), at_file_rate)


def _spans(gaps_s: Sequence[tuple[float, float]], rate: int) -> tuple[tuple[int, int], ...]:
    return tuple((round(first * rate), max(round(stop * rate), round(first * rate) + 1)) for first, stop in gaps_s)
