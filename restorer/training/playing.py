"""How a performance is played: its interpretation, and which recorded note sounds when, how fast and how loud.

Small arrays alone: what renders them may be numpy, one excerpt at a time, or a GPU, a batch at a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorer.training.bank import LEAD_S, Bank
from restorer.training.room import DRY, Acoustics, draw_acoustics
from restorer.training.score import HIGHEST, LOWEST, Notes

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
UNDAMPED = 89  # from F6 on strings have no dampers
RELEASES = 8  # a damped string is still after so many time constants of its damper
_MIX_MARGIN = 64  # what a resampler wants after the end
THUMP_S = 0.06
_THUMP_HZ = 300.0  # above, thumps fall by 12 dB an octave


@dataclass(frozen=True)
class Augmentation:
    """How one excerpt is played and recorded; the defaults change nothing."""

    channel: int = 0  # of the bank
    transposition: int = 0  # semitones
    tempo: float = 1.0
    tuning_cents: float = 0.0
    mistuning_cents: float = 0.0  # each key is so much flat, or right, or so much sharp, as it happens to be
    unison_cents: float = 0.0  # the strings of a note are so far apart, and beat
    colour: int = 0  # semitones: notes this much lower are sounded faster; brighter, and content above the bank's band
    touch: float = 1.0  # exponent of the velocity curve on 0..1; above 1 plays softer
    contrast_db: float = 0.0  # what the loudest touch gains over the bank's own dynamics, re the softest
    release_s: float = 0.06  # time constant of the damper at middle C
    action_db: float | None = None  # thumps of keys and dampers, peak re the strings' peak
    gain_db: float = 0.0
    acoustics: Acoustics = DRY


PLAIN = Augmentation()


def draw_augmentation(rng: np.random.Generator, channels: int) -> Augmentation:
    """A realistic recording of a realistic performance."""
    colour = int(rng.integers(1, 6)) if rng.random() < 0.5 else 0
    release_s = float(np.exp(rng.uniform(np.log(0.03), np.log(0.2))))
    half_pedal = float(rng.uniform(2, 8)) if rng.random() < 0.1 else 1.0  # dampers that only brush the strings
    return Augmentation(
        channel=int(rng.integers(channels)),
        transposition=int(rng.integers(-5, 6)),
        tempo=float(np.exp(rng.uniform(np.log(0.8), np.log(1.25)))),
        tuning_cents=float(rng.uniform(-30, 30)),
        mistuning_cents=float(rng.uniform(1, 6)) if rng.random() < 0.3 else 0.0,
        unison_cents=float(np.exp(rng.uniform(np.log(0.3), np.log(6)))) if rng.random() < 0.3 else 0.0,
        colour=colour,
        touch=float(np.exp(rng.uniform(np.log(0.5), np.log(3.0)))),
        contrast_db=float(rng.uniform(0, 15)),
        release_s=release_s * half_pedal,
        action_db=float(rng.uniform(-60, -35)) if rng.random() < 0.4 else None,
        gain_db=float(rng.uniform(-25, 5)),
        acoustics=draw_acoustics(rng),
    )


def interpreted(notes: Notes, augmentation: Augmentation) -> Notes:
    """`notes` in the augmentation's key, tempo (about time 0) and touch; what leaves the keyboard comes back."""
    pitch = notes.pitch + augmentation.transposition
    pitch = pitch + 12.0 * (pitch < LOWEST) - 12.0 * (pitch > HIGHEST)
    velocity = 127 * (notes.velocity / 127) ** augmentation.touch
    onset_s, stop_s = notes.onset_s / augmentation.tempo, notes.stop_s / augmentation.tempo
    return Notes(onset_s, stop_s, pitch.astype(np.float32), velocity.astype(np.float32))


@dataclass(frozen=True)
class Take:
    """What is played in one excerpt, which begins at time 0, and how: a few kilobytes that stand for its sound."""

    notes: Notes  # interpreted, all that may be heard
    bank: int  # index
    augmentation: Augmentation


@dataclass(frozen=True)
class Strokes:
    """What sounds of a bank, an entry for each string that is struck, in samples of the mix of its group.

    Strings whose recorded notes need the same change of pitch are a group: they are added up, by whole samples, as if
    the bank's sample rate were the group's, and resampled from it together.
    """

    rates: Doubles  # (groups,) in Hz
    group: Integers
    sample: Integers  # index of the recorded note in the bank
    begin: Integers  # of the recorded note, LEAD_S before the onset; may be negative
    stop: Integers  # where the damper falls, after `begin`
    gain: Doubles  # full-scale units per step of the bank
    release: Floats  # time constant of the damper; inf where there is none


def strokes(
    notes: Notes, bank: Bank, start_s: float, length: int, sample_rate: int, augmentation: Augmentation
) -> Strokes:
    """What sounds of `notes` (`interpreted` before) in `length` samples at `sample_rate` from `start_s` on."""
    release_s = augmentation.release_s * 2 ** ((60 - notes.pitch) / 24)
    release_s[notes.pitch >= UNDAMPED] = np.inf
    end_s = start_s + length / sample_rate
    heard = (notes.onset_s < end_s + LEAD_S) & (notes.stop_s + RELEASES * release_s > start_s)
    notes, release_s = notes[heard], release_s[heard]
    chosen = _nearest(bank, notes, augmentation.colour)
    gains = bank.scale[chosen] * 10 ** (_gain_db(bank, chosen, notes.velocity, augmentation.contrast_db) / 20)
    cents = augmentation.tuning_cents + augmentation.mistuning_cents * _mistuned(notes.pitch, augmentation)
    shifts = np.round(notes.pitch - bank.pitch[chosen] + cents / 100, 4)
    if augmentation.unison_cents > 0:
        apart = augmentation.unison_cents / 200
        shifts = np.concatenate([shifts - apart, shifts + apart])
        notes, chosen, release_s = together(notes, notes), np.tile(chosen, 2), np.tile(release_s, 2)
        gains = np.tile(gains / 2, 2)
    distinct, group = np.unique(shifts, return_inverse=True)
    rates = np.array([bank.sample_rate * 2 ** (float(shift) / 12) for shift in distinct], np.float64)
    rate = rates[group]
    begin = np.rint((notes.onset_s - start_s) * rate - LEAD_S * bank.sample_rate).astype(np.int64)
    stop = np.maximum(np.rint((notes.stop_s - start_s) * rate).astype(np.int64), begin + 1)
    release = np.asarray(release_s * rate.astype(np.float32), np.float32)
    return Strokes(rates, group, chosen, begin, stop, gains, release)


def mix_length(length: int, sample_rate: int, rate: float) -> int:
    """Samples at `rate` of the mix of a group that gives `length` samples at `sample_rate`."""
    return int(np.ceil(length * rate / sample_rate)) + _MIX_MARGIN


def keystrokes(notes: Notes, start_s: float, length: int, sample_rate: int) -> tuple[Integers, Floats]:
    """When, in samples from `start_s`, within 0..length, and how hard, 0..1, keys go down, and then come up."""
    times_s = np.concatenate([notes.onset_s, notes.stop_s])
    force = np.concatenate([notes.velocity / 127, np.full(notes.pitch.size, 0.3)]).astype(np.float32)
    at = np.round((times_s - start_s) * sample_rate).astype(np.int64)
    inside = (at >= 0) & (at < length)
    return at[inside], force[inside]


def thump(sample_rate: int, seed: int) -> Floats:
    """The sound of a key at its bed, (time,), dull, 1 at most."""
    rng = np.random.default_rng([seed, 1])
    size = round(THUMP_S * sample_rate)
    noise = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    sound = np.fft.irfft(noise / (1 + np.square(frequency / _THUMP_HZ)), size)
    sound *= np.exp(-np.arange(size) / (0.2 * size))
    dull: Floats = (sound / np.abs(sound).max()).astype(np.float32)
    return dull


def together(a: Notes, b: Notes) -> Notes:
    """The notes of both, one after the other."""
    joined = (np.concatenate([getattr(a, k), getattr(b, k)]) for k in ("onset_s", "stop_s", "pitch", "velocity"))
    return Notes(*joined)


def _mistuned(pitch: Floats, augmentation: Augmentation) -> Floats:
    """-1, 0 or 1 for each key: three values, for each costs a resampling."""
    keys = np.random.default_rng([augmentation.acoustics.seed, 2]).integers(-1, 2, 128)
    return keys[np.round(pitch).astype(np.int64)].astype(np.float32)


def _nearest(bank: Bank, notes: Notes, colour: int) -> NDArray[np.int64]:
    """The sample for each note: nearest in pitch first, then in velocity."""
    semitones = np.abs(bank.pitch - (notes.pitch[:, None] - colour))
    nearest: NDArray[np.int64] = np.argmin(1000 * semitones + np.abs(bank.velocity - notes.velocity[:, None]), axis=1)
    return nearest


def _gain_db(bank: Bank, chosen: NDArray[np.int64], velocity: Floats, contrast_db: float) -> Doubles:
    """What brings each chosen layer to the loudness that its note's velocity has between the recorded layers."""
    gain = contrast_db * (velocity / 127.0 - 0.5)
    pitch = bank.pitch[chosen]
    for key in np.unique(pitch):
        same = np.flatnonzero(bank.pitch == key)
        same = same[np.argsort(bank.velocity[same])]
        rising = np.maximum.accumulate(bank.loudness_db[same])  # a few layers are softer than the one below
        played = np.flatnonzero(pitch == key)
        loudness_db = np.interp(velocity[played], bank.velocity[same], rising)
        gain[played] += loudness_db - bank.loudness_db[chosen[played]]
    return gain.astype(np.float64)
