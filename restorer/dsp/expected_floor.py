"""What noise floor to expect where none can be heard, from what can: it is learned from a corpus."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from restorer.dsp.noise_floor import LEAST_DB, QUANTILES, mean_db, quantiles_db

HIDDEN = (256, 256)

_FAINTEST_DB = -60.0  # cells that are fainter, re the median, tell no more than these
_MIDDLE = QUANTILES.index(0.5)
_SCALE_DB = 10.0
_SILENT_DB = -200.0  # re what is heard
_MEASURED_TO_DB = 2.0  # standard deviation of a floor that was heard for a second or so
_UNHEARD_DB = 1e4  # and of one that was not heard: it says nothing

Layer = tuple[Tensor, Tensor]
"""Weight (outputs, inputs) and bias (outputs,)."""


class Floors(nn.Module):
    """The floors to be expected of recordings where they cannot be heard, third octaves, in dB.

    mean: (bands,), of a corpus, in dB re the level of its recordings. within: (bands, bands), the covariance of the
    departures of windows from their own recording's mean. layers: of a perceptron of HIDDEN units, which takes
    `described` recordings, and tells how far their floors lie from a mean as loud as what is heard. Its weights are
    buffers: no training of a prior moves them.

    Hiss is steady: where cells of a spectrogram spread no more than those of noise do, noise is heard, and goes on
    above the cutoff. Where they spread wider, notes are, and the faintest tell how loud the hiss may be at most
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
        layers[-1][1].fill_(_SILENT_DB / _SCALE_DB)
        return cls(torch.full((bands,), LEAST_DB), torch.zeros(bands, bands), layers)

    def expected(self, counts: Tensor, heard: Tensor) -> Tensor:
        """(batch, bands): the floors of recordings; measured, where they were heard. Nothing heard: the corpus's mean.

        counts: cells of all that was heard, (batch, bands, levels). heard: (batch, bands), bool.
        """
        floors_db = mean_db(counts)
        alike = as_loud(self.mean, floors_db, heard)
        x = described(quantiles_db(counts), alike, heard)
        for i in range(len(HIDDEN) + 1):
            x = linear(silu(x) if i else x, self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}"))
        guess_db = torch.where(heard.any(-1, keepdim=True), alike + in_decibels(x), self.mean)
        return torch.where(heard, floors_db, guess_db)

    def departing(self, departures_db: Tensor, heard: Tensor) -> Tensor:
        """(batch, bands): how far all bands are expected to depart from the recording's mean, given those heard.

        The mean of a normal distribution after measurements with normal errors; of a band not heard, an endless one.
        """
        doubt = torch.where(heard, _MEASURED_TO_DB, _UNHEARD_DB).double().square().diag_embed()
        surprise = torch.where(heard, departures_db.double(), 0.0)
        return torch.linalg.solve(self.within + doubt, surprise) @ self.within


def as_loud(mean: Tensor, floors_db: Tensor, heard: Tensor) -> Tensor:
    """(batch, bands): the corpus's mean, brought to the loudness of the floors (batch, bands) that are heard."""
    over = torch.where(heard, floors_db - mean, 0).sum(-1, keepdim=True)
    return mean + over / heard.sum(-1, keepdim=True).clamp(min=1)


def described(quantiles_db: Tensor, alike: Tensor, heard: Tensor) -> Tensor:
    """(batch, inputs), float32: what the perceptron takes of recordings, whose loudness it is not to know.

    quantiles_db: (batch, bands, QUANTILES) of cells. alike: of `as_loud`. The medians re that, the other quantiles re
    the medians, nothing where nothing was heard; and where something was.
    """
    middle = quantiles_db[..., _MIDDLE]
    x = (quantiles_db - middle[..., None]).clamp(min=_FAINTEST_DB)
    x[..., _MIDDLE] = middle - alike
    x = torch.where(heard[..., None], x / _SCALE_DB, 0)
    return torch.cat([x.flatten(1), heard], dim=1).float()


def in_decibels(output: Tensor) -> Tensor:
    """By how much floors lie above those of `as_loud`, of the perceptron's output."""
    return _SCALE_DB * output
