"""The long-term spectrum of a corpus, from which the whitening equaliser is designed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SMOOTHING_OCTAVES = 1 / 3


def mean_spectrum(excerpts: Sequence[NDArray[np.float32]], sample_rate: int) -> NDArray[np.float64]:
    """(time // 2 + 1,): the geometric mean of the excerpts' power spectra, each smoothed over a third of an octave.

    Geometric, for spectra lie tens of dB apart: an arithmetic mean would be the spectrum of the few brightest.
    excerpts: each (time,). Silent ones do not count.
    """
    length = len(excerpts[0])
    window = np.hanning(length)
    total, count = np.zeros(length // 2 + 1), 0
    for excerpt in excerpts:
        x = excerpt.astype(np.float64)
        if x.any():
            power = _smoothed(np.abs(np.fft.rfft(x * window)) ** 2, sample_rate / length)
            # What lies 120 dB down is rounding, not music.
            total += np.log(np.maximum(power, 1e-12 * power.max()))
            count += 1
    return np.asarray(np.exp(total / max(count, 1)))


def _smoothed(power: NDArray[np.float64], bin_hz: float) -> NDArray[np.float64]:
    """The mean over a band around each bin, a third of an octave wide, but at least 20 Hz."""
    bins = np.arange(len(power))
    half = np.maximum(bins * (2 ** (_SMOOTHING_OCTAVES / 2) - 1), 10 / bin_hz)
    low = np.clip(np.round(bins - half), 0, None).astype(int)
    high = np.clip(np.round(bins + half) + 1, None, len(power)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(power)])
    return np.asarray((total[high] - total[low]) / (high - low))
