"""Noise floors: deaf to partials and to what is not to be heard; and how noise and notes spread."""

import math

import pytest
import torch
from torch import Tensor

from restorer.dsp.noise_floor import (
    LEAST_DB,
    QUANTILES,
    band_count,
    counted_cells,
    heard_bands,
    mean_db,
    measured_floors,
    noise_spectrum,
    quantiles_db,
)

RATE = 44100
N = 2**17
EVERYWHERE = torch.ones(2, N)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def floors(x: Tensor, where: Tensor = EVERYWHERE) -> Tensor:
    measured, heard = measured_floors(x, where, RATE)
    assert measured.shape == (2, band_count(RATE))
    assert heard.all()
    return measured


def test_bands_are_third_octaves_from_100_hz_to_nyquist():
    assert [band_count(rate) for rate in (8000, 22050, 44100)] == [15, 20, 23]
    assert heard_bands(44100, 99.0).sum() == 0
    assert heard_bands(44100, 901.0).sum() == 9  # 100 Hz 2^(9/3) = 800 Hz, the next ends at 1008
    assert heard_bands(44100, math.inf).all()


@pytest.mark.parametrize("std", [0.02, 1.0, 50.0])
def test_the_floor_of_white_noise_is_its_level(std):
    expected = torch.full((2, 23), 20 * math.log10(std))
    # The lowest bands hold two or three bins of about thirty independent frames: 0.7 dB.
    torch.testing.assert_close(floors(std * noise(2, N)), expected, rtol=0, atol=2.0)


def test_partials_hardly_raise_it():
    t = torch.arange(N) / RATE
    notes = sum(torch.sin(2 * math.pi * 440 * k * t) for k in range(1, 12))
    hiss = 0.01 * noise(2, N)
    raised = floors(hiss + 0.1 * notes) - floors(hiss)  # type: ignore[operator]
    assert (hiss + 0.1 * notes).std() > 20 * hiss.std()  # 26 dB
    assert raised[:, 12:].max() < 8  # from 1.6 kHz on a partial is narrow in its band


def test_what_is_not_to_be_heard_does_not_count():
    x, where = noise(2, N), torch.ones(2, N)
    where[:, 30000:60000] = 0
    loud = torch.where(where == 1, x, 1000 * x)
    torch.testing.assert_close(floors(loud, where), floors(torch.where(where == 1, x, 0.0), where))
    torch.testing.assert_close(floors(loud, where), floors(x), rtol=0, atol=1.5)


def test_each_item_hears_for_itself():
    x, where = noise(2, N), torch.stack([torch.ones(N), torch.zeros(N)])
    measured, heard = measured_floors(x, where, RATE)
    assert heard.tolist() == [True, False]
    assert (measured[1] == LEAST_DB).all()
    torch.testing.assert_close(measured[0], floors(x)[0])


def test_silence_has_the_least_floor():
    assert (floors(torch.zeros(2, N)) == LEAST_DB).all()


def test_noise_made_with_a_floor_has_it():
    wanted = torch.stack([torch.linspace(-30, 0, 23), torch.linspace(5, -20, 23)])
    spectrum = noise_spectrum(wanted, N, RATE)
    assert spectrum.shape == (2, N // 2 + 1)
    made = torch.fft.irfft(torch.fft.rfft(noise(2, N)) * spectrum, n=N)
    torch.testing.assert_close(floors(made), wanted, rtol=0, atol=2.0)


# Counted cells


def test_they_tell_the_floor_as_well():
    x, where = noise(2, N), EVERYWHERE.clone()
    where[:, 30000:60000] = 0
    # Rounding to whole decibels is off by 0.3 dB a cell; the lowest bands have 200 cells.
    told = mean_db(counted_cells(x, where, RATE)).float()
    torch.testing.assert_close(told, measured_floors(x, where, RATE)[0], rtol=0, atol=0.1)


def test_what_is_counted_of_windows_adds_up_and_each_item_counts_for_itself():
    x, more = noise(2, N), noise(2, N, seed=1)
    here = counted_cells(x, EVERYWHERE, RATE)
    assert torch.equal(counted_cells(x[:1], EVERYWHERE[:1], RATE), here[:1])
    torch.testing.assert_close(quantiles_db(here + here), quantiles_db(here))
    both = quantiles_db(here + counted_cells(10 * more, EVERYWHERE, RATE))
    assert (both[..., -1] > quantiles_db(here)[..., -1] + 10).all()  # half of the cells are louder by 20 dB
    assert not counted_cells(x, 0 * EVERYWHERE, RATE).any()


@pytest.mark.parametrize("std", [1e-4, 1.0])
def test_noise_spreads_as_noise_does(std):
    """The power of a cell is distributed exponentially; above 600 Hz a band has 1500 cells or more."""
    told = quantiles_db(counted_cells(std * noise(2, N), EVERYWHERE, RATE))[:, 8:]
    share = torch.tensor(QUANTILES, dtype=torch.float64)
    mean_log_db = 10 / math.log(10) * 0.5772156649
    known = 10 * torch.log10(-torch.log(1 - share)) + mean_log_db + 20 * math.log10(std)
    torch.testing.assert_close(told.mean(0), known.expand(told.shape[1:]), rtol=0, atol=1.2)


def test_notes_spread_wider():
    t = torch.arange(N) / RATE
    notes = sum(torch.sin(2 * math.pi * 110 * k * t) for k in range(1, 200)) * torch.exp(-3 * t)
    steady, played = (
        quantiles_db(counted_cells(x.expand(2, N), EVERYWHERE, RATE))[0, 10:]
        for x in (noise(N), 0.01 * noise(N) + notes)  # type: ignore[operator]
    )
    assert ((played[:, -1] - played[:, 0]) > (steady[:, -1] - steady[:, 0]) + 3).all()
