"""Clean recordings, degraded on purpose. Written anew here: a measurement leans on nothing that it measures."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve, firwin

from restorer.bench.recordings import Clip
from restorer.bench.severity import Severity
from restorer.errors import UsageError
from restorer.metrics.sdr import clip_to_sdr
from restorer.metrics.signals import Signal
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Part

Spans = tuple[tuple[int, int], ...]

_CONTEXT_S = 1.0


@dataclass(frozen=True)
class Damaged:
    """A clip after its damage: samples (time,), and what a user would know of it. `spans`: its gaps in samples."""

    clip: Clip
    severity: Severity
    samples: Signal
    task: Part
    spans: Spans = ()


def damaged(clip: Clip, severity: Severity) -> Damaged:
    """The clip low-passed (`low_passed`), with gaps (`regular_gaps`) or clipped to an SDR (`clip_to_sdr`).

    Raises UsageError for a cutoff above its Nyquist frequency, gaps for which it is too short, and silence to clip.
    """
    clean, rate = clip.samples, clip.sample_rate
    match severity.task:
        case "bwe":
            samples = low_passed(clean, rate, severity.value)
            return Damaged(clip, severity, samples, BandwidthExtension(severity.value))
        case "inpaint":
            spans = regular_gaps(clean.size, rate, severity.value)
            samples = clean.copy()
            for start, stop in spans:
                samples[start:stop] = 0
            gaps_s = tuple((start / rate, stop / rate) for start, stop in spans)
            return Damaged(clip, severity, samples, Inpainting(gaps_s), spans)
        case "declip":
            threshold = clip_to_sdr(clean, severity.value)
            return Damaged(clip, severity, clean.clip(-threshold, threshold), Declipping(threshold))


def low_passed(clean: Signal, sample_rate: int, cutoff_hz: float) -> Signal:
    """The paper's FIR, order 500, zero phase. Its `width=1` (Hz) asks more of 501 taps than they have, and the Kaiser
    window firwin makes of it is a rectangle: 21 dB down just above the cutoff, about 60 dB at the top.

    Raises UsageError for a cutoff that is not below the Nyquist frequency.
    """
    if not 0 < cutoff_hz < sample_rate / 2:
        raise UsageError(f"a cutoff of {cutoff_hz:g} Hz at {sample_rate} Hz: must lie above 0 and below half of that")
    taps = firwin(501, cutoff_hz, width=1, window="kaiser", fs=sample_rate)
    return np.asarray(fftconvolve(clean, taps, mode="same"))


def regular_gaps(length: int, sample_rate: int, gap_s: float) -> Spans:
    """As many gaps as leave each, on either side, a context of its own length and at least a second; each in the middle
    of its equal share of the signal.

    Raises UsageError if there is room for none.
    """
    context_s = max(_CONTEXT_S, gap_s)
    count = int(length / sample_rate / (gap_s + 2 * context_s))
    if count < 1:
        raise UsageError(
            f"{length / sample_rate:.2f} s leave a gap of {gap_s:g} s less than {context_s:g} s of context on each "
            f"side: give at least {gap_s + 2 * context_s:g} s"
        )
    size = max(1, round(gap_s * sample_rate))
    starts = [round((index + 0.5) * length / count - size / 2) for index in range(count)]
    return tuple((start, start + size) for start in starts)
