"""A batch of takes as a few small arrays, made with numpy alone, from which a device renders them (`studio`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from restorer.training.bank import Bank
from restorer.training.playing import (
    THUMP_S,
    Doubles,
    Floats,
    Integers,
    Strokes,
    Take,
    keystrokes,
    mix_length,
    strokes,
)
from restorer.training.playing import thump as draw_thump
from restorer.training.room import (
    LONGEST_TAIL_S,
    SHORTEST_LEAD_S,
    TILT_OCTAVES,
    decays_s,
    draw_harmonics,
    draw_reflections,
    lead_samples,
)
from restorer.training.strips import STRIP, Array, Layout, Strings, addresses, laid_out


class Recording(NamedTuple, Generic[Array]):
    """How each take is recorded, (takes,) or (takes, several); what a take does without is there, and changes nothing.

    Amplitudes are linear, frequencies of the equaliser in octaves re 1 kHz.
    """

    lead: Array  # samples before the excerpt
    gain: Array
    direct: Array  # amplitude of the direct sound
    late: Array  # of the late field: the root of its energy
    grows_s: Array  # its time constant
    decays_s: Array  # its RT60 in each band
    delays: Array  # of the early reflections, in samples
    early: Array  # their amplitudes
    tilt_db: Array  # per octave
    peak_centre: Array  # of the equaliser's bumps and dips
    peak_width: Array
    peak_db: Array
    hiss: Array  # RMS
    hiss_db: Array  # per octave
    band_hz: Array
    mains: Array  # cycles a sample
    harmonics: Array  # complex: the sine is the imaginary part
    action: Array  # the thumps' peak re the strings'
    thump: Array  # (takes, time)


@dataclass(frozen=True)
class Session:
    """A batch of takes."""

    seeds: tuple[int, ...]  # of each take's noise
    take: Integers  # (groups,)
    ratio: Doubles  # (groups,) its rate re the sample rate
    layout: Layout
    recording: Recording[NDArray[np.generic]]
    key_at: Integers  # flat index, takes x n, of each stroke of a key against its bed
    key_force: Floats


class Desk:
    """Prepares sessions for a `Studio`: a function of the takes alone, which any process may do.

    `n` is the size of the transforms in which sound is recorded: a take's lead, the excerpt, and some slack, for what
    goes on after it wraps round and must not get beyond the lead.
    """

    def __init__(self, banks: Sequence[Bank], length: int, sample_rate: int) -> None:
        self.banks, self.length, self.sample_rate = tuple(banks), length, sample_rate
        self.longest_lead = round(max(LONGEST_TAIL_S, SHORTEST_LEAD_S) * sample_rate)
        slack = max(2 * STRIP, round(THUMP_S * sample_rate))  # strips and thumps end after the excerpt does
        self.n = 2 * next_fast_len((self.longest_lead + length + slack + 1) // 2, real=True)
        self.addresses = addresses(self.banks)

    def prepared(self, takes: Sequence[Take]) -> Session:
        """The session of `takes`, in their order."""
        leads = np.array([lead_samples(take.augmentation.acoustics, self.sample_rate) for take in takes], np.int64)
        played = [self._strokes(take, int(lead)) for take, lead in zip(takes, leads, strict=True)]
        take = np.repeat(np.arange(len(takes)), [plan.rates.size for plan in played])
        rate = np.concatenate([plan.rates for plan in played])
        size = np.array(
            [mix_length(int(leads[i]) + self.length, self.sample_rate, r) for i, r in zip(take, rate, strict=True)],
            np.int64,
        )
        order = np.argsort(-size, kind="stable")
        place = np.argsort(order)  # of each group, longest first
        layout = laid_out(self._strings(takes, played, place), size[order])
        at, force = self._keys(takes, leads)
        ratio = rate[order] / self.sample_rate
        seeds = tuple(take.augmentation.acoustics.seed for take in takes)
        return Session(seeds, take[order], ratio, layout, self._recording(takes, leads), at, force)

    def _strokes(self, take: Take, lead: int) -> Strokes:
        begin_s = 0.0 - lead / self.sample_rate
        bank = self.banks[take.bank]
        return strokes(take.notes, bank, begin_s, lead + self.length, self.sample_rate, take.augmentation)

    def _strings(self, takes: Sequence[Take], played: Sequence[Strokes], place: Integers) -> Strings:
        first = np.cumsum([0, *(plan.rates.size for plan in played)])
        columns = [
            (
                place[first[i] + plan.group],
                self.addresses[take.bank][take.augmentation.channel, plan.sample],
                self.banks[take.bank].length[plan.sample],
                *(plan.begin, plan.stop, plan.gain, plan.release),
            )
            for i, (take, plan) in enumerate(zip(takes, played, strict=True))
        ]
        return Strings(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def _keys(self, takes: Sequence[Take], leads: Integers) -> tuple[Integers, Floats]:
        at, force = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for i, (take, lead) in enumerate(zip(takes, leads.tolist(), strict=True)):
            if take.augmentation.action_db is not None:
                begin_s = 0.0 - lead / self.sample_rate
                where, how = keystrokes(take.notes, begin_s, lead + self.length, self.sample_rate)
                at.append(i * self.n + where)
                force.append(how)
        return np.concatenate(at), np.concatenate(force)

    def _recording(self, takes: Sequence[Take], leads: Integers) -> Recording[NDArray[np.generic]]:
        n_peaks = max(len(take.augmentation.acoustics.peaks) for take in takes)
        rows = [_recorded(take, int(lead), self.sample_rate, n_peaks) for take, lead in zip(takes, leads, strict=True)]
        return Recording(*(np.stack(column) for column in zip(*rows, strict=True)))


def _recorded(take: Take, lead: int, sample_rate: int, n_peaks: int) -> Recording[NDArray[np.generic]]:
    acoustics, action_db = take.augmentation.acoustics, take.augmentation.action_db
    rng = np.random.default_rng([acoustics.seed, 3])
    first = draw_reflections(lead, sample_rate, rng)
    wet = 10 ** (acoustics.wet_db / 20) if acoustics.rt60_s > 0 else 0.0
    direct = 1 / np.sqrt(1 + wet**2)
    peaks = np.zeros((n_peaks, 3))
    peaks[:, 1] = 1.0  # octaves: a peak of 0 dB needs a width too
    for i, peak in enumerate(acoustics.peaks):
        peaks[i] = np.log2(peak.centre_hz / 1000), peak.width_octaves, peak.gain_db
    amplitude, phase = draw_harmonics(acoustics.hum_db, rng)
    harmonics = amplitude * np.exp(1j * phase) * (acoustics.hum_hz is not None)
    still = np.zeros(round(THUMP_S * sample_rate), np.float32)
    single = partial(np.asarray, dtype=np.float32)
    return Recording(
        lead=np.asarray(lead),
        gain=single(10 ** (take.augmentation.gain_db / 20)),
        direct=single(direct),
        late=single(direct * wet * np.sqrt(1 - first.share)),
        grows_s=single(first.grows_s),
        decays_s=single(decays_s(acoustics) if wet else np.ones(4)),
        delays=first.delays,
        early=single(direct * wet * first.early),
        tilt_db=single(acoustics.tilt_db / TILT_OCTAVES),
        peak_centre=single(peaks[:, 0]),
        peak_width=single(peaks[:, 1]),
        peak_db=single(peaks[:, 2]),
        hiss=single(0.0 if acoustics.hiss_db is None else 10 ** (acoustics.hiss_db / 20)),
        hiss_db=single(acoustics.hiss_slope_db),
        band_hz=single(acoustics.band_hz or 10 * sample_rate),
        mains=np.asarray((acoustics.hum_hz or 0.0) / sample_rate),
        harmonics=harmonics.astype(np.complex64),
        action=single(0.0 if action_db is None else 10 ** (action_db / 20)),
        thump=still if action_db is None else draw_thump(sample_rate, acoustics.seed),
    )
