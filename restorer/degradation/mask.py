"""Missing stretches of a recording: A(x) = x outside the gaps and 0 inside."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorer.errors import UsageError

Span = tuple[int, int]


@dataclass(frozen=True)
class Gaps:
    """`spans`: the gaps, sorted half-open ranges (first, stop) of absolute samples that may touch but not overlap.

    `fade`: samples outside each edge of a gap over which `project` passes from y to x by a raised cosine. A hard edge
    is broadband, and whitening amplifies it. 0 gives the exact projection.
    `starts`: the absolute first sample of every item of the batch; one start serves a batch of any size. Before sample
    0, and from `end` on if it is given, an item hears the recording mirrored, gaps and all.

    Laws: linear, A(A(x)) = A(x), independent of level; `project` with fade 0 is the nearest x' with A(x') = y, and with
    a fade A(project(x, y)) = y holds beyond the fades.
    Raises UsageError for a negative, empty, unsorted or overlapping span and for a negative fade.
    """

    spans: tuple[Span, ...]
    fade: int = 64
    starts: tuple[int, ...] = (0,)
    end: int | None = None
    _placed: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # the masks already made: a sampler asks for the same ones at every step

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.fade < 0:
            raise UsageError(f"fade of {self.fade} samples: must be 0 or more; 64 is the default")
        end = 0
        for first, stop in self.spans:
            if first < 0:
                raise UsageError(f"gap {first}..{stop}: begins before the recording; let it begin at sample 0 or later")
            if stop <= first:
                raise UsageError(f"gap {first}..{stop}: must end after it begins; swap its ends or leave it out")
            if first < end:
                raise UsageError(
                    f"gap {first}..{stop}: begins before the last one ends, at {end}; sort the gaps, merge overlaps"
                )
            end = stop

    def __call__(self, x: Tensor) -> Tensor:
        """x (batch, time) with zeros in the gaps, whatever stood there."""
        missing, _ = self._masks(x)
        return x.masked_fill(missing, 0.0)

    def on(self, starts: Sequence[int], length: int) -> Gaps:
        """The same gaps seen by windows at `starts`; `length` is that of the x which comes."""
        return replace(self, starts=tuple(int(start) for start in starts))

    def scaled(self, gain: Tensor | float) -> Gaps:
        """Itself: silence does not depend on the level."""
        return self

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """x in the gaps, whatever y has there; y outside the gaps and their fades; a blend of both in the fades."""
        _, weights = self._masks(x)
        return torch.lerp(self(y), x, weights)

    def weights(self, length: int) -> Tensor:
        """The share of x in `project`, float64 (len(starts), length): 1 in gaps, 0 beyond the fades, between in them.

        Cross-fade a restored gap into its recording with these. For a long recording, ask piecewise through `on`.
        """
        return torch.from_numpy(np.stack([self._row(start, length) for start in self.starts]))

    def _masks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(missing: bool, weights: the dtype of x), both (len(starts), time) on the device of x."""
        key = (x.shape[-1], x.dtype, x.device)
        if key not in self._placed:
            weights = self.weights(x.shape[-1])
            self._placed[key] = ((weights == 1.0).to(x.device), weights.to(x.dtype).to(x.device))
        return self._placed[key]

    def _row(self, start: int, length: int) -> NDArray[np.float64]:
        """The weights of one window."""
        if start >= 0 and (self.end is None or start + length <= self.end):
            return self._inside(start, length)  # nothing is mirrored, as in nearly all windows
        places = self._mirrored(np.arange(start, start + length))
        first = int(places.min(initial=start))
        return self._inside(first, int(places.max(initial=start)) + 1 - first)[places - first]

    def _mirrored(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples of the recording that are heard there."""
        if self.end is None:
            return np.where(places < 0, -1 - places, places)
        places = places % (2 * self.end)
        return np.minimum(places, 2 * self.end - 1 - places)

    def _inside(self, start: int, length: int) -> NDArray[np.float64]:
        """The weights of samples of the recording."""
        row = np.zeros(length)
        near = slice(
            bisect_right(self.spans, start - self.fade, key=lambda span: span[1]),
            bisect_left(self.spans, start + length + self.fade, key=lambda span: span[0]),
        )
        for first, stop in self.spans[near]:
            samples = np.arange(max(first - self.fade, start), min(stop + self.fade, start + length))
            distance = np.maximum(0, np.maximum(first - samples, samples - (stop - 1)))
            weight = 0.5 + 0.5 * np.cos(np.pi * distance / (self.fade + 1))
            here = slice(max(first - self.fade, start) - start, min(stop + self.fade, start + length) - start)
            row[here] = np.maximum(row[here], weight)
        return row
