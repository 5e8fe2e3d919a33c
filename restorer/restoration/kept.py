"""Finished windows of a recording on disk, so that a run that was cut off goes on where it stopped.

A file beside the result, `.NAME.HASH.restorer-part`: a line with the key of the run, then one record a window, appended
as it is finished, each with a checksum, so that what a crash tore is computed again. It takes 4 bytes a sample at the
prior's rate, a third more where windows overlap (28 MB a minute of stereo at 44.1 kHz); there is one for each
recording in work. A finished recording of several leaves its key there until all are finished.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from restorer.audio.lock import folders, hidden_name, lock
from restorer.digest import file_hash
from restorer.errors import AudioError

Change = NDArray[np.float32]
"""(length, channels): what a stage of the restoration adds to a window."""

CLASSICAL, PRIOR = 0, 1  # the stages

_FORMAT = "restorer-part-2"
_RECORD = struct.Struct("<qqqIII")  # stage, start, known_until, frames, channels, checksum
_NOWHERE = -(2**63)  # known_until of a window that hears no filled gap
_LONGEST_LINE = 1 << 10


def kept_path(target: Path) -> Path:
    """Where the windows of a result are kept; links followed, as the result's are."""
    real = Path(os.path.realpath(target))
    return real.with_name(f"{hidden_name(real.name)}.restorer-part")


def _done_path(target: Path) -> Path:
    path = kept_path(target)
    return path.with_name(path.name + "-done")


def run_key(files: Sequence[Path], facts: Sequence[object]) -> str:
    """A hash of all that decides a result: files (a recording, weights) by their bytes, values by their `repr`.

    Raises AudioError if a file cannot be read.
    """
    total = hashlib.sha256(repr(tuple(facts)).encode("utf-8", "backslashreplace"))
    for path in files:
        try:
            total.update(bytes.fromhex(file_hash(path)))
        except OSError as error:
            raise AudioError(f"{path} cannot be read ({error.strerror}); check its name and permissions") from error
    return total.hexdigest()


def kept_key(target: Path) -> str | None:
    """The key of the run that left something beside this result, None if none did."""
    try:
        with kept_path(target).open("rb") as file:
            return _read_line(file)[0]
    except OSError:
        return None


def forget(target: Path) -> None:
    """Removes what was kept for a result."""
    with suppress(OSError):
        kept_path(target).unlink(missing_ok=True)
        _done_path(target).unlink(missing_ok=True)


class Kept:
    """A context manager; on leaving it the file stays, until `finish` or `forget` say otherwise.

    What was kept under another key is dropped. Raises AudioError if another run works on the same result. If nothing
    more can be kept (a full disk), the run goes on without, and `note` says so.
    """

    def __init__(self, target: Path, key: str) -> None:
        self._target, self._path, self._done_path, self._key = target, kept_path(target), _done_path(target), key
        self._places: dict[tuple[int, int, int], tuple[int, int, int, int]] = {}
        self._file: BinaryIO | None = None
        self.is_done = False
        self.note: str | None = None

    def find(self, stage: int, start: int, known_until: int | None) -> Change | None:
        """The change of a stage's window from `start` on, if it was kept whole."""
        place = self._places.get((stage, start, _NOWHERE if known_until is None else known_until))
        if place is None or self._file is None:
            return None
        at, frames, channels, checksum = place
        try:
            self._file.seek(at)
            raw = self._file.read(4 * frames * channels)
        except OSError:
            return None
        if len(raw) != 4 * frames * channels or zlib.crc32(raw) != checksum:
            return None
        return np.frombuffer(raw, "<f4").reshape(frames, channels).astype(np.float32)

    def keep(self, stage: int, start: int, known_until: int | None, change: Change) -> None:
        if self.note is not None:
            return
        raw = np.ascontiguousarray(change, "<f4").tobytes()
        known = _NOWHERE if known_until is None else known_until
        try:
            file = self._file or self._begin()
            file.seek(0, os.SEEK_END)
            file.write(_RECORD.pack(stage, start, known, *change.shape, zlib.crc32(raw)))
            at = file.tell()
            file.write(raw)
            file.flush()
        except OSError as error:
            self._give_up(error)
            return
        self._places[stage, start, known] = (at, *change.shape, zlib.crc32(raw))

    def finish(self, *, leave_mark: bool) -> None:
        """The result is complete: what was kept goes; leave_mark: but for the key, until all results are complete."""
        self._close()
        if not leave_mark:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            return
        with suppress(OSError):
            self._done_path.write_bytes(_line(self._key, done=True))
            os.replace(self._done_path, self._path)

    def __enter__(self) -> Self:
        try:
            self._take_up(self._path.open("rb+"))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._give_up(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _give_up(self, error: OSError) -> None:
        self.note = f"finished windows could not be kept ({error.strerror}); if it is cut off, it begins anew"

    def _begin(self) -> BinaryIO:
        with folders:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "rb+")
        self._take_up(file)
        return file

    def _take_up(self, file: BinaryIO) -> None:
        """Reads what is there, and makes it ours."""
        self._file = file
        if not lock(file.fileno()):
            self._close()
            raise AudioError(f"another run works on {self._target}; wait for it, or write elsewhere")
        key, self.is_done, end = _read_line(file)
        if key != self._key:
            self.is_done = False
            file.seek(0)
            file.truncate()
            file.write(_line(self._key, done=False))
        else:
            end = self._scan(end)
            file.truncate(end)
        file.flush()

    def _scan(self, at: int) -> int:
        """Notes where each whole record lies; where the last one ends."""
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size
        while at + _RECORD.size <= size:
            self._file.seek(at)
            stage, start, known, frames, channels, checksum = _RECORD.unpack(self._file.read(_RECORD.size))
            stop = at + _RECORD.size + 4 * frames * channels
            if stop > size:
                break
            self._places[stage, start, known] = (at + _RECORD.size, frames, channels, checksum)
            at = stop
        return at

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


def _line(key: str, *, done: bool) -> bytes:
    return (json.dumps({"format": _FORMAT, "key": key, "done": done}) + "\n").encode()


def _read_line(file: BinaryIO) -> tuple[str | None, bool, int]:
    """The key (None where there is none), whether the result is complete, and where the records begin."""
    file.seek(0)
    first, newline, _ = file.read(_LONGEST_LINE).partition(b"\n")
    try:
        said = json.loads(first)
        if not newline or said["format"] != _FORMAT:
            return None, False, 0
        return str(said["key"]), said["done"] is True, len(first) + 1
    except (ValueError, KeyError, TypeError):
        return None, False, 0
