"""What a recording says against what was said of it: sound goes on beyond the threshold, or above the cutoff.

What was asked is done. Whoever stated a wrong value learns of it here, where the recording passes by anyway.
"""

import numpy as np

from restorer.audio import AudioFormat, Samples
from restorer.degradation.detect.clipping import Sustained
from restorer.restoration.find import SAME_LEVEL, STEP
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Task, for_channels, parts_of
from restorer.restoration.verify import Touched

_FRAME = 32  # periods of the cutoff, at least: the window's main lobe is a third of the way from _NEAR to _ABOVE
_LEAST = 4096  # samples of a frame
_KAISER_BETA = 16.0  # leaks less than 24 bits' noise
_NEAR, _ABOVE, _BESIDE = (0.5, 0.9), 1.25, 2.0  # of the cutoff
_NYQUIST = 0.9  # of it: above, anti-alias filters work

_OVERSHOOT = 1.3  # by which a lossy codec lets clipped music exceed its level: up to 1.28, of four tried

# Of six recordings, cut at 0.5 to 4 kHz by FIR, resampling and Butterworth filters of order 5 and more, none passes
# both; uncut, all do below 4 kHz, and there those that have highs. Few clicks and edges of dropouts reach the first.
_GOES_ON = 10**-1.8  # power a hertz beside the cutoff, of that near it
_LOUD = 1e-5  # power above the cutoff, of that below
_AUDIBLE = (4 / 32768) ** 2  # mean square: dither and the noise of a converter stay below


class Doubts:
    """Takes a recording by `hear`, in blocks of any sizes; memory does not grow with it. Gaps are not heard."""

    def __init__(self, task: Task, heard: AudioFormat) -> None:
        sample_rate, channels = heard.sample_rate, heard.channels
        parts = parts_of(for_channels(task, channels))
        self._gaps = Touched([part for part in parts if isinstance(part, Inpainting)], sample_rate)
        self._meters: list[_Peaks | _Highs] = []
        for part in parts:
            match part:
                case Declipping(threshold):
                    same = _OVERSHOOT if heard.is_lossy else SAME_LEVEL
                    self._meters.append(_Peaks(threshold, same * (threshold + STEP), sample_rate, channels))
                case BandwidthExtension(cutoff_hz):
                    self._meters.append(_Highs(cutoff_hz, sample_rate, channels))
                case _:
                    pass
        self._at = 0

    def hear(self, block: Samples) -> None:
        if self._meters:
            heard = np.where(self._gaps.on(block, self._at), 0.0, block)
            for meter in self._meters:
                meter.hear(heard)
        self._at += len(block)

    @property
    def notes(self) -> list[str]:
        """A line for each value that was contradicted."""
        return [note for meter in self._meters if (note := meter.note) is not None]


class _Peaks:
    """Whether the wave keeps going beyond the threshold; a click, which does it once, is no sound peak."""

    def __init__(self, threshold: float, highest: float, sample_rate: int, channels: int) -> None:
        """highest: the level up to which nothing contradicts the threshold."""
        self._threshold, self._highest = threshold, highest
        self._meters = [Sustained(sample_rate) for _ in range(channels)]

    def hear(self, block: Samples) -> None:
        for meter, samples in zip(self._meters, block.T, strict=True):
            meter.push(samples)

    @property
    def note(self) -> str | None:
        highest = max(meter.level for meter in self._meters)
        if highest <= self._highest:
            return None
        return (
            f"samples reach {highest:.3g}, beyond the threshold of {self._threshold:.3g}: where they do, nothing was "
            "cut at it, and what was changed may have been sound; detect, or --threshold auto, finds the level"
        )


class _Highs:
    """Whether the spectrum goes on above the cutoff much as below: mean powers of frames beside each other."""

    def __init__(self, cutoff_hz: float, sample_rate: int, channels: int) -> None:
        self._cutoff_hz = cutoff_hz
        size = max(_LEAST, 1 << round(np.ceil(np.log2(_FRAME * sample_rate / cutoff_hz))))
        window = np.kaiser(size, _KAISER_BETA)
        self._window = window * np.sqrt(2 / (size * np.sum(window**2)))
        of_cutoff = np.fft.rfftfreq(size, 1 / sample_rate) / cutoff_hz
        highest = min(_BESIDE, _NYQUIST * sample_rate / 2 / cutoff_hz)
        self._below, self._above = of_cutoff < 1, of_cutoff >= _ABOVE
        self._near = (of_cutoff >= _NEAR[0]) & (of_cutoff < _NEAR[1])
        self._beside = self._above & (of_cutoff < highest)
        self._held = np.zeros((0, channels))
        self._power = np.zeros((len(of_cutoff), channels))
        self._frames = 0

    def hear(self, block: Samples) -> None:
        held, size = np.concatenate([self._held, block]), len(self._window)
        whole = len(held) // size * size
        for start in range(0, whole, size):
            frame = held[start : start + size] * self._window[:, None]
            self._power += np.abs(np.fft.rfft(frame, axis=0)) ** 2
            self._frames += 1
        self._held = held[whole:].copy()

    @property
    def note(self) -> str | None:
        if not (self._frames and self._near.any() and self._beside.any()):
            return None
        near, beside = (self._power[band].mean(axis=0) for band in (self._near, self._beside))
        below, above = (self._power[band].sum(axis=0) for band in (self._below, self._above))
        goes_on = (beside > _GOES_ON * near) & (above > _LOUD * below) & (above > _AUDIBLE * self._frames)
        if not goes_on.any():
            return None
        softer_db = 10 * float(np.log10(below[goes_on] / above[goes_on]).min())
        how_loud = f"only {softer_db:.0f} dB softer than" if softer_db >= 1 else "as loud as"
        return (
            f"what lies above the cutoff of {self._cutoff_hz:g} Hz is {how_loud} what lies below, and was replaced as "
            "if it had been lost; detect, or --cutoff auto, finds the cutoff"
        )
