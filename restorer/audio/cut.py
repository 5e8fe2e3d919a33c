"""Files that were cut off: their header states more sound than they hold, which libsndfile passes over in silence."""

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from restorer.audio.chunks import riff_chunks
from restorer.audio.riff import stands_for_unknown

_MOST = 4096  # chunks ahead of the sound: more are damage
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"
_W64_OPENING, _W64_HEADER = 40, 24
_W64_UNKNOWN = 1 << 40  # bytes: ffmpeg states 2 ** 63 - 1
_AIFF_UNKNOWN = 0x7EFF_0000  # where sox does not know, it states some 2,032 MiB; ffmpeg and others 0

Chunk = tuple[bytes, int, int]
"""(name, where its body begins, its size as stated)."""


def is_cut_off(path: Path) -> bool:
    """Whether a WAV, RF64, AIFF or W64 ends before the sound that its header states. Raises OSError.

    No other file is, nor one whose header does not know: of a stream, or of a recorder that was killed.
    """
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(0)
        for name, start, size in islice(_chunks(file), _MOST):
            if name in (b"data", b"SSND"):
                return start + size > length
    return False


def _chunks(file: BinaryIO) -> Iterator[Chunk]:
    """As far as their sizes are known."""
    opening = file.read(12)
    if opening == _W64:
        return _w64_chunks(file)
    if opening.startswith(b"FORM") and opening[8:] in (b"AIFF", b"AIFC"):
        return _aiff_chunks(file)
    file.seek(0)
    return (chunk for chunk in riff_chunks(file) if not stands_for_unknown(chunk[2]))


def _aiff_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Behind the opening."""
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack(">4sI", header)
        if size >= _AIFF_UNKNOWN:
            return
        start = file.tell()
        yield name, start, size
        file.seek(start + size + size % 2)


def _w64_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Of 16 bytes of name, which begin as those of WAV, and 8 of a size that counts these 24; at multiples of 8."""
    file.seek(_W64_OPENING)
    while len(header := file.read(_W64_HEADER)) == _W64_HEADER:
        size = struct.unpack("<Q", header[16:])[0]
        if not _W64_HEADER <= size < _W64_UNKNOWN:
            return
        start = file.tell()
        yield header[:4], start, size - _W64_HEADER
        file.seek(start - _W64_HEADER + -(-size // 8) * 8)
