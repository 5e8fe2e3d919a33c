"""A sample bank: recorded notes of one piano, several strengths of touch each, in one file that is mapped into memory.

The file is a safetensors file:

    samples      int16   (channels, total)  every note after another; a note's waveform is `samples * scale`
    offset       int64   (notes,)           first sample of a note
    length       int64   (notes,)           its number of samples
    scale        float32 (notes,)           full-scale units per step
    pitch        float32 (notes,)           MIDI note number, 69 = 440 Hz
    velocity     float32 (notes,)           MIDI velocity that the recorded touch stands for, 1..127
    loudness_db  float32 (notes,)           RMS of the half second after the onset, dB re full scale

and its metadata hold `sample_rate`, `name` and `licence`. A note's onset lies `LEAD_S` after its first sample.
"""

import json
import logging
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from restorer.audio.whole import whole_file
from restorer.errors import AudioError, UsageError

Floats = NDArray[np.float32]

LEAD_S = 0.01  # what is kept before the onset: the key's and the hammer's noise
ONSET = 0.05  # the onset is where the attack first reaches this part of its peak
ATTACK_S = 0.1  # the attack lies in this long after the first sample above ONSET of the whole note's peak
TAIL_DB = -70.0  # a tail below this, re the loudest block, is not kept
LOUDNESS_S = 0.5
SUFFIXES = (".ogg", ".wav", ".flac")

_NAME = re.compile(r"([A-G])(#|b)?(-?\d)v(\d+)")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bank:
    """The notes of one piano; see the module for the arrays. Pickles as its path, so that workers share one mapping."""

    path: Path
    name: str
    licence: str
    sample_rate: int
    samples: NDArray[np.int16]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    scale: Floats
    pitch: Floats
    velocity: Floats
    loudness_db: Floats

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return load_bank, (self.path,)


def load_bank(path: Path) -> Bank:
    """The bank in a file of `save_bank`; the samples stay on disk and are mapped. AudioError if it is none."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        card = header["__metadata__"]
        arrays = {name: _mapped(path, 8 + size, name, header[name]) for name in _ARRAYS}
    except (OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise AudioError(f"{path} is not a sample bank ({error!r}); build one with build_bank") from error
    small = {name: np.array(value) for name, value in arrays.items() if name != "samples"}
    return Bank(path, card["name"], card["licence"], int(card["sample_rate"]), arrays["samples"], **small)


_ARRAYS = {
    "samples": "I16",
    "offset": "I64",
    "length": "I64",
    "scale": "F32",
    "pitch": "F32",
    "velocity": "F32",
    "loudness_db": "F32",
}
_DTYPES = {"I16": np.int16, "I64": np.int64, "F32": np.float32}


def _mapped(path: Path, start: int, name: str, entry: dict[str, Any]) -> NDArray[Any]:
    """The array `name` of a safetensors file, mapped; `start` is the byte where the data begin. AudioError if it is of
    another type than a bank's."""
    kind = _ARRAYS[name]
    if entry["dtype"] != kind:
        raise AudioError(f"{path} is no sample bank: it holds {name} as {entry['dtype']}, not {kind}; build it again")
    begin = start + entry["data_offsets"][0]
    return np.memmap(path, _DTYPES[kind], "r", begin, tuple(entry["shape"]))


def build_bank(
    folder: Path, out: Path, *, name: str, licence: str, sample_rate: int = 44100, longest_s: float = 12.0
) -> Bank:
    """Builds the bank of the recordings in `folder` and loads it.

    Reads files named by note and layer, such as `F#2v12.ogg` (also wav, flac), as they lie there and inside `.tgz`
    archives; other files are passed over. The layers of the folder are spread evenly over the velocities 1..127.
    Channels are kept, levels too: how loud a layer is against another is the recording's. AudioError if there is no
    such file, one cannot be read or decoded, or the bank cannot be written.
    """
    layers: dict[tuple[int, int], bytes] = dict(_recordings(folder))
    if not layers:
        raise AudioError(f"{folder} has no recorded notes; name them by note and layer, such as F#2v12.ogg")
    highest = max(layer for _, layer in layers)
    notes: list[Floats] = []
    channels = 2
    for (pitch, layer), content in sorted(layers.items()):
        _logger.info("note %d layer %d", pitch, layer)
        notes.append(trimmed(_decoded(content, sample_rate, f"note {pitch} layer {layer}"), sample_rate, longest_s))
        channels = min(channels, notes[-1].shape[0])
    pitch, layer = np.array(sorted(layers), np.float32).T
    velocity = np.clip((layer - 0.5) * 127 / highest, 1, 127)
    save_bank(out, [note[:channels] for note in notes], pitch, velocity, sample_rate, name=name, licence=licence)
    return load_bank(out)


def save_bank(
    out: Path,
    notes: list[Floats],
    pitch: NDArray[Any],
    velocity: NDArray[Any],
    sample_rate: int,
    *,
    name: str,
    licence: str,
) -> None:
    """Writes notes, each (channels, time) in full-scale units with its onset LEAD_S after its start, as a bank.

    Whole or not at all; AudioError if it cannot be written.
    """
    tiny = 1e-9  # what divides a silent note, which stays 0
    scale = np.array([max(float(np.abs(note).max()), tiny) / 32767 for note in notes], np.float32)
    steps = [np.round(note / step).astype(np.int16) for note, step in zip(notes, scale, strict=True)]
    length = np.array([note.shape[1] for note in notes], np.int64)
    arrays = {
        "samples": np.concatenate(steps, axis=1),
        "offset": np.cumsum(length) - length,
        "length": length,
        "scale": scale,
        "pitch": np.asarray(pitch, np.float32),
        "velocity": np.asarray(velocity, np.float32),
        "loudness_db": np.array([_loudness_db(note, sample_rate) for note in notes], np.float32),
    }
    in_order = {key: np.ascontiguousarray(value) for key, value in arrays.items()}  # save_file writes memory as it lies
    with whole_file(out, AudioError, "choose another place, or make room", (SafetensorError,)) as partial:
        save_file(in_order, partial, {"sample_rate": str(sample_rate), "name": name, "licence": licence})


def note_number(word: str) -> tuple[int, int]:
    """MIDI note number and layer of a name such as `F#2v12` (42, 12); C4 is 60. UsageError if it is none."""
    match = _NAME.fullmatch(word)
    if match is None:
        raise UsageError(f"{word!r} is not the name of a note; write note, octave, v and layer, such as F#2v12")
    step, sign, octave, layer = match.groups()
    return 12 * (int(octave) + 1) + _STEPS[step] + {"#": 1, "b": -1, None: 0}[sign], int(layer)


def note_file(pitch: int, layer: int) -> str:
    """The name of a recorded note, such as F#2v12.wav."""
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    return f"{names[pitch % 12]}{pitch // 12 - 1}v{layer}.wav"


def trimmed(note: Floats, sample_rate: int, longest_s: float) -> Floats:
    """(channels, time), onset LEAD_S after its start, tail cut below TAIL_DB or after `longest_s`, both ends faded."""
    level = np.abs(note).max(axis=0)
    rough = int(np.argmax(level > ONSET * level.max()))
    attack = level[rough : rough + round(ATTACK_S * sample_rate)].max()
    lead = round(LEAD_S * sample_rate)
    onset = int(np.argmax(level > ONSET * attack))
    note = np.pad(note, ((0, 0), (max(lead - onset, 0), 0)))[:, max(onset - lead, 0) :]
    block = round(0.05 * sample_rate)
    power = np.square(note[:, : note.shape[1] // block * block]).sum(axis=0).reshape(-1, block).mean(axis=1)
    sounding = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (TAIL_DB / 10))
    end = block * (int(sounding[-1]) + 1) if sounding.size else note.shape[1]
    note = note[:, : min(end, round(longest_s * sample_rate))].copy()
    fade_in, fade_out = min(lead // 2, note.shape[1]), min(4 * block, note.shape[1] // 2)
    note[:, :fade_in] *= np.linspace(0, 1, fade_in, dtype=np.float32)
    note[:, note.shape[1] - fade_out :] *= np.linspace(1, 0, fade_out, dtype=np.float32)
    return note


def _loudness_db(note: Floats, sample_rate: int) -> float:
    start = round(LEAD_S * sample_rate)
    part = note[:, start : start + round(LOUDNESS_S * sample_rate)].astype(np.float64)
    total = float(np.square(part).sum()) / (note.shape[0] * LOUDNESS_S * sample_rate)
    return 10 * np.log10(total) if total > 0 else -200.0


def _recordings(folder: Path) -> Iterator[tuple[tuple[int, int], bytes]]:
    """((pitch, layer), content of the file) of all recorded notes."""
    for path in sorted(folder.rglob("*")):
        try:
            yield from _notes_of(path)
        except OSError as error:
            reason = error.strerror or error
            raise AudioError(f"{path} cannot be read ({reason}); mend it, or take it out of the folder") from error
        except (tarfile.TarError, EOFError, KeyError, zlib.error) as error:
            raise AudioError(f"{path} is no whole archive; fetch it again, or take it out of the folder") from error


def _notes_of(path: Path) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Those of a file: itself, or what an archive holds, or none."""
    if path.suffix in SUFFIXES and _NAME.fullmatch(path.stem):
        yield note_number(path.stem), path.read_bytes()
    elif path.suffix == ".tgz":
        with tarfile.open(path) as archive:
            for member in archive:
                inner = Path(member.name)
                if inner.suffix in SUFFIXES and _NAME.fullmatch(inner.stem):
                    content = archive.extractfile(member)
                    if content is not None:
                        yield note_number(inner.stem), content.read()


def _decoded(content: bytes, sample_rate: int, what: str) -> Floats:
    """(channels, time) at `sample_rate`."""
    try:
        audio, rate = soundfile.read(BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{what} cannot be decoded ({error}); convert it to wav or flac") from error
    if not np.isfinite(audio).all() or not np.abs(audio).max(initial=0.0) > 0:
        raise AudioError(f"{what} is silent or not finite; take it out of the folder")
    return np.ascontiguousarray(soxr.resample(audio, rate, sample_rate, quality="VHQ").T)
