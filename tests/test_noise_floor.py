"""Noise floors: deaf to partials and to what is not to be heard, and what is expected of those unheard."""

import math

import pytest
import torch
from torch import Tensor

from restorer.dsp.noise_floor import LEAST_DB, Floors, band_count, heard_bands, measured_floors, noise_spectrum

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


def alike(floors_db: Tensor) -> Tensor:
    """The floors of halves that do not differ."""
    return floors_db[:, None].expand(-1, 2, -1)


def corpus(correlation: float) -> Tensor:
    """(2000, 3): three bands of deviations 6, 8 and 10 dB about -20, -25 and -30, the first two correlated."""
    z = noise(2000, 3).double()
    z[:, 1] = correlation * z[:, 0] + math.sqrt(1 - correlation**2) * z[:, 1]
    return z * torch.tensor([6.0, 8.0, 10.0]) - torch.tensor([20.0, 25.0, 30.0])


def test_what_was_heard_tells_of_what_was_not():
    expecting = Floors.of(corpus(0.9), alike(corpus(0.9)))
    heard = torch.tensor([[True, False, False]])
    for first in (-32.0, -20.0, -8.0):
        expected = expecting.expected(torch.tensor([[first, LEAST_DB, LEAST_DB]]), heard)[0]
        assert abs(expected[0] - first) < 1.5  # measured to 2 dB
        share = 36 / (36 + 4)  # of the surprise that is not put down to the measurement
        assert abs(expected[1] - (-25 + share * 0.9 * 8 / 6 * (first + 20))) < 1.5
        assert abs(expected[2] + 30) < 1.5


def test_nothing_heard_leaves_the_mean():
    expecting = Floors.of(corpus(0.9), alike(corpus(0.9)))
    expected = expecting.expected(torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool))
    torch.testing.assert_close(expected[0].double(), expecting.mean, rtol=0, atol=0.01)


def test_items_are_expected_for_themselves():
    expecting = Floors.of(corpus(0.9), alike(corpus(0.9)))
    db, heard = 10 * noise(5, 3) - 20, noise(5, 3, seed=1) > 0
    together = expecting.expected(db, heard)
    alone = torch.cat([expecting.expected(db[i : i + 1], heard[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone)


def test_of_no_corpus_what_is_heard_is_believed_and_the_rest_is_silent():
    expected = Floors.unknown(3).expected(torch.tensor([[-10.0, -20.0, 0.0]]), torch.tensor([[True, True, False]]))
    torch.testing.assert_close(expected, torch.tensor([[-10.0, -20.0, LEAST_DB]]), rtol=0, atol=0.5)


def test_one_window_is_a_corpus():
    floors_db = torch.tensor([[-10.0, -20.0]])
    one = Floors.of(floors_db, alike(floors_db))
    torch.testing.assert_close(one.mean, torch.tensor([-10.0, -20.0], dtype=torch.float64))
    assert not one.covariance.any()
    assert not one.within.any()


def test_what_departs_from_the_recording_lets_the_rest_depart_as_it_did_in_the_corpus():
    """Halves that differ by 4, 3 and no dB (each about their recording's mean), the first two together."""
    both = noise(4000, 2, 1).double()
    halves = corpus(0.0).repeat(2, 1)[:, None] + both * torch.tensor([4.0, 3.0, 0.0])
    expecting = Floors.of(halves.mean(1), halves)
    heard = torch.tensor([[True, False, False]])
    for departure in (-6.0, 0.0, 6.0):
        departing = expecting.departing(torch.tensor([[departure, 0.0, 0.0]]), heard)[0]
        believed = 16 / (16 + 4) * departure  # the rest is put down to the measurement
        assert departing.tolist() == pytest.approx([believed, 0.75 * believed, 0.0], abs=0.3)
    assert not expecting.departing(torch.full((1, 3), 9.0), torch.zeros(1, 3, dtype=torch.bool)).abs().max() > 0.01
