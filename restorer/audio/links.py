"""Chains: Ogg files that were appended to one another (streams, `cat`), of which libsndfile reads the first only."""

import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import soundfile

from restorer.audio.format import Samples, Tags
from restorer.audio.sndfile import SndfileReader
from restorer.errors import AudioError

_CAPTURE, _HEADER, _SERIAL = b"OggS", 27, slice(14, 18)
_BEGINS = 2  # the flag of the page that a stream begins with
_END = 1 << 17  # bytes: two of the largest pages, the last page's header among them even where tags follow it
_STEP = 1 << 20

# What the first packet of a sound stream begins with, and where it has the channels and, if they vary, the rate.
_SOUND = {b"\x01vorbis": slice(11, 16), b"OpusHead": slice(9, 10), b"\x7fFLAC": slice(27, 30)}

Link = tuple[int, int]
"""Where it begins and ends, in bytes."""


def links(path: Path, name: str) -> list[Link]:
    """The Ogg files that were appended to one another in this file; none where there is but one.

    Raises AudioError where they are of different channels or rates, OSError as `open` does.
    """
    with path.open("rb") as file:
        first = file.read(_HEADER)
        if not first.startswith(_CAPTURE):
            return []
        size = file.seek(0, 2)
        file.seek(max(0, size - _END))
        end = file.read()
        last = end.rfind(_CAPTURE, 0, len(end) - _SERIAL.start)
        if last < 0 or end[last:][_SERIAL] == first[_SERIAL]:
            return []
        file.seek(0)
        found = _beginnings(file)
    if len({form for _, form in found}) > 1:
        raise AudioError(
            f"{name} holds several Ogg files, of different sample rates or channels; make a file of each first"
        )
    return list(pairwise([*(start for start, _ in found), size])) if len(found) > 1 else []


class ChainReader:
    """An AudioReader of links of one format. Each is read from a temporary copy, as libsndfile reads but whole files.

    Raises SoundFileError where the first is none that libsndfile reads.
    """

    def __init__(
        self, path: Path, name: str, links: Sequence[Link], cleanup: Callable[[], object] = lambda: None
    ) -> None:
        """`name` is what errors call the file; `cleanup` runs when the reader is closed."""
        self._path, self._name, self._cleanup = path, name, cleanup
        self._left = list(links)
        self._reader = self._next()
        self.format = self._reader.format
        self.frames: int | None = None
        self.tags: Tags = self._reader.tags

    @property
    def truncated(self) -> bool:
        return self._reader.truncated

    def read(self, frames: int) -> Samples:
        while len(block := self._reader.read(frames)) == 0 and self._left and frames > 0:
            self._reader.__exit__(None, None, None)
            try:
                self._reader = self._next()
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{self._name} holds several Ogg files, of which one is damaged; make a file of each first"
                ) from error
        return block

    def _next(self) -> SndfileReader:
        start, end = self._left.pop(0)
        copy = tempfile.NamedTemporaryFile(prefix="restorer-")  # noqa: SIM115 (closed with the reader)
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                for at in range(start, end, _STEP):
                    copy.write(file.read(min(_STEP, end - at)))
            copy.flush()
            return SndfileReader(Path(copy.name), self._name, copy.close)
        except OSError as error:
            copy.close()
            raise AudioError(
                f"{self._name} cannot be copied to {tempfile.gettempdir()} ({error.strerror}); free some space there"
            ) from error
        except BaseException:
            copy.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)
        self._cleanup()


def _beginnings(file: BinaryIO) -> list[tuple[int, bytes]]:
    """Of each link: where it begins, and the bytes that tell the rate and the channels of its first sound."""
    found: list[tuple[int, bytes]] = []
    at_beginning = False  # where all streams of a link have their first page
    while len(header := file.read(_HEADER)) == _HEADER and header.startswith(_CAPTURE):
        start = file.tell() - _HEADER
        page = file.read(sum(file.read(header[26])))
        begins = bool(header[5] & _BEGINS)
        if begins and not at_beginning:
            found.append((start, b""))
        if begins and not found[-1][1]:
            form = next((page[where] for kind, where in _SOUND.items() if page.startswith(kind)), b"")
            found[-1] = found[-1][0], form
        at_beginning = begins
    return found
