"""Endless piano recordings to train on: performances (MIDI) rendered from a sample bank while training."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from restorer.errors import UsageError
from restorer.training.bank import Bank
from restorer.training.playing import (
    PLAIN,
    RELEASES,
    Augmentation,
    Take,
    draw_augmentation,
    interpreted,
    keystrokes,
    mix_length,
    strokes,
    thump,
    together,
)
from restorer.training.room import lead_samples, recorded
from restorer.training.score import Notes, Performance
from restorer.training.session import Desk, Session
from restorer.training.studio import Studio

Floats = NDArray[np.float32]
_TRIES = 8  # an excerpt that falls into a pause is drawn again, at most so often


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
    plan = strokes(notes, bank, start_s, length, sample_rate, augmentation)
    samples = np.asarray(bank.samples[augmentation.channel])  # a plain view: slices of a memmap are slow
    out = np.zeros(length, np.float32)
    for group, rate in enumerate(plan.rates):
        mix = np.zeros(mix_length(length, sample_rate, rate), np.float32)
        for i in np.flatnonzero(plan.group == group):
            offset, size = bank.offset[plan.sample[i]], bank.length[plan.sample[i]]
            sample = samples[offset : offset + size]
            _add(mix, sample, int(plan.begin[i]), int(plan.stop[i]), plan.gain[i], plan.release[i])
        out += soxr.resample(mix, rate, sample_rate, quality="HQ")[:length]
    return out


def action(notes: Notes, start_s: float, length: int, sample_rate: int, seed: int) -> Floats:
    """What is heard of the keys and dampers themselves, (length,), about 1 at most: a dull thump for each key that goes
    down, by its velocity, and a softer one for each that comes up."""
    at, force = keystrokes(notes, start_s, length, sample_rate)
    strokes = np.zeros(length, np.float32)
    np.add.at(strokes, at, force)
    thumps: Floats = oaconvolve(strokes, thump(sample_rate, seed))[:length]
    return thumps


def _add(mix: Floats, sample: NDArray[np.int16], begin: int, stop: int, gain: float, release: float) -> None:
    """Adds a note to the mix: where it begins, where it is damped, the damper's time constant, all in samples."""
    first, last = max(begin, 0), min(begin + sample.size, mix.size, stop)
    if first < last:
        mix[first:last] += sample[first - begin : last - begin] * np.float32(gain)
    if np.isinf(release):
        first, last = max(stop, begin, 0), min(begin + sample.size, mix.size)
        envelope: Floats | np.float32 = np.float32(gain)
    else:
        first, last = max(stop, 0), min(begin + sample.size, mix.size, stop + round(RELEASES * release))
        envelope = np.float32(gain) * np.exp(
            np.arange(first - stop, last - stop, dtype=np.float32) / np.float32(-release)
        )
    if first < last:
        mix[first:last] += sample[first - begin : last - begin] * envelope


class PianoExcerpts:
    """Endless excerpts, (length,) float32; excerpt `index` is a function of (seed, index) alone.

    Every folder of the corpus gets the same share, its performances theirs by duration. UsageError without a bank or
    without a performance.
    """

    def __init__(
        self, banks: Sequence[Bank], performances: Sequence[Performance], length: int, sample_rate: int, seed: int
    ) -> None:
        if not banks or not performances:
            found = f"{len(banks)} banks and {len(performances)} performances"
            raise UsageError(f"{found} give nothing to render; at least one of each is needed")
        self.banks, self.performances = tuple(banks), tuple(performances)
        self.length, self.sample_rate, self.seed = length, sample_rate, seed
        self._desk = Desk(self.banks, length, sample_rate)
        folders = [p.name.split("/")[0] for p in performances]
        durations = np.array([p.duration_s for p in performances])
        totals = {folder: durations[[f == folder for f in folders]].sum() for folder in set(folders)}
        shares = durations / np.array([totals[folder] for folder in folders])
        self._cumulative = np.cumsum(shares) / shares.sum()

    def excerpt(self, index: int) -> Floats:
        """Excerpt `index`, (length,)."""
        take = self.take(index)
        bank = self.banks[take.bank]
        return render(take.notes, bank, 0.0, self.length, self.sample_rate, take.augmentation)

    def take(self, index: int) -> Take:
        """What excerpt `index` renders; from a pause only if _TRIES draws all fell into pauses."""
        for attempt in range(_TRIES):
            rng = np.random.default_rng([self.seed, index, attempt])
            bank = int(rng.integers(len(self.banks)))
            augmentation = draw_augmentation(rng, self.banks[bank].channels)
            notes = self._passage(rng, augmentation)
            if rng.random() < 0.05:
                notes = together(notes, self._passage(rng, augmentation))
            if _sounds(notes, self.length / self.sample_rate):
                break
        return Take(notes, bank, augmentation)

    def prepared(self, indices: Sequence[int]) -> Session:
        """What a studio needs to render the excerpts `indices`: numpy's work, which another process may do."""
        return self._desk.prepared([self.take(index) for index in indices])

    def studio(self, device: torch.device) -> Callable[[Session], torch.Tensor]:
        """Renders on `device` what was prepared: (batch, length), the excerpts but for the noise in them."""
        return Studio(self.banks, self.length, self.sample_rate, device).played

    def _passage(self, rng: np.random.Generator, augmentation: Augmentation) -> Notes:
        """The notes around a random place of a random performance, interpreted; the excerpt begins at time 0."""
        performance = self.performances[int(np.searchsorted(self._cumulative, rng.random(), "right"))]
        notes, seconds = performance.notes, self.length / self.sample_rate * augmentation.tempo
        start_s = rng.uniform(-0.2 * seconds, max(performance.duration_s - 0.5 * seconds, 0.0))
        near = (notes.onset_s < start_s + seconds + 1) & (notes.onset_s > start_s - 20)
        notes = notes[near]
        return interpreted(replace(notes, onset_s=notes.onset_s - start_s, stop_s=notes.stop_s - start_s), augmentation)


def _sounds(notes: Notes, seconds: float) -> bool:
    """Whether a damper is up for a tenth of a second in 0..seconds."""
    heard_s = np.minimum(notes.stop_s, seconds) - np.maximum(notes.onset_s, 0)
    return bool((heard_s > 0.1).any())
