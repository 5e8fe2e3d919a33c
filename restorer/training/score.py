"""Scores that were played: MIDI performances as notes with the time at which their damper falls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import symusic
from numpy.typing import NDArray

from restorer.errors import AudioError, UsageError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Split = Literal["train", "validation", "test"]

FOLDERS = ("giantmidi", "pop909")
LOWEST, HIGHEST = 21, 108  # keys of a piano
_RESTRUCK_S = 0.03  # the same key twice within this is one stroke that two tracks share


@dataclass(frozen=True)
class Notes:
    """Notes by onset; `stop_s` is when the damper falls: key and pedal are up, or the key is struck again."""

    onset_s: Doubles
    stop_s: Doubles
    pitch: Floats  # MIDI note number
    velocity: Floats  # 1..127

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Notes":
        return Notes(self.onset_s[chosen], self.stop_s[chosen], self.pitch[chosen], self.velocity[chosen])


@dataclass(frozen=True)
class Performance:
    """One played piece; `name` is its path below the corpus."""

    name: str
    notes: Notes

    @property
    def duration_s(self) -> float:
        return float(self.notes.stop_s.max())


def performances(midi_root: Path, split: Split) -> list[Performance]:
    """The performances of one part of the corpus below `midi_root`, by path.

    `validation.txt` and `test.txt` list theirs, a path below `midi_root` a line; the rest of giantmidi/ and pop909/
    trains. UsageError if the corpus or a list is not there, AudioError if a piece cannot be read.
    """
    listed: dict[str, set[str]] = {}
    for name in ("validation", "test"):
        path = midi_root / f"{name}.txt"
        if not path.is_file():
            raise UsageError(f"{path} is missing; it lists the pieces that must not train, and may be empty")
        listed[name] = {line.strip() for line in path.read_text().splitlines() if line.strip()}
    paths = [path for folder in FOLDERS for path in (midi_root / folder).rglob("*.mid")]
    found = sorted(path.relative_to(midi_root).as_posix() for path in paths)
    held_out = listed["validation"] | listed["test"]
    chosen = [name for name in found if (name in listed[split] if split != "train" else name not in held_out)]
    if not chosen:
        raise UsageError(f"{midi_root} has no performance for {split}; give a folder with {' or '.join(FOLDERS)}")
    return [Performance(name, notes) for name in chosen if (notes := read_notes(midi_root / name)).onset_s.size]


def read_notes(path: Path) -> Notes:
    """All tracks of a MIDI file but drums, as one piano; the sustain pedal (down from 64 on) of any holds all notes.

    AudioError if it cannot be read.
    """
    try:
        score: Any = symusic.Score(str(path), ttype="second")  # its stubs know no attributes
    except (RuntimeError, ValueError, OSError) as error:
        raise AudioError(f"{path} is no MIDI file that can be read ({error}); take it out of the corpus") from error
    tracks = [track for track in score.tracks if not track.is_drum]
    columns = [track.notes.numpy() for track in tracks]
    names = ("time", "duration", "pitch", "velocity")
    joined = {name: np.concatenate([column[name] for column in columns] or [np.empty(0)]) for name in names}
    order = np.lexsort((joined["pitch"], joined["time"]))
    onset = joined["time"][order].astype(np.float64)
    stop = _pedalled(onset + joined["duration"][order], [t.pedals.numpy() for t in tracks if len(t.pedals)])
    pitch, velocity = joined["pitch"][order].astype(np.float32), joined["velocity"][order].astype(np.float32)
    keep = (pitch >= LOWEST) & (pitch <= HIGHEST) & (velocity > 0)
    for key in np.unique(pitch):
        same = np.flatnonzero(pitch == key)
        struck = np.flatnonzero(np.diff(onset[same], prepend=-np.inf) > _RESTRUCK_S)
        first = same[struck]
        stop[first] = np.maximum.reduceat(stop[same], struck)
        stop[first[:-1]] = np.minimum(stop[first[:-1]], onset[first[1:]])
        keep[np.setdiff1d(same, first)] = False
    return Notes(onset, stop, pitch, velocity)[keep]


def _pedalled(stop: Doubles, pedals: Sequence[dict[str, NDArray[np.float32]]]) -> Doubles:
    """Note ends, held to the last release of the pedals that are down at them."""
    if not pedals:
        return stop
    down = np.concatenate([p["time"] for p in pedals]).astype(np.float64)
    up = down + np.concatenate([p["duration"] for p in pedals])
    order = np.argsort(down, kind="stable")
    # Pedals of several tracks overlap: of those that went down before a note ends, the one that comes up last counts.
    down, up = down[order], np.maximum.accumulate(up[order])
    last = np.searchsorted(down, stop, "right") - 1
    held: Doubles = np.where(last >= 0, np.maximum(stop, up[last]), stop)
    return held
