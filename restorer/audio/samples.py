"""Samples at the border: finite or refused; fixed point and back without losing a bit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorer.audio.format import Samples, require_sane
from restorer.errors import AudioError, UsageError

_LARGEST = 1e10  # of full scale: even integers that were never scaled down lie below, and float32 holds sums of squares


_OF_A_RECORDING = "cut that part out or silence it"
OF_A_RESULT = (
    "the recording's are, so the settings or the weights are at fault: leave out --xi, --steps and --sampler, or "
    "choose another --prior"
)
"""What helps where a sample is not finite."""


def require_finite(block: Samples, first: int, sample_rate: int, name: str, remedy: str = _OF_A_RECORDING) -> None:
    """Raises AudioError that names the first sample which is no sound's; `first` is the block's first frame."""
    bad = ~(np.abs(block) < _LARGEST)  # also what is not a number
    if not bad.any():
        return
    frame, channel = (int(i) for i in np.argwhere(bad)[0])
    at = first + frame
    raise AudioError(
        f"{name} has a sample that is {block[frame, channel]} at {at / sample_rate:.6f} s (sample {at}, channel "
        f"{channel + 1}); samples must be finite numbers below {_LARGEST:g} of full scale; {remedy}"
    )


def as_table(samples: NDArray[np.floating[Any]], sample_rate: int) -> Samples:
    """A recording from outside, (frames, channels) or (frames,), as a new (frames, channels) of float64.

    Raises UsageError for another shape or type, AudioError for a rate or a number of channels that no recording has.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or not np.issubdtype(samples.dtype, np.floating):
        raise UsageError(
            f"the recording is an array of shape {samples.shape} and type {samples.dtype}; give floats, (frames, "
            "channels) or (frames,), with full scale at 1.0, e.g. samples / 32768 of int16"
        )
    table = (samples[:, None] if samples.ndim == 1 else samples).astype(np.float64)
    require_sane(sample_rate, table.shape[1], "the recording")
    return table


def to_fixed(block: Samples, bits: int) -> tuple[NDArray[np.int32], int]:
    """Fixed point of `bits` bits in the high bits of int32 (what soundfile's int32 means), and how many were clamped.

    Rounds to the nearest step, no dither, so that samples read from the same depth come back bit for bit. 1.0 itself
    lies one step above the top.
    """
    steps = np.rint(block * 2.0 ** (bits - 1))
    top = 2.0 ** (bits - 1) - 1
    clipped = int(np.count_nonzero(steps > top) + np.count_nonzero(steps < -top - 1))
    return (np.clip(steps, -top - 1, top) * 2.0 ** (32 - bits)).astype(np.int32), clipped


def to_bytes(fixed: NDArray[np.int32], bits: int) -> bytes:
    """WAV's little-endian bytes of what `to_fixed` returns; 8 bits are unsigned."""
    width = bits // 8
    raw = np.ascontiguousarray(fixed.astype("<i4")).view(np.uint8).reshape(-1, 4)[:, 4 - width :]
    return (raw + np.uint8(128) if width == 1 else raw).tobytes()


def from_bytes(raw: bytes, bits: int) -> Samples:
    """The samples (one long row) of WAV's little-endian fixed point of 8, 16, 24 or 32 bits."""
    width = bits // 8
    given = np.frombuffer(raw, np.uint8).reshape(-1, width)
    padded = np.zeros((len(given), 4), np.uint8)
    padded[:, 4 - width :] = given + np.uint8(128) if width == 1 else given
    return padded.view("<i4")[:, 0] / 2.0**31


def as_float(fixed: NDArray[np.int32]) -> Samples:
    """What a reader will make of fixed point in the high bits of int32."""
    return fixed / 2.0**31
