"""Each task as the engine and the job need it: the operator, where it hurts, and what may be changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from restorer.audio import Samples
from restorer.classical.social import social
from restorer.degradation import Degradation, Gaps, HardClip, LowPass, require_consistency
from restorer.dsp.filters import apply_fir
from restorer.prior import Prior
from restorer.restore.task import BandwidthExtension, Declipping, Inpainting, Task
from restorer.restore.windows import Window, fills, grid, grid_size

_ROUNDING = 1e-4
_RIPPLE = 0.05
_PEAKS_BELOW_HZ = 2000.0
_RESTLESS = 1 / 64  # share of a window, beside a gap, where its edge rings in the whitened domain


class Damage(Protocol):
    """A task at the prior's rate (tensors) and at the file's rate (Samples)."""

    @property
    def degradation(self) -> Degradation: ...

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        """(batch, 1): the level of each window's undamaged whitened signal, as far as it is heard; 0 for silence."""

    @property
    def trusted(self) -> LowPass | None:
        """The band in which the warm start is kept as it is."""

    def warm(self, y: Tensor, placed: Degradation) -> Tensor:
        """(batch, time): the waveform to which the sampler adds its first noise; `placed`: A on these windows."""

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
    trusted: None = None

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        return prior.level(whitened, below_hz=0.9 * self.degradation.cutoff_hz)

    def warm(self, y: Tensor, placed: Degradation) -> Tensor:
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
    trusted: None = None

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

    def warm(self, y: Tensor, placed: Degradation) -> Tensor:
        return require_consistency(placed).project(torch.zeros_like(y), y)

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
    """Flattened at +-threshold; `at_file_rate` decides which samples were reliable.

    Where the peaks' energy is, in the lows, social sparsity knows better than a prior: the sampler starts from its
    estimate, and keeps it there.
    """

    degradation: HardClip
    at_file_rate: HardClip
    sample_rate: int  # the prior's
    trusted: LowPass

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        return prior.level(whitened)

    def warm(self, y: Tensor, placed: Degradation) -> Tensor:
        assert isinstance(placed, HardClip)
        return social(y, placed, self.sample_rate)

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
            return LostSpans(Gaps(file_spans(gaps_s, prior_rate)), Gaps(file_spans(gaps_s, file_rate)))
        case Declipping(threshold):
            # Between the samples of another rate a flattened peak ripples about its level; at the same rate it is only
            # whitening there and back that moves it, by a few millionths of full scale.
            tolerance = _ROUNDING if file_rate == prior_rate else max(_ROUNDING, _RIPPLE * threshold)
            clip = HardClip.symmetric(threshold, tolerance=tolerance)
            trusted = LowPass.kaiser(_PEAKS_BELOW_HZ, prior_rate)
            return LostPeaks(clip, HardClip.symmetric(threshold), prior_rate, trusted)


def file_spans(gaps_s: Sequence[tuple[float, float]], rate: int) -> tuple[tuple[int, int], ...]:
    return tuple((round(first * rate), max(round(stop * rate), round(first * rate) + 1)) for first, stop in gaps_s)
