"""Long recordings in bounded memory: iterative declippers work on segments with context, which are cross-faded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from restorer.classical.frames import clip_level
from restorer.degradation import HardClip

_CORE = 16  # windows that a segment adds to the recording
_CONTEXT = 2  # windows that it hears beyond them, on either side
_CHUNK = 2**20  # samples of segments worked on together: bounds the memory to a few hundred MB

Declipper = Callable[[Tensor, Tensor, HardClip, Tensor], Tensor]
"""(y (rows, time), known (rows, time): 1 where measured and 0 elsewhere and beyond the ends of the recording, the clip
of each row, its level (rows, 1)) to an estimate (rows, time)."""


def by_segments(y: Tensor, clip: HardClip, length: int, declip: Declipper, measured: Tensor | None = None) -> Tensor:
    """`declip` over every segment of y (batch, time) that has a clipped sample; the others stay as they are.

    `length`: samples of the method's window, in which segments and their cross-fades are measured. `measured`: 1 where
    y was, 0 where nothing is known (batch, time); None: everywhere. The cross-fade of two estimates in the convex set
    of all x with clip(x) = y is in that set, but for rounding.
    """
    measured = torch.ones_like(y) if measured is None else measured
    segments = cut_segments(y, length).clone()
    weights = segment_weights(segments, length)
    damaged = (cut_segments(clip.clipped(y) * measured, length) * weights > 0).any(-1)
    known = cut_segments(measured, length)  # beyond the ends of the recording nothing is, not even silence
    levels = clip_level(clip, y)[:, None].expand(*segments.shape[:2], 1)
    limits = [torch.as_tensor(v).to(y).expand(len(y), 1) for v in (clip.low, clip.high, clip.tolerance)]
    for rows in torch.split(damaged.nonzero(), max(1, _CHUNK // segments.shape[-1])):
        at = tuple(rows.T)
        segment_clip = HardClip(*(limit[rows[:, 0]] for limit in limits))
        segments[at] = declip(segments[at], known[at], segment_clip, levels[at])
    return join_segments(segments * weights, y.shape[-1], length)


def cut_segments(x: Tensor, length: int) -> Tensor:
    """x (batch, time), zero beyond its ends, as (batch, segments, time of a segment) with context on both sides."""
    core, context = _CORE * length, _CONTEXT * length
    if x.shape[-1] <= core + context:
        return x[:, None]
    count = -(-x.shape[-1] // core)
    return pad(x, (context, count * core + context - x.shape[-1])).unfold(-1, core + 2 * context, core)


def segment_weights(segments: Tensor, length: int) -> Tensor:
    """The share of each segment in the result, (segments, time of a segment): linear ramps of one window, centred on
    the joins, sum to one with those of the neighbour; the ends of the recording have no neighbour, hence no ramp."""
    count, size = segments.shape[1:]
    weights = segments.new_ones(count, size)
    if count == 1:
        return weights
    join_at = _CONTEXT * length
    distance = torch.arange(size, device=segments.device).to(segments) + 0.5 - join_at
    rise = (distance / length + 0.5).clamp(0, 1)
    weights[1:] *= rise
    weights[:-1] *= rise.flip(-1)  # segments are symmetric: (context, core, context)
    return weights


def join_segments(segments: Tensor, time: int, length: int) -> Tensor:
    """The sum of weighted segments (batch, segments, time of a segment), each in its place: (batch, time)."""
    batch, count, size = segments.shape
    if count == 1:
        return segments[:, 0]
    core, context = _CORE * length, _CONTEXT * length
    out = segments.new_zeros(batch, count * core + 2 * context)
    for k in range(count):
        out[:, k * core : k * core + size] += segments[:, k]
    return out[:, context : context + time]
