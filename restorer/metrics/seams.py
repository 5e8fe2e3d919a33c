"""Whether a joint shows: clicks at the edges of a gap, and a different level where windows overlap."""

import math

import numpy as np
import numpy.typing as npt

from restorer.errors import UsageError
from restorer.metrics.signals import Mask, Signal, as_mask, as_signal

_SURROUNDING_S = 0.5  # on each side: together the surrounding second
_EXTENSION_S = 0.1


def largest_step(x: npt.ArrayLike, start: int, stop: int) -> float:
    """Largest |x[n+1] - x[n]| (full-scale units) of two neighbours of which at least one lies in [start, stop): the
    steps into and out of the span count.

    Raises UsageError unless 0 <= start < stop <= samples and there are at least 2 samples.
    """
    signal = as_signal(x)
    if not 0 <= start < stop <= signal.size or signal.size < 2:
        raise UsageError(
            f"span {start}-{stop} of {signal.size} samples: give 0 <= start < stop <= samples, of 2 or more"
        )
    return float(np.max(np.abs(np.diff(signal[max(start - 1, 0) : stop + 1]))))


def click_ratio(x: npt.ArrayLike, start: int, stop: int, sample_rate: int) -> float:
    """largest_step of [start, stop) over the largest step of the surrounding second: half a second on each side, less
    where the signal ends, the span itself left out. A ratio above 2 is called a click.

    Surroundings without any step (constant) give infinity, or 1 where the span has none either. Raises UsageError as
    largest_step, or if the span is all there is.
    """
    signal = as_signal(x)
    inside = largest_step(signal, start, stop)
    reach = round(_SURROUNDING_S * sample_rate)
    sides = [signal[max(start - reach, 0) : start], signal[stop : stop + reach]]
    steps = [float(np.max(np.abs(np.diff(side)))) for side in sides if side.size > 1]
    if not steps:
        raise UsageError(
            f"span {start}-{stop} leaves nothing of {signal.size} samples to compare with: give a longer one"
        )
    outside = max(steps)
    if outside > 0:
        return inside / outside
    return math.inf if inside > 0 else 1.0


def overlap_level_difference(
    x: npt.ArrayLike, overlaps: npt.ArrayLike, sample_rate: int, low_hz: float, high_hz: float
) -> float:
    """Level in dB of the band [low_hz, high_hz] over the samples marked in `overlaps` (time,), less its level over the
    others: mean squares of the signal restricted to the band.

    Music has such a difference of its own: subtract that of the original, or average over several recordings.
    Raises UsageError unless 0 <= low_hz < high_hz <= Nyquist, both sides of the mask have samples and the band sound.
    """
    signal = as_signal(x)
    inside = as_mask(overlaps, signal.size)
    outside = as_mask(~inside, signal.size)
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise UsageError(f"band {low_hz:g}-{high_hz:g} Hz: give 0 <= low < high <= Nyquist, {sample_rate / 2:g} Hz")
    band = _restrict(signal, sample_rate, low_hz, high_hz)
    return _level_over(band, inside) - _level_over(band, outside)


def _level_over(band: Signal, selected: Mask) -> float:
    power = float(np.mean(band[selected] ** 2))
    if power == 0:
        raise UsageError("the band is silent over a side of the mask: measure a band that sounds")
    return 10 * math.log10(power)


def _restrict(signal: Signal, sample_rate: int, low_hz: float, high_hz: float) -> Signal:
    """The frequencies [low_hz, high_hz] of a signal, zero phase. It is first continued past both ends by its own point
    reflection, fading to zero: a jump where the transform wraps round would have all frequencies."""
    margin = min(round(_EXTENSION_S * sample_rate), signal.size - 1)
    extended = np.pad(signal, margin, mode="reflect", reflect_type="odd")
    fade = 0.5 - 0.5 * np.cos(np.pi * np.arange(margin) / max(margin, 1))
    extended[:margin] *= fade
    extended[extended.size - margin :] *= fade[::-1]
    spectrum = np.fft.rfft(extended)
    frequencies = np.fft.rfftfreq(extended.size, 1 / sample_rate)
    spectrum[(frequencies < low_hz) | (frequencies > high_hz)] = 0
    return np.fft.irfft(spectrum, extended.size)[margin : margin + signal.size]
