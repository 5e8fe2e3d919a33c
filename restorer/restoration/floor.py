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

_NOTHING_DB = -300.0  # the floor of digital silence

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

    level_db: Tensor  # (channels, 1), of the music; see `Prior.level`
    counts: Tensor  # (channels, bands, levels), its cells
    low: Tensor  # (bands,), bool: below the cutoff


class RecordingFloor:
    """The noise floors to be expected of a recording's windows where its highs are missing.

    Hiss is steady: all windows heard so far tell of it together. Only as far as a window's lows depart from theirs, its
    highs are expected to depart too, as much as they do in the corpus: a lot just above the cutoff, hardly at the top.
    A window of next to silence, before the music or after it, tells of nothing but itself.
    """

    def __init__(self, prior: Prior, channels: int) -> None:
        self._prior = prior
        # Beside the network, on the CPU: a recording is heard by its own thread.
        self._whitening, self._floors = Whitening(prior.whitening.taps.cpu()), copy.deepcopy(prior.floors).cpu()
        self._counts: Tensor | float = 0.0
        self._loudest_db = torch.full((channels, 1), -math.inf, dtype=torch.float64)

    def hear(self, samples: Samples, start: int, damage: Damage) -> HeardWindow | None:
        """Listens to a window. None: what its own surroundings tell is best.

        samples: what it hears, (length + 2 margin, channels), its inner part from sample `start` on.
        """
        rows = torch.from_numpy(samples.T.astype(np.float32))
        audible = damage.audible(rows[:, : self._prior.length], [start] * len(rows))
        if math.isinf(audible.below_hz):
            return None
        x, rate = self._whitening.cut(rows), self._prior.sample_rate
        level = self._prior.level(x, audible).double()
        counts = counted_cells(x, audible.mask(x) * self._whitening.sounding(rows), rate)
        sounds = (counts.sum((1, 2)) > 0)[:, None] & (level > 0)
        level_db = torch.where(sounds, 20 * torch.log10(level.clamp(min=1e-9)), -math.inf)
        window = HeardWindow(level_db, counts, heard_bands(rate, audible.below_hz))
        self._add(window)
        return window

    def expected(self, window: HeardWindow) -> NDArray[np.float32]:
        """(channels, bands): what to expect of a window that was heard, after all that was heard, in dB, whitened."""
        counts = torch.where(self._tells(window)[..., None], self._counts, window.counts)
        expected = self._floors.expected(counts, window.low & (counts.sum(-1) > 0))
        departures_db = mean_db(window.counts) - mean_db(counts)
        departing = self._floors.departing(departures_db, window.low & (window.counts.sum(-1) > 0))
        sounds = (counts.sum((1, 2)) > 0)[:, None]
        result: NDArray[np.float32] = torch.where(sounds, expected + departing, _NOTHING_DB).float().numpy()
        return result

    def _add(self, window: HeardWindow) -> None:
        loudest_db = torch.maximum(self._loudest_db, window.level_db)
        kept = loudest_db <= self._loudest_db + _SILENT_DB  # else all before was next to silence
        self._loudest_db = loudest_db
        self._counts = self._counts * kept[..., None] + self._tells(window)[..., None] * window.counts

    def _tells(self, window: HeardWindow) -> Tensor:
        """(channels, 1): whether a window is more than next to silence, re the loudest so far."""
        return window.level_db > self._loudest_db - _SILENT_DB
