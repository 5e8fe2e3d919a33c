"""Hard clipping: A(x) = clamp(x, low, high)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from restorer.errors import UsageError

Level = float | Tensor  # a number, or (batch, 1) where the items of a batch have levels of their own

HALF_STEP_16_BIT = 0.5 / 32768


@dataclass(frozen=True, eq=False)
class HardClip:
    """`low` < 0 < `high`: the levels, in full scale, beyond which every sample was held.

    `tolerance`: a measured sample within this distance of a level counts as clipped. Half a 16-bit step covers the
    rounding of PCM files and that of float32 after `scaled`; with 0, which only suits exact arithmetic, a clipped
    sample that was rounded downwards would count as reliable.

    Laws: A(A(x)) = A(x); A.scaled(g)(g x) = g A(x). The set of all x' with A(x') = y is convex: reliable samples equal
    y, clipped ones reach at least the level, with its sign. `project` finds its nearest point, exactly for tolerance 0;
    else A(project(x, y)) is within the tolerance of y.
    Raises UsageError for a level of the wrong sign, of 0 or not finite, and for a tolerance that is negative or so wide
    that silence would count as clipped.
    """

    low: Level
    high: Level
    tolerance: Level = HALF_STEP_16_BIT

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        low, high, tolerance = _range(self.low), _range(self.high), _range(self.tolerance)
        if not 0 < high[0] <= high[1] < math.inf:
            raise UsageError(f"upper clip level {high[0]:g}: must be above 0 and finite; give it in full scale: 0.5")
        if not -math.inf < low[0] <= low[1] < 0:
            raise UsageError(f"lower clip level {low[1]:g}: must be below 0 and finite; give it in full scale: -0.5")
        if not 0 <= tolerance[0] <= tolerance[1] < math.inf:
            raise UsageError(f"clip tolerance {tolerance[0]:g}: must be 0 or more and finite; half a PCM step is usual")
        spare = min(_range(self.high - self.tolerance)[0], -_range(self.low + self.tolerance)[1])
        if spare <= 0:
            raise UsageError(
                f"clip tolerance {tolerance[1]:g}: must be below the clip levels, {low[1]:g} and {high[0]:g};"
                " choose a smaller tolerance or a higher level"
            )

    @classmethod
    def symmetric(cls, threshold: Level, tolerance: Level = HALF_STEP_16_BIT) -> HardClip:
        """Both polarities at `threshold` > 0, in full scale: the paper's (|x + c| - |x - c|) / 2."""
        return cls(-threshold, threshold, tolerance)

    def __call__(self, x: Tensor) -> Tensor:
        """clamp(x, low, high), (batch, time); the gradient is 1 between the levels and 0 beyond."""
        return x.clamp(min=_beside(self.low, x)).clamp(max=_beside(self.high, x))

    def on(self, starts: Sequence[int], length: int) -> HardClip:
        """Itself: clipping does not know the time. Levels of (batch, 1) belong to the items in their order."""
        return self

    def scaled(self, gain: Tensor | float) -> HardClip:
        """Levels and tolerance times `gain` > 0."""
        return HardClip(self.low * gain, self.high * gain, self.tolerance * gain)

    def clipped(self, y: Tensor) -> Tensor:
        """Which samples of y (batch, time) were held at a level: bool (batch, time)."""
        return self._at_high(y) | self._at_low(y)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """y where it is reliable; at the upper level max(x, y), at the lower level min(x, y). All (batch, time)."""
        risen = torch.where(self._at_high(y), torch.maximum(x, y), y)
        return torch.where(self._at_low(y), torch.minimum(x, y), risen)

    def _at_high(self, y: Tensor) -> Tensor:
        return y >= _beside(self.high - self.tolerance, y)

    def _at_low(self, y: Tensor) -> Tensor:
        return y <= _beside(self.low + self.tolerance, y)


def _range(level: Level) -> tuple[float, float]:
    """The least and the greatest value; NaN, which fails every comparison, where one is NaN."""
    if isinstance(level, Tensor):
        return float(level.min()), float(level.max())
    return float(level), float(level)


def _beside(level: Level, x: Tensor) -> Tensor:
    """The level with the dtype and on the device of x."""
    return level.to(x) if isinstance(level, Tensor) else x.new_full((), level)
