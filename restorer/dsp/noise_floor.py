"""The noise floor of music: how loud it is between its partials, where hiss, rooms and the tails of notes lie.

A floor is the mean of the logarithm of the power over time and frequency, in third octaves from 100 Hz up. Partials are
few there, and the logarithm hardly counts them. White noise of standard deviation s has a floor of 20 log10 s dB.
"""

import math
from functools import cache

import torch
from torch import Tensor, nn

LEAST_DB = -45.0
"""Floors below count as this: there is nothing."""

_FIRST_HZ = 100.0
_A_BAND = 1 / 3  # octaves
_FRAME_S = 4096 / 44100
_LOG_OF_NOISE_DB = 10 / math.log(10) * 0.5772156649  # by which white noise's mean log power lies below its power's log
_MEASURED_TO_DB = 2.0  # standard deviation of a floor that was heard for a second or so
_UNHEARD_DB = 1e4  # and of one that was not heard: it says nothing
_ANY_DB = 20.0


def band_count(sample_rate: float) -> int:
    """How many third octaves from 100 Hz end below Nyquist."""
    return math.floor(math.log2(sample_rate / 2 / _FIRST_HZ) / _A_BAND)


def heard_bands(sample_rate: float, below_hz: float, device: torch.device | str = "cpu") -> Tensor:
    """(bands,), bool: those that end below below_hz."""
    count = band_count(sample_rate)
    upper = _FIRST_HZ * 2 ** (_A_BAND * torch.arange(1, count + 1))
    # The number goes to the device, not the tensor: a copy would make a GPU wait.
    return torch.arange(count, device=device) < int((upper <= below_hz).sum())


def measured_floors(x: Tensor, where: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
    """The floors of x (batch, time) in dB (batch, bands), and whether anything was heard (batch,).

    where: (batch, time), 1 where to listen, 0 elsewhere; a frame with a 0 does not count. Nothing heard: LEAST_DB.
    """
    size = round(_FRAME_S * sample_rate)
    hop = size // 4
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    spectra = torch.stft(x, size, hop, window=window, center=False, return_complex=True)
    power_db = 10 * torch.log10(spectra.abs().square() / window.square().sum() + 1e-9) + _LOG_OF_NOISE_DB
    trusted = (where.unfold(-1, size, hop).amin(-1) > 0).to(x)
    count = trusted.sum(-1)
    mean_db = torch.einsum("bft,bt->bf", power_db, trusted) / count.clamp(min=1)[:, None]
    floors = (mean_db @ _averaging(size, sample_rate, x.dtype, x.device)).clamp(min=LEAST_DB)
    return torch.where(count[:, None] > 0, floors, LEAST_DB), count > 0


def noise_spectrum(floors_db: Tensor, length: int, sample_rate: float) -> Tensor:
    """(batch, length // 2 + 1): what to multiply white noise's rfft by for noise with these floors (batch, bands)."""
    hertz = torch.fft.rfftfreq(length, 1 / sample_rate, device=floors_db.device).clamp(min=_FIRST_HZ)
    last = floors_db.shape[-1] - 1
    place = ((hertz / _FIRST_HZ).log2() / _A_BAND - 0.5).clamp(0, last)
    below = place.long().clamp(max=max(last - 1, 0))
    above = (below + 1).clamp(max=last)
    return 10 ** (torch.lerp(floors_db[:, below], floors_db[:, above], (place - below).to(floors_db)) / 20)


class Floors(nn.Module):
    """What floors are to be expected: their mean (bands,) and covariance (bands, bands) over a corpus, in dB.

    within: (bands, bands), the covariance of their departures from a recording's own mean.
    """

    mean: Tensor
    covariance: Tensor
    within: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor, within: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.double())
        self.register_buffer("covariance", covariance.double())
        self.register_buffer("within", within.double())

    @classmethod
    def unknown(cls, bands: int) -> "Floors":
        """Of no corpus: what is not heard is silent."""
        return cls(torch.full((bands,), LEAST_DB), _ANY_DB**2 * torch.eye(bands), torch.zeros(bands, bands))

    @classmethod
    def of(cls, floors_db: Tensor, halves_db: Tensor) -> "Floors":
        """Of a corpus, from the floors (windows, bands) of some of it, and those of their halves (windows, 2, bands).

        The two halves of a window are of one recording: half the mean square of their difference is the variance
        within it.
        """
        apart = (halves_db[:, 0] - halves_db[:, 1]).double()
        within = apart.T @ apart / (2 * len(apart))
        return cls(floors_db.mean(0), torch.cov(floors_db.T, correction=0).reshape(floors_db.shape[-1], -1), within)

    def expected(self, floors_db: Tensor, heard: Tensor) -> Tensor:
        """(batch, bands): the expected floors, given those that were heard; both (batch, bands), heard is bool.

        The mean of a normal distribution after measurements with normal errors; of a band not heard, an endless one.
        """
        expected = self.mean + _regressed(self.covariance, floors_db.double() - self.mean, heard)
        return expected.clamp(min=LEAST_DB).to(floors_db)

    def departing(self, departures_db: Tensor, heard: Tensor) -> Tensor:
        """(batch, bands): how far all bands are expected to depart from the recording's mean, given those heard."""
        return _regressed(self.within, departures_db.double(), heard).to(departures_db)


def _regressed(covariance: Tensor, surprise: Tensor, heard: Tensor) -> Tensor:
    doubt = torch.where(heard, _MEASURED_TO_DB, _UNHEARD_DB).double().square().diag_embed()
    return torch.linalg.solve(covariance + doubt, torch.where(heard, surprise, 0.0)) @ covariance


@cache
def _averaging(size: int, sample_rate: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size // 2 + 1, bands): from the bins of an rfft to means over the bands. Designed in float64 on the CPU."""
    hertz = torch.fft.rfftfreq(size, 1 / sample_rate, dtype=torch.float64)
    band = ((hertz / _FIRST_HZ).clamp(min=1e-9).log2() / _A_BAND).floor()
    member = (band[:, None] == torch.arange(band_count(sample_rate))).double()
    return (member / member.sum(0).clamp(min=1)).to(device, dtype)
