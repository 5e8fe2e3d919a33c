"""Social sparsity: declipping by shrinkage in which a coefficient is judged together with its neighbours.

Source: Siedenburg, Kowalski, Doerfler 2014, "Audio declipping with social sparsity" (SS-EW, SS-PEW); overlap
and neighbourhood of the survey of Zaviska et al. 2021. Ours: the threshold falls at every iteration and the momentum is
never restarted, which takes a few hundred iterations where the survey allows 10 000; and the mean over several windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from restorer.classical.frames import check_waveform, cut, join, tight_window, window_length
from restorer.classical.segments import by_segments
from restorer.degradation import HardClip
from restorer.errors import UsageError


@dataclass(frozen=True)
class SocialSettings:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `frames`, `bins`: neighbourhood in
    time and frequency, odd; 1 and 1 judge every coefficient alone (EW). `start`, `stop`: the threshold falls from one
    to the other, geometrically, in units of the spectral peak of a sine as loud as the clip level. `momentum`: in
    [0, 1), what is kept of the last change. `consistent`: whether the estimate is projected onto what was measured;
    the published methods return it raw, reliable samples changed as well.

    Raises UsageError for values outside these ranges.
    """

    window_s: float = 0.372
    frames: int = 7
    bins: int = 3
    start: float = 0.03
    stop: float = 0.00025
    n_iterations: int = 450
    momentum: float = 0.98
    consistent: bool = True

    def __post_init__(self) -> None:
        if not (self.frames > 0 < self.bins and self.frames % 2 == 1 == self.bins % 2):
            raise UsageError(f"a neighbourhood of {self.frames} x {self.bins}: both must be odd; 7 x 3 is usual")
        if not 0 < self.stop <= self.start < math.inf:
            raise UsageError(f"thresholds from {self.start:g} to {self.stop:g}: must be above 0 and must not rise")
        if not (self.n_iterations > 0 and 0 < self.window_s < math.inf):
            raise UsageError(f"{self.n_iterations} iterations, window {self.window_s:g} s: both must be above 0")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum {self.momentum:g}: must be in [0, 1); 0.98 is usual")


SS_PEW = SocialSettings()
SS_EW = replace(SS_PEW, frames=1, bins=1)

SS_PEW_WINDOWS = (
    replace(SS_PEW, window_s=0.186, frames=5),
    SS_PEW,
    replace(SS_PEW, window_s=1.486, frames=3),
)
"""For `social_mean`: short windows follow onsets, long ones tell the notes of a chord apart."""


def social(y: Tensor, clip: HardClip, sample_rate: float, settings: SocialSettings = SS_PEW) -> Tensor:
    """An estimate x (batch, time), of the dtype and on the device of y (batch, time), with clip(x) = y if consistent.

    Consistent: reliable samples are those of y, clipped ones reach at least their level. Long signals are worked on in
    segments with context on both sides, cross-faded; only those with a clipped sample cost time.
    Raises UsageError as `check_waveform` and `window_length` do.
    """
    check_waveform(y)
    length = window_length(settings.window_s, sample_rate)
    if not bool(clip.clipped(y).any()):
        return y.clone()
    window = tight_window(length, y)

    def declip(y: Tensor, known: Tensor, clip: HardClip, level: Tensor) -> Tensor:
        return _shrunk(y, known, clip, level, window, settings)

    estimate = by_segments(y, clip, length, declip)
    return clip.project(estimate, y) if settings.consistent else estimate


def social_mean(
    y: Tensor, clip: HardClip, sample_rate: float, members: Sequence[SocialSettings] = SS_PEW_WINDOWS
) -> Tensor:
    """The mean of the estimates of `social` with each of the members' settings, consistent; shapes and errors as there.

    Windows of different lengths err differently (their errors correlate by 0.4 to 0.7), so that the mean errs less than
    the best of them, by more than 1 dB: it is nearer to the average over all that is possible than any one guess.
    """
    mean = torch.stack([social(y, clip, sample_rate, settings) for settings in members]).mean(0)
    return clip.project(mean, y)


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
