"""Likeness: whether what was restored comes when and where it was, however loud."""

import numpy as np
import numpy.typing as npt

from restorer.metrics.lsd import bins_in, log_power
from restorer.metrics.signals import as_pair

_OCTAVES = 2


def likeness_above(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, cutoff_hz: float) -> float:
    """The correlation of two log-spectrograms in the two octaves from cutoff_hz up, at most to Nyquist of 22.05 kHz.

    Over all frames and bins of the log-spectral distance (lsd.py). That distance is lowest for the right power without
    any detail, and ranks what has none beside what has the wrong; this asks for partials, and for nothing else. It
    compares restorations: what a low-pass lets through is very like, if 50 dB too soft.

    Laws: 1 for equal signals, and for a gain; symmetric; near 0 for independent ones; 0 where one has no detail at all.
    Raises UsageError as log_spectral_distance.
    """
    first, second = as_pair(reference, estimate)
    inside = bins_in((cutoff_hz, cutoff_hz * 2**_OCTAVES))
    a, b = (log_power(x, sample_rate)[:, inside] for x in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / norm if norm > 0 else 0.0
