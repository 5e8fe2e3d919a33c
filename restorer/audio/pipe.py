"""FLAC on pipes, through libsndfile, which believes that it reads and writes a file that can seek."""

import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import soundfile

from restorer.audio.format import AudioFormat, Samples
from restorer.audio.riff import read_some
from restorer.audio.samples import OF_A_RESULT, as_float, require_finite, to_fixed
from restorer.audio.stream import unwritable
from restorer.errors import AudioError

_ENDLESS = 1 << 62  # bytes: libsndfile asks for the size of a file before it reads it


class Pipe:
    """A stream as the file that libsndfile reads FLAC from: forwards, but for one return to the beginning.

    An exception in libsndfile's callbacks would be printed and forgotten, even an interruption: it is kept instead.
    """

    def __init__(self, stream: BinaryIO, opening: bytes) -> None:
        """`opening`: what was taken from the stream already, to which libsndfile may return."""
        self._stream, self._opening, self._at = stream, opening, 0
        self._failure: BaseException | None = None

    def read(self, count: int) -> bytes:
        try:
            if self._at < len(self._opening):
                some = self._opening[self._at : self._at + count]
            else:
                some = read_some(self._stream, count)
        except BaseException as error:  # handed on by raise_failure
            self._failure = error
            return b""
        self._at += len(some)
        return some

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, _ENDLESS)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def raise_failure(self) -> None:
        """Raises what reading met, if anything."""
        if self._failure is not None:
            raise self._failure


class _Sink:
    """The file that libsndfile writes FLAC to, on its way to a stream; what it would mend at the beginning is dropped.

    So the header says that length and checksum are unknown, as a FLAC that streams may (RFC 9639, 8.2).
    """

    def __init__(self) -> None:
        self._at = self._end = 0
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        if self._at == self._end:
            self._held += data
            self._end += len(data)
        self._at += len(data)
        return len(data)

    def read(self, count: int) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, self._end)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def take(self) -> bytes:
        """What has come since the last time."""
        taken = bytes(self._held)
        self._held.clear()
        return taken


class FlacStreamWriter:
    """An AudioWriter of FLAC on a stream that cannot seek, flushed at every block.

    Raises AudioError for a format that FLAC does not have, and when the stream cannot take the bytes; BrokenPipeError
    passes when the listener leaves.
    """

    def __init__(self, stream: BinaryIO, format: AudioFormat) -> None:
        self.format = format
        self.frames = 0
        self.clipped = 0
        self.peak = 0.0
        self.notes: tuple[str, ...] = ()
        self._stream, self._sink = stream, _Sink()
        self._file: soundfile.SoundFile | None = None
        self._encoder = ThreadPoolExecutor(1)
        if format.bits is None or not takes_a_frame(format):
            raise AudioError(
                f"FLAC cannot hold {format.channels} channels of {format.subtype} at {format.sample_rate} Hz; "
                "leave out --format, to get WAV"
            )

    def write(self, block: Samples) -> Samples:
        require_finite(block, self.frames, self.format.sample_rate, "the result", OF_A_RESULT)
        assert self.format.bits is not None
        fixed, clipped = to_fixed(block, self.format.bits)
        if len(fixed):
            self._encode(lambda: self._opened().write(fixed))
            self._send()
        self.frames += len(block)
        self.clipped += clipped
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        return as_float(fixed)

    def _opened(self) -> soundfile.SoundFile:
        if self._file is None:
            self._file = new_sound_file(self._sink, self.format)
        return self._file

    def _encode(self, work: Callable[[], object]) -> None:
        """In a thread of its own, where no signal is handled: what is raised in libsndfile's callbacks is lost."""
        self._encoder.submit(work).result()

    def _send(self) -> None:
        try:
            self._stream.write(self._sink.take())
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
        if self._file is not None:
            self._encode(self._file.close)
        elif kind is None:
            self._sink.write(empty_flac(self.format))
        self._encoder.shutdown()
        if kind is None:
            self._send()


def new_sound_file(file: str | io.BytesIO | _Sink, form: AudioFormat) -> soundfile.SoundFile:
    """What libsndfile encodes to."""
    return soundfile.SoundFile(file, "w", form.sample_rate, form.channels, form.subtype, None, form.container)


def takes_a_frame(form: AudioFormat) -> bool:
    """Whether libsndfile encodes this: some combinations are refused with the first frame only (FLAC at 88201 Hz)."""
    try:
        with new_sound_file(io.BytesIO(), form) as file:
            file.write(np.zeros((1, form.channels)))
    except (soundfile.SoundFileError, ValueError, TypeError, AssertionError):
        return False
    return True


def empty_flac(form: AudioFormat) -> bytes:
    """A FLAC of no samples, for which libsndfile writes no bytes at all: STREAMINFO (RFC 9639, 8.2) alone."""
    numbers = form.sample_rate << 44 | (form.channels - 1) << 41 | ((form.bits or 0) - 1) << 36
    streaminfo = struct.pack(">HH6xQ16x", 4096, 4096, numbers)
    return b"fLaC" + struct.pack(">I", 0x80 << 24 | len(streaminfo)) + streaminfo
