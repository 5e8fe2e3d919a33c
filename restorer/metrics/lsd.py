"""Log-spectral distance: how far apart two spectrograms are."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soxr

from restorer.errors import UsageError
from restorer.metrics.signals import Signal, as_pair

LSD_RATE = 22050
LSD_WINDOW = 2048
LSD_HOP = 512
LSD_FLOOR = 1e-8


def log_spectral_distance(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    band_hz: tuple[float, float] | None = None,
) -> float:
    """Log-spectral distance of two signals (time,), in units of log10 power (1.0 is 10 dB).

        LSD = mean over frames of sqrt(mean over bins of (log10 |R|^2 - log10 |E|^2)^2)

    at 22.05 kHz, STFT with a periodic Hann window of 2048 samples, hop 512, full frames only. Other rates are resampled
    (soxr, VHQ), which empties the last 1 % of the bins, below Nyquist. `band_hz` keeps only the bins whose centres lie
    in [low, high].

    Powers below LSD_FLOOR = 1e-8 count as the floor. The noise of rounding to 16 bits has a bin power of
    768 / (12 * 32768^2) = 6e-8 (768 is the energy of the window), so the floor acts only where a signal is emptier than
    a 16-bit file can be: digital silence, or a band removed by computation.

    Laws: zero for equal signals; symmetric; a gain g gives |2 log10 g|; independent draws of Gaussian noise give
    pi / (sqrt(3) ln 10) = 0.788, the deviation of the difference of two log10 exponential variables.
    Source: Moliner, Lehtinen, Valimaki 2022 (CQT-Diff), evaluation of bandwidth extension.

    Raises UsageError if the shapes differ, less than one window (93 ms) is given, or no bin lies in `band_hz`.
    """
    first, second = as_pair(reference, estimate)
    difference = log_power(first, sample_rate) - log_power(second, sample_rate)
    if band_hz is not None:
        difference = difference[:, bins_in(band_hz)]
    return float(np.sqrt(np.mean(difference**2, axis=1)).mean())


def log_spectral_distance_in(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, spans: Sequence[tuple[int, int]]
) -> float:
    """The mean over spans [start, stop) (samples) of the log-spectral distance within each, as log_spectral_distance.

    A span shorter than the window of the distance is seen through one window centred on it.
    Raises UsageError as log_spectral_distance, and if there are no spans.
    """
    first, second = as_pair(reference, estimate)
    if not spans:
        raise UsageError("no spans to measure the log-spectral distance in: give at least one")
    shortest = -(-LSD_WINDOW * sample_rate // LSD_RATE)
    distances = []
    for start, stop in spans:
        margin = max(0, (shortest - (stop - start) + 1) // 2)
        seen = slice(max(0, start - margin), stop + margin)
        distances.append(log_spectral_distance(first[seen], second[seen], sample_rate))
    return float(np.mean(distances))


def log_power(signal: Signal, sample_rate: int) -> Signal:
    """(frames, bins): log10 power of signal (time,), as the distance sees it."""
    if sample_rate != LSD_RATE:
        signal = soxr.resample(signal, sample_rate, LSD_RATE, quality="VHQ")
    if signal.size < LSD_WINDOW:
        raise UsageError(
            f"{signal.size} samples at {LSD_RATE} Hz are less than one window of the log-spectral distance: "
            f"give at least {LSD_WINDOW} ({LSD_WINDOW / LSD_RATE:.3f} s)"
        )
    frames = np.lib.stride_tricks.sliding_window_view(signal, LSD_WINDOW)[::LSD_HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(LSD_WINDOW) / LSD_WINDOW)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return np.asarray(np.log10(np.maximum(power, LSD_FLOOR)))


def bins_in(band_hz: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """(bins,): those whose centres lie in [low, high]; UsageError if there is none."""
    low_hz, high_hz = band_hz
    frequencies = np.fft.rfftfreq(LSD_WINDOW, 1 / LSD_RATE)
    inside = (frequencies >= low_hz) & (frequencies <= high_hz)
    if not inside.any():
        raise UsageError(
            f"band {low_hz:g}-{high_hz:g} Hz holds no bin of the log-spectral distance: "
            f"give low <= high within 0-{LSD_RATE / 2:g} Hz"
        )
    return np.asarray(inside)
