"""One kind of damage: lost highs, lost spans, lost peaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Self

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from torch import Tensor

from restorer.audio import Samples
from restorer.classical.janssen import JANSSEN_GAPS, janssen_gaps
from restorer.classical.replication import replicate
from restorer.classical.social import social_mean
from restorer.degradation import Degradation, Gaps, HardClip, LowPass
from restorer.dsp.filters import apply_fir
from restorer.errors import UsageError
from restorer.prior import Audible
from restorer.restoration.windows import Window, fills, grid, grid_size

NO_GAPS = (Gaps(()),)

_DIGITAL_SILENCE = 1e-7  # of full scale: below the least step of 24 bits
_NEAR_S = 0.02  # into silence; slowly, for a fast fade of highs reaches down below the cutoff,
_NEAR_PERIODS = 10  # the lower that is, the farther
_RESTLESS = 1 / 64  # share of a window, beside a gap, where its edge rings in the whitened domain


class _Anywhere:
    """Damage that may be anywhere: windows of a grid, each on its own."""

    gaps: None = None

    def windows(self, length: int) -> Iterator[Window]:
        return grid(length)

    def count(self, length: int, total: int) -> int:
        return grid_size(length, total)

    def after(self, known_until: int) -> Self:
        return self

    def within(self, end: int) -> Self:
        return self

    def heard(self, original: Samples, start: int) -> Samples:
        return original


@dataclass(frozen=True)
class LostHighs(_Anywhere):
    """Band-limited: all below the cutoff stays, by a complementary crossover."""

    degradation: LowPass
    sample_rate: int  # of what deals with it
    trusted: None = None

    def audible(self, whitened: Tensor, starts: Sequence[int]) -> Audible:
        return Audible(below_hz=0.9 * self.degradation.cutoff_hz)

    def measured(self, heard: Tensor, placed: Degradation) -> Tensor:
        return heard

    def missing(self, wave: Tensor, placed: Degradation) -> Tensor:
        return apply_fir(wave, self.degradation.crossover)

    def confined(self, change: Tensor, heard: Tensor, placed: Degradation) -> Tensor:
        return apply_fir(change, self.degradation.crossover)

    def hurts(self, block: Samples, start: int) -> Samples:
        return sounding(block, self.sample_rate, max(_NEAR_S, _NEAR_PERIODS / self.degradation.cutoff_hz))

    def classical(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        return replicate(y, self.degradation, self.sample_rate)

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        return original + change


@dataclass(frozen=True)
class LostSpans:
    """Gaps of any channel; `own`: of each, or of all alike; `at_file_rate`: these in the file's samples.

    `left`: those that are left to another method, likewise.
    """

    degradation: Gaps
    own: tuple[Gaps, ...]
    at_file_rate: tuple[Gaps, ...]
    sample_rate: int  # of what deals with it
    left: tuple[Gaps, ...] = NO_GAPS
    trusted: None = None

    @property
    def gaps(self) -> Gaps:
        return self.degradation

    def windows(self, length: int) -> Iterator[Window]:
        return iter(fills(self.degradation.spans, length))

    def count(self, length: int, total: int) -> int:
        return len(fills(self.degradation.spans, length))

    def after(self, known_until: int) -> Self:
        # Of the gap around that sample; others before it, which other windows fill, are as unknown as they were.
        left = ((known_until if first < known_until < stop else first, stop) for first, stop in self.degradation.spans)
        return replace(self, degradation=replace(self.degradation, spans=tuple(left)))

    def within(self, end: int) -> Self:
        return replace(self, degradation=replace(self.degradation, end=end))

    def heard(self, original: Samples, start: int) -> Samples:
        # In a gap the recording's own samples are not to be trusted, and may not even be finite music.
        return np.where(self.weight(original, start) == 1, 0.0, original)

    def weight(self, original: Samples, start: int) -> Samples:
        """(frames, channels or 1): 1 in the gaps, falling to 0 over their fades; at the file's rate."""
        return _weights(self.at_file_rate, [start] * len(self.at_file_rate), len(original)).T.numpy()

    def audible(self, whitened: Tensor, starts: Sequence[int]) -> Audible:
        length = whitened.shape[-1]
        reach = round(_RESTLESS * length)
        heard = replace(self.degradation.on(starts, length), fade=reach).weights(length) == 0
        # A window is whitened as if it were periodic: a gap at one end rings at the other.
        first, last = heard[:, :1].clone(), heard[:, -1:].clone()
        heard[:, :reach] &= last
        heard[:, -reach:] &= first
        return Audible(where=heard.to(whitened))

    def measured(self, heard: Tensor, placed: Degradation) -> Tensor:
        return heard

    def missing(self, wave: Tensor, placed: Degradation) -> Tensor:
        assert isinstance(placed, Gaps)
        return placed.project(wave, torch.zeros_like(wave))

    def confined(self, change: Tensor, heard: Tensor, placed: Degradation) -> Tensor:
        return change

    def hurts(self, block: Samples, start: int) -> Samples:
        # Where another channel has a gap, the prior hears nothing of this one, and knows less than is there.
        own = (_weights(self.own, [start] * block.shape[1], len(block)).T > 0).double().numpy()
        hurts: Samples = own.max(axis=0) * np.maximum(own, 1 - self.within_gaps(block, start))
        return hurts

    def within_gaps(self, block: Samples, start: int) -> Samples:
        """(frames, 1): 1 in gaps and their fades, else 0."""
        weights = self.degradation.on([start], len(block)).weights(len(block))
        return (weights > 0).double().T.numpy()

    def classical(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        rows = zip(y.split(1), _placed(self.own, starts), _placed(self.left, starts), strict=True)
        return torch.cat([self._bridged(*row) for row in rows])

    def _bridged(self, y: Tensor, own: Gaps, left: Gaps) -> Tensor:
        (start,) = own.starts
        near = [stop - first for first, stop in own.spans if first < start + y.shape[-1] and stop > start]
        longest = max(near, default=0) / self.sample_rate
        if longest > JANSSEN_GAPS.longest_s:
            raise UsageError(
                f"a gap of {longest:g} s is more than the {JANSSEN_GAPS.longest_s:g} s that autoregression bridges; "
                "leave the method to auto, or choose diffusion"
            )
        return janssen_gaps(y, own, self.sample_rate, left=left)

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        weight = self.weight(original, start)
        return np.where(weight > 0, self.heard(original, start) + weight * change, original)


@dataclass(frozen=True)
class LostPeaks(_Anywhere):
    """Flattened at a level; `least`: the share of a window's samples up to which that does not hurt; `left`: gaps that
    are left to another method, of each channel or of all alike, in which nothing is heard.

    Where the peaks' energy is, in the lows, social sparsity knows better than a prior: it has its turn first, and the
    sampler starts from what it left, in which every flattened peak reaches the level, and keeps its lows.
    """

    degradation: HardClip
    sample_rate: int  # of what deals with it
    trusted: LowPass
    least: float = 0.0
    left: tuple[Gaps, ...] = NO_GAPS

    def audible(self, whitened: Tensor, starts: Sequence[int]) -> Audible:
        return Audible()

    def measured(self, heard: Tensor, placed: Degradation) -> Tensor:
        return placed(heard)

    def missing(self, wave: Tensor, placed: Degradation) -> Tensor:
        return torch.zeros_like(wave)

    def confined(self, change: Tensor, heard: Tensor, placed: Degradation) -> Tensor:
        return change

    def hurts(self, block: Samples, start: int) -> Samples:
        clipped = self.degradation.clipped(torch.from_numpy(block)).double()
        clipped *= _measured(self.left, [start] * block.shape[1], len(block)).T
        heavily = clipped.mean(0).numpy() > self.least  # each channel by itself: what is alone comes out the same
        return np.broadcast_to(heavily.astype(np.float64), block.shape)

    def classical(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        measured = _measured(self.left, starts, y.shape[-1]).to(y)
        return social_mean(y, self.degradation, self.sample_rate, measured=measured)

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        wave = torch.from_numpy(original)
        projected: Samples = self.degradation.project(wave + torch.from_numpy(change), self.degradation(wave)).numpy()
        return projected


def sounding(block: Samples, sample_rate: int, near_s: float) -> Samples:
    """(frames, channels): 0 where a block is digital silence, 1 where it is not, and a fade of near_s either way where
    that begins or ends.

    Between takes, and before and after a piece, nothing sounds, nor did anything before the highs were lost.
    """
    reach = max(1, round(near_s * sample_rate))
    near = maximum_filter1d((np.abs(block) > _DIGITAL_SILENCE).astype(np.float64), 2 * reach + 1, axis=0)
    for _ in range(3):  # as smooth as a cubic spline, and 1 wherever there is sound
        near = uniform_filter1d(near, 2 * reach // 3, axis=0)
    return np.round(near, 9)  # running sums leave a trace of rounding where there is nothing


def _placed(gaps: tuple[Gaps, ...], starts: Sequence[int]) -> list[Gaps]:
    """Those of each channel, or of all alike, in rows that begin at `starts`, one for each channel."""
    return [own.on([start], 0) for own, start in zip(cycle(gaps), starts, strict=False)]


def _measured(gaps: tuple[Gaps, ...], starts: Sequence[int], length: int) -> Tensor:
    """(channels, length): 1 outside the gaps, whose fades are outside, 0 in them."""
    return (_weights(gaps, starts, length) < 1).double()


def _weights(gaps: tuple[Gaps, ...], starts: Sequence[int], length: int) -> Tensor:
    """(channels, length): as `Gaps.weights`."""
    return torch.cat([own.weights(length) for own in _placed(gaps, starts)])
