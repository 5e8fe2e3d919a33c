"""Sound files that were damaged by chance: from one number the same file, the same damage and the same command."""

import io
import re
import struct
from dataclasses import dataclass

import numpy as np
import soundfile

RATE = 8000
FRAMES = 1200  # of two channels: 0.15 s
_KINDS = {
    "wav": ("WAV", "PCM_16"),
    "wav of 24 bits": ("WAV", "PCM_24"),
    "wav of floats": ("WAV", "FLOAT"),
    "extensible wav": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "caf": ("CAF", "PCM_24"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
# What a header says of the sound: behind these bytes, at these offsets, in this shape.
_FIELDS = [
    (b"fmt ", [(8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<H")]),
    (b"fmt \xf3\xac", [(24, "<H"), (26, "<H"), (28, "<I"), (36, "<H"), (38, "<H")]),  # W64
    (b"COMM", [(8, ">H"), (10, ">I"), (14, ">H"), (16, ">Q")]),
    (b"desc", [(12, ">d"), (28, ">I"), (32, ">I"), (36, ">I"), (40, ">I")]),
    (b"fLaC", [(8, ">H"), (10, ">H"), (18, ">I"), (21, ">B"), (22, ">I")]),
    (b"vorbis", [(10, "<B"), (11, "<I"), (22, "<B")]),
    (b"OpusHead", [(9, "<B"), (10, "<H"), (12, "<I"), (16, "<H"), (18, "<B")]),
    (b"\xff", [(1, ">B"), (2, ">B"), (3, ">B")]),
    (b"Xing", [(8, ">I"), (12, ">I")]),
    (b"Info", [(8, ">I"), (12, ">I")]),
]
_ABSURD = [0, 1, 2, 3, 7, 63, 64, 65, 255, 1000, 4000, 65535, 768_000, 768_001, 10**9, 2**31 - 1, 2**31, 2**32 - 1]
_CHUNKS = re.compile(rb"RIFF|RF64|FORM|ds64|fmt |fact|PEAK|LIST|data|COMM|SSND|desc|chan|pakt|Xing|Info")
_HEADER = 200


@dataclass(frozen=True)
class Case:
    """What a seed stands for. words: the command, whose input is the file, or "-"."""

    seed: int
    raw: bytes
    words: tuple[str, ...]
    told: str


def corpus():
    """A small file of each kind, and bare samples."""
    sound = 0.1 * np.random.default_rng(0).standard_normal((FRAMES, 2))
    files = {"bare samples": (32768 * sound).astype("<i2").tobytes()}
    for name, (container, subtype) in _KINDS.items():
        stored = io.BytesIO()
        with soundfile.SoundFile(stored, "w", RATE, 2, subtype, format=container) as file:
            if container != "W64":  # which has no place for tags
                file.title, file.comment = "A title", "A comment of some length"
            file.write(sound)
        files[name] = stored.getvalue()
    return files


def case(seed, files):
    random = np.random.default_rng(seed)
    name = str(random.choice(list(files)))
    raw, told = files[name], []
    for _ in range(random.integers(1, 3)):
        how = _HOW[random.integers(len(_HOW))]
        raw, said = how(random, raw, files)
        told.append(said)
    through_pipe = name == "bare samples" or random.random() < 0.3
    words = _COMMANDS[random.integers(len(_COMMANDS))]
    if through_pipe:
        words = (words[0], "-", *words[1:], *(("-o", "out.wav") if words[0] != "detect" else ()))
        words += ("--raw", "s16le:8000:2") if name == "bare samples" and words[0] != "detect" else ()
    else:
        words = (words[0], "in", *words[1:])
    return Case(seed, raw, words, f"seed {seed}: {name}, {', '.join(told)}; restorer {' '.join(words)}")


_COMMANDS = [
    ("bwe", "--cutoff", "400", "--steps", "1"),
    ("inpaint", "--gap", "0.05-0.06", "--steps", "1", "--method", "diffusion"),
    ("detect",),
]


def _flips(random, raw, files):
    damaged, places = _flipped(random, raw, min(_HEADER, len(raw)), 9)
    return damaged, f"bytes {sorted(places.tolist())} flipped"


def _flips_of_the_body(random, raw, files):
    damaged, places = _flipped(random, raw, len(raw), 30)
    return damaged, f"{len(places)} bytes flipped anywhere"


def _flipped(random, raw, end, most):
    """Fewer than `most` bytes before `end` changed, and where."""
    damaged = bytearray(raw)
    places = random.integers(0, max(1, end), random.integers(1, most))
    for place in places[: len(raw)]:
        damaged[place] ^= int(random.integers(1, 256))
    return bytes(damaged), places


def _sizes(random, raw, files):
    chunks = [found.start() for found in _CHUNKS.finditer(raw)]
    at = int(random.choice(chunks)) + 4 if chunks else int(random.integers(0, _HEADER))
    size = int(random.choice([0, 1, 2**31 - 1, 2**32 - 1, int(random.integers(2**32))]))
    shape = str(random.choice(["<I", ">I", "<Q", ">Q"]))
    return _put(raw, at, shape, size), f"size {size} ({shape}) at {at}"


def _fields(random, raw, files):
    known = [(raw.index(magic) + offset, shape) for magic, there in _FIELDS if magic in raw for offset, shape in there]
    known = known or [(int(random.integers(0, _HEADER)), "<I")]
    at, shape = known[random.integers(len(known))]
    value = _ABSURD[random.integers(len(_ABSURD))]
    return _put(raw, at, shape, value), f"{value} ({shape}) at {at}"


def _put(raw, at, shape, value):
    if shape[1] != "d":
        value %= 256 ** struct.calcsize(shape)
    given = struct.pack(shape, value)
    return (raw[:at] + given + raw[at + len(given) :])[: max(len(raw), at)]


def _cut(random, raw, files):
    end = int(random.integers(0, len(raw) + 1))
    return raw[:end], f"cut at {end}"


def _spliced(random, raw, files):
    other = str(random.choice(list(files)))
    end, start = int(random.integers(0, len(raw) + 1)), int(random.integers(0, len(files[other])))
    return raw[:end] + files[other][start:], f"from {end} on {other} from {start}"


def _garbage(random, raw, files):
    count = int(random.integers(1, 3000))
    if random.random() < 0.5:
        return random.bytes(count) + raw, f"{count} bytes of garbage before"
    return raw + random.bytes(count), f"{count} bytes of garbage behind"


_HOW = [_flips, _flips_of_the_body, _sizes, _fields, _fields, _cut, _spliced, _garbage]
