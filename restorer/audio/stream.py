"""WAV and bare samples on pipes, in and out: what has arrived is read, what is written leaves at once."""

from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from restorer.audio.format import AudioFormat, Samples, Tags
from restorer.audio.riff import Arriving, header, read_header
from restorer.audio.samples import OF_A_RESULT, as_float, from_bytes, require_finite, to_bytes, to_fixed
from restorer.errors import AudioError

_OTHER_AUDIO = (b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b"riff", b".snd", b"RIFX", b"wvpk", b"\x1aE\xdf\xa3",
                b"0&\xb2u")  # fmt: skip


def is_other_audio(opening: bytes) -> bool:
    """Whether a stream begins as a sound file other than WAV does (FLAC, OGG, MP3, AIFF, CAF, W64, M4A, WMA...)."""
    mpeg = len(opening) > 1 and opening[0] == 0xFF and opening[1] & 0xE0 == 0xE0
    return opening.startswith(_OTHER_AUDIO) or opening[4:8] == b"ftyp" or mpeg


def unwritable(error: OSError, seconds: float) -> AudioError:
    return AudioError(
        f"standard output cannot be written ({error.strerror}) after {seconds:.1f} s; free some space, or send it "
        "elsewhere"
    )


class PcmStreamReader:
    """An AudioReader of nothing but samples, `remaining` bytes of them or, where that is None, to the stream's end.

    `name` is what errors call the stream; `cleanup` runs on leaving. size: of a file, in bytes, which tells its length.
    """

    def __init__(
        self,
        source: Arriving,
        name: str,
        format: AudioFormat,
        remaining: int | None = None,
        cleanup: Callable[[], object] = lambda: None,
        size: int | None = None,
    ) -> None:
        self._source, self._name, self._cleanup = source, name, cleanup
        self.format, self._remaining = format, remaining
        self.tags: Tags = {}
        self.truncated = False
        self._bytes = (self.format.bits or 0) // 8
        self.width = self._bytes * self.format.channels
        """Of a frame, in bytes."""
        self.frames: int | None = None if size is None else size // self.width
        self._position = 0

    @property
    def stray(self) -> int:
        """At the end: the bytes behind the last frame, too few for another."""
        return self._source.left

    def read(self, frames: int) -> Samples:
        wanted = frames * self.width
        if self._remaining is not None:
            wanted = min(wanted, self._remaining // self.width * self.width)
        raw = self._source.frames(self.width, wanted) if wanted else b""
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
            samples = from_bytes(raw, 8 * self._bytes)
            # read as unsigned, which a signed byte is off by half the scale
            return (samples + 2.0) % 2.0 - 1.0 if self.format.subtype == "PCM_S8" else samples
        with np.errstate(invalid="ignore"):  # a signalling NaN, which numpy would print a warning of
            return np.frombuffer(raw, f"<f{self._bytes}").astype(np.float64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup()


class WavStreamReader(PcmStreamReader):
    """An AudioReader of RIFF or RF64 WAV on a stream that cannot seek.

    The size that the header states is believed where it makes sense: 0 (with nothing declared behind it), 0xFFFFFFFF
    (ffmpeg) and just under 2 GiB (sox) mean sound to the end of the stream. Raises AudioError if the stream is empty,
    no WAV, or a WAV that a pipe cannot carry.
    """

    def __init__(
        self, stream: BinaryIO, name: str, opening: bytes = b"", cleanup: Callable[[], object] = lambda: None
    ) -> None:
        """`opening`: what was taken from the stream already."""
        source = Arriving(stream, opening)
        super().__init__(source, name, *read_header(source, name), cleanup)


class WavStreamWriter:
    """An AudioWriter of WAV with unknown (0xFFFFFFFF) sizes, as ffmpeg writes to pipes; flushed at every block.

    Of a format whose container is RAW the samples alone, little-endian, 8 bits unsigned.

    Raises AudioError for a lossy subtype, and when the stream cannot take the bytes (a full disk behind a
    redirection); BrokenPipeError passes when the listener leaves.
    """

    def __init__(self, stream: BinaryIO, format: AudioFormat) -> None:
        if format.bits is None:
            raise AudioError(f"a pipe carries WAV, which cannot hold {format.subtype}; ask for PCM_24 or FLOAT")
        self._bits = -(-format.bits // 8) * 8
        subtype = "PCM_U8" if self._bits == 8 else f"PCM_{self._bits}" if format.is_integer else format.subtype
        container = "RAW" if format.container == "RAW" else "WAV"
        self.format = AudioFormat(container, subtype, format.sample_rate, format.channels)
        self.frames = 0
        self.clipped = 0
        self.peak = 0.0
        self.notes: tuple[str, ...] = ()
        self._stream = stream
        self._begun = False

    def write(self, block: Samples) -> Samples:
        require_finite(block, self.frames, self.format.sample_rate, "the result", OF_A_RESULT)
        if self.format.is_integer:
            fixed, clipped = to_fixed(block, self._bits)
            self._send(to_bytes(fixed, self._bits))
            self.clipped += clipped
            stored = as_float(fixed)
        else:
            floats = block.astype(f"<f{self._bits // 8}")
            self._send(floats.tobytes())
            stored = floats.astype(np.float64)
        self.frames += len(block)
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        return stored

    def _send(self, samples: bytes) -> None:
        try:
            if not self._begun:
                self._stream.write(b"" if self.format.container == "RAW" else header(self.format))
                self._begun = True
            self._stream.write(samples)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(error, self.frames / self.format.sample_rate) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._send(b"")  # a result of no samples still has a header
