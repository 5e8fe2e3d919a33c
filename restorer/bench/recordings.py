"""Clean recordings to be damaged: the sound files of a folder, one channel each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from restorer.audio import SUFFIXES, open_reader
from restorer.errors import AudioError, UsageError
from restorer.metrics.signals import Signal

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Clip:
    """A clean recording of one channel: samples (time,) in full-scale units.

    start_s: where in the recording it begins, of which it may be an excerpt. score: the MIDI file beside it, if any.
    """

    name: str
    samples: Signal
    sample_rate: int
    start_s: float = 0.0
    score: Path | None = None

    @property
    def seconds(self) -> float:
        return self.samples.size / self.sample_rate


def sound_files(folder: Path, suffixes: Sequence[str] = tuple(SUFFIXES)) -> list[Path]:
    """The sound files of a folder (not those below it, nor hidden ones), by name; UsageError if there is none."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one with clean recordings in it")
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name[0] != "." and path.is_file()
    )
    if not found:
        raise UsageError(
            f"{folder} has no sound files in it ({', '.join(sorted(suffixes))}), and folders below it are not searched "
            "here; name a folder that has"
        )
    return found


def load_clip(path: Path, seconds: float | None = None, sample_rate: int | None = None) -> Clip:
    """The mean of a recording's channels; `seconds`: only its middle; `sample_rate`: resampled (soxr, VHQ) first.

    Raises AudioError if it cannot be read, or is empty.
    """
    with open_reader(path) as reader:
        blocks = []
        while len(block := reader.read(_BLOCK)):
            blocks.append(block.mean(axis=1))
        rate = reader.format.sample_rate
    if not blocks:
        raise AudioError(f"{path} holds no samples; export or copy it again")
    mono = np.concatenate(blocks)
    if sample_rate is not None and sample_rate != rate:
        mono, rate = soxr.resample(mono, rate, sample_rate, quality="VHQ"), sample_rate
        if not mono.size:
            raise AudioError(f"{path} is too short for {rate} Hz; choose a higher --rate, or leave it out")
    length = mono.size if seconds is None else min(round(seconds * rate), mono.size)
    start = (mono.size - length) // 2
    score = path.with_suffix(".mid")
    excerpt = mono[start : start + length]
    return Clip(path.stem, excerpt, rate, start / rate, score if score.is_file() else None)
