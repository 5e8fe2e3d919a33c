"""Waveforms as overlapping frames of a tight window, and what every classical method asks of its input."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from restorer.degradation import HardClip
from restorer.errors import UsageError

HOPS_PER_WINDOW = 4  # 75 % overlap, that of the declipping survey of Zaviska et al. 2021


def check_waveform(y: Tensor) -> None:
    """Raises UsageError unless y is a waveform (batch, time), float32 or float64, not empty, of finite samples."""
    if y.ndim != 2 or y.numel() == 0 or y.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"a {y.dtype} tensor {tuple(y.shape)}: must be float32 or float64 (batch, time), not empty")
    if not bool(y.isfinite().all()):
        raise UsageError("the waveform has samples that are NaN or infinite: remove them first")


def check_positive(settings: object) -> None:
    """Raises UsageError unless every number among the fields of a dataclass is above 0 and finite."""
    for name, value in vars(settings).items():
        if not isinstance(value, bool) and not 0 < value < math.inf:
            raise UsageError(f"{name} {value:g}: must be above 0 and finite; the default is a safe choice")


def clip_level(clip: HardClip, y: Tensor) -> Tensor:
    """The greater of both levels of every item of y: (batch, 1)."""
    high, low = (torch.as_tensor(level).to(y) for level in (clip.high, clip.low))
    return torch.maximum(high, -low).expand(y.shape[0], 1)


def window_length(window_s: float, sample_rate: float) -> int:
    """The power of two of samples nearest to `window_s` on a scale of octaves; UsageError below 16 samples."""
    if not (0 < sample_rate < math.inf and window_s * sample_rate >= 16):
        raise UsageError(f"a window of {window_s:g} s at {sample_rate:g} Hz: must hold 16 samples; choose a longer one")
    return int(2 ** round(math.log2(window_s * sample_rate)))


def tight_window(length: int, like: Tensor) -> Tensor:
    """A Hann window whose squares, shifted by a quarter of its length, sum to one: `join(cut(x))` = x."""
    hann = torch.hann_window(length, dtype=torch.float64)  # squares of its shifts: 3/8 of the number of shifts
    return (hann * math.sqrt(8 / (3 * HOPS_PER_WINDOW))).to(like)


def cut(x: Tensor, window: Tensor) -> Tensor:
    """x (batch, time), zero beyond its ends, as weighted frames (batch, frames, window), four over every sample."""
    return framed(x, window.numel()) * window


def framed(x: Tensor, length: int, beyond: int = 0) -> Tensor:
    """x (batch, time), `beyond` its ends, as frames without weights (batch, frames, length)."""
    hop = length // HOPS_PER_WINDOW
    before = length - hop
    count = -(-(x.shape[-1] + before) // hop)
    return pad(x, (before, count * hop - x.shape[-1]), value=beyond).unfold(-1, length, hop)


def join(frames: Tensor, window: Tensor, length: int) -> Tensor:
    """The adjoint of `cut` and, the window being tight, its inverse: (batch, frames, window) to (batch, length)."""
    batch, count, width = frames.shape
    hop = width // HOPS_PER_WINDOW
    parts = (frames * window).reshape(batch, count, HOPS_PER_WINDOW, hop)
    out = frames.new_zeros(batch, count + HOPS_PER_WINDOW - 1, hop)
    for k in range(HOPS_PER_WINDOW):
        out[:, k : k + count] += parts[:, :, k]
    return out.reshape(batch, -1)[:, width - hop : width - hop + length]
