"""Sound files are written whole or not at all: under a temporary name in the same folder, then renamed."""

import glob
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from restorer.audio.format import TAG_NAMES, AudioFormat, Samples, Tags, can_write
from restorer.audio.lock import folders, hidden_name, is_left, lock
from restorer.audio.metadata import NO_METADATA, Metadata
from restorer.audio.pipe import empty_flac, new_sound_file, takes_a_frame
from restorer.audio.samples import OF_A_RESULT, as_float, require_finite, to_fixed
from restorer.audio.sndfile import file_name
from restorer.audio.vorbis import to_vorbis_order, writes_vorbis_order
from restorer.errors import AudioError, UsageError

_STEP = 1 << 14  # frames handed to libsndfile at once: its Vorbis encoder overflows the stack with very long blocks
_CHECK_STEP = 1 << 16  # frames decoded at once when a file is read back
_LARGEST_32_BIT = (1 << 32) - (1 << 20)  # bytes of sound in a file with 32-bit sizes, leaving room for its header
_HAS_32_BIT_SIZES = ("WAV", "WAVEX", "AIFF")
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)

_made: set[Path] = set()  # folders that we made, as long as no result is in them

_Failure = (OSError, soundfile.SoundFileError, AssertionError)  # soundfile asserts that all frames were written


class FileWriter:
    """An AudioWriter of a file. Until the `with` block is left cleanly the target is what it was before.

    Integer formats round to the nearest step and hold peaks at full scale (`clipped` counts them). Folders that are
    missing are made with the first block, and taken away again if nothing comes of it. Before the file gets its name it
    is decoded once more, where it is lossless, and must hold what was written.
    """

    def __init__(
        self,
        target: Path,
        format: AudioFormat,
        *,
        overwrite: bool = False,
        tags: Tags | None = None,
        metadata: Metadata = NO_METADATA,
        read_back: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """tags: what libsndfile writes; metadata: what mutagen and we do, once the sound is complete. check: called
        once in a while as the file is read back; what it raises ends that, and nothing is left.

        Raises UsageError if `target` exists without `overwrite`, or is no file; AudioError if it cannot be made.
        """
        self.format = format
        self.frames = 0
        self.clipped = 0
        self.peak = 0.0
        self.notes: tuple[str, ...] = ()
        self._checksum = 0
        self._read_back = read_back and not format.is_lossy
        self._metadata, self._check = metadata, check
        self._copied: Path | None = None
        self._name = str(target)
        self._target = Path(os.path.realpath(target))  # what a link points to is replaced, not the link
        self._overwrite = overwrite
        self._tags = tags or {}
        self._partial: Path | None = None
        self._file: soundfile.SoundFile | None = None
        self._lock: int | None = None
        self._require_target()
        _require_folder(self._target.parent, self._name)
        _require_writable(format, self._name)

    def write(self, block: Samples) -> Samples:
        require_finite(block, self.frames, self.format.sample_rate, f"the result for {self._name}", OF_A_RESULT)
        self._require_room(len(block))
        stored, samples = self._stored(block)
        try:
            file = self._file or self._begin()
            ordered = to_vorbis_order(stored) if writes_vorbis_order(self.format) else stored
            for start in range(0, len(block), _STEP):
                file.write(ordered[start : start + _STEP])
        except _Failure as error:
            raise self._failed(error) from error
        self.frames += len(block)
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        if self._read_back:
            self._checksum = zlib.crc32(stored.tobytes(), self._checksum)
        return samples

    def copy_instead(self, source: Path) -> None:
        """What becomes of the target on leaving is a copy of `source`, bit for bit, and not what was written."""
        self._copied = source

    def _stored(self, block: Samples) -> tuple[NDArray[np.int32] | Samples, Samples]:
        """What libsndfile gets, and the same as samples."""
        if self.format.is_integer and self.format.bits is not None:
            fixed, clipped = to_fixed(block, self.format.bits)
            self.clipped += clipped
            return fixed, as_float(fixed)
        floats = block.astype(np.float32).astype(np.float64) if self.format.subtype == "FLOAT" else block
        return floats, floats

    def _begin(self) -> soundfile.SoundFile:
        folder = self._target.parent
        stem = f"{hidden_name(self._target.name)}."
        for left in folder.glob(f"{glob.escape(stem)}*.partial"):
            if is_left(left):  # by a run that was killed
                left.unlink(missing_ok=True)
        partial = folder / f"{stem}{secrets.token_hex(4)}.partial"
        self._partial = partial
        with folders:
            for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
                _made.add(each)
                each.mkdir(exist_ok=True)
            self._lock = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        lock(self._lock)
        self._file = new_sound_file(file_name(partial), self.format)
        for tag in TAG_NAMES:
            if value := self._tags.get(tag):
                with suppress(soundfile.LibsndfileError):  # a container that has no place for this tag
                    setattr(self._file, tag, value)
        return self._file

    def _complete(self) -> None:
        """Close, check, make it last, rename."""
        try:
            file = self._file or self._begin()
            file.close()
            assert self._partial is not None
            if self._copied is not None:
                shutil.copyfile(self._copied, self._partial)
            elif self.frames == 0 and self.format.container == "FLAC":
                self._partial.write_bytes(empty_flac(self.format))
            else:
                self.notes = self._metadata.attach(self._partial, self.format)
                self._require_whole(self._partial)
            _make_last(self._partial)
            self._require_target()
            os.replace(self._partial, self._target)
            self._partial = None
            with folders:
                _made.difference_update(self._target.parents)
        except _Failure as error:
            raise self._failed(error) from error

    def _require_whole(self, partial: Path) -> None:
        """Raises OSError if the file does not hold what was written."""
        if self.format.is_lossy:
            return
        with soundfile.SoundFile(file_name(partial)) as file:
            if file.frames != self.frames:
                raise OSError(f"{file.frames} of {self.frames} frames arrived")
            if not self._read_back:
                return
            found = 0
            kind = "int32" if self.format.is_integer else "float64"
            for block in file.blocks(_CHECK_STEP, dtype=kind, always_2d=True):
                self._check()
                found = zlib.crc32(block.tobytes(), found)
        if found != self._checksum:
            raise OSError("it reads back otherwise than it was written")

    def _discard(self) -> None:
        """Leave nothing; what cannot be removed any more must not hide the error that brought us here."""
        if self._file is not None:
            with suppress(OSError, soundfile.SoundFileError):
                self._file.close()
        if self._partial is not None:
            with suppress(OSError, soundfile.SoundFileError):
                self._partial.unlink(missing_ok=True)
        with folders:
            for folder in self._target.parents:
                if folder in _made:
                    with suppress(OSError):  # another file is in work there, whose end it is then
                        folder.rmdir()
                        _made.remove(folder)

    def _require_target(self) -> None:
        try:
            mode = self._target.stat().st_mode
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise AudioError(f"{self._name} cannot be written ({_reason(error)}); choose another output") from error
        if stat.S_ISDIR(mode):
            raise UsageError(f"{self._name} is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{self._name} is not a regular file, and would be replaced by one; use `-` for a pipe")
        if not self._overwrite:
            raise UsageError(f"{self._name} exists already; choose another name, or replace it with --overwrite")

    def _require_room(self, more: int) -> None:
        if not has_room(self.format, self.frames + more):
            raise AudioError(
                f"{self._name} would pass 4 GiB at {self.frames / self.format.sample_rate:.0f} s, the most that "
                f"{self.format.container} can hold; write RF64, W64 or FLAC instead"
            )

    def _failed(self, error: Exception) -> AudioError:
        reason = _reason(error if isinstance(error, OSError) else self._refusal() or error)
        return AudioError(
            f"{self._name} cannot be written ({reason}) after {self.frames / self.format.sample_rate:.1f} s; "
            "check the free space and the permissions of its folder; nothing was kept"
        )

    def _refusal(self) -> OSError | None:
        """Why the file takes no more bytes: libsndfile, and soundfile, only say that it does not."""
        if self._partial is not None:
            try:
                with self._partial.open("ab") as file:
                    file.write(bytes(_STEP))
            except OSError as error:
                return error
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            if self._partial is not None:
                self._discard()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def has_room(form: AudioFormat, frames: int) -> bool:
    """Whether so many frames fit: some containers state their size in 32 bits."""
    size = frames * form.channels * (form.bits or 0) // 8
    return form.container not in _HAS_32_BIT_SIZES or size <= _LARGEST_32_BIT


def _require_folder(folder: Path, name: str) -> None:
    """Raises AudioError now rather than after an hour's work if `folder` cannot be written or made."""
    try:
        nearest = next(each for each in (folder, *folder.parents) if each.exists())
        usable, is_folder = os.access(nearest, os.W_OK | os.X_OK), nearest.is_dir()
    except OSError as error:
        raise AudioError(f"{name} cannot be written ({_reason(error)}); choose another output folder") from error
    if not is_folder:
        raise AudioError(f"{name} cannot be written: {nearest} is a file, not a folder; choose another output folder")
    if not usable:
        raise AudioError(f"{name} cannot be written: no permission to write in {nearest}; choose another output folder")


def _require_writable(form: AudioFormat, name: str) -> None:
    """Raises AudioError if libsndfile cannot write this combination (Opus at 44.1 kHz, 9 channels of FLAC)."""
    if not (can_write(form.container, form.subtype) and takes_a_frame(form)):
        raise AudioError(
            f"{name} cannot be written as {form.container} {form.subtype} with {form.channels} channels at "
            f"{form.sample_rate} Hz; {_remedy(form)}"
        )


def _remedy(form: AudioFormat) -> str:
    if form.subtype == "OPUS" and form.sample_rate not in _OPUS_RATES_HZ:
        return "Opus has 8, 12, 16, 24 and 48 kHz: add --rate 48000"
    return "choose another format or rate, e.g. --format wav or --rate 48000"


def _make_last(path: Path) -> None:
    """Wait until the bytes are on the disk, so that a crash after the rename cannot leave an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).strip(". ")
    return str(getattr(error, "strerror", None) or error) or "it was cut short"
