"""Social sparsity: declipping by shrinkage in which a coefficient is judged together with its neighbours.

Source: Siedenburg, Kowalski, Doerfler 2014, "Audio declipping with social sparsity" (SS-EW, SS-PEW); overlap
and neighbourhood of the survey of Zaviska et al. 2021. Ours: the threshold falls at every iteration and the momentum is
never restarted, which takes a few hundred iterations where the survey allows 10 000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from restorer.classical.aspade import check_waveform, clip_level, cut, join, tight_window, window_length
from restorer.degradation import HardClip
from restorer.errors import UsageError

_CORE = 16  # windows that a segment adds to the recording
_CONTEXT = 2  # windows that it hears beyond them, on either side
_CHUNK = 2**20  # samples of segments worked on together: bounds the memory to a few hundred MB


@dataclass(frozen=True)
class SocialSettings:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `frames`, `bins`: neighbourhood in
    time and frequency, odd; 1 and 1 judge every coefficient alone (EW). `start`, `stop`: the threshold falls from one
    to the other, geometrically, in units of the spectral peak of a sine as loud as the clip level. `momentum`: in
    [0, 1), what is kept of the last change.

    Raises UsageError for values outside these ranges.
    """

    window_s: float = 0.372
    frames: int = 7
    bins: int = 3
    start: float = 0.1
    stop: float = 0.00025
    n_iterations: int = 300
    momentum: float = 0.95

    def __post_init__(self) -> None:
        if not (self.frames > 0 < self.bins and self.frames % 2 == 1 == self.bins % 2):
            raise UsageError(f"a neighbourhood of {self.frames} x {self.bins}: both must be odd; 7 x 3 is usual")
        if not 0 < self.stop <= self.start < math.inf:
            raise UsageError(f"thresholds from {self.start:g} to {self.stop:g}: must be above 0 and must not rise")
        if not (self.n_iterations > 0 and 0 < self.window_s < math.inf):
            raise UsageError(f"{self.n_iterations} iterations, window {self.window_s:g} s: both must be above 0")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum {self.momentum:g}: must be in [0, 1); 0.95 is usual")


SS_PEW = SocialSettings()
SS_EW = replace(SS_PEW, frames=1, bins=1)


def social(y: Tensor, clip: HardClip, sample_rate: float, settings: SocialSettings = SS_PEW) -> Tensor:
    """An estimate x (batch, time) with clip(x) = y, of the dtype and on the device of y (batch, time).

    Reliable samples are those of y, clipped ones reach at least their level. Long signals are worked on in segments
    with context on both sides, cross-faded; only those with a clipped sample cost time. The cross-fade of two
    estimates in the convex set of all x with clip(x) = y is in that set.
    Raises UsageError as `check_waveform` and `window_length` do.
    """
    check_waveform(y)
    length = window_length(settings.window_s, sample_rate)
    clipped = clip.clipped(y)
    if not bool(clipped.any()):
        return y.clone()
    window = tight_window(length, y)
    segments = _segments(y, length).clone()
    weights = _weights(segments, length)
    damaged = (_segments(clipped.to(y), length) * weights > 0).any(-1)
    known = _segments(torch.ones_like(y), length)  # beyond the ends of the recording nothing is, not even silence
    levels = clip_level(clip, y)[:, None].expand(*segments.shape[:2], 1)
    limits = [torch.as_tensor(v).to(y).expand(len(y), 1) for v in (clip.low, clip.high, clip.tolerance)]
    for rows in torch.split(damaged.nonzero(), max(1, _CHUNK // segments.shape[-1])):
        at = tuple(rows.T)
        segment_clip = HardClip(*(limit[rows[:, 0]] for limit in limits))
        segments[at] = _shrunk(segments[at], known[at], segment_clip, levels[at], window, settings)
    return clip.project(_overlapped(segments * weights, y.shape[-1], length), y)


def _shrunk(
    y: Tensor, known: Tensor, clip: HardClip, level: Tensor, window: Tensor, settings: SocialSettings
) -> Tensor:
    """Iterative shrinkage of (rows, time), of which `known` (1 or 0) was measured; `level` (rows, 1).

    Gradient step on the distance to the consistent set (half its square has the gradient x - project(x), Lipschitz
    constant 1 under a tight frame), shrinkage, momentum.
    """
    length = window.numel()
    peak = level[..., None] * (window.sum() / (2 * math.sqrt(length)))  # of a sine, in an orthonormal DFT
    ratio = settings.stop / settings.start

    # From silence the momentum would overshoot, and nothing pulls a peak down that is too high.
    last = torch.fft.rfft(cut(y, window), norm="ortho")
    z = last
    for i in range(settings.n_iterations):
        threshold = settings.start * ratio ** (i / max(1, settings.n_iterations - 1)) * peak
        x = join(torch.fft.irfft(z, n=length, norm="ortho"), window, y.shape[-1])
        z = z + torch.fft.rfft(cut((clip.project(x, y) - x) * known, window), norm="ortho")
        now = z * _gain(z, threshold, settings)
        z = torch.lerp(last, now, 1 + settings.momentum)
        last = now
    return join(torch.fft.irfft(last, n=length, norm="ortho"), window, y.shape[-1])


def _gain(z: Tensor, threshold: Tensor, settings: SocialSettings) -> Tensor:
    """(1 - threshold^2 / e)_+, e the mean energy around each coefficient of z (rows, frames, bins): empirical Wiener.

    No epsilon: where e is 0, the quotient is infinite and the gain 0.
    """
    energy = _box(z.real.square() + z.imag.square(), settings.bins, -1)
    energy = _box(energy, settings.frames, -2)
    return (1 - threshold.square() * (settings.frames * settings.bins) / energy).relu_()


def _box(e: Tensor, width: int, dim: int) -> Tensor:
    """Sums over `width` (odd) neighbours along `dim` (-1 or -2), nothing beyond the ends."""
    if width == 1:
        return e
    margin = (width // 2, width // 2)
    padded = pad(e, margin if dim == -1 else (0, 0, *margin))
    size = e.shape[dim]
    total = padded.narrow(dim, 0, size) + padded.narrow(dim, 1, size)
    for k in range(2, width):
        total += padded.narrow(dim, k, size)
    return total


def _segments(x: Tensor, length: int) -> Tensor:
    """x (batch, time), zero beyond its ends, as (batch, segments, time of a segment) with context on both sides."""
    core, context = _CORE * length, _CONTEXT * length
    if x.shape[-1] <= core + context:
        return x[:, None]
    count = -(-x.shape[-1] // core)
    return pad(x, (context, count * core + context - x.shape[-1])).unfold(-1, core + 2 * context, core)


def _weights(segments: Tensor, length: int) -> Tensor:
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


def _overlapped(segments: Tensor, time: int, length: int) -> Tensor:
    """The sum of weighted segments (batch, segments, time of a segment), each in its place: (batch, time)."""
    batch, count, size = segments.shape
    if count == 1:
        return segments[:, 0]
    core, context = _CORE * length, _CONTEXT * length
    out = segments.new_zeros(batch, count * core + 2 * context)
    for k in range(count):
        out[:, k * core : k * core + size] += segments[:, k]
    return out[:, context : context + time]
