"""Whether the notes can still be heard: what a piano transcriber writes down, matched against what was played."""

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch

from restorer.errors import UsageError
from restorer.metrics.signals import Signal, as_signal

ONSET_TOLERANCE_S = 0.05
_WEIGHTS = "2.0"
_SHORTEST_S = 1e-3  # a note that is matched by its onset alone must all the same have a length


@dataclass(frozen=True)
class Notes:
    """Notes by onset in seconds; `pitch` is the MIDI note number. Both (notes,)."""

    onset_s: Signal
    pitch: Signal

    def between(self, start_s: float, stop_s: float) -> "Notes":
        """Those that begin in [start_s, stop_s), counted from start_s."""
        inside = (self.onset_s >= start_s) & (self.onset_s < stop_s)
        return Notes(self.onset_s[inside] - start_s, self.pitch[inside])


def onset_f1(reference: Notes, estimate: Notes) -> float:
    """F1 of notes, 0 to 1: one is found if a note of its pitch begins within 50 ms; where it ends does not count.

    Matching: mir_eval.transcription.precision_recall_f1_overlap (Raffel et al. 2014), onset_tolerance 0.05 s,
    pitch_tolerance 50 cents, offset_ratio None. Law: 1 for equal notes, 0 for none found.
    Raises UsageError if the reference has no notes.
    """
    from mir_eval.transcription import precision_recall_f1_overlap

    if reference.onset_s.size == 0:
        raise UsageError("the reference has no notes, which cannot be found again: give music with notes")
    if estimate.onset_s.size == 0:
        return 0.0
    sides = [part for notes in (reference, estimate) for part in (_intervals(notes), _hertz(notes))]
    return float(precision_recall_f1_overlap(*sides, onset_tolerance=ONSET_TOLERANCE_S, offset_ratio=None)[2])


def transcribe(x: npt.ArrayLike, sample_rate: int, device: str = "cpu") -> Notes:
    """The notes of a signal (time,) of piano music, by onset.

    Implementation and model: transkun 2.0.1 (Yan, Duan 2024), the weights 2.0 in its wheel, segments of 16 s at a hop
    of 8 s, at 44.1 kHz (resampled by soxr, VHQ).
    """
    model = _transcriber(device)
    signal = soxr.resample(as_signal(x), sample_rate, model.fs, quality="VHQ")
    with torch.no_grad(), warnings.catch_warnings():
        # Its layers save memory for gradients, which nobody asks for here; torch says so every time.
        warnings.filterwarnings("ignore", "torch.utils.checkpoint|None of the inputs have requires_grad")
        found = model.transcribe(torch.from_numpy(signal[:, None]).float().to(device))
    return _sorted([(float(note.start), float(note.pitch)) for note in found if note.pitch > 0])


def read_midi(path: Path) -> Notes:
    """All notes of a MIDI file but drums, by onset; read by pretty_midi. Raises UsageError if it cannot be read."""
    from pretty_midi import PrettyMIDI

    try:
        tracks = PrettyMIDI(str(path)).instruments
    except (OSError, EOFError, ValueError, IndexError, KeyError) as error:
        raise UsageError(f"{path} is no readable MIDI file ({error}); replace or remove it") from error
    return _sorted([(note.start, float(note.pitch)) for track in tracks if not track.is_drum for note in track.notes])


def _sorted(notes: list[tuple[float, float]]) -> Notes:
    columns = np.array(sorted(notes), dtype=np.float64).reshape(-1, 2)
    return Notes(columns[:, 0], columns[:, 1])


def _intervals(notes: Notes) -> Signal:
    onsets = np.maximum(notes.onset_s, 0)  # a transcriber refines onsets to a little before the beginning
    return np.stack([onsets, onsets + _SHORTEST_S], axis=1)


def _hertz(notes: Notes) -> Signal:
    return np.asarray(440 * 2 ** ((notes.pitch - 69) / 12))


@cache
def _transcriber(device: str) -> Any:
    from moduleconf import parseFromFile

    folder = files("transkun") / "pretrained"
    conf = parseFromFile(str(folder / f"{_WEIGHTS}.conf"))["Model"]
    model = conf.module.TransKun(conf=conf.config).to(device)
    # Weights of a pinned package, stored beside the optimiser's state of its authors: not tensors alone.
    stored = torch.load(str(folder / f"{_WEIGHTS}.pt"), map_location=device, weights_only=False)
    model.load_state_dict(stored.get("best_state_dict", stored.get("state_dict")), strict=False)
    return model.eval()
