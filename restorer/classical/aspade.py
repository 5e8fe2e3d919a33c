"""A-SPADE: declipping by the sparsest spectrum of every frame that agrees with what was measured.

Sources: Kitic, Bertin, Gribonval 2015, "Sparsity and cosparsity for audio declipping"; the projection of a tight frame
in closed form: Zaviska, Rajmic, Mokry, Prusa 2019, "A proper version of synthesis-based sparse audio declipper", and
the survey of Zaviska et al. 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restorer.classical.frames import (
    check_positive,
    check_waveform,
    clip_level,
    cut,
    framed,
    join,
    tight_window,
    window_length,
)
from restorer.degradation import HardClip

_UNKNOWN = 2
_CHUNK = 2**21  # samples of frames worked on together: bounds the memory to a few hundred MB


@dataclass(frozen=True)
class AspadeSettings:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `redundancy`: length of the DFT over
    that of the window. Every `relax_every` iterations `relax_by` more coefficients may stay. A frame is done when its
    spectrum and its sparse copy differ by at most `tolerance` clip levels (norm), or after `max_iterations`.
    `consistent`: whether the estimate agrees with what was measured, as published; else it is the sparse copy, which
    is only near it.

    Raises UsageError for values that are not positive.
    """

    window_s: float = 0.186
    redundancy: int = 2
    relax_by: int = 1
    relax_every: int = 1
    tolerance: float = 0.1
    max_iterations: int = 500
    consistent: bool = True

    def __post_init__(self) -> None:
        check_positive(self)


ASPADE = AspadeSettings()


def aspade(y: Tensor, clip: HardClip, sample_rate: float, settings: AspadeSettings = ASPADE) -> Tensor:
    """An estimate x (batch, time), of the dtype and on the device of y (batch, time), with clip(x) = y if consistent.

    Consistent: reliable samples keep their value, clipped ones reach at least their level, both to the rounding of the
    overlap-add, which the last line removes. A frame without a clipped sample stays as it is, and so does silence.
    Raises UsageError as `check_waveform` and `window_length` do.
    """
    check_waveform(y)
    clipped = clip.clipped(y)
    if not bool(clipped.any()):
        return y.clone()
    window = tight_window(window_length(settings.window_s, sample_rate), y)
    frames = cut(y, window)
    kind = torch.where(clipped, y.sign(), 0).to(torch.int8)
    kinds = framed(kind, window.numel(), _UNKNOWN)  # a view: it takes no memory
    level = clip_level(clip, y)[:, None].expand(*frames.shape[:2], 1)
    damaged = framed(clipped, window.numel()).any(-1).nonzero()
    for rows in torch.split(damaged, max(1, _CHUNK // (settings.redundancy * window.numel()))):
        at = tuple(rows.T)
        frames[at] = _sparsest(frames[at], kinds[at], settings.tolerance * level[at], settings)
    estimate = join(frames, window, y.shape[-1])
    return clip.project(estimate, y) if settings.consistent else estimate


def _sparsest(y: Tensor, kind: Tensor, tolerance: Tensor, settings: AspadeSettings) -> Tensor:
    """ADMM on frames (frames, window), `kind` 0 where reliable, 1 and -1 where clipped above and below, _UNKNOWN beyond
    the ends of the recording; `tolerance` (frames, 1). Frames that are done leave the work."""
    length = y.shape[-1] * settings.redundancy
    lower = y.masked_fill((kind == -1) | (kind == _UNKNOWN), -math.inf)
    upper = y.masked_fill((kind == 1) | (kind == _UNKNOWN), math.inf)
    found, active = y.clone(), torch.arange(len(y), device=y.device)
    spectrum = torch.fft.rfft(y, n=length, norm="ortho")
    dual = torch.zeros_like(spectrum)
    for i in range(settings.max_iterations):
        kept = 1 + settings.relax_by * (i // settings.relax_every)
        sparse = _largest(spectrum + dual, kept)
        free = torch.fft.irfft(sparse - dual, n=length, norm="ortho")[:, : y.shape[-1]]
        x = free.clamp(lower, upper)
        spectrum = torch.fft.rfft(x, n=length, norm="ortho")
        distance = spectrum - sparse
        dual = dual + distance
        found[active] = x if settings.consistent else torch.fft.irfft(sparse, n=length, norm="ortho")[:, : y.shape[-1]]
        on = math.sqrt(2) * distance.norm(dim=-1) > tolerance[:, 0]  # half a spectrum: the other half counts as well
        if not bool(on.any()):
            break
        if not bool(on.all()):
            active, lower, upper, tolerance = active[on], lower[on], upper[on], tolerance[on]
            dual, spectrum = dual[on], spectrum[on]
    return found


def _largest(spectrum: Tensor, count: int) -> Tensor:
    """The `count` largest coefficients (with their conjugates) of every row; the others 0."""
    magnitude = spectrum.abs()
    least = magnitude.topk(min(count, magnitude.shape[-1]), sorted=False).values.amin(-1, keepdim=True)
    return spectrum * (magnitude >= least)
