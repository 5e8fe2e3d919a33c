"""The low-passes that a fall of a spectrum may come from, in dB over frequency, and what each is named after."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import sici

Spectrum = NDArray[np.float64]

_BUTTERWORTH = (2, 3, 4, 5, 6, 8, 10, 12, 16)
_CHEBYSHEV = (2, 4, 6, 8, 10)
_RIPPLE_DB = 0.05  # the decimators of common libraries; with more, the same fall begins at a lower frequency
_GENTLE = 4  # up to this order a fall is no damage: instruments, rooms and tone controls do as much
_PAPER_TAPS = 501
_RESAMPLERS = ((0.913, 2), (0.913, 1), (0.96, 1))  # where the fall begins, of where it ends; how often it is applied
_KAISER_BETA = 14.0
_DEEPEST = 1e-7  # of a resampler's amplitude, -140 dB, the depth it is designed for


def low_passes(hz: Spectrum, cutoffs_hz: Spectrum, sample_rate: int) -> tuple[Spectrum, Spectrum, NDArray[np.bool_]]:
    """Every kind at every cutoff: dB at `hz`, (kinds * cutoffs, len(hz)); the cutoffs; and which kinds are gentle.

    Butterworth's are named after where they are 3 dB down, Chebyshev's after the end of their ripple, the paper's FIR
    after where it is 6 dB down, resamplers after the frequency from which on nothing is left: half the lower rate.
    """
    cutoff = cutoffs_hz[:, None]
    ratio = hz / cutoff
    # Recursive filters are designed by the bilinear transform, which bends the frequencies near half the sample rate.
    bent = np.tan(np.pi * np.minimum(hz / sample_rate, 0.4999)) / np.tan(np.pi * cutoff / sample_rate)
    ripple = 10 ** (_RIPPLE_DB / 10) - 1
    beyond = np.arccosh(np.maximum(bent, 1))
    curves, gentle = [], []
    for order in _BUTTERWORTH:
        curves.append(-10 * np.log10(1 + bent ** (2 * order)))
        gentle.append(order <= _GENTLE)
    for order in _CHEBYSHEV:
        curves.append(-10 * np.log10(1 + ripple * np.where(bent > 1, np.cosh(order * beyond), 0.0) ** 2))
        gentle.append(order <= _GENTLE)
    curves.append(np.interp((hz - cutoff) * _PAPER_TAPS / sample_rate, *_rectangular_window()))
    for begins, times in _RESAMPLERS:
        curves.append(times * np.interp(ratio, *_resampler(begins)))
    gentle += [False] * (1 + len(_RESAMPLERS))
    return np.concatenate(curves), np.tile(cutoffs_hz, len(curves)), np.repeat(gentle, len(cutoffs_hz))


@cache
def _rectangular_window() -> tuple[Spectrum, Spectrum]:
    """A low-pass cut by a rectangular window, as the paper's is: (distance from the cutoff in lobes, level in dB), the
    lobes evened out. Its response is the integral of a sinc."""
    lobes = np.linspace(-6, 200, 20_601)
    response = 0.5 - sici(np.pi * lobes)[0] / np.pi
    power = np.convolve(response**2, np.full(100, 0.01), "same")
    level = np.where(lobes < -1, 0.0, 10 * np.log10(power))
    return lobes[100:-100], level[100:-100]


@cache
def _resampler(begins: float) -> tuple[Spectrum, Spectrum]:
    """A linear-phase low-pass by Kaiser's window: (frequency, of that where it ends, level in dB)."""
    attenuation_db = _KAISER_BETA / 0.1102 + 8.7
    taps = round((attenuation_db - 7.95) / (2.285 * np.pi * (1 - begins))) | 1
    middle = (1 + begins) / 4  # of the fall, in cycles a sample, where 0.5 is its end
    response = np.sinc(2 * middle * (np.arange(taps) - taps // 2)) * np.kaiser(taps, _KAISER_BETA)
    level = np.abs(np.fft.rfft(response / response.sum(), 1 << 13))
    return np.linspace(0, 1, len(level)), 20 * np.log10(level + _DEEPEST)
