"""Janssen's interpolation: fit a model to all samples, choose the missing ones to suit it best, and again.

Sources: Janssen, Veldhuis, Vries 1986, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes". Gaps: order 3 x gap + 2 at most, of Adler et al. 2012, "Audio inpainting"; Burg's estimate
and orders up to 3072 in one window about the gap, of Mokry, Rajmic 2024, "On the use of autoregressive methods for
audio inpainting". Clipping: frames of 8192 samples with 75 % overlap, order 512, three iterations, of the survey of
Zaviska et al. 2021. Ours: a gap starts from its two-sided extrapolation where the literature starts from silence, and
two iterations do; its longer side comes first in time, so that one at the edge of a recording is run on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorer.classical.autoregression import FLOOR, Indices, Wave, bridge, burg
from restorer.classical.contexts import fill_gaps
from restorer.classical.extrapolate import two_sided
from restorer.classical.frames import (
    HOPS_PER_WINDOW,
    check_positive,
    check_waveform,
    framed,
    join,
    tight_window,
    window_length,
)
from restorer.degradation import Gaps, HardClip


@dataclass(frozen=True)
class JanssenGaps:
    """`order` of the model, at most; less for short gaps and contexts. `context_s`: seconds on either side of a gap
    that the model is fitted to. `longest_s`: longer gaps are refused. Raises UsageError for values not above 0."""

    order: int = 2000
    context_s: float = 0.2
    n_iterations: int = 2
    longest_s: float = 0.15

    def __post_init__(self) -> None:
        check_positive(self)


@dataclass(frozen=True)
class JanssenClip:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `consistent`: whether clipped
    samples are held beyond the clip level at every iteration; as published they are merely unknown. Raises UsageError
    for values not above 0."""

    window_s: float = 0.186
    order: int = 512
    n_iterations: int = 3
    consistent: bool = True

    def __post_init__(self) -> None:
        check_positive(self)


JANSSEN_GAPS = JanssenGaps()
JANSSEN_CLIP = JanssenClip()


def janssen_gaps(
    y: Tensor, gaps: Gaps, sample_rate: float, settings: JanssenGaps = JANSSEN_GAPS, left: Gaps | None = None
) -> Tensor:
    """y (batch, time) with its gaps filled, of its dtype and on its device; outside the gaps it is y bit for bit.

    left: gaps that are left to another method, from which nothing is learned. Raises UsageError as `fill_gaps` does.
    """
    longest, context = (max(1, round(seconds * sample_rate)) for seconds in (settings.longest_s, settings.context_s))

    def fill(before: Wave, now: Wave, after: Wave) -> Wave:
        if before.size < after.size:
            return fill(after[::-1], now[::-1], before[::-1])[::-1]
        order = min(settings.order, 3 * now.size + 2, before.size // 2)
        x = np.concatenate([before, now, after])
        missing = np.arange(before.size, before.size + now.size)
        return bridge(x, missing, burg(x, order, FLOOR))[missing]

    return fill_gaps(y, gaps, longest, context, [two_sided(settings.order), *[fill] * settings.n_iterations], left)


def janssen_clip(y: Tensor, clip: HardClip, sample_rate: float, settings: JanssenClip = JANSSEN_CLIP) -> Tensor:
    """An estimate x (batch, time) of the dtype and on the device of y (batch, time), with clip(x) = y if consistent.

    Reliable samples are those of y in either case. Beyond the recording's ends nothing is taken for known.
    Raises UsageError as `check_waveform` and `window_length` do.
    """
    check_waveform(y)
    length = window_length(settings.window_s, sample_rate)
    clipped = clip.clipped(y)
    if not bool(clipped.any()):
        return y.clone()
    time, hop = y.shape[-1], length // HOPS_PER_WINDOW
    window = tight_window(length, y)
    pieces = framed(y, length).clone()
    for row, place in framed(clipped, length).any(-1).nonzero().tolist():
        low, high = (torch.as_tensor(level).to(y).expand(len(y), 1)[row] for level in (clip.low, clip.high))
        start = (place + 1) * hop - length  # of the frame; what is looked at is a window within the recording
        begin = max(0, min(start, time - length))
        x = y[row, begin : begin + length].double().cpu().numpy()
        missing = clipped[row, begin : begin + length].nonzero()[:, 0].cpu().numpy()
        found = torch.from_numpy(_declipped(x, missing, float(low), float(high), begin == 0, settings)).to(y)
        first, stop = max(0, start), min(time, start + length)
        pieces[row, place, first - start : stop - start] = found[first - begin : stop - begin]
    estimate = join(pieces * window, window, time)
    return clip.project(estimate, y) if settings.consistent else torch.where(clipped, estimate, y)


def _declipped(x: Wave, missing: Indices, low: float, high: float, opening: bool, settings: JanssenClip) -> Wave:
    """x (time,) with its `missing` samples found; at the opening of a recording time is turned round, for a bridge
    runs on where x ends, but takes it to begin in silence."""
    if opening:
        turned = _declipped(x[::-1].copy(), x.size - 1 - missing[::-1], low, high, False, settings)
        return turned[::-1].copy()
    above = x[missing] > 0
    for _ in range(settings.n_iterations):
        x = bridge(x, missing, burg(x, settings.order, FLOOR))
        if settings.consistent:
            x[missing] = np.where(above, np.maximum(x[missing], high), np.minimum(x[missing], low))
    return x
