"""Spectral band replication: the plain baseline of bandwidth extension.

The top octave of what is left is copied upwards, again and again, and tilted as the spectrum's own slope goes on. What
is copied sits at wrong pitches, with right rhythm and roughly right level. Source of the idea: Dietz, Liljeryd,
Kjoerling, Kunz 2002, "Spectral band replication, a novel approach in audio coding"; there the encoder sends the
envelope, here it is guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restorer.classical.frames import (
    HOPS_PER_WINDOW,
    check_positive,
    check_waveform,
    cut,
    join,
    tight_window,
    window_length,
)
from restorer.degradation import LowPass
from restorer.errors import UsageError


@dataclass(frozen=True)
class ReplicationSettings:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `fit_octaves`: how far below the
    cutoff the spectrum's slope is learned. `least_fall_db`: how much levels fall per octave at the least, for music
    falls faster in its highs than the octaves below a low cutoff tell. Raises UsageError for values not positive."""

    window_s: float = 0.046
    fit_octaves: float = 2.0
    least_fall_db: float = 12.0

    def __post_init__(self) -> None:
        check_positive(self)


REPLICATION = ReplicationSettings()


def replicate(y: Tensor, low_pass: LowPass, sample_rate: float, settings: ReplicationSettings = REPLICATION) -> Tensor:
    """y (batch, time) with its band above the cutoff filled, of its dtype and on its device.

    Below 0.9 cutoff it is y, to the -80 dB of the crossover. Linear but for the slope, hence equivariant to level.
    Raises UsageError as `check_waveform` and `window_length` do, and where the low-pass is for another sample rate.
    """
    check_waveform(y)
    if sample_rate != low_pass.sample_rate:
        raise UsageError(
            f"a low-pass for {low_pass.sample_rate:g} Hz and a recording at {sample_rate:g} Hz: must be the same rate"
        )
    length = window_length(settings.window_s, sample_rate)
    window = tight_window(length, y)
    spectrum = torch.fft.rfft(cut(y, window))
    top = math.floor(0.9 * low_pass.cutoff_hz / sample_rate * length)  # what lies above is no longer whole
    shift = top // 2 // HOPS_PER_WINDOW * HOPS_PER_WINDOW
    if shift == 0:
        raise UsageError(
            f"a cutoff of {low_pass.cutoff_hz:g} Hz and a window of {settings.window_s:g} s: {2 * HOPS_PER_WINDOW}"
            " bins must lie below the cutoff; choose a longer window"
        )
    edge = HOPS_PER_WINDOW  # frames at either end in which the recording's edge is heard, a broadband step
    whole = spectrum[:, edge:-edge] if spectrum.shape[1] > 2 * edge else spectrum
    slope = _slope(whole, round(top / 2**settings.fit_octaves), top)
    slope = slope.clamp_max(-settings.least_fall_db / (20 * math.log10(2)))
    filled = _patched(spectrum, top, shift, slope)
    wide = join(torch.fft.irfft(filled, n=length), window, y.shape[-1])
    return low_pass.project(wide, y)


def _patched(spectrum: Tensor, top: int, shift: int, slope: Tensor) -> Tensor:
    """Bins from `top` on are those of the octave below it, moved by multiples of `shift` bins and tilted by `slope`.

    A shift by whole multiples of the hops per window turns no phase from frame to frame: each patch is the band
    modulated by one steady carrier.
    """
    bins = torch.arange(spectrum.shape[-1], device=spectrum.device)
    source = torch.where(bins < top, bins, top - shift + (bins - top) % shift)
    tilt = (bins.clamp_min(1) / source.clamp_min(1)).to(slope) ** slope
    return spectrum[..., source] * tilt


def _slope(spectrum: Tensor, low: int, top: int) -> Tensor:
    """The exponent by which magnitudes fall with frequency in bins low..top of each item: (batch, 1, 1).

    A straight line through log mean power over log frequency, every octave weighing alike. Silence: 0.
    """
    low = max(1, low)
    power = spectrum[..., low:top].abs().square().mean(1)
    octaves = torch.arange(low, top, device=spectrum.device).to(power).log()
    heard = power > 0
    level = torch.where(heard, power, 1).log() / 2
    weight = heard / octaves.exp()
    total = weight.sum(-1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)  # silence has no weight at all
    x = octaves - (weight * octaves).sum(-1, keepdim=True) / total
    spread = (weight * x.square()).sum(-1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    return ((weight * x * level).sum(-1, keepdim=True) / spread)[..., None]
