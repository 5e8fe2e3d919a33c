"""The order of the loudspeakers in Ogg Vorbis and Opus, not that of WAV; libsndfile hands it over as it is."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorer.audio.format import AudioFormat, Samples

# By the number of channels: where each channel of WAV stands among those of Vorbis (Vorbis I, 4.3.9; RFC 7845, 5.1.1.2)
_ORDER = {
    3: (0, 2, 1), 5: (0, 2, 1, 3, 4), 6: (0, 2, 1, 5, 3, 4), 7: (0, 2, 1, 6, 5, 3, 4), 8: (0, 2, 1, 7, 5, 6, 3, 4),
}  # fmt: skip
_OPUS, _FAMILY = b"OpusHead", 18  # where that says what the channels are: from 2 on no loudspeakers (RFC 8486)
_FIRST_PAGE = 27 + 255 + _FAMILY + 1  # bytes that hold it


def writes_vorbis_order(form: AudioFormat) -> bool:
    """Whether the channels that libsndfile gets for a file of this format are not in the order of WAV."""
    return form.container == "OGG" and form.subtype in ("VORBIS", "OPUS") and form.channels in _ORDER


def has_vorbis_order(path: Path, form: AudioFormat) -> bool:
    """The same of those that it reads from a file of this format. Raises OSError."""
    if not writes_vorbis_order(form):
        return False
    with path.open("rb") as file:
        _, _, header = file.read(_FIRST_PAGE).partition(_OPUS)
    return header[_FAMILY - len(_OPUS) :][:1] <= b"\1"


def from_vorbis_order(block: Samples) -> Samples:
    """(frames, channels) in the order of WAV."""
    return np.take(block, _ORDER[block.shape[1]], axis=1)


def to_vorbis_order(block: NDArray[Any]) -> NDArray[Any]:
    """(frames, channels) in the order of Vorbis, of those in the order of WAV."""
    return np.take(block, np.argsort(_ORDER[block.shape[1]]), axis=1)
