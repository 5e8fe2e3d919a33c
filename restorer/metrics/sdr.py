"""Signal-to-distortion ratio, and the clipping threshold that gives one."""

import math

import numpy as np
import numpy.typing as npt

from restorer.errors import UsageError
from restorer.metrics.signals import as_mask, as_pair, as_signal

_BISECTIONS = 60  # halves the interval to 1e-18 of the peak: below the resolution of float64


def sdr(reference: npt.ArrayLike, estimate: npt.ArrayLike, *, mask: npt.ArrayLike | None = None) -> float:
    """Signal-to-distortion ratio in dB: 10 log10(sum r^2 / sum (r - e)^2), over the samples of `mask` if given.

    Plain, not scale-invariant: a declipped signal must have the level of the original. Equal signals give infinity.
    Source: Zaviska et al. 2021, "A survey and an extensive evaluation of popular audio declipping methods".

    Raises UsageError if the shapes differ, the mask selects nothing, or the reference is zero there.
    """
    first, second = as_pair(reference, estimate)
    if mask is not None:
        selected = as_mask(mask, first.size)
        first, second = first[selected], second[selected]
    energy = float(np.sum(first**2))
    if energy == 0:
        raise UsageError("the reference is all zero, which has no signal-to-distortion ratio: give one with sound")
    distortion = float(np.sum((first - second) ** 2))
    return math.inf if distortion == 0 else 10 * (math.log10(energy) - math.log10(distortion))


def sdr_improvement(
    reference: npt.ArrayLike, damaged: npt.ArrayLike, restored: npt.ArrayLike, *, mask: npt.ArrayLike | None = None
) -> float:
    """Delta SDR in dB: sdr of `restored` less sdr of `damaged`.

    Raises UsageError as `sdr` does, and if there was no damage, which leaves nothing to gain.
    """
    before = sdr(reference, damaged, mask=mask)
    if math.isinf(before):
        raise UsageError("the damaged signal is the reference itself: give one that was damaged")
    return sdr(reference, restored, mask=mask) - before


def clip_to_sdr(x: npt.ArrayLike, sdr_db: float) -> float:
    """Threshold c (linear full scale) at which clamp(x, -c, c) has the given SDR against `x`, by bisection.

    The SDR grows with c without a jump, from 0 dB at c = 0 to infinity at the peak, so every positive SDR has one.
    Raises UsageError if `sdr_db` is not positive and finite or `x` is all zero.
    """
    signal = as_signal(x)
    if not (sdr_db > 0 and math.isfinite(sdr_db)):
        raise UsageError(f"no threshold clips to {sdr_db:g} dB: give a signal-to-distortion ratio above 0 dB")
    low, high = 0.0, float(np.max(np.abs(signal)))
    for _ in range(_BISECTIONS):
        threshold = (low + high) / 2
        if sdr(signal, np.clip(signal, -threshold, threshold)) < sdr_db:
            low = threshold
        else:
            high = threshold
    return (low + high) / 2
