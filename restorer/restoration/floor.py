"""The noise floor of what is missing: what is expected of it, and how a sampler keeps it, which by itself loses it."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorer.audio import Samples
from restorer.diffusion.noise import FLOOR_STEP, KeyedNoise
from restorer.diffusion.sampler import Corrector
from restorer.dsp.noise_floor import LEAST_DB, heard_bands, measured_floors
from restorer.dsp.whiten import Whitening
from restorer.prior import Audible, Prior
from restorer.restoration.damage import Damage

_BENEFIT = 10**0.1
"""Of the doubt: a floor is measured to a decibel. Else each step would add what chance alone has hidden."""

_SILENT_DB = -LEAST_DB
"""Below the loudest so far; lower, re the music, no noise floor is told apart."""


def keeping_floor(
    prior: Prior, expected: Tensor, audible: Audible, missing: Callable[[Tensor], Tensor], noise: KeyedNoise
) -> Corrector:
    """Adds noise to a sampling wherever its floor lies below that of the noise level and of the floor to be expected.

    expected: that floor, a spectrum (batch, length // 2 + 1). audible: what was heard; missing: the part of a waveform
    that nothing was heard of. No step adds more than the floor itself.

    A denoiser hears through noise whether a floor is there: the power of a hundred thousand samples is known to half a
    percent. Long before a floor is as loud as the noise that half percent decides about it, and no network gets it
    right; the better a prior was trained, the surer it found that there is none, and what it restored was too clean.
    """
    expected = expected.square()

    def corrector(x: Tensor, sigma: float, i: int) -> Tensor:
        lacking = expected + sigma**2 - _BENEFIT * prior.inaudible_floor(x, audible).square()
        lacking = torch.minimum(lacking.clamp(min=0), expected).sqrt()
        added = torch.fft.irfft(torch.fft.rfft(noise(FLOOR_STEP - i)) * lacking, n=prior.length)
        return x + prior.whitening(missing(prior.whitening.inverse(added)))

    return corrector


class RecordingFloor:
    """The noise floors to be expected of a recording's windows where its highs are missing, one after the other.

    Hiss is steady, so that what a window lets expect holds for those after it: expected is the mean of what this one
    and all before it let expect. Only as far as a window's lows depart from their own mean, its highs are expected to
    depart too, as much as they do in the corpus: a lot just above the cutoff, hardly at the top. A window of next to
    silence, before the music or after it, lets expect nothing for others.
    """

    def __init__(self, prior: Prior, damage: Damage, channels: int) -> None:
        self._prior, self._damage = prior, damage
        # Beside the network, on the CPU: a recording is heard by its own thread.
        self._whitening, self._floors = Whitening(prior.whitening.taps.cpu()), copy.deepcopy(prior.floors).cpu()
        bands = len(self._floors.mean)
        self._count = torch.zeros(channels, 1, dtype=torch.float64)
        self._expected, self._heard = torch.zeros(2, channels, bands, dtype=torch.float64)
        self._loudest_db = torch.full((channels, 1), -math.inf, dtype=torch.float64)

    def hear(self, samples: Samples, start: int) -> NDArray[np.float32] | None:
        """(channels, bands): what to expect of a window, in dB, whitened. None: what its own surroundings tell is best.

        samples: what it hears, (length + 2 margin, channels), its inner part from sample `start` on.
        """
        rows = torch.from_numpy(samples.T.astype(np.float32))
        audible = self._damage.audible(rows[:, : self._prior.length], [start] * len(rows))
        if math.isinf(audible.below_hz):
            return None
        x = self._whitening.cut(rows)
        level = self._prior.level(x, audible)
        floors_db, any_heard = measured_floors(x / level.clamp(min=1e-9), audible.mask(x), self._prior.sample_rate)
        sounds = any_heard[:, None] & (level > 0)
        bands = sounds & heard_bands(self._prior.sample_rate, audible.below_hz)
        level_db = 20 * torch.log10(level.clamp(min=1e-9)).double()
        heard, expected = floors_db + level_db, self._floors.expected(floors_db, bands) + level_db
        sums = (self._count, self._heard, self._expected)
        loudest_db = torch.maximum(self._loudest_db, level_db.where(sounds, -math.inf))
        for total in sums:  # nothing, where all before was next to silence
            total *= loudest_db <= self._loudest_db + _SILENT_DB
        self._loudest_db = loudest_db
        new = (self._count + sounds, self._heard + sounds * heard, self._expected + sounds * expected)
        for total, with_this in zip(sums, new, strict=True):
            total.copy_(with_this.where(level_db > loudest_db - _SILENT_DB, total))
        windows = new[0].clamp(min=1)
        departing = self._floors.departing(heard - new[1] / windows, bands)
        result: NDArray[np.float32] = (new[2] / windows + departing).float().numpy()
        return result
