"""The noise floor of music: how loud it is between its partials, where hiss, rooms and the tails of notes lie.

A floor is the mean of the logarithm of the power over time and frequency, in third octaves from 100 Hz up. Partials are
few there, and the logarithm hardly counts them. White noise of standard deviation s has a floor of 20 log10 s dB.
"""

import math
from functools import cache

import torch
from torch import Tensor

LEAST_DB = -45.0
"""Floors below count as this: there is nothing."""

QUANTILES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75)
"""Of the levels of a band's cells, by which noise is told from notes: steady noise spreads alike everywhere."""

_FIRST_HZ = 100.0
_A_BAND = 1 / 3  # octaves
_FRAME_S = 4096 / 44100
_LOG_OF_NOISE_DB = 10 / math.log(10) * 0.5772156649  # by which white noise's mean log power lies below its power's log
_LOWEST_DB, _LEVELS = -160, 300  # of cells; further ones count as the last


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
    power_db, trusted = _cells(x, where, sample_rate)
    count = trusted.sum(-1)
    over_time = torch.einsum("bft,bt->bf", power_db, trusted) / count.clamp(min=1)[:, None]
    averaging = _averaging(_frame(sample_rate), sample_rate, x.dtype, x.device)
    floors = (over_time @ averaging).clamp(min=LEAST_DB)
    return torch.where(count[:, None] > 0, floors, LEAST_DB), count > 0


def counted_cells(x: Tensor, where: Tensor, sample_rate: float) -> Tensor:
    """(batch, bands, levels), float64: how many cells of a spectrogram of x (batch, time) have which whole dB.

    What is counted of a recording's windows adds up. where: as for `measured_floors`.
    """
    power_db, trusted = _cells(x, where, sample_rate)
    bins, band = _inside(_frame(sample_rate), sample_rate, x.device)
    level = (power_db.index_select(1, bins) - _LOWEST_DB).round().clamp(0, _LEVELS - 1).long()
    place = level + _LEVELS * band[:, None]
    bands = band_count(sample_rate)
    counts = torch.zeros(len(x), bands * _LEVELS, dtype=torch.float64, device=x.device)
    counts.scatter_add_(1, place.flatten(1), trusted.double()[:, None].expand(place.shape).flatten(1))
    return counts.view(len(x), bands, _LEVELS)


def mean_db(counts: Tensor) -> Tensor:
    """(batch, bands): the floors of counted cells; LEAST_DB where none was counted."""
    levels = torch.arange(_LEVELS, dtype=counts.dtype, device=counts.device) + _LOWEST_DB
    total = counts.sum(-1)
    return torch.where(total > 0, counts @ levels / total.clamp(min=1), LEAST_DB)


def quantiles_db(counts: Tensor) -> Tensor:
    """(batch, bands, QUANTILES): levels of counted cells, those of a whole decibel taken as spread evenly over it."""
    cumulative = counts.cumsum(-1)
    wanted = cumulative[..., -1:] * _shares(counts.dtype, counts.device)
    level = torch.searchsorted(cumulative, wanted).clamp(max=_LEVELS - 1)
    here = counts.gather(-1, level)
    share = 1 - (cumulative.gather(-1, level) - wanted) / here.clamp(min=1)
    return level + share + (_LOWEST_DB - 0.5)


def noise_spectrum(floors_db: Tensor, length: int, sample_rate: float) -> Tensor:
    """(batch, length // 2 + 1): what to multiply white noise's rfft by for noise with these floors (batch, bands)."""
    hertz = torch.fft.rfftfreq(length, 1 / sample_rate, device=floors_db.device).clamp(min=_FIRST_HZ)
    last = floors_db.shape[-1] - 1
    place = ((hertz / _FIRST_HZ).log2() / _A_BAND - 0.5).clamp(0, last)
    below = place.long().clamp(max=max(last - 1, 0))
    above = (below + 1).clamp(max=last)
    return 10 ** (torch.lerp(floors_db[:, below], floors_db[:, above], (place - below).to(floors_db)) / 20)


def _frame(sample_rate: float) -> int:
    return round(_FRAME_S * sample_rate)


def _cells(x: Tensor, where: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
    """Power of a spectrogram of x (batch, time), (batch, bins, frames), in dB, whose mean over white noise of standard
    deviation s is 20 log10 s; and which frames lie where to listen, (batch, frames)."""
    size = _frame(sample_rate)
    hop = size // 4
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    spectra = torch.stft(x, size, hop, window=window, center=False, return_complex=True)
    power_db = 10 * torch.log10(spectra.abs().square() / window.square().sum() + 1e-16) + _LOG_OF_NOISE_DB
    trusted = (where.unfold(-1, size, hop).amin(-1) > 0).to(x)
    return power_db, trusted


@cache
def _averaging(size: int, sample_rate: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size // 2 + 1, bands): from the bins of an rfft to means over the bands. Designed in float64 on the CPU."""
    hertz = torch.fft.rfftfreq(size, 1 / sample_rate, dtype=torch.float64)
    band = ((hertz / _FIRST_HZ).clamp(min=1e-9).log2() / _A_BAND).floor()
    member = (band[:, None] == torch.arange(band_count(sample_rate))).double()
    return (member / member.sum(0).clamp(min=1)).to(device, dtype)


@cache
def _inside(size: int, sample_rate: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """The bins of an rfft that lie in bands, and the band of each. Cached, for what is looked up makes a GPU wait."""
    averaging = _averaging(size, sample_rate, torch.float64, torch.device("cpu"))
    bins = averaging.amax(1).nonzero()[:, 0]
    return bins.to(device), averaging[bins].argmax(1).to(device)


@cache
def _shares(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(QUANTILES, dtype=dtype, device=device)
