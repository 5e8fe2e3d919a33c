"""WAV on pipes, in and out: what has arrived is read, what is written leaves at once."""

from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from restorer.audio.format import AudioFormat, Samples, Tags
from restorer.audio.riff import Arriving, header, read_header
from restorer.audio.samples import from_bytes, require_finite, to_bytes, to_fixed
from restorer.errors import AudioError

_OTHER_AUDIO = (b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b"riff", b".snd", b"RIFX", b"wvpk", b"\x1aE\xdf\xa3",
                b"0&\xb2u")  # fmt: skip


def is_other_audio(opening: bytes) -> bool:
    """Whether a stream begins as a sound file other than WAV does (FLAC, OGG, MP3, AIFF, CAF, W64, M4A, WMA...)."""
    mpeg = len(opening) > 1 and opening[0] == 0xFF and opening[1] & 0xE0 == 0xE0
    return opening.startswith(_OTHER_AUDIO) or opening[4:8] == b"ftyp" or mpeg


class WavStreamReader:
    """An AudioReader of RIFF or RF64 WAV on a stream that cannot seek.

    The size that the header states is believed where it makes sense: 0 (with nothing declared behind it), 0xFFFFFFFF
    (ffmpeg) and just under 2 GiB (sox) mean sound to the end of the stream. Raises AudioError if the stream is empty,
    no WAV, or a WAV that a pipe cannot carry.
    """

    def __init__(
        self, stream: BinaryIO, name: str, opening: bytes = b"", cleanup: Callable[[], object] = lambda: None
    ) -> None:
        """`name` is what errors call the stream, `opening` what was taken from it; `cleanup` runs on leaving."""
        self._source = Arriving(stream, opening)
        self._name, self._cleanup = name, cleanup
        self.format, self._remaining = read_header(self._source, name)
        self.frames: int | None = None
        self.tags: Tags = {}
        self.truncated = False
        self._bytes = (self.format.bits or 0) // 8
        self._width = self._bytes * self.format.channels
        self._position = 0

    def read(self, frames: int) -> Samples:
        wanted = frames * self._width
        if self._remaining is not None:
            wanted = min(wanted, self._remaining // self._width * self._width)
        raw = self._source.frames(self._width, wanted) if wanted else b""
        if self._remaining is not None:
            self.truncated = len(raw) == 0 < wanted
            self._remaining -= len(raw)
        block = self._samples(raw).reshape(-1, self.format.channels)
        if not self.format.is_integer:
            require_finite(block, self._position, self.format.sample_rate, self._name)
        self._position += len(block)
        return block

    def _samples(self, raw: bytes) -> Samples:
        if self.format.is_integer:
            return from_bytes(raw, 8 * self._bytes)
        return np.frombuffer(raw, f"<f{self._bytes}").astype(np.float64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup()


class WavStreamWriter:
    """An AudioWriter of WAV with unknown (0xFFFFFFFF) sizes, as ffmpeg writes to pipes; flushed at every block.

    Raises AudioError for a lossy subtype, and when the stream cannot take the bytes (a full disk behind a
    redirection); BrokenPipeError passes when the listener leaves.
    """

    def __init__(self, stream: BinaryIO, format: AudioFormat) -> None:
        if format.bits is None:
            raise AudioError(f"a pipe carries WAV, which cannot hold {format.subtype}; ask for PCM_24 or FLOAT")
        self._bits = -(-format.bits // 8) * 8
        subtype = "PCM_U8" if self._bits == 8 else f"PCM_{self._bits}" if format.is_integer else format.subtype
        self.format = AudioFormat("WAV", subtype, format.sample_rate, format.channels)
        self.frames = 0
        self.clipped = 0
        self._stream = stream
        self._begun = False

    def write(self, block: Samples) -> None:
        require_finite(block, self.frames, self.format.sample_rate, "the result")
        if self.format.is_integer:
            fixed, clipped = to_fixed(block, self._bits)
            self._send(to_bytes(fixed, self._bits))
            self.clipped += clipped
        else:
            self._send(block.astype(f"<f{self._bits // 8}").tobytes())
        self.frames += len(block)

    def _send(self, samples: bytes) -> None:
        try:
            if not self._begun:
                self._stream.write(header(self.format))
                self._begun = True
            self._stream.write(samples)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise AudioError(
                f"standard output cannot be written ({error.strerror}) after "
                f"{self.frames / self.format.sample_rate:.1f} s; free some space, or send it elsewhere"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._send(b"")  # a result of no samples still has a header
