"""Noise that makes rounding to fewer bits harmless: triangular (TPDF), a function of seed, frame and channel.

Two steps wide, it makes the error's mean and variance independent of the sound (Lipshitz, Wannamaker, Vanderkooy,
"Quantization and dither", 1992). Without it soft fades and reverberation end in distortion.
"""

import numpy as np

from restorer.audio.format import AudioFormat, Samples

_CHUNK = 1 << 14  # frames that one counter of the generator makes


def tpdf(seed: int, first: int, frames: int, channels: int) -> Samples:
    """(frames, channels) in steps, within -1 to 1, for the frames from `first` on.

    Law: the noise of a stretch is the same whatever blocks it is asked in.
    """
    blocks = range(first // _CHUNK, -(-(first + frames) // _CHUNK))
    noise = [_chunk(seed, block, channels) for block in blocks]
    whole = np.concatenate([*noise, np.zeros((0, channels))])
    skipped = first - blocks.start * _CHUNK
    return whole[skipped : skipped + frames]


def _chunk(seed: int, block: int, channels: int) -> Samples:
    generator = np.random.Generator(np.random.Philox(key=seed % 2**128, counter=[0, 0, 0, block]))
    one, other = generator.random((2, _CHUNK, channels))
    return np.asarray(one - other)


def needs_dither(held: AudioFormat, stored: AudioFormat, *, computed: bool) -> bool:
    """Whether samples as `held` lose so much depth when they are `stored` that it can be heard.

    computed: they were resampled or the like, so that they no longer lie on the steps of their format. Not at 24 bits
    and above, where rounding lies far below the noise of any recording: there untouched samples stay nearest.
    """
    if not stored.is_integer or stored.bits is None or stored.bits >= 24:
        return False
    return computed or not held.is_integer or held.bits is None or held.bits > stored.bits
