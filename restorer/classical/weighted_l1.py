"""Weighted l1 analysis: declipping by the consistent signal whose spectrogram has the least weighted sum of magnitudes.

Sources: Zaviska, Rajmic, Schimmel 2019, "Psychoacoustically motivated audio declipping based on weighted l1
minimization"; the weights' parabola and the frame of the survey of Zaviska et al. 2021; Chambolle, Pock 2011, "A
first-order primal-dual algorithm for convex problems with applications to imaging". Ours: step sizes follow the clip
level, so that a change of level changes nothing else, and fewer iterations than the survey's 3000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from restorer.classical.frames import check_positive, check_waveform, cut, join, tight_window, window_length
from restorer.classical.segments import by_segments
from restorer.degradation import HardClip


@dataclass(frozen=True)
class WeightedL1Settings:
    """`window_s`: window in seconds, taken to the nearest power of two in samples. `step`: of the primal variable, in
    units of the spectral peak of a sine as loud as the clip level; the dual one's is its inverse.

    Raises UsageError for values that are not positive.
    """

    window_s: float = 0.186
    n_iterations: int = 300
    step: float = 10.0

    def __post_init__(self) -> None:
        check_positive(self)


WEIGHTED_L1 = WeightedL1Settings()


def weighted_l1(y: Tensor, clip: HardClip, sample_rate: float, settings: WeightedL1Settings = WEIGHTED_L1) -> Tensor:
    """An estimate x (batch, time) with clip(x) = y, of the dtype and on the device of y (batch, time).

    The weight of a frequency is its square, 1 at half the sample rate: what clipping adds in the highs is dear, music's
    lows are cheap. Segments as in social sparsity: only those with a clipped sample cost time.
    Raises UsageError as `check_waveform` and `window_length` do.
    """
    check_waveform(y)
    length = window_length(settings.window_s, sample_rate)
    if not bool(clip.clipped(y).any()):
        return y.clone()
    window = tight_window(length, y)

    def declip(y: Tensor, known: Tensor, clip: HardClip, level: Tensor) -> Tensor:
        return _sparsest(y, known, clip, level, window, settings)

    return clip.project(by_segments(y, clip, length, declip), y)


def _sparsest(
    y: Tensor, known: Tensor, clip: HardClip, level: Tensor, window: Tensor, settings: WeightedL1Settings
) -> Tensor:
    """Chambolle-Pock on (rows, time), of which `known` (1 or 0) was measured; `level` (rows, 1).

    The frame is tight, so the product of both steps may be 1. Beyond the recording any sample is consistent.
    """
    length, time = window.numel(), y.shape[-1]
    y, known = pad(y, (length, length)), pad(known, (length, length))
    peak = level * (window.sum() / (2 * math.sqrt(length)))  # of a sine, in an orthonormal DFT
    step = settings.step * peak
    weights = torch.linspace(0, 1, length // 2 + 1).to(y).square()
    x = ahead = y
    dual = torch.zeros_like(torch.fft.rfft(cut(y, window), norm="ortho"))
    for _ in range(settings.n_iterations):
        dual = dual + torch.fft.rfft(cut(ahead, window), norm="ortho") / step[..., None]
        dual = dual * (weights / dual.abs().clamp_min(weights)).nan_to_num(0.0)  # 0/0 where weight and dual are 0
        free = x - step * join(torch.fft.irfft(dual, n=length, norm="ortho"), window, y.shape[-1])
        new = torch.where(known > 0, clip.project(free, y), free)
        ahead, x = 2 * new - x, new
    return x[:, length : length + time]
