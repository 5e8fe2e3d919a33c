"""Endless excerpts of folders of recordings, in any format that `restorer.audio` opens."""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from restorer.audio import SUFFIXES, open_reader, probe
from restorer.audio.samples import require_finite
from restorer.audio.sndfile import file_name
from restorer.errors import AudioError, UsageError

Floats = NDArray[np.float32]

TAIL_SHARE = 0.1  # of a recording that is alone: its end validates
SILENT = 1e-3  # an excerpt whose RMS is below, -60 dB re full scale, is a pause: noise, once brought to level
_TRIES = 8  # an excerpt that falls into a pause is drawn again, at most so often
_MARGIN = 512  # frames at the lower rate that soxr gets before and behind an excerpt: its filters reach half as far
_SLACK = 2 * 1152  # frames by which an MP3 may guess its length too long
_BLOCK = 1 << 16  # frames

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """The part of a sound file, frames start..stop at its own rate, that excerpts may come from.

    `name` is its path below the folder it was found in, wherever that folder lies. A file that is not `seekable` (one
    that only ffmpeg reads, a FLAC that does not know its length) is decoded from its beginning for every excerpt.
    """

    path: Path
    name: str
    sample_rate: int
    channels: int
    start: int
    stop: int
    seekable: bool

    @property
    def frames(self) -> int:
        return self.stop - self.start

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate


def find_recordings(folders: Sequence[Path]) -> list[Recording]:
    """All recordings in and below `folders`, by name; a sound file may stand for a folder of its own.

    Looks at files with one of SUFFIXES whose name begins without a dot; one that cannot be read, or breaks off before
    its stated end, is passed over with a warning in the log. UsageError if a folder is missing, or nothing is left.
    """
    places: dict[Path, tuple[str, Path]] = {}
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"{folder} does not exist; name a folder of recordings")
        paths = [folder] if folder.is_file() else [path for path in folder.rglob("*") if _may_sound(path)]
        for path in paths:
            name = path.name if path == folder else path.relative_to(folder).as_posix()
            places.setdefault(path.resolve(), (name, path))
    found = [recording for name, path in sorted(places.values()) if (recording := _examined(path, name))]
    if not found:
        where = ", ".join(str(folder) for folder in folders) or "no folder"
        raise UsageError(f"{where} has no recording that can be read; give a folder with WAV, FLAC, MP3 or M4A files")
    return found


def split_recordings(recordings: Sequence[Recording], share: float = 0.05) -> tuple[list[Recording], list[Recording]]:
    """Recordings to train on and to validate with, in the order given; no second of sound is in both.

    A recording validates if the hash of its name, spread over 0..1, lies below `share`: other files do not move it.
    At least one does, and at least one trains; of a single one the first part trains, the last TAIL_SHARE validates.
    UsageError for no sound, or a share outside 0..1.
    """
    if not 0 < share < 1:
        raise UsageError(f"{share} of the recordings cannot validate; choose a share between 0 and 1, such as 0.05")
    _require_sound(recordings)
    if len(recordings) == 1:
        whole = recordings[0]
        cut = whole.stop - max(round(TAIL_SHARE * whole.frames), 1)
        return [replace(whole, stop=cut)], [replace(whole, start=cut)]
    places = [_hash(recording.name) for recording in recordings]
    below = sum(place < share for place in places)
    ranks = sorted(range(len(recordings)), key=lambda i: (places[i], recordings[i].path))
    held_out = set(ranks[: min(max(below, 1), len(recordings) - 1)])
    training = [recording for i, recording in enumerate(recordings) if i not in held_out]
    return training, [recordings[i] for i in sorted(held_out)]


class RecordingExcerpts:
    """Endless excerpts, (length,) float32 at `sample_rate`; excerpt `index` is a function of (seed, index) alone.

    A recording is drawn by its duration, then a place, a channel or the mean of all, a polarity, and for half of the
    excerpts a speed within 1 -+ `detuning`: the other half keeps the top of the band, where resampling has to filter.
    Recordings at other rates are resampled; what is shorter than an excerpt gets zeros around it.
    """

    def __init__(
        self, recordings: Sequence[Recording], length: int, sample_rate: int, seed: int, *, detuning: float = 0.02
    ) -> None:
        """length: samples of an excerpt. detuning 0 is what to validate with. UsageError if there is no sound."""
        _require_sound(recordings)
        if not 0 <= detuning <= 0.5:
            raise UsageError(f"a detuning of {detuning} is no share of a speed; choose 0 to 0.5, such as 0.02")
        self.recordings = tuple(recordings)
        self.length, self.sample_rate, self.seed, self.detuning = length, sample_rate, seed, detuning
        durations = np.cumsum([recording.duration_s for recording in recordings])
        self._cumulative = durations / durations[-1]
        dull = sum(recording.sample_rate < sample_rate for recording in recordings)
        if dull:
            _logger.warning(
                "%d of %d recordings are below %d Hz and teach that there is nothing above their band",
                dull, len(recordings), sample_rate,
            )  # fmt: skip

    def excerpt(self, index: int) -> Floats:
        """Excerpt `index`, (length,); from a pause only if _TRIES draws all fell into pauses.

        AudioError that names the file if it cannot be decoded any more.
        """
        for attempt in range(_TRIES):
            rng = np.random.default_rng([self.seed, index, attempt])
            wave = self._drawn(rng)
            if float(np.square(wave).mean()) > SILENT**2:
                break
        return wave

    def _drawn(self, rng: np.random.Generator) -> Floats:
        recording = self.recordings[int(np.searchsorted(self._cumulative, rng.random(), "right"))]
        channel = int(rng.integers(recording.channels)) if rng.random() < 0.5 else None
        speed = 1 + self.detuning * float(rng.uniform(-1, 1)) if rng.random() < 0.5 else 1.0
        polarity = np.float32(rng.choice((-1, 1)))
        wave = _passage(recording, self.length, self.sample_rate, speed, channel, rng)
        spare = self.length - wave.size
        before = int(rng.integers(spare + 1))
        return polarity * np.pad(wave, (before, spare - before))


def _passage(
    recording: Recording, length: int, sample_rate: int, speed: float, channel: int | None, rng: np.random.Generator
) -> Floats:
    """(length,), less where the recording is shorter: a random place of it, resampled from its rate times `speed`."""
    step = recording.sample_rate * speed / sample_rate  # frames of the file a sample
    margin = 0 if step == 1 else int(np.ceil(_MARGIN * max(step, 1)))
    wanted = int(np.ceil(length * step)) + 2 * margin
    offset = int(rng.integers(max(recording.frames - wanted, 0) + 1))
    frames = _read(recording, recording.start + offset, min(wanted, recording.frames))
    wave = frames.mean(axis=1) if channel is None else frames[:, channel]
    if step != 1:
        wave = soxr.resample(np.ascontiguousarray(wave), recording.sample_rate * speed, sample_rate, quality="HQ")
    extra = max(wave.size - length, 0)
    first = min(int(np.ceil(margin / step)), extra) if wanted <= recording.frames else int(rng.integers(extra + 1))
    passage: Floats = wave[first : first + length]
    return passage


def _read(recording: Recording, first: int, frames: int) -> Floats:
    """(frames, channels) from frame `first` of the file on; fewer if it ends before. AudioError if it is damaged."""
    if not recording.seekable:
        return _read_through(recording, first, frames)
    try:
        # opened every time: what MP3 and Opus decode to after a seek depends on what was decoded before
        with soundfile.SoundFile(file_name(recording.path)) as file:
            file.seek(first)
            block: Floats = file.read(frames, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(
            f"{recording.path} cannot be decoded at {first / recording.sample_rate:.1f} s ({str(error).strip('. ')}): "
            "it is damaged, or gone; repair it, or take it out of the folder"
        ) from error
    require_finite(block, first, recording.sample_rate, str(recording.path))  # type: ignore[arg-type]
    return block


def _read_through(recording: Recording, first: int, frames: int) -> Floats:
    """As `_read`, decoding from the beginning."""
    kept = [np.empty((0, recording.channels), np.float32)]
    position = 0
    with open_reader(recording.path) as reader:
        while position < first + frames:
            block = reader.read(min(_BLOCK, first + frames - position))
            if not len(block):
                break
            kept.append(block[max(first - position, 0) :].astype(np.float32))
            position += len(block)
    return np.concatenate(kept)


def _may_sound(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _examined(path: Path, name: str) -> Recording | None:
    """The whole file as a recording, or None and a warning if its end cannot be read or it is empty."""
    try:
        info = probe(path)
        rate, channels, seekable = info.format.sample_rate, info.format.channels, info.frames is not None
        recording = Recording(path, name, rate, channels, 0, info.frames or 0, seekable)
        if not seekable or not len(_read(recording, max(recording.stop - 1 - _SLACK, 0), 1)):
            recording = replace(recording, stop=_counted(path))  # a torn MP3 still states its whole length
        if not recording.frames:
            raise AudioError(f"{path} holds no sound; take it out of the folder")
    except AudioError as error:
        _logger.warning("passed over: %s", error)
        return None
    return recording


def _counted(path: Path) -> int:
    """The frames of a file, by decoding it."""
    frames = 0
    with open_reader(path) as reader:
        while len(block := reader.read(_BLOCK)):
            frames += len(block)
    return frames


def _hash(name: str) -> float:
    """A number in 0..1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") / 2**64


def _require_sound(recordings: Sequence[Recording]) -> None:
    if not any(recording.frames for recording in recordings):
        raise UsageError(f"{len(recordings)} recordings without sound give no excerpts; give at least one with sound")
