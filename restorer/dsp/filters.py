"""Low-pass filters of recordings, the crossover that mends them, and their application to tensors.

Filters are designed once, in float64 on the host, as odd numbers of taps (NumPy arrays); they are applied by FFT to
tensors of any batch shape, time last, on any device, differentiably.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, signal
from torch import Tensor

from restorer.dsp import LOWEST_CUTOFF_HZ
from restorer.errors import UsageError

Taps = NDArray[np.float64]

CROSSOVER_DB = 83.0  # asked of Kaiser's rule, which misses by up to 2 dB, so that 80 dB are kept
CROSSOVER_TRANSITION = 0.1  # of the cutoff


def kaiser_lowpass(cutoff_hz: float, sample_rate: float, order: int = 500) -> Taps:
    """The paper's low-pass: `firwin(order + 1, cutoff_hz, width=1, window="kaiser", fs=sample_rate)`.

    SciPy lets `width` (here 1 Hz) override `window`: the window is always Kaiser's, with the beta that Kaiser's rule
    gives for a transition of 1 Hz. An order of 500 cannot come near that at audio rates, the rule sees less than 21 dB
    and returns a beta of 0: the window is rectangular, with the ripple of 8 % at the band edge that goes with it.
    Kept, because the paper's numbers were measured through this filter.

    Returns (order + 1,) linear-phase taps with gain 1 at 0 Hz, to be centred: see `apply_fir`.
    Raises UsageError for a cutoff outside [20 Hz, Nyquist) and for an order that is odd or below 2.
    """
    check_cutoff(cutoff_hz, sample_rate)
    if order < 2 or order % 2:
        raise UsageError(
            f"FIR order {order}: must be even and at least 2, so that the filter has a middle; try {max(2, order + 1)}"
        )
    # Spelled as SciPy acts on it: `width` alone decides the window.
    return np.asarray(signal.firwin(order + 1, cutoff_hz, width=1.0, fs=sample_rate), dtype=np.float64)


def crossover_lowpass(cutoff_hz: float, sample_rate: float) -> Taps:
    """The low-pass of the crossover: passes up to 0.9 cutoff, stops from the cutoff on; see `sharp_lowpass`.

    The length is odd and follows from the transition of 0.1 cutoff: about 2,300 taps for 1 kHz at 44.1 kHz.
    Raises UsageError for a cutoff outside [20 Hz, Nyquist).
    """
    check_cutoff(cutoff_hz, sample_rate)
    return sharp_lowpass((1 - CROSSOVER_TRANSITION) * cutoff_hz, cutoff_hz, sample_rate)


def sharp_lowpass(passes_hz: float, stops_hz: float, sample_rate: float) -> Taps:
    """Linear-phase low-pass by Kaiser's window: passes up to the first frequency, stops from the second on, to 80 dB.

    0 < passes_hz < stops_hz, in Hz. Returns an odd number of taps, the more of them the closer the two are.
    """
    n_taps, beta = signal.kaiserord(CROSSOVER_DB, (stops_hz - passes_hz) / (sample_rate / 2))
    taps = signal.firwin(n_taps | 1, (passes_hz + stops_hz) / 2, window=("kaiser", beta), fs=sample_rate)
    return np.asarray(taps, dtype=np.float64)


def crossover_highpass(cutoff_hz: float, sample_rate: float) -> Taps:
    """The complement `delta - crossover_lowpass`: -80 dB below 0.9 cutoff, 0 dB (within 0.01 dB) from the cutoff on.

    `y + HP(x - y)` is therefore y below 0.9 cutoff and x above the cutoff, with nothing lost where x equals y.
    Raises UsageError for a cutoff outside [20 Hz, Nyquist).
    """
    taps = -crossover_lowpass(cutoff_hz, sample_rate)
    taps[len(taps) // 2] += 1.0
    return taps


def apply_fir(x: Tensor, taps: Taps) -> Tensor:
    """Zero-phase filtering: `y[n] = sum_k taps[k] x[n + middle - k]`, x taken as 0 beyond its ends.

    x (..., time) in float32 or float64; taps (odd,), middle = len(taps) // 2. Returns the shape of x.
    """
    assert len(taps) % 2 == 1, f"{len(taps)} taps have no middle"
    length, middle = x.shape[-1], len(taps) // 2
    n_fft = fft.next_fast_len(length + len(taps) - 1, real=True)
    kernel = _on_device(np.asarray(taps, dtype=np.float64).tobytes(), x.dtype, x.device)
    product = torch.fft.rfft(x, n_fft) * torch.fft.rfft(kernel, n_fft)
    y: Tensor = torch.fft.irfft(product, n_fft)
    return y[..., middle : middle + length]


def check_cutoff(cutoff_hz: float, sample_rate: float) -> None:
    """Raises UsageError unless LOWEST_CUTOFF_HZ <= cutoff_hz < sample_rate / 2."""
    if not 0 < cutoff_hz < sample_rate / 2:
        raise UsageError(
            f"cutoff {cutoff_hz:g} Hz: must lie above 0 and below half the sample rate, {sample_rate / 2:g} Hz;"
            " choose a lower cutoff or a higher sample rate"
        )
    if cutoff_hz < LOWEST_CUTOFF_HZ:
        raise UsageError(f"cutoff {cutoff_hz:g} Hz: must be at least {LOWEST_CUTOFF_HZ:g} Hz; give it in Hz, as 1000")


@lru_cache(maxsize=8)
def _on_device(taps: bytes, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Taps (float64) as a tensor, kept: a sampler filters at every step, and a copy to a GPU would make it wait."""
    return torch.from_numpy(np.frombuffer(taps, dtype=np.float64).copy()).to(dtype).to(device)
