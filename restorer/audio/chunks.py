"""What stands beside the sound in a WAV: bext, iXML, cue, LIST and the like, taken from one file and put into another.

They are put behind the sound, which RIFF allows and where BWF MetaEdit puts what grew: no sample has to move.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from restorer.audio.riff import begins_chunk, declares_behind

# Of the sound itself, or a guess at its loudness that no longer holds.
_NOT_KEPT = (b"fmt ", b"data", b"fact", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"PEAK", b"levl", b"id3 ", b"ID3 ")
_TIMED = (b"cue ", b"smpl", b"adtl", b"plst")  # in samples: they hold at one sample rate only
_LARGEST = 64 << 20  # bytes of one chunk: an absurd size is damage, not metadata
_MOST = 4096  # chunks: more are no metadata either, but zeros for one
_TIME_REFERENCE = 338  # where bext has it, in samples since midnight (EBU Tech 3285)
_BITS, _VALID, _CODEC = slice(14, 16), 18, slice(24, 26)  # where `fmt ` has them; the loudspeakers are behind _VALID
_EXTENSIBLE = 0xFFFE
_LARGEST_RIFF = (1 << 32) - 1

Chunk = tuple[bytes, bytes]
"""(name, body)."""


@dataclass(frozen=True)
class RiffChunks:
    """kept: in their order; id3: the tag's bytes, empty where there is none; layout: of the samples, None if none."""

    kept: tuple[Chunk, ...] = ()
    id3: bytes = b""
    layout: "Layout | None" = None

    def at_rate(self, from_rate: int, to_rate: int) -> "RiffChunks":
        """bext's time reference counts in the new rate; cues, which belong to samples, are left out."""
        if from_rate == to_rate:
            return self
        kept = [(name, body) for name, body in self.kept if kind_of(name, body) not in _TIMED]
        retimed = ((name, _retimed(body, from_rate, to_rate) if name == b"bext" else body) for name, body in kept)
        return replace(self, kept=tuple(retimed))

    @property
    def names(self) -> list[str]:
        return [kind_of(name, body).decode("latin-1").strip() for name, body in self.kept]


@dataclass(frozen=True)
class Layout:
    """What WAVE_FORMAT_EXTENSIBLE says of samples: how they are stored (bits and codec, as bytes), how many of the bits
    are valid, and the loudspeakers (dwChannelMask)."""

    stored: bytes
    valid: int
    speakers: int


def read_chunks(path: Path) -> RiffChunks:
    """Of a RIFF or RF64 file; none of any other. Raises OSError."""
    kept, id3, layout = [], b"", None
    with path.open("rb") as file:
        for name, start, size in riff_chunks(file):
            if name == b"fmt " or name not in _NOT_KEPT or name in (b"id3 ", b"ID3 "):
                file.seek(start)
                body = file.read(min(size, _LARGEST))
                if len(body) < size:
                    continue
                if name == b"fmt ":
                    layout = _layout(body)
                elif name in _NOT_KEPT:
                    id3 = body
                else:
                    kept.append((name, body))
    return RiffChunks(tuple(kept), id3, layout)


def is_unfinished(path: Path) -> bool:
    """Whether a WAV says that it holds no sound, but goes on: what recorded it was killed before it could say how much.

    Raises OSError.
    """
    with path.open("rb") as file:
        *_, (name, start, size) = [(b"", 0, 0), *riff_chunks(file)]
        return name == b"data" and size == 0 and file.seek(0, 2) > start


def append_chunks(path: Path, chunks: RiffChunks) -> None:
    """Behind what is there. Raises OSError if a RIFF would pass 4 GiB."""
    with path.open("rb+") as file:
        file.seek(0)
        kind = file.read(4)
        if chunks.layout is not None:
            _set_layout(file, chunks.layout)
        id3 = [(b"id3 ", chunks.id3)] if chunks.id3 else []
        file.seek(0, 2)
        if file.tell() % 2:
            file.write(b"\0")
        for name, body in (*chunks.kept, *id3):
            file.write(name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2))
        size = file.tell() - 8
        if kind == b"RF64":
            file.seek(20)  # RF64, its size, WAVE, ds64, its size: then the size that counts
            file.write(struct.pack("<Q", size))
            return
        if size > _LARGEST_RIFF:
            raise OSError("a WAV ends at 4 GiB")
        file.seek(4)
        file.write(struct.pack("<I", size))


def kind_of(name: bytes, body: bytes) -> bytes:
    """A LIST is of the kind that its first bytes tell."""
    return body[:4] if name == b"LIST" else name


def riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its body begins, its size), to the sound if that is of unknown length, for nothing is behind it."""
    opening = file.read(12)
    if opening[:4] not in (b"RIFF", b"RF64") or opening[8:] != b"WAVE":
        return
    riff_size, long_size = struct.unpack("<I", opening[4:8])[0], None
    for _ in range(_MOST):
        if len(header := file.read(8)) < 8:
            return
        name, size = header[:4], struct.unpack("<I", header[4:])[0]
        start = file.tell()
        if name == b"ds64":
            riff_size, long_size = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        if name == b"data" and size == 0xFFFFFFFF:
            if long_size is None or long_size >= 1 << 62:
                return
            size = long_size
        yield name, start, size
        if name == b"data" and size == 0:
            file.seek(start)
            if not (declares_behind(riff_size, start) and begins_chunk(file.read(4))):
                return
        file.seek(start + size + size % 2)


def _retimed(bext: bytes, from_rate: int, to_rate: int) -> bytes:
    at = slice(_TIME_REFERENCE, _TIME_REFERENCE + 8)
    if len(bext) < at.stop:
        return bext
    samples = struct.unpack("<Q", bext[at])[0]
    return bext[: at.start] + struct.pack("<Q", round(samples * to_rate / from_rate) % (1 << 64)) + bext[at.stop :]


def _layout(fmt: bytes) -> Layout | None:
    if len(fmt) < _CODEC.stop or struct.unpack_from("<H", fmt)[0] != _EXTENSIBLE:
        return None
    return Layout(fmt[_BITS] + fmt[_CODEC], *struct.unpack_from("<HI", fmt, _VALID))


def _set_layout(file: BinaryIO, layout: Layout) -> None:
    """The valid bits only where samples are stored as they were: of another depth others are valid."""
    file.seek(0)
    for name, start, size in riff_chunks(file):
        if name == b"fmt ":
            file.seek(start)
            if (own := _layout(file.read(size))) is not None:
                valid = layout.valid if layout.stored == own.stored else own.valid
                file.seek(start + _VALID)
                file.write(struct.pack("<HI", valid, layout.speakers))
            return
