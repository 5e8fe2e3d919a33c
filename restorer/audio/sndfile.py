"""Reading what libsndfile reads: WAV, FLAC, OGG, MP3, AIFF, CAF, W64, RF64..."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import numpy as np
import soundfile

from restorer.audio.format import AudioFormat, Samples, Tags, require_sane
from restorer.audio.pipe import Pipe
from restorer.audio.samples import require_finite
from restorer.audio.vorbis import from_vorbis_order, has_vorbis_order
from restorer.errors import AudioError
from restorer.hush import hushed

_MPEG_SLACK = 2 * 1152  # frames by which the length of an MP3 without a Xing header is guessed too long


class _Forward(soundfile.SoundFile):  # type: ignore[misc, unused-ignore]
    """Read from beginning to end only. soundfile seeks after every block, and after a seek Opus decodes differently."""

    def seekable(self) -> bool:
        return False


def file_name(path: Path) -> str:
    """What soundfile opens: bytes (not in its annotations) where names are bytes, which need not be UTF-8."""
    named = os.path.join(os.curdir, path)  # `-` alone would be standard input to libsndfile
    return named if os.name == "nt" else cast(str, os.fsencode(named))


class SndfileReader:
    """An AudioReader of a file or, for FLAC, a pipe. Raises soundfile's SoundFileError for what it is not."""

    def __init__(
        self, file: Path | Pipe, name: str, cleanup: Callable[[], object] = lambda: None, *, is_cut_off: bool = False
    ) -> None:
        """`name` is what errors call the file; `cleanup` runs when the reader is closed. is_cut_off: the file states
        more sound than it holds, which libsndfile does not say."""
        self._pipe = file if isinstance(file, Pipe) else None
        try:
            # a pipe is FLAC, and may keep us waiting
            with hushed() if isinstance(file, Path) else nullcontext():
                self._file = _Forward(file_name(file) if isinstance(file, Path) else file)
        except TypeError as error:  # a name that ends in .raw, which soundfile takes for samples without a header
            raise soundfile.SoundFileRuntimeError("a .raw file has no header") from error
        self._name = name
        self._cleanup = cleanup
        self._position = 0
        self._is_cut_off, self._ended_early = is_cut_off, False
        self.format = AudioFormat(self._file.format, self._file.subtype, self._file.samplerate, self._file.channels)
        # a FLAC that was written to a pipe does not know its length, which libsndfile calls the largest number
        self.frames: int | None = self._file.frames if self._file.frames < 2**62 else None
        self.tags: Tags = self._file.copy_metadata()
        try:
            require_sane(self.format.sample_rate, self.format.channels, name)
        except AudioError:
            self._file.close()
            raise
        self._is_vorbis_order = isinstance(file, Path) and has_vorbis_order(file, self.format)

    @property
    def truncated(self) -> bool:
        return self._ended_early

    def read(self, frames: int) -> Samples:
        block = np.empty((frames, self.format.channels))
        block = block[: self._decode(block)]
        if not self.format.is_integer:
            require_finite(block, self._position, self.format.sample_rate, self._name)
        self._position += len(block)
        if frames > 0 and len(block) == 0 and self.frames is not None:
            slack = _MPEG_SLACK if self.format.container == "MP3" else 0
            self._ended_early = self._is_cut_off or self._position + slack < self.frames
        return from_vorbis_order(block) if self._is_vorbis_order else block

    def _decode(self, block: Samples) -> int:
        """Fill `block`; how many frames it got. What precedes a truncated end counts, any other fault is raised."""
        try:
            with hushed() if self.format.container == "MP3" else nullcontext():
                got = len(self._file.read(out=block))
            if self._pipe is not None:
                self._pipe.raise_failure()
            return got
        except soundfile.LibsndfileError as error:
            decoded: int = self._file.tell()  # the block holds what was decoded up to the fault
            if "END_OF_STREAM" in self._file.extra_info:
                return decoded - self._position
            raise AudioError(
                f"{self._name} cannot be decoded at {decoded / self.format.sample_rate:.3f} s "
                f"({error.error_string.strip('. ')}): the file is damaged; repair it, or cut it before that time"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._cleanup()
