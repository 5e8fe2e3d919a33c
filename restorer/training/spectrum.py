"""The long-term spectrum of a corpus, from which the whitening equaliser is designed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXCERPTS = 256
_SMOOTHING_OCTAVES = 1 / 3


def mean_spectrum(excerpts: Any, length: int, sample_rate: int) -> NDArray[np.float64]:
    """(length // 2 + 1,): mean power spectrum of level-normalised excerpts, smoothed over a third of an octave.

    excerpts: anything with `excerpt(index)` giving (length,) samples. Silent excerpts do not count.
    """
    window = np.hanning(length)
    total = np.zeros(length // 2 + 1)
    for index in range(_EXCERPTS):
        x = excerpts.excerpt(index).astype(np.float64)
        energy = np.mean(x**2)
        if energy > 0:
            total += np.abs(np.fft.rfft(x * window)) ** 2 / energy
    return _smoothed(total, sample_rate / length)


def _smoothed(power: NDArray[np.float64], bin_hz: float) -> NDArray[np.float64]:
    """The mean over a band around each bin, a third of an octave wide, but at least 20 Hz."""
    bins = np.arange(len(power))
    half = np.maximum(bins * (2 ** (_SMOOTHING_OCTAVES / 2) - 1), 10 / bin_hz)
    low = np.clip(np.round(bins - half), 0, None).astype(int)
    high = np.clip(np.round(bins + half) + 1, None, len(power)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(power)])
    return np.asarray((total[high] - total[low]) / (high - low))
