"""Endless piano recordings to train on: performances (MIDI) rendered from a sample bank while training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from scipy.signal import oaconvolve
from torch.utils.data import IterableDataset, get_worker_info

from restorer.errors import UsageError
from restorer.training.bank import LEAD_S, Bank
from restorer.training.room import DRY, Acoustics, draw_acoustics, lead_samples, recorded
from restorer.training.score import HIGHEST, LOWEST, Notes, Performance

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
UNDAMPED = 89  # from F6 on strings have no dampers
_THUMP_S = 0.06
_THUMP_HZ = 300.0  # above, thumps fall by 12 dB an octave
_TRIES = 8  # an excerpt that falls into a pause is drawn again, at most so often


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


def render(
    notes: Notes, bank: Bank, start_s: float, length: int, sample_rate: int, augmentation: Augmentation = PLAIN
) -> Floats:
    """(length,) from `start_s` on: `notes` (`interpreted` before) on the bank's piano, recorded; below full scale."""
    lead = lead_samples(augmentation.acoustics, sample_rate)
    begin_s = start_s - lead / sample_rate
    dry = strings(notes, bank, begin_s, lead + length, sample_rate, augmentation)
    if augmentation.action_db is not None:
        peak = float(np.abs(dry).max(initial=0.0)) * 10 ** (augmentation.action_db / 20)
        dry += peak * action(notes, begin_s, lead + length, sample_rate, augmentation.acoustics.seed)
    wet = recorded(dry, lead, sample_rate, augmentation.acoustics)
    gain = 10 ** (augmentation.gain_db / 20)
    peak = float(np.abs(wet).max(initial=0.0)) * gain
    return wet * np.float32(gain / max(peak / 0.99, 1.0))


def strings(
    notes: Notes, bank: Bank, start_s: float, length: int, sample_rate: int, augmentation: Augmentation = PLAIN
) -> Floats:
    """The strings alone, (length,), without room.

    Notes whose samples need the same change of pitch are added up at the samples' own rate, by whole samples, and each
    such sum is resampled once: no interpolation per note, onsets true to half a sample.
    """
    release_s = augmentation.release_s * 2 ** ((60 - notes.pitch) / 24)
    release_s[notes.pitch >= UNDAMPED] = np.inf
    heard = (notes.onset_s < start_s + length / sample_rate + LEAD_S) & (notes.stop_s + 8 * release_s > start_s)
    notes, release_s = notes[heard], release_s[heard]
    chosen = _nearest(bank, notes, augmentation.colour)
    gains = bank.scale[chosen] * 10 ** (_gain_db(bank, chosen, notes.velocity, augmentation.contrast_db) / 20)
    cents = augmentation.tuning_cents + augmentation.mistuning_cents * _mistuned(notes.pitch, augmentation)
    shifts = np.round(notes.pitch - bank.pitch[chosen] + cents / 100, 4)
    if augmentation.unison_cents > 0:
        apart = augmentation.unison_cents / 200
        shifts = np.concatenate([shifts - apart, shifts + apart])
        notes, chosen, release_s = _together(notes, notes), np.tile(chosen, 2), np.tile(release_s, 2)
        gains = np.tile(gains / 2, 2)
    samples = np.asarray(bank.samples[augmentation.channel])  # a plain view: slices of a memmap are slow
    out = np.zeros(length, np.float32)
    for shift in np.unique(shifts):
        rate = bank.sample_rate * 2 ** (float(shift) / 12)
        mix = np.zeros(int(np.ceil(length * rate / sample_rate)) + 64, np.float32)
        for i in np.flatnonzero(shifts == shift):
            begin = round((notes.onset_s[i] - start_s) * rate - LEAD_S * bank.sample_rate)
            stop = round((notes.stop_s[i] - start_s) * rate)
            offset, size = bank.offset[chosen[i]], bank.length[chosen[i]]
            _add(mix, samples[offset : offset + size], begin, stop, gains[i], release_s[i] * rate)
        out += soxr.resample(mix, rate, sample_rate, quality="HQ")[:length]
    return out


def action(notes: Notes, start_s: float, length: int, sample_rate: int, seed: int) -> Floats:
    """What is heard of the keys and dampers themselves, (length,), about 1 at most: a dull thump for each key that goes
    down, by its velocity, and a softer one for each that comes up."""
    rng = np.random.default_rng([seed, 1])
    strokes = np.zeros(length, np.float32)
    for times_s, force in ((notes.onset_s, notes.velocity / 127), (notes.stop_s, np.full(notes.pitch.size, 0.3))):
        at = np.round((times_s - start_s) * sample_rate).astype(np.int64)
        inside = (at >= 0) & (at < length)
        np.add.at(strokes, at[inside], force[inside].astype(np.float32))
    size = round(_THUMP_S * sample_rate)
    noise = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    thump = np.fft.irfft(noise / (1 + np.square(frequency / _THUMP_HZ)), size)
    thump *= np.exp(-np.arange(size) / (0.2 * size))
    thumps: Floats = oaconvolve(strokes, (thump / np.abs(thump).max()).astype(np.float32))[:length]
    return thumps


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
    for i, sample in enumerate(chosen):
        same = np.flatnonzero(bank.pitch == bank.pitch[sample])
        same = same[np.argsort(bank.velocity[same])]
        rising = np.maximum.accumulate(bank.loudness_db[same])  # a few layers are softer than the one below
        gain[i] += np.interp(velocity[i], bank.velocity[same], rising) - bank.loudness_db[sample]
    return gain.astype(np.float64)


def _add(mix: Floats, sample: NDArray[np.int16], begin: int, stop: int, gain: float, release: float) -> None:
    """Adds a note to the mix: where it begins, where it is damped, the damper's time constant, all in samples."""
    stop = max(stop, begin + 1)
    first, last = max(begin, 0), min(begin + sample.size, mix.size, stop)
    if first < last:
        mix[first:last] += sample[first - begin : last - begin] * np.float32(gain)
    if np.isinf(release):
        first, last = max(stop, begin, 0), min(begin + sample.size, mix.size)
        envelope: Floats | np.float32 = np.float32(gain)
    else:
        first, last = max(stop, 0), min(begin + sample.size, mix.size, stop + round(8 * release))
        envelope = np.float32(gain) * np.exp(
            np.arange(first - stop, last - stop, dtype=np.float32) / np.float32(-release)
        )
    if first < last:
        mix[first:last] += sample[first - begin : last - begin] * envelope


class PianoExcerpts(IterableDataset[torch.Tensor]):
    """Endless excerpts, (length,) float32; excerpt `index` is a function of (seed, index) alone.

    Iterating gives start, start + 1, ... Workers take turns by blocks of `block` indices: with `block` the batch size
    of the DataLoader, its batches are the same, in the same order, for any number of workers, and a training that
    stopped after n batches goes on with start = n * block. Every folder of the corpus gets the same share, its
    performances theirs by duration.
    """

    def __init__(
        self,
        banks: Sequence[Bank],
        performances: Sequence[Performance],
        length: int,
        sample_rate: int,
        seed: int,
        *,
        start: int = 0,
        block: int = 1,
    ) -> None:
        if not banks or not performances:
            found = f"{len(banks)} banks and {len(performances)} performances"
            raise UsageError(f"{found} give nothing to render; at least one of each is needed")
        self.banks, self.performances = tuple(banks), tuple(performances)
        self.length, self.sample_rate, self.seed, self.start, self.block = length, sample_rate, seed, start, block
        folders = [p.name.split("/")[0] for p in performances]
        durations = np.array([p.duration_s for p in performances])
        totals = {folder: durations[[f == folder for f in folders]].sum() for folder in set(folders)}
        shares = durations / np.array([totals[folder] for folder in folders])
        self._cumulative = np.cumsum(shares) / shares.sum()

    def __iter__(self) -> Iterator[torch.Tensor]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        for first in count(self.start + worker * self.block, workers * self.block):
            for index in range(first, first + self.block):
                yield torch.from_numpy(self.excerpt(index))

    def excerpt(self, index: int) -> Floats:
        """Excerpt `index`, (length,); from a pause only if _TRIES draws all fell into pauses."""
        for attempt in range(_TRIES):
            rng = np.random.default_rng([self.seed, index, attempt])
            bank = self.banks[rng.integers(len(self.banks))]
            augmentation = draw_augmentation(rng, bank.channels)
            notes = self._passage(rng, augmentation)
            if rng.random() < 0.05:
                notes = _together(notes, self._passage(rng, augmentation))
            if _sounds(notes, self.length / self.sample_rate):
                break
        return render(notes, bank, 0.0, self.length, self.sample_rate, augmentation)

    def _passage(self, rng: np.random.Generator, augmentation: Augmentation) -> Notes:
        """The notes around a random place of a random performance, interpreted; the excerpt begins at time 0."""
        performance = self.performances[int(np.searchsorted(self._cumulative, rng.random(), "right"))]
        notes, seconds = performance.notes, self.length / self.sample_rate * augmentation.tempo
        start_s = rng.uniform(-0.2 * seconds, max(performance.duration_s - 0.5 * seconds, 0.0))
        near = (notes.onset_s < start_s + seconds + 1) & (notes.onset_s > start_s - 20)
        notes = notes[near]
        return interpreted(replace(notes, onset_s=notes.onset_s - start_s, stop_s=notes.stop_s - start_s), augmentation)


def _together(a: Notes, b: Notes) -> Notes:
    joined = (np.concatenate([getattr(a, k), getattr(b, k)]) for k in ("onset_s", "stop_s", "pitch", "velocity"))
    return Notes(*joined)


def _sounds(notes: Notes, seconds: float) -> bool:
    """Whether a damper is up for a tenth of a second in 0..seconds."""
    heard_s = np.minimum(notes.stop_s, seconds) - np.maximum(notes.onset_s, 0)
    return bool((heard_s > 0.1).any())
