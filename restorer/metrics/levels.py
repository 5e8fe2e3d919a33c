"""Levels by frequency band: third-octaves, octaves, their errors, over all of a signal or its quiet passages."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from restorer.errors import UsageError
from restorer.metrics.signals import Signal, as_pair, as_signal

Bands = npt.NDArray[np.float64]

FRAME_S = 0.37
SILENCE_RMS = 2.0**-15
# -200 dB: far below the rounding of float64 audio, so that it speaks only for bands that are exactly empty.
POWER_FLOOR = 1e-20


@dataclass(frozen=True)
class Levels:
    """One number in dB for each band: levels (re full scale: a sine of amplitude 1 has -3.01 dB) or their errors."""

    centres_hz: npt.NDArray[np.float64]
    values_db: npt.NDArray[np.float64]

    def worst(self) -> tuple[float, float]:
        """(centre in Hz, value in dB) of the band farthest from 0 dB."""
        index = int(np.argmax(np.abs(self.values_db)))
        return float(self.centres_hz[index]), float(self.values_db[index])

    def between(self, low_hz: float, high_hz: float) -> "Levels":
        """The bands whose centres lie in [low_hz, high_hz]. Raises UsageError if there are none."""
        inside = (self.centres_hz >= low_hz * (1 - 1e-9)) & (self.centres_hz <= high_hz * (1 + 1e-9))
        if not inside.any():
            raise UsageError(f"no band centre lies in {low_hz:g}-{high_hz:g} Hz: widen the range")
        return Levels(self.centres_hz[inside], self.values_db[inside])


def third_octave_bands(sample_rate: int) -> Bands:
    """(3, bands): lower edge, centre, upper edge in Hz of the third-octave bands 25 Hz to 20 kHz, IEC 61260-1 base ten:
    centres 1000 * 10^(k/10), k = -16..13, edges a factor 10^(1/20) away. Bands centred at or above Nyquist are left
    out; one that Nyquist cuts is kept, up to there."""
    return _bands(10.0 ** (np.arange(-16, 14) / 10), 10.0**0.05, sample_rate)


def octave_bands(sample_rate: int) -> Bands:
    """(3, bands): the octave bands 31.5 Hz to 16 kHz, IEC 61260-1 base ten: centres 1000 * 10^(3k/10), k = -5..4,
    edges a factor 10^(3/20) away; at Nyquist as third_octave_bands."""
    return _bands(10.0 ** (3 * np.arange(-5, 5) / 10), 10.0**0.15, sample_rate)


def third_octave_levels(x: npt.ArrayLike, sample_rate: int) -> Levels:
    """Level of each third-octave band of a signal (time,), in dB re full scale: the band's mean power over time.

    Power: Welch's method, Hann frames of about 0.37 s (a power of two; the whole signal if shorter) at a hop of a
    quarter, at which the squared windows add up evenly. Power lies evenly within a bin, so that band edges cut bins.
    Laws: the powers of adjoining bands add; over all frequencies they give the mean square of the signal, its first and
    last frame faded (Parseval). The window's main lobe is 11 Hz wide, wider than the lowest bands (25 Hz: 5.8 Hz).
    """
    signal = as_signal(x)
    frames = _frames(signal, _frame_length(sample_rate, signal.size))
    return _levels(frames, third_octave_bands(sample_rate), sample_rate)


def level_error(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, low_hz: float, high_hz: float
) -> Levels:
    """Estimate's third-octave levels less the reference's, in dB, for the bands centred in [low_hz, high_hz].

    Law: a gain g gives 20 log10 g in each. Raises UsageError if the shapes differ or no band is centred there.
    """
    first, second = as_pair(reference, estimate)
    error = _difference(third_octave_levels(second, sample_rate), third_octave_levels(first, sample_rate))
    return error.between(low_hz, high_hz)


def quiet_level_error(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, low_hz: float, high_hz: float
) -> Levels:
    """`level_error` over the quiet passages alone: the quietest quarter (rounded up) of the reference's frames by RMS,
    of those that are not silent (RMS above one step of 16 bits, -90 dB re full scale). Frames as third_octave_levels.

    A hiss floor shows here while the loud passages hide it. Raises UsageError as level_error, and if all is silent.
    """
    first, second = as_pair(reference, estimate)
    length = _frame_length(sample_rate, first.size)
    ours, theirs = _frames(first, length), _frames(second, length)
    rms = np.sqrt(np.mean(ours**2, axis=1))
    sounding = np.flatnonzero(rms > SILENCE_RMS)
    if sounding.size == 0:
        raise UsageError("the reference is silent throughout, it has no quiet passages: give one with sound")
    quiet = sounding[np.argsort(rms[sounding], kind="stable")][: -(-sounding.size // 4)]
    bands = third_octave_bands(sample_rate)
    error = _difference(_levels(theirs[quiet], bands, sample_rate), _levels(ours[quiet], bands, sample_rate))
    return error.between(low_hz, high_hz)


def octave_levels(segment: npt.ArrayLike, sample_rate: int) -> Levels:
    """Octave-band levels in dB of a short segment (time,), such as a filled gap, seen through one Hann window of its
    length. Octaves narrower than the window's main lobe (4 / duration) are left out, since their neighbours leak into
    them: a 50-ms segment begins at 125 Hz, one of 500 ms at 31.5 Hz. Raises UsageError if none is left."""
    signal = as_signal(segment)
    bands = octave_bands(sample_rate)
    resolved = bands[:, bands[1] * (10.0**0.15 - 10.0**-0.15) >= 4 * sample_rate / signal.size]
    if resolved.size == 0:
        raise UsageError(f"{signal.size} samples are too few to tell octaves apart: give a longer segment")
    return _levels(signal[None], resolved, sample_rate)


def octave_error(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> Levels:
    """Estimate's octave levels less the reference's, in dB, for two short segments. Raises UsageError as they do."""
    first, second = as_pair(reference, estimate)
    return _difference(octave_levels(second, sample_rate), octave_levels(first, sample_rate))


def band_level(x: npt.ArrayLike, sample_rate: int, low_hz: float, high_hz: float) -> float:
    """Level in dB re full scale of one band [low_hz, high_hz], power as in third_octave_levels.

    Raises UsageError unless 0 <= low_hz < high_hz <= Nyquist.
    """
    signal = as_signal(x)
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise UsageError(f"band {low_hz:g}-{high_hz:g} Hz: give 0 <= low < high <= Nyquist, {sample_rate / 2:g} Hz")
    frames = _frames(signal, _frame_length(sample_rate, signal.size))
    band = np.array([[low_hz], [(low_hz + high_hz) / 2], [high_hz]])
    return float(_levels(frames, band, sample_rate).values_db[0])


def _bands(centres_khz: Bands, half_width: float, sample_rate: int) -> Bands:
    centres = 1000 * centres_khz[1000 * centres_khz < sample_rate / 2]
    return np.stack([centres / half_width, centres, np.minimum(centres * half_width, sample_rate / 2)])


def _difference(estimate: Levels, reference: Levels) -> Levels:
    return Levels(reference.centres_hz, estimate.values_db - reference.values_db)


def _frame_length(sample_rate: int, available: int) -> int:
    return min(int(2 ** round(np.log2(FRAME_S * sample_rate))), available)


def _frames(signal: Signal, length: int) -> Signal:
    """(frames, length) views, full frames only."""
    return np.lib.stride_tricks.sliding_window_view(signal, length)[:: max(length // 4, 1)]


def _levels(frames: Signal, bands: Bands, sample_rate: int) -> Levels:
    """Levels of `bands` (3, bands) in the mean spectrum of frames (frames, length): the cumulated power, linear within
    a bin, read at the band edges."""
    length = frames.shape[1]
    if length < 2:
        raise UsageError("one sample has no spectrum: give at least 2 samples")
    spectrum = _mean_spectrum(frames)
    edges = np.minimum((np.arange(-1, spectrum.size) + 0.5).clip(0) * sample_rate / length, sample_rate / 2)
    cumulated = np.concatenate([[0.0], np.cumsum(spectrum)])
    power = np.interp(bands[2], edges, cumulated) - np.interp(bands[0], edges, cumulated)
    return Levels(bands[1], 10 * np.log10(np.maximum(power, POWER_FLOOR)))


def _mean_spectrum(frames: Signal) -> Signal:
    """One-sided mean power (bins,): summed over bins it is the mean square of the frames, weighed by the squared
    window."""
    length = frames.shape[1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    spectrum = np.mean(np.abs(np.fft.rfft(frames * window, axis=1)) ** 2, axis=0)
    spectrum[1 : (length + 1) // 2] *= 2
    return np.asarray(spectrum / (length * np.sum(window**2)))
