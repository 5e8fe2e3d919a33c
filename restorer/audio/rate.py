"""Sample rates changed in blocks, by soxr at its highest quality: the blocks joined are the whole resampled at once."""

import numpy as np
import soxr

from restorer.audio.format import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, Samples
from restorer.errors import UsageError

_QUALITY = "VHQ"  # 28 bits; linear phase, so that everything stays where it was in time


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """How many frames `frames` frames become: frames * to_rate / from_rate, rounded to the nearest, halves up.

    >>> resampled_length(3, 44100, 22050), resampled_length(3, 22050, 44100)
    (2, 6)
    """
    return (2 * frames * to_rate + from_rate) // (2 * from_rate)


class Resampler:
    """A stream at one rate in, the same sound at another rate out.

    Laws: the blocks that `push` and `finish` return, joined, equal `resample` of the pushed blocks joined, bit for bit;
    they are `resampled_length` long, or a frame less where that rounds a half up, which soxr sometimes rounds down;
    output frame n stands at the time of input frame n * from_rate / to_rate. Up and down again, the error of a sound
    that both rates hold is below -100 dB to 0.6 of the lower Nyquist frequency, and below -69 dB to 0.9 of it, where
    soxr's filters droop by up to 0.01 dB (at a ratio of two they do not: -170 dB). Equal rates hand the blocks through,
    uncopied.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        """Rates in Hz. Raises UsageError if one lies outside 1000 to 768000 Hz."""
        for rate in (from_rate, to_rate):
            if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
                raise UsageError(
                    f"cannot resample from {from_rate} to {to_rate} Hz: {rate} lies outside "
                    f"{LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz; choose a rate within"
                )
        self._channels = channels
        self._stream = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float64", quality=_QUALITY)

    def push(self, block: Samples) -> Samples:
        """The next frames in, (frames, channels); those out that are certain by now, perhaps none."""
        if self._stream is None:
            return block
        return self._through(np.ascontiguousarray(block), last=False)

    def finish(self) -> Samples:
        """The frames still held back. Nothing may be pushed after it."""
        return self._through(np.empty((0, self._channels)), last=True)

    def _through(self, block: Samples, *, last: bool) -> Samples:
        if self._stream is None:
            return block
        out: Samples = self._stream.resample_chunk(block, last=last)
        return out


def resample(block: Samples, from_rate: int, to_rate: int) -> Samples:
    """All of a sound, (frames, channels), at another rate; the laws are those of `Resampler`."""
    resampler = Resampler(from_rate, to_rate, block.shape[1])
    return np.concatenate([resampler.push(block), resampler.finish()]) if from_rate != to_rate else block
