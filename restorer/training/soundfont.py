"""The grand piano of a SoundFont, note by note, as a sample bank wants it: played by fluidsynth."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import symusic

from restorer.errors import AudioError
from restorer.training.bank import note_file

PITCHES = range(21, 109, 3)  # every minor third, A0 to C8
HELD_S = 12.0
APART_S = 14.0
GAIN = "4.5"  # a mezzo forte as loud as that of a sampler recorded to full scale, about -20 dB
_TICKS_A_SECOND = 960  # 480 a quarter note at 120 quarters a minute


def record_notes(font: Path, folder: Path, sample_rate: int = 44100, layers: int = 8) -> None:
    """Writes into `folder` a 24-bit WAV of every third semitone in every layer of touch, without room or chorus.

    The velocities are those for which `build_bank` takes the layers. AudioError if there is no fluidsynth, or it cannot
    play the font.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise AudioError(f"{font} needs fluidsynth to be played; install it, or give a folder of recorded notes")
    with font.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":  # fluidsynth would play another font in its place
        raise AudioError(f"{font} is no SoundFont; name a .sf2 or .sf3 file")
    score, audio = folder / "notes.mid", folder / "notes.wav"
    for layer in range(1, layers + 1):
        _notes(round((layer - 0.5) * 127 / layers)).dump_midi(score)
        command = [program, "-ni", "-q", "-R", "0", "-C", "0", "-g", GAIN, "-r", str(sample_rate), "-O", "float"]
        done = subprocess.run([*command, "-F", audio, font, score], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not audio.is_file():
            reason = done.stderr.strip().splitlines()
            raise AudioError(f"{font} cannot be played by fluidsynth: {reason[-1] if reason else 'it wrote nothing'}")
        with soundfile.SoundFile(audio) as file:
            for pitch in PITCHES:
                note = file.read(round(APART_S * sample_rate), dtype="float32", always_2d=True)
                if not np.abs(note).max(initial=0.0) > 0:
                    raise AudioError(f"{font} is silent at key {pitch}; it has no grand piano as program 1 of bank 0")
                soundfile.write(folder / note_file(pitch, layer), note, sample_rate, subtype="PCM_24")
    score.unlink()
    audio.unlink()


def _notes(velocity: int) -> Any:
    """Every pitch, one after the other, APART_S apart and held for HELD_S."""
    score: Any = symusic.Score(480)  # its stubs know no attributes
    score.tempos.append(symusic.Tempo(0, 120))
    track: Any = symusic.Track(program=0)
    for i, pitch in enumerate(PITCHES):
        begin = round(i * APART_S * _TICKS_A_SECOND)
        track.notes.append(symusic.Note(begin, round(HELD_S * _TICKS_A_SECOND), pitch, velocity))
    # Something at the very end, or fluidsynth stops with the last note.
    track.controls.append(symusic.ControlChange(round(len(PITCHES) * APART_S * _TICKS_A_SECOND), 64, 0))
    score.tracks.append(track)
    return score
