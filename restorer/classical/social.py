"""Social sparsity: declipping by shrinkage in which a coefficient is judged together with its neighbours.

Source: Siedenburg, Kowalski, Doerfler 2014, "Audio declipping with social sparsity" (SS-EW, SS-PEW); overlap
and neighbourhood of the survey of Zaviska et al. 2021. Ours: the threshold falls at every iteration and the momentum is
never restarted, which takes a few hundred iterations where the survey allows 10 000; thresholds and iterations follow
from how much was clipped; and the mean over several windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from restorer.classical.frames import check_waveform, cut, framed, join, tight_window, window_length
from restorer.classical.segments import by_segments
from restorer.degradation import HardClip
from restorer.errors import UsageError


@dataclass(frozen=True)
class SocialSettings:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `frames`, `bins`: neighbourhood in
    time and frequency, odd; 1 and 1 judge every coefficient alone (EW). The threshold falls geometrically, from `start`
    times the spectral peak of a sine as loud as the clip level, below which clipping's own overtones are, to `stop`
    times that of a sine as loud as the signal is taken to have been. `n_iterations`: at most; what was clipped less
    takes fewer. `consistent`: whether the estimate is projected onto what was measured; the published methods return it
    raw, reliable samples changed as well.

    Raises UsageError for values outside these ranges.
    """

    window_s: float = 0.372
    frames: int = 7
    bins: int = 3
    start: float = 0.03
    stop: float = 0.00006
    n_iterations: int = 450
    consistent: bool = True

    def __post_init__(self) -> None:
        if not (self.frames > 0 < self.bins and self.frames % 2 == 1 == self.bins % 2):
            raise UsageError(f"a neighbourhood of {self.frames} x {self.bins}: both must be odd; 7 x 3 is usual")
        if not 0 < self.stop <= self.start < math.inf:
            raise UsageError(f"thresholds from {self.start:g} to {self.stop:g}: must be above 0 and must not rise")
        if not (self.n_iterations > 0 and 0 < self.window_s < math.inf):
            raise UsageError(f"{self.n_iterations} iterations, window {self.window_s:g} s: both must be above 0")


SS_PEW = SocialSettings()
SS_EW = replace(SS_PEW, frames=1, bins=1)

SS_PEW_WINDOWS = (
    replace(SS_PEW, window_s=0.186, frames=5),
    SS_PEW,
    replace(SS_PEW, window_s=1.486, frames=3),
)
"""For `social_mean`: short windows follow onsets, long ones tell the notes of a chord apart."""

_ITERATIONS = 200
"""For a signal as loud as its clip level, in proportion for others: an iteration raises peaks by so much."""

_FEWEST = 100

_FORGOTTEN = 9
"""How often the momentum's memory passes during all iterations."""

_LARGEST_SHARE = 0.8
"""Of clipped samples, from which on no more is concluded: a signal four times as loud as its clip level."""


def social(
    y: Tensor,
    clip: HardClip,
    sample_rate: float,
    settings: SocialSettings = SS_PEW,
    measured: Tensor | None = None,
) -> Tensor:
    """An estimate x (batch, time), of the dtype and on the device of y (batch, time), with clip(x) = y if consistent.

    Consistent: reliable samples are those of y, clipped ones reach at least their level. Long signals are worked on in
    segments with context on both sides, cross-faded; only those with a clipped sample cost time.
    measured: 1 where y was, 0 in gaps, of which nothing is concluded (batch, time); None: everywhere.
    Raises UsageError as `check_waveform` and `window_length` do.
    """
    check_waveform(y)
    length = window_length(settings.window_s, sample_rate)
    if not bool(clip.clipped(y).any()):
        return y.clone()
    window = tight_window(length, y)

    def declip(y: Tensor, known: Tensor, clip: HardClip, level: Tensor) -> Tensor:
        loudness = _loudness(clip.clipped(y) * known, length).tolist()
        rows = zip((y * known)[:, None], *_consistent(y, known, clip), level, loudness, strict=True)
        return torch.cat([_shrunk(*row, window, settings) for row in rows])

    estimate = by_segments(y, clip, length, declip, measured)
    return clip.project(estimate, y) if settings.consistent else estimate


def social_mean(
    y: Tensor,
    clip: HardClip,
    sample_rate: float,
    members: Sequence[SocialSettings] = SS_PEW_WINDOWS,
    measured: Tensor | None = None,
) -> Tensor:
    """The mean of the estimates of `social` with each of the members' settings, consistent; shapes and errors as there.

    Windows of different lengths err differently (their errors correlate by 0.4 to 0.7), so that the mean errs less than
    the best of them, by more than 1 dB: it is nearer to the average over all that is possible than any one guess.
    """
    mean = torch.stack([social(y, clip, sample_rate, settings, measured) for settings in members]).mean(0)
    return clip.project(mean, y)


def _loudness(clipped: Tensor, length: int) -> Tensor:
    """(rows,): how loud a signal was where it was loudest, its root mean square re the level that it was clipped at.

    clipped: (rows, time), 1 where it was. From the share of clipped samples in the worst frame of `length` samples, as
    if samples were normally distributed. 0 where none is clipped.
    """
    heard = min(length, clipped.shape[-1])  # beyond the ends nothing is, clipped or not
    share = (framed(clipped, length).sum(-1) / heard).amax(-1).clamp(max=_LARGEST_SHARE)
    return 1 / (math.sqrt(2) * torch.erfinv(1 - share))


def _consistent(y: Tensor, known: Tensor, clip: HardClip) -> tuple[Tensor, Tensor]:
    """The least and the greatest value (rows, 1, time) that every sample may have had; any where nothing is `known`."""
    anything = torch.full_like(y, math.inf)
    at_least, at_most = (clip.project(bound, y).where(known > 0, bound) for bound in (-anything, anything))
    return at_least[:, None], at_most[:, None]


def _shrunk(
    y: Tensor,
    at_least: Tensor,
    at_most: Tensor,
    level: Tensor,
    loudness: float,
    window: Tensor,
    settings: SocialSettings,
) -> Tensor:
    """Iterative shrinkage of (1, time), clipped at `level` (1,), of a signal that was `loudness` times as loud.

    Gradient step on the distance to the consistent set (half its square has the gradient x - project(x), Lipschitz
    constant 1 under a tight frame), shrinkage, momentum.
    """
    length = window.numel()
    peak = level * (window.sum() / (2 * math.sqrt(length)))  # of a sine, in an orthonormal DFT
    n_iterations = min(settings.n_iterations, max(_FEWEST, round(_ITERATIONS * loudness)))
    momentum = max(0.0, 1 - _FORGOTTEN / n_iterations)
    ratio = settings.stop * loudness / settings.start

    # From silence the momentum would overshoot, and nothing pulls a peak down that is too high.
    last = torch.fft.rfft(cut(y, window), norm="ortho")
    z = last
    for i in range(n_iterations):
        threshold = settings.start * ratio ** (i / max(1, n_iterations - 1)) * peak
        x = join(torch.fft.irfft(z, n=length, norm="ortho"), window, y.shape[-1])
        z = z + torch.fft.rfft(cut(x.clamp(at_least, at_most) - x, window), norm="ortho")
        now = z * _gain(z, threshold, settings)
        # As real numbers: a complex lerp takes four times as long.
        z = torch.view_as_complex(torch.lerp(torch.view_as_real(last), torch.view_as_real(now), 1 + momentum))
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
