"""Low-pass filters of recordings, the crossover that mends them, and their application to tensors.

Filters are designed once, in float64 on the host, as impulse responses (NumPy arrays); they are applied by FFT to
tensors of any batch shape, time last, on any device, differentiably.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, signal
from torch import Tensor

from restorer.errors import UsageError

Taps = NDArray[np.float64]

CROSSOVER_DB = 83.0  # asked of Kaiser's rule, which misses by up to 2 dB, so that 80 dB are kept
CROSSOVER_TRANSITION = 0.1  # of the cutoff
TAIL = 1e-6  # what an infinite response may lose: the sum of |h| beyond its end, -120 dB of the loudest input
LONGEST_RESPONSE = 1 << 22  # samples; 95 s at 44.1 kHz: a filter that rings longer is a mistake


def kaiser_lowpass(cutoff_hz: float, sample_rate: float, order: int = 500) -> Taps:
    """The paper's low-pass: `firwin(order + 1, cutoff_hz, width=1, window="kaiser", fs=sample_rate)`.

    SciPy lets `width` (here 1 Hz) override `window`: the window is always Kaiser's, with the beta that Kaiser's rule
    gives for a transition of 1 Hz. An order of 500 cannot come near that at audio rates, the rule sees less than 21 dB
    and returns a beta of 0: the window is rectangular, with the ripple of 8 % at the band edge that goes with it.
    Kept, because the paper's numbers were measured through this filter.

    Returns (order + 1,) linear-phase taps with gain 1 at 0 Hz, to be centred: see `apply_fir`.
    Raises UsageError for a cutoff outside (0, Nyquist) and for an order that is odd or below 2.
    """
    check_cutoff(cutoff_hz, sample_rate)
    if order < 2 or order % 2:
        raise UsageError(
            f"FIR order {order}: must be even and at least 2, so that the filter has a middle; try {max(2, order + 1)}"
        )
    # Spelled as SciPy acts on it: `width` alone decides the window.
    return np.asarray(signal.firwin(order + 1, cutoff_hz, width=1.0, fs=sample_rate), dtype=np.float64)


def crossover_lowpass(cutoff_hz: float, sample_rate: float) -> Taps:
    """Linear-phase low-pass by Kaiser's window: passes up to 0.9 cutoff, stops from the cutoff on, each to 80 dB.

    The length is odd and follows from the transition of 0.1 cutoff: about 2,300 taps for 1 kHz at 44.1 kHz.
    Raises UsageError for a cutoff outside (0, Nyquist).
    """
    check_cutoff(cutoff_hz, sample_rate)
    width = CROSSOVER_TRANSITION * cutoff_hz
    n_taps, beta = signal.kaiserord(CROSSOVER_DB, width / (sample_rate / 2))
    taps = signal.firwin(n_taps | 1, cutoff_hz - width / 2, window=("kaiser", beta), fs=sample_rate)
    return np.asarray(taps, dtype=np.float64)


def crossover_highpass(cutoff_hz: float, sample_rate: float) -> Taps:
    """The complement `delta - crossover_lowpass`: -80 dB below 0.9 cutoff, 0 dB (within 0.01 dB) from the cutoff on.

    `y + HP(x - y)` is therefore y below 0.9 cutoff and x above the cutoff, with nothing lost where x equals y.
    Raises UsageError for a cutoff outside (0, Nyquist).
    """
    taps = -crossover_lowpass(cutoff_hz, sample_rate)
    taps[len(taps) // 2] += 1.0
    return taps


def chebyshev_lowpass(cutoff_hz: float, sample_rate: float, order: int, ripple_db: float) -> Taps:
    """Causal impulse response of a Chebyshev type I low-pass; `cutoff_hz` is where the ripple band ends.

    Returns (n,) taps, n such that what is cut off sums to less than 1e-6; see `apply_response`.
    Raises UsageError for a cutoff outside (0, Nyquist), an order outside 1 to 20, a ripple that is not above 0 dB, and
    a filter that rings for more than 2^22 samples.
    """
    check_cutoff(cutoff_hz, sample_rate)
    if not 1 <= order <= 20:
        raise UsageError(f"Chebyshev order {order}: must lie in 1 to 20; 6 is a common choice")
    if not 0 < ripple_db < math.inf:
        raise UsageError(f"Chebyshev ripple {ripple_db} dB: must be above 0 and finite; 0.05 is a common choice")
    return _impulse_response(signal.cheby1(order, ripple_db, cutoff_hz, output="zpk", fs=sample_rate))


def biquad_lowpass(cutoff_hz: float, sample_rate: float) -> Taps:
    """Causal impulse response of the second-order Butterworth low-pass: -3 dB at the cutoff, 12 dB an octave.

    Returns (n,) taps, n such that what is cut off sums to less than 1e-6; see `apply_response`.
    Raises UsageError for a cutoff outside (0, Nyquist).
    """
    check_cutoff(cutoff_hz, sample_rate)
    return _impulse_response(signal.butter(2, cutoff_hz, output="zpk", fs=sample_rate))


def apply_fir(x: Tensor, taps: Taps) -> Tensor:
    """Zero-phase filtering: `y[n] = sum_k taps[k] x[n + middle - k]`, x taken as 0 beyond its ends.

    x (..., time) in float32 or float64; taps (odd,), middle = len(taps) // 2. Returns the shape of x.
    """
    assert len(taps) % 2 == 1, f"{len(taps)} taps have no middle"
    return _convolve(x, taps, origin=len(taps) // 2)


def apply_response(x: Tensor, response: Taps) -> Tensor:
    """Causal filtering: `y[n] = sum_k response[k] x[n - k]`, x taken as 0 before its start.

    x (..., time) in float32 or float64; response (n,), an impulse response long enough to have died away.
    Returns the shape of x.
    """
    return _convolve(x, response, origin=0)


def check_cutoff(cutoff_hz: float, sample_rate: float) -> None:
    """Raises UsageError unless 0 < cutoff_hz < sample_rate / 2."""
    if not 0 < cutoff_hz < sample_rate / 2:
        raise UsageError(
            f"cutoff {cutoff_hz:g} Hz: must lie above 0 and below half the sample rate, {sample_rate / 2:g} Hz;"
            " choose a lower cutoff or a higher sample rate"
        )


def _convolve(x: Tensor, taps: Taps, origin: int) -> Tensor:
    """x convolved with taps, sample `origin` of taps at time 0; zeros beyond the ends of x, the length of x kept."""
    length = x.shape[-1]
    n_fft = fft.next_fast_len(length + len(taps) - 1, real=True)
    kernel = _on_device(np.asarray(taps, dtype=np.float64).tobytes(), x.dtype, x.device)
    product = torch.fft.rfft(x, n_fft) * torch.fft.rfft(kernel, n_fft)
    y: Tensor = torch.fft.irfft(product, n_fft)
    return y[..., origin : origin + length]


@lru_cache(maxsize=8)
def _on_device(taps: bytes, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Taps (float64) as a tensor, kept: a sampler filters at every step, and a copy to a GPU would make it wait."""
    return torch.from_numpy(np.frombuffer(taps, dtype=np.float64).copy()).to(dtype).to(device)


def _impulse_response(zeros_poles_gain: tuple[NDArray[np.complex128], NDArray[np.complex128], float]) -> Taps:
    """The impulse response of a digital filter, cut where the rest of it sums to less than TAIL."""
    radius = float(np.abs(zeros_poles_gain[1]).max())
    # The slowest pole decays as radius^n. 1e-12 leaves room for the rise before the decay of filters of high order.
    long = math.ceil(math.log(1e-12) / math.log(radius)) if 0 < radius < 1 else math.inf
    if long > LONGEST_RESPONSE:
        raise UsageError(
            f"a low-pass that rings for {long:g} samples: at most {LONGEST_RESPONSE} are kept;"
            " choose a higher cutoff, a lower order or more ripple"
        )
    impulse = np.zeros(int(long))
    impulse[0] = 1.0
    response = np.asarray(signal.sosfilt(signal.zpk2sos(*zeros_poles_gain), impulse), dtype=np.float64)
    remainder = np.cumsum(np.abs(response[::-1]))[::-1]
    return response[: max(1, int(np.count_nonzero(remainder >= TAIL)))]
