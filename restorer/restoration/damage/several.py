"""Several kinds of damage in one recording, repaired in one pass: one composed operator, one posterior."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from restorer.audio import Samples
from restorer.degradation import Composed, Degradation, Gaps, Projectable
from restorer.prior import Audible
from restorer.restoration.damage.single import LostHighs, LostPeaks, LostSpans
from restorer.restoration.windows import Window, grid_around


@dataclass(frozen=True)
class Several:
    """Damage in the order in which it is undone last to first: a band limit, then clipping, then gaps; None: not that.

    The clipped peaks come from social sparsity, which had its turn first and knows them better than a prior does; what
    it found is trusted outside the gaps, and below the cutoff where there is one. The prior fills the gaps and the
    highs.
    """

    highs: LostHighs | None
    peaks: LostPeaks | None
    spans: LostSpans | None

    @cached_property
    def parts(self) -> tuple[LostHighs | LostPeaks | LostSpans, ...]:
        """In the order in which they were suffered."""
        return tuple(part for part in (self.highs, self.peaks, self.spans) if part is not None)

    @cached_property
    def degradation(self) -> Composed:
        return Composed(*(part.degradation for part in self.parts))

    @cached_property
    def trusted(self) -> Projectable | None:
        if self.peaks is None:
            return None
        return Composed(*(each.degradation for each in (self.highs, self.spans) if each is not None))

    @property
    def gaps(self) -> Gaps | None:
        return None if self.spans is None else self.spans.degradation

    def audible(self, whitened: Tensor, starts: Sequence[int]) -> Audible:
        each = [part.audible(whitened, starts) for part in self.parts]
        where = [audible.where for audible in each if audible.where is not None]
        return Audible(min(audible.below_hz for audible in each), next(iter(where), None))

    def measured(self, heard: Tensor, placed: Degradation) -> Tensor:
        assert isinstance(placed, Composed)
        for part, member in zip(self.parts, placed.members, strict=True):
            heard = part.measured(heard, member)
        return heard

    def missing(self, wave: Tensor, placed: Degradation) -> Tensor:
        assert isinstance(placed, Composed)
        missing = torch.zeros_like(wave)
        for part, member in zip(self.parts, placed.members, strict=True):
            missing = missing + part.missing(wave - missing, member)
        return missing

    def confined(self, change: Tensor, heard: Tensor, placed: Degradation) -> Tensor:
        if self.highs is None:
            return change
        assert isinstance(placed, Composed)
        high = self.highs.confined(change, heard, placed)
        lows = Composed(*placed.members[1:]).project(heard + change - high, self.measured(heard, placed))
        return high + lows - heard

    def windows(self, length: int) -> Iterator[Window]:
        return grid_around(() if self.spans is None else self.spans.degradation.spans, length)

    def count(self, length: int, total: int) -> int:
        number = 0
        for window in self.windows(length):
            if window.rise[0] >= total:
                break
            number += 1
        return number

    def after(self, known_until: int) -> Self:
        return self

    def within(self, end: int) -> Self:
        return self if self.spans is None else replace(self, spans=self.spans.within(end))

    def heard(self, original: Samples, start: int) -> Samples:
        return original if self.spans is None else self.spans.heard(original, start)

    def hurts(self, block: Samples, start: int) -> Samples:
        if self.highs is None:
            return np.maximum.reduce([part.hurts(block, start) for part in self.parts])
        sounds = self.highs.hurts(block, start)  # and so does all that is clipped
        return sounds if self.spans is None else np.maximum(sounds, self.spans.within_gaps(block, start))

    def classical(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        wave = y
        for part in reversed(self.parts):
            wave = part.classical(wave, starts)
        return wave

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        if self.highs is not None:
            return self.heard(original, start) + change
        sound = original if self.peaks is None else self.peaks.repaired(original, change, start)
        if self.spans is None:
            return sound
        weight = self.spans.weight(original, start)
        outside = np.where(weight == 1, 0.0, (1 - weight) * sound)
        return np.where(weight > 0, outside + weight * (self.heard(original, start) + change), sound)
