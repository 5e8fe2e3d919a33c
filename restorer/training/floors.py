"""Learns what noise floors to expect of recordings like those of a corpus."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restorer.dsp.expected_floor import HIDDEN, Floors, Layer, as_loud, described, in_decibels
from restorer.dsp.noise_floor import LEAST_DB, QUANTILES, counted_cells, mean_db, quantiles_db
from restorer.prior import Prior

HEARD_WINDOWS = 4
"""Of an excerpt, one after the other: single, in pairs and all together they are recordings of three lengths."""

_STEPS, _STEPS_PER_RECORDING = 4000, 1.5
_BATCH, _RATE, _WEIGHT_DECAY = 256, 2e-3, 0.05
_DROPOUT, _BLUR = 0.1, 0.1  # against learning by heart: of hidden units, of what is heard in tens of decibels
_SHARE_BELOW = 0.42  # of the floors that may be: too much hiss is worse than too little


class _Recordings(NamedTuple):
    """What was heard of recordings, in dB re their levels."""

    quantiles_db: Tensor  # (recordings, bands, QUANTILES), of cells
    floors_db: Tensor  # (recordings, bands)


def learned_floors(prior: Prior, waves: Iterable[NDArray[np.float32]], seed: int) -> Floors:
    """The floors of excerpts (HEARD_WINDOWS * length + 2 margin,), as the prior hears them. Silence does not count."""
    heard, departures, freedom = [], [], 0
    for wave in waves:
        rows = torch.from_numpy(wave)[None]
        windows, where = (f(rows).view(HEARD_WINDOWS, -1) for f in (prior.whitening.cut, prior.whitening.sounding))
        level = prior.level(windows).double()
        sounds = (level > level.max() * 10 ** (LEAST_DB / 20))[:, 0]
        if not sounds.any():
            continue
        counts = counted_cells(windows[sounds], where[sounds], prior.sample_rate)
        heard += [_together(counts, level[sounds], n) for n in (1, 2, HEARD_WINDOWS) if n <= len(counts)]
        departures.append(mean_db(counts) - mean_db(counts).mean(0))
        freedom += max(len(counts) - 1, 0)
    if not heard:
        return prior.floors
    recordings = _Recordings(*(torch.cat(columns) for columns in zip(*heard, strict=True)))
    apart = torch.cat(departures)
    mean = recordings.floors_db.mean(0)
    return Floors(mean, apart.T @ apart / max(freedom, 1), _layers(recordings, mean, seed))


def _together(counts: Tensor, level: Tensor, n: int) -> _Recordings:
    """Windows, `counts` (windows, bands, levels) and `level` (windows, 1), as recordings of n of them."""
    whole = len(counts) // n * n
    joint = counts[:whole].unflatten(0, (-1, n)).sum(1)
    level_db = 10 * torch.log10(level[:whole].square().view(-1, n).mean(1, keepdim=True))
    return _Recordings(quantiles_db(joint) - level_db[..., None], mean_db(joint) - level_db)


def _layers(recordings: _Recordings, mean: Tensor, seed: int) -> list[Layer]:
    """A perceptron that tells the floors above a random cutoff from what is heard below it."""
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _perceptron(mean.numel())
        steps = min(_STEPS, round(_STEPS_PER_RECORDING * len(recordings.floors_db)))
        optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_WEIGHT_DECAY)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            drawn = torch.randint(len(recordings.floors_db), (_BATCH,), generator=random)
            error = _error(network, recordings.quantiles_db[drawn], recordings.floors_db[drawn], mean, random)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            falling.step()
    return [(layer.weight.detach(), layer.bias.detach()) for layer in network if isinstance(layer, nn.Linear)]


def _perceptron(bands: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = (len(QUANTILES) + 1) * bands
    for units in HIDDEN:
        layers += [nn.Linear(inputs, units), nn.SiLU(), nn.Dropout(_DROPOUT)]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, bands))


def _error(
    network: nn.Module, quantiles_db: Tensor, floors_db: Tensor, mean: Tensor, random: torch.Generator
) -> Tensor:
    """The mean error of the floors above cutoffs drawn from `random`; too loud costs more than too soft.

    So a quantile is learned (Koenker and Bassett, "Regression quantiles", 1978).
    """
    bands = mean.numel()
    highest = torch.randint(1, bands, (len(floors_db), 1), generator=random)
    heard = torch.arange(bands) < highest
    alike = as_loud(mean, floors_db, heard)
    x = described(quantiles_db, alike, heard)
    levels = x[:, :-bands]
    levels += _BLUR * torch.randn(levels.shape, generator=random) * heard.repeat_interleave(len(QUANTILES), 1)
    missing_db = (floors_db - alike - in_decibels(network(x)))[~heard]
    return torch.maximum(_SHARE_BELOW * missing_db, (_SHARE_BELOW - 1) * missing_db).mean()
