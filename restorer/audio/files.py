"""The front door to sound files: what is it, read it, write it. `-` is standard input or output."""

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal

import soundfile

from restorer.audio.chunks import is_unfinished
from restorer.audio.cut import is_cut_off
from restorer.audio.ffmpeg import FfmpegReader, probe_with_ffmpeg
from restorer.audio.format import AudioFormat, AudioInfo, AudioReader, AudioWriter, Tags
from restorer.audio.links import ChainReader, links
from restorer.audio.metadata import NO_METADATA, Metadata
from restorer.audio.pipe import FlacStreamWriter, Pipe
from restorer.audio.riff import Arriving, read_header, read_some
from restorer.audio.sndfile import SndfileReader
from restorer.audio.stream import PcmStreamReader, WavStreamReader, WavStreamWriter, is_other_audio
from restorer.audio.writer import FileWriter
from restorer.errors import AudioError, UsageError

_STDIN = "standard input"
_OPENING = 12  # bytes that tell one kind of file from another, and the least that a WAV begins with
_SPOOL_STEP = 1 << 20


def probe(path: Path) -> AudioInfo:
    """What a file says about itself, whatever its name says.

    Raises AudioError if it is missing, a folder, a pipe, empty or nothing that soundfile or ffmpeg can read.
    """
    _require_file(path, streams=False)
    try:
        with _open_directly(path, str(path)) as reader:
            return AudioInfo(path, reader.format, reader.frames, reader.tags)
    except soundfile.SoundFileError:
        info = probe_with_ffmpeg(path, str(path))
        return AudioInfo(path, info.format, None, info.tags)


def open_reader(source: Path | Literal["-"], raw: AudioFormat | None = None) -> AudioReader:
    """A reader of a file, a named pipe or, for `-`, standard input.

    WAV and FLAC are read from a pipe as they arrive, what else there is once it has arrived, from a temporary copy.
    raw: the source has no header, only little-endian samples of this format (container "RAW").
    Raises AudioError as `probe` does, UsageError if standard input is a terminal.
    """
    if source == "-":
        if sys.stdin.isatty():
            raise UsageError(
                "standard input is a terminal; send a WAV or FLAC into it, e.g. `< take.wav` or `sox ... -t wav - |`"
            )
        return _open_stream(sys.stdin.buffer, _STDIN, raw)
    is_file = _require_file(source, streams=True)
    if is_file and raw is None:
        return _open_file(source, str(source))
    stream = source.open("rb")
    size = os.fstat(stream.fileno()).st_size if is_file else None
    return _open_stream(stream, str(source), raw, stream.close, size)


def open_writer(
    target: Path | Literal["-"],
    format: AudioFormat,
    *,
    overwrite: bool = False,
    tags: Tags | None = None,
    metadata: Metadata = NO_METADATA,
    read_back: bool = True,
    check: Callable[[], None] = lambda: None,
) -> AudioWriter:
    """A writer of a file, or for `-` of standard output: FLAC or bare samples if `format` says so, else WAV; no tags.

    tags, metadata, read_back, check: see `FileWriter`.

    Raises UsageError if the target exists and may not be overwritten, or standard output is a terminal; AudioError if
    the format or the folder cannot be written. Nothing is touched before the first block is written.
    """
    if target == "-":
        if sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal, which cannot play sound; name a file, or pipe it: `| sox - ...`"
            )
        if format.container == "FLAC":
            return FlacStreamWriter(sys.stdout.buffer, format)
        return WavStreamWriter(sys.stdout.buffer, format)
    return FileWriter(
        target, format, overwrite=overwrite, tags=tags, metadata=metadata, read_back=read_back, check=check
    )


def _require_file(path: Path, *, streams: bool) -> bool:
    """Whether `path` is a regular file; raises AudioError where there is nothing to read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{path} is a folder; name the sound files in it")
        if stat.S_ISREG(status.st_mode):
            with path.open("rb"):
                pass
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist; check the name") from error
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{path} cannot be opened ({getattr(error, 'strerror', None) or error}); check its name and permissions"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        if not streams:
            raise AudioError(
                f"{path} is not a regular file, so it cannot be looked into beforehand; read it as a stream"
            )
        return False
    if status.st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes); a sound file has at least a header: export or copy it again")
    return True


def _open_file(path: Path, name: str, cleanup: Callable[[], object] = lambda: None) -> AudioReader:
    try:
        return _open_directly(path, name, cleanup)
    except soundfile.SoundFileError:
        return FfmpegReader(path, name, cleanup)


def _open_directly(path: Path, name: str, cleanup: Callable[[], object] = lambda: None) -> AudioReader:
    """A reader that needs no ffmpeg. Raises SoundFileError for what libsndfile does not read."""
    if chain := links(path, name):
        return ChainReader(path, name, chain, cleanup)
    if not is_unfinished(path):
        return SndfileReader(path, name, cleanup, is_cut_off=is_cut_off(path))
    with ExitStack() as opening:
        source = Arriving(opening.enter_context(path.open("rb")))
        form, _ = read_header(source, name)
        opened = opening.pop_all()
    opened.callback(cleanup)
    return PcmStreamReader(source, name, form, cleanup=opened.close)


def _open_stream(
    stream: BinaryIO, name: str, raw: AudioFormat | None, cleanup: Callable[[], object] = lambda: None,
    size: int | None = None,
) -> AudioReader:  # fmt: skip
    """size: in bytes, of a file."""
    if raw is not None:
        return PcmStreamReader(Arriving(stream), name, raw, cleanup=cleanup, size=size)
    opening = Arriving(stream).exactly(_OPENING)
    if opening.startswith(b"fLaC"):
        return _open_flac(stream, name, opening, cleanup)
    if not is_other_audio(opening):
        return WavStreamReader(stream, name, opening, cleanup)
    try:
        return _spooled(opening, stream, name)
    finally:
        cleanup()


def _open_flac(stream: BinaryIO, name: str, opening: bytes, cleanup: Callable[[], object]) -> AudioReader:
    pipe = Pipe(stream, opening)
    try:
        return SndfileReader(pipe, name, cleanup)
    except soundfile.SoundFileError as error:
        cleanup()
        pipe.raise_failure()
        raise AudioError(f"{name} is not a FLAC that can be read, though it begins as one; send it again") from error


def _spooled(opening: bytes, stream: BinaryIO, name: str) -> AudioReader:
    """A reader of a temporary copy, for formats that cannot be decoded from a pipe."""
    copy = tempfile.NamedTemporaryFile(prefix="restorer-")  # noqa: SIM115 (closed with the reader)
    try:
        copy.write(opening)
        while more := read_some(stream, _SPOOL_STEP):
            copy.write(more)
        copy.flush()
        return _open_file(Path(copy.name), name, copy.close)
    except OSError as error:
        copy.close()
        raise AudioError(
            f"{name} cannot be copied to {tempfile.gettempdir()} ({error.strerror}); free some space there, or send WAV"
        ) from error
    except BaseException:
        copy.close()
        raise
