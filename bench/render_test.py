"""Renders excerpts of the test pieces with a SoundFont: clean recordings that no prior trained on, for quality.

    python bench/render_test.py MIDI_FOLDER --soundfont FILE.sf2 --out FOLDER [--count N] [--seconds N] [--rate HZ]

MIDI_FOLDER holds the corpus of training (giantmidi/, pop909/, test.txt, validation.txt); pieces of test.txt alone are
rendered, evenly picked, each from its middle. FOLDER gets NAME.wav, one channel, and NAME.mid, the notes played in it,
for `restorer bench quality FOLDER --metric onset_f1_midi`. The piano should be another than that of training: Debian's
packages `fluidsynth` and `fluid-soundfont-gm` (FluidR3 GM, MIT) bring one, /usr/share/sounds/sf2/FluidR3_GM.sf2.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import symusic
from outcome import exit_code

from restorer.errors import RestorerError, UsageError
from restorer.training.score import Performance, performances

_PEAK = 0.5  # of full scale: FluidR3's own level depends on how many notes sound
_TICKS = 480
_TEMPO_QPM = 120.0


def excerpt(piece: Performance, seconds: float) -> symusic.Score:
    """The notes that begin in the middle `seconds` of a piece, from 0, as a score of one piano."""
    notes = piece.notes
    start_s = max(0.0, (piece.duration_s - seconds) / 2)
    inside = (notes.onset_s >= start_s) & (notes.onset_s < start_s + seconds)
    chosen = notes[inside]
    ticks = _TICKS * _TEMPO_QPM / 60
    score = symusic.Score(_TICKS)
    score.tempos.append(symusic.Tempo(0, _TEMPO_QPM))
    track = symusic.Track("piano", 0, False)
    for onset_s, stop_s, pitch, velocity in zip(
        chosen.onset_s, chosen.stop_s, chosen.pitch, chosen.velocity, strict=True
    ):
        begin = round((onset_s - start_s) * ticks)
        length = max(1, round((min(stop_s, start_s + seconds) - onset_s) * ticks))
        track.notes.append(symusic.Note(begin, length, int(pitch), int(velocity)))
    score.tracks.append(track)
    return score


def render(score: symusic.Score, soundfont: Path, seconds: float, rate: int, wave: Path) -> None:
    """Writes `wave` (16 bits, one channel, `seconds`, peak at half of full scale) and the score beside it as .mid."""
    notes = wave.with_suffix(".mid")
    score.dump_midi(str(notes))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw.wav")
        command = ["fluidsynth", "-ni", "-q", "-r", str(rate), "-O", "float", "-T", "wav", "-F", str(raw)]
        done = subprocess.run([*command, str(soundfont), str(notes)], capture_output=True, text=True)
        if done.returncode or not raw.is_file():
            raise RestorerError(f"fluidsynth could not render {notes}: {done.stderr.strip() or 'it says nothing'}")
        samples, _ = soundfile.read(raw, always_2d=True)
    mono = samples.mean(axis=1)[: round(seconds * rate)]
    peak = float(np.max(np.abs(mono), initial=0))
    if peak == 0:
        raise RestorerError(f"{notes} is silent with {soundfont.name}; give a SoundFont whose first program is a piano")
    soundfile.write(wave, mono * (_PEAK / peak), rate, subtype="PCM_16")


def evenly(pieces: Sequence[Performance], count: int, seconds: float) -> list[Performance]:
    """`count` of the pieces that are long enough, evenly over the list. Raises UsageError if there are fewer."""
    long = [piece for piece in pieces if piece.duration_s >= seconds]
    if len(long) < count:
        raise UsageError(f"--count {count}: only {len(long)} test pieces last {seconds:g} s; ask for fewer or shorter")
    return [long[round((index + 0.5) * len(long) / count - 0.5)] for index in range(count)]


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("midi", type=Path)
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=44100)
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    if shutil.which("fluidsynth") is None:
        raise UsageError("fluidsynth is not installed; `apt-get install fluidsynth` brings it")
    if not given.soundfont.is_file():
        raise UsageError(
            f"--soundfont {given.soundfont} does not exist; `apt-get install fluid-soundfont-gm` brings "
            "/usr/share/sounds/sf2/FluidR3_GM.sf2"
        )
    given.out.mkdir(parents=True, exist_ok=True)
    for piece in evenly(performances(given.midi, "test"), given.count, given.seconds):
        wave = given.out / f"{Path(piece.name).parent.name}-{Path(piece.name).stem}.wav"
        render(excerpt(piece, given.seconds), given.soundfont, given.seconds, given.rate, wave)
        print(wave)


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
