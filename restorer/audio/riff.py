"""The header of WAV (RIFF, RF64) on a stream that cannot seek: parsed forwards only, and written with unknown sizes."""

import struct
from typing import BinaryIO

from restorer.audio.format import AudioFormat, require_sane
from restorer.errors import AudioError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # what follows the codec in KSDATAFORMAT_SUBTYPE_*
_SUBTYPES = {(_PCM, 8): "PCM_U8", (_PCM, 16): "PCM_16", (_PCM, 24): "PCM_24", (_PCM, 32): "PCM_32",
             (_FLOAT, 32): "FLOAT", (_FLOAT, 64): "DOUBLE"}  # fmt: skip
_UNKNOWN = 0xFFFFFFFF
_LARGEST_FMT = 1 << 16  # bytes; real ones have 16 to 40, but some codecs append tables
_CHUNK = 1 << 16


class Arriving:
    """The bytes of a pipe in the order of arrival, the ones already taken from it first."""

    def __init__(self, stream: BinaryIO, opening: bytes = b"") -> None:
        self._stream = stream
        self._held = bytearray(opening)

    @property
    def left(self) -> int:
        """How many bytes have arrived and were not taken; at the end of the stream a part of a frame, if any."""
        return len(self._held)

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end of the stream."""
        self._await(count)
        return self._take(count)

    def peek(self, count: int) -> bytes:
        """The same, left where they are."""
        self._await(count)
        return bytes(self._held[:count])

    def frames(self, width: int, most: int) -> bytes:
        """Whole frames of `width` bytes, at most `most` bytes, of what has arrived; waits for the first one only.

        Nothing at the end of the stream, where a part of a frame is dropped.
        """
        while len(self._held) < width and self._receive(most - len(self._held)):
            pass
        return self._take(min(most, len(self._held)) // width * width)

    def skip(self, count: int) -> None:
        while count > 0 and (gone := len(self.exactly(min(count, _CHUNK)))):
            count -= gone

    def _await(self, count: int) -> None:
        while len(self._held) < count and self._receive(count - len(self._held)):
            pass

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _receive(self, most: int) -> int:
        more = read_some(self._stream, most)
        self._held += more
        return len(more)


def read_some(stream: BinaryIO, most: int) -> bytes:
    """At most `most` bytes of what has arrived, waiting for one; nothing at the end of the stream."""
    read1 = getattr(stream, "read1", stream.read)
    some: bytes = read1(most)
    return some


def read_header(source: Arriving, name: str) -> tuple[AudioFormat, int | None]:
    """Format and size of the sound in bytes (None: to the end of the stream); leaves `source` at the first sample.

    Raises AudioError where it is no WAV, ends too early, contradicts itself or holds another codec than PCM and float.
    """
    opening = source.exactly(12)
    if not opening:
        raise AudioError(f"{name} is empty; did the program that writes into it fail?")
    if opening[:4] not in (b"RIFF", b"RF64") or opening[8:] != b"WAVE":
        raise AudioError(
            f"{name} is not a WAV (it begins with {opening!r}); send WAV, e.g. `ffmpeg -i take.m4a -f wav -`"
        )
    riff_size = struct.unpack("<I", opening[4:8])[0]
    long_size, form, position = None, None, 12
    while len(chunk := source.exactly(8)) == 8:
        kind, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        position += 8
        if kind == b"data":
            if form is None:
                raise AudioError(f"{name} has samples before its format (no `fmt ` chunk); the WAV header is damaged")
            is_unknown = stands_for_unknown(size)
            if long_size is not None and size == _UNKNOWN:
                size, is_unknown = long_size, long_size >= 1 << 62
            if size == 0:
                is_unknown = not (declares_behind(riff_size, position) and begins_chunk(source.peek(4)))
            return form, None if is_unknown else size
        kept = source.exactly(min(size, _LARGEST_FMT)) if kind in (b"fmt ", b"ds64") else b""
        if kind == b"fmt " and len(kept) < min(size, _LARGEST_FMT):
            break
        source.skip(size + size % 2 - len(kept))
        position += size + size % 2
        if kind == b"fmt ":
            form = _parse_format(kept, "RF64" if opening[:4] == b"RF64" else "WAV", name)
        elif kind == b"ds64" and len(kept) >= 16:
            riff_size, long_size = struct.unpack("<QQ", kept[:16])
    raise AudioError(f"{name} ends within its WAV header; it was cut short: send it again")


def header(form: AudioFormat) -> bytes:
    """A WAV header for sound of unknown length. `form`'s subtype must be one of WAV's PCM or float ones."""
    code, bits = next(key for key, subtype in _SUBTYPES.items() if subtype == form.subtype)
    width = bits // 8 * form.channels
    body = struct.pack("<HHIIHH", code, form.channels, form.sample_rate, form.sample_rate * width, width, bits)
    if code != _PCM:
        body += struct.pack("<H", 0)  # the size of an extension, which every codec but PCM must state
    chunk = b"fmt " + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVE" + chunk + b"data" + struct.pack("<I", _UNKNOWN)


def declares_behind(riff_size: int, position: int) -> bool:
    """Whether a RIFF of this size has something behind `position`, in bytes: 0 bytes of sound may be meant then."""
    return riff_size not in (0, _UNKNOWN) and position < riff_size + 8 < 1 << 62


def begins_chunk(behind: bytes) -> bool:
    """Whether the four bytes behind 0 bytes of sound are the name of a chunk, or nothing is there.

    Else they are samples, which a recorder that was killed had no time to count.
    """
    return behind.isascii() and behind.decode().isprintable()


def stands_for_unknown(size: int) -> bool:
    """Whether writers put this where they do not know the size of the sound: 0xFFFFFFFF, or just under 2 GiB."""
    return 0x7FFF_E000 <= size <= 0x7FFF_FFFF or 0xFFFF_0000 <= size <= _UNKNOWN


def _parse_format(body: bytes, container: str, name: str) -> AudioFormat:
    if len(body) < 16:
        raise AudioError(f"{name} has a WAV format of {len(body)} bytes; it takes 16 or more: the header is damaged")
    code, channels, rate, _, width, bits = struct.unpack("<HHIIHH", body[:16])
    require_sane(rate, channels, name)
    if code == _EXTENSIBLE and body[26:40] == _GUID_TAIL:
        code = struct.unpack("<H", body[24:26])[0]
    stored = -(-bits // 8) * 8 if code == _PCM else bits  # 20 bits are stored in 24, the low ones 0
    subtype = _SUBTYPES.get((code, stored))
    if subtype is None:
        raise AudioError(
            f"{name} is a WAV of codec {code:#06x} with {bits} bits; a pipe carries PCM of 8, 16, 24, 32 bits or float "
            "of 32, 64 bits: convert it first, e.g. `ffmpeg -i take.wav -c:a pcm_s24le -f wav -`"
        )
    if width != channels * stored // 8:
        raise AudioError(
            f"{name} claims frames of {width} bytes, but {channels} channels of {bits} bits take "
            f"{channels * stored // 8}; the WAV header is damaged"
        )
    return AudioFormat(container, subtype, rate, channels)
