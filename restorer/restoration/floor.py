"""The noise floor of what is missing: what is expected of it, and how a sampler keeps it, which by itself loses it."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorer.audio import Samples
from restorer.diffusion.noise import FLOOR_STEP, KeyedNoise
from restorer.diffusion.sampler import Corrector
from restorer.dsp.noise_floor import LEAST_DB, counted_cells, heard_bands, mean_db
from restorer.dsp.whiten import Whitening
from restorer.prior import Audible, Prior
from restorer.restoration.damage import Damage

HEARD_AHEAD = 6
"""Lengths of a window by which a recording is heard before a window is restored: 18 s tell far more of hiss than 3."""

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


@dataclass(frozen=True)
class HeardWindow:
    """What was heard of a window, by channel."""

    level: Tensor  # (channels, 1), of the music; see `Prior.level`
    counts: Tensor  # (channels, bands, levels), its cells
    bands: Tensor  # (channels, bands), bool: where something was heard

    @property
    def level_db(self) -> Tensor:
        return 20 * torch.log10(self.level.clamp(min=1e-9))


class RecordingFloor:
    """The noise floors to be expected of a recording's windows where its highs are missing.

    Hiss is steady: all windows heard so far tell of it together. Only as far as a window's lows depart from theirs, its
    highs are expected to depart too, as much as they do in the corpus: a lot just above the cutoff, hardly at the top.
    A window of next to silence, before the music or after it, tells of nothing but itself.
    """

    def __init__(self, prior: Prior, damage: Damage, channels: int) -> None:
        self._prior, self._damage = prior, damage
        # Beside the network, on the CPU: a recording is heard by its own thread.
        self._whitening, self._floors = Whitening(prior.whitening.taps.cpu()), copy.deepcopy(prior.floors).cpu()
        self._windows, self._power = torch.zeros(2, channels, 1, dtype=torch.float64)
        self._counts: Tensor | float = 0.0
        self._loudest_db = torch.full((channels, 1), -math.inf, dtype=torch.float64)

    def hear(self, samples: Samples, start: int) -> HeardWindow | None:
        """Listens to a window. None: what its own surroundings tell is best.

        samples: what it hears, (length + 2 margin, channels), its inner part from sample `start` on.
        """
        rows = torch.from_numpy(samples.T.astype(np.float32))
        audible = self._damage.audible(rows[:, : self._prior.length], [start] * len(rows))
        if math.isinf(audible.below_hz):
            return None
        x = self._whitening.cut(rows)
        level = self._prior.level(x, audible).double()
        counts = counted_cells(x, audible.mask(x), self._prior.sample_rate)
        sounds = (counts.sum((1, 2)) > 0)[:, None] & (level > 0)
        window = HeardWindow(level, counts, sounds & heard_bands(self._prior.sample_rate, audible.below_hz))
        self._add(window, sounds)
        return window

    def expected(self, window: HeardWindow) -> NDArray[np.float32]:
        """(channels, bands): what to expect of a window that was heard, after all that was heard, in dB, whitened."""
        telling = window.level_db > self._loudest_db - _SILENT_DB
        counts = torch.where(telling[..., None], self._counts, window.counts)
        power = torch.where(telling, self._power / self._windows.clamp(min=1), window.level**2)
        level_db = 10 * torch.log10(power.clamp(min=1e-18))
        expected = self._floors.expected(counts, level_db, window.bands) + level_db
        departing = self._floors.departing(mean_db(window.counts) - mean_db(counts), window.bands)
        result: NDArray[np.float32] = (expected + departing).float().numpy()
        return result

    def _add(self, window: HeardWindow, sounds: Tensor) -> None:
        level_db = window.level_db.where(sounds, -math.inf)
        loudest_db = torch.maximum(self._loudest_db, level_db)
        kept = loudest_db <= self._loudest_db + _SILENT_DB  # else all before was next to silence
        telling = sounds & (level_db > loudest_db - _SILENT_DB)
        self._windows = self._windows * kept + telling
        self._power = self._power * kept + telling * window.level**2
        self._counts = self._counts * kept[..., None] + telling[..., None] * window.counts
        self._loudest_db = loudest_db
