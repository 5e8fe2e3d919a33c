"""What a sound file is: its format, what a reader and a writer promise, and the format a result gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from restorer.errors import AudioError

Samples = NDArray[np.float64]
"""(frames, channels), full-scale units."""

Tags = Mapping[str, str]
"""Keys among TAG_NAMES."""

TAG_NAMES = (
    "title", "artist", "album", "date", "tracknumber", "genre", "comment", "copyright", "license", "software",
)  # fmt: skip

# fmt: off
SUFFIXES = frozenset((
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".caf", ".w64", ".rf64", ".au",
    ".snd", ".m4a", ".m4b", ".aac", ".wma", ".wv", ".ape", ".tta", ".tak", ".mka", ".mpc", ".ac3", ".dts",
))
# fmt: on
"""What the names of sound files end in: which files of a folder are looked at. What a file is, its content says."""

MAX_CHANNELS = 64  # seventh-order ambisonics; a header that claims more is damaged, and would cost gigabytes
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64,
         "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}  # fmt: skip
_SUFFIX = {"WAVEX": ".wav", "RF64": ".wav", "MATROSKA": ".mka", "ASF": ".wma", "MOV": ".m4a"}


@dataclass(frozen=True)
class AudioFormat:
    """How samples are stored.

    `container` and `subtype` are soundfile's names; a file that only ffmpeg reads has ffmpeg's names in capitals
    ("MOV", "AAC"), and a lossless codec among those the subtype of its samples ("PCM_16").
    """

    container: str
    subtype: str
    sample_rate: int
    channels: int

    @property
    def is_lossy(self) -> bool:
        """Storing the samples changes them by more than rounding (MP3, Vorbis, Opus, AAC, mu-law, ADPCM...)."""
        return self.subtype not in _BITS

    @property
    def is_integer(self) -> bool:
        """Fixed point: a peak above full scale clips when it is stored."""
        return self.subtype.startswith(("PCM_", "ALAC_"))

    @property
    def bits(self) -> int | None:
        """Bits a sample takes, None for a lossy subtype."""
        return _BITS.get(self.subtype)

    @property
    def suffix(self) -> str:
        """The usual file name ending, with its dot."""
        if self.subtype == "OPUS":
            return ".opus"
        return _SUFFIX.get(self.container, f".{self.container.lower()}")


@dataclass(frozen=True)
class AudioInfo:
    """What a file says about itself. `frames` is its header's claim: a truncated file has fewer, None is unknown."""

    path: Path
    format: AudioFormat
    frames: int | None
    tags: Tags

    @property
    def duration_s(self) -> float | None:
        return None if self.frames is None else self.frames / self.format.sample_rate


class AudioReader(Protocol):
    """Sound in blocks, from beginning to end; a context manager that closes what it opened."""

    @property
    def format(self) -> AudioFormat: ...

    @property
    def frames(self) -> int | None:
        """Frames the header promises; None where it cannot be known (a pipe, a file that ffmpeg decodes)."""

    @property
    def tags(self) -> Tags: ...

    @property
    def truncated(self) -> bool:
        """The end was reached, and before the header's promise was kept."""

    def read(self, frames: int) -> Samples:
        """The next samples, at least one and at most `frames` of them; none only at the end.

        Raises AudioError with the time where the sound cannot be decoded or is not finite.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AudioWriter(Protocol):
    """Sound in blocks, from beginning to end; leaving the `with` block cleanly is what completes the file."""

    @property
    def format(self) -> AudioFormat: ...

    @property
    def frames(self) -> int:
        """Frames written so far."""

    @property
    def clipped(self) -> int:
        """Samples (over all channels) so far that lay above an integer format's full scale and were held at it."""

    @property
    def peak(self) -> float:
        """The highest magnitude so far."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What went otherwise than asked, in lines for the user; complete after the `with` block."""

    def write(self, block: Samples) -> Samples:
        """Append (frames, channels); returns them as they are stored. Raises AudioError if not finite or storable."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def output_format(source: AudioFormat) -> AudioFormat:
    """The format of a result: that of its source, where the source is lossless and can be written.

    A lossy source gives FLAC PCM_24, never a second lossy generation; so does the sound of a container that cannot be
    written here (ALAC in .m4a, WavPack), at its own depth. What FLAC cannot hold (more than 24 bits or 8 channels,
    rates above 655350 Hz) goes to WAV, as raw samples do.
    """
    rate, channels = source.sample_rate, source.channels
    if source.container == "RAW":
        return AudioFormat("WAV", source.subtype.replace("PCM_S8", "PCM_U8"), rate, channels)
    if source.is_lossy:
        subtype = "PCM_24"
    elif can_write(source.container, source.subtype):
        return source
    else:
        subtype = source.subtype.replace("ALAC_20", "ALAC_24").replace("ALAC", "PCM")
    fits_flac = can_write("FLAC", subtype) and channels <= 8 and rate <= 655_350
    return AudioFormat("FLAC" if fits_flac else "WAV", subtype, rate, channels)


def require_sane(sample_rate: int, channels: int, name: str) -> None:
    """Raises AudioError where a header's numbers cannot be those of a recording."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} claims {channels} channels; 1 to {MAX_CHANNELS} can be read; is its header damaged?")
    if not LOWEST_RATE_HZ <= sample_rate <= HIGHEST_RATE_HZ:
        raise AudioError(
            f"{name} claims a sample rate of {sample_rate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz can be read; "
            "is its header damaged?"
        )


def can_write(container: str, subtype: str) -> bool:
    """Whether libsndfile writes it, and rightly: its ALAC encoder garbles loud noise at more than 16 bits."""
    known = container in soundfile.available_formats() and soundfile.check_format(container, subtype)
    return known and subtype not in ("ALAC_20", "ALAC_24", "ALAC_32")
