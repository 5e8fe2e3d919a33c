"""What noise floor to expect where none can be heard, from what can: it is learned from a corpus."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from restorer.dsp.noise_floor import LEAST_DB, QUANTILES, mean_db, quantiles_db

HIDDEN = (256, 256)
FAINTEST_DB = -60.0
"""Cells that are fainter, re the recording, tell no more than these."""

_MIDDLE = QUANTILES.index(0.5)
_SCALE_DB = 10.0
_MEASURED_TO_DB = 2.0  # standard deviation of a floor that was heard for a second or so
_UNHEARD_DB = 1e4  # and of one that was not heard: it says nothing

Layer = tuple[Tensor, Tensor]
"""Weight (outputs, inputs) and bias (outputs,)."""


class Floors(nn.Module):
    """The floors to be expected of recordings, third octaves, in dB re the recording's level.

    mean: (bands,), of a corpus. within: (bands, bands), the covariance of the departures of windows from their own
    recording's mean. layers: of a perceptron of HIDDEN units that takes `described` recordings, and tells how far from
    the mean their floors lie. Its weights are buffers: no training of a prior moves them.

    Hiss is steady: where cells of a spectrogram spread no more than those of noise do, noise is heard, and goes on
    above whatever cutoff. Where they spread wider, notes are, and the faintest tell how loud the hiss may be at most
    (Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics", 2001).
    """

    mean: Tensor
    within: Tensor

    def __init__(self, mean: Tensor, within: Tensor, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.register_buffer("mean", mean.double())
        self.register_buffer("within", within.double())
        for i, (weight, bias) in enumerate(layers):
            self.register_buffer(f"weight{i}", weight)
            self.register_buffer(f"bias{i}", bias)

    @classmethod
    def unknown(cls, bands: int) -> "Floors":
        """Of no corpus: what is not heard is silent."""
        sizes = ((len(QUANTILES) + 1) * bands, *HIDDEN, bands)
        layers = [(torch.zeros(outputs, inputs), torch.zeros(outputs)) for inputs, outputs in pairwise(sizes)]
        return cls(torch.full((bands,), LEAST_DB), torch.zeros(bands, bands), layers)

    def expected(self, counts: Tensor, level_db: Tensor, heard: Tensor) -> Tensor:
        """(batch, bands): the floors of recordings, in dB re their level; measured, where they were heard.

        counts: cells of all that was heard, (batch, bands, levels). level_db: (batch, 1). heard: (batch, bands), bool.
        """
        x = described(quantiles_db(counts) - level_db[..., None], self.mean, heard)
        for i in range(len(HIDDEN) + 1):
            x = linear(silu(x) if i else x, self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}"))
        guess_db = in_decibels(torch.where(heard.any(-1, keepdim=True), x, 0), self.mean)
        return torch.where(heard, mean_db(counts) - level_db, guess_db).clamp(min=LEAST_DB)

    def departing(self, departures_db: Tensor, heard: Tensor) -> Tensor:
        """(batch, bands): how far all bands are expected to depart from the recording's mean, given those heard.

        The mean of a normal distribution after measurements with normal errors; of a band not heard, an endless one.
        """
        doubt = torch.where(heard, _MEASURED_TO_DB, _UNHEARD_DB).double().square().diag_embed()
        surprise = torch.where(heard, departures_db.double(), 0.0)
        return torch.linalg.solve(self.within + doubt, surprise) @ self.within


def described(quantiles_db: Tensor, mean: Tensor, heard: Tensor) -> Tensor:
    """(batch, inputs), float32: what the perceptron takes of recordings, (batch, bands, QUANTILES) re their levels.

    The medians re the corpus's mean floors, the other quantiles re the medians, nothing where nothing was heard; and
    where something was.
    """
    quantiles_db = quantiles_db.clamp(min=FAINTEST_DB)
    middle = quantiles_db[..., _MIDDLE]
    x = quantiles_db - middle[..., None]
    x[..., _MIDDLE] = middle - mean
    x = x * heard[..., None] / _SCALE_DB
    return torch.cat([x.flatten(1), heard], dim=1).float()


def in_decibels(output: Tensor, mean: Tensor) -> Tensor:
    """(batch, bands): the floors that the perceptron's output means."""
    return mean + _SCALE_DB * output
