"""Noise in the colours of a recording: its spectrum and level are heard where one listens, and nowhere else."""

import numpy as np
import pytest
import torch
from scipy import signal

from restorer.dsp.colour import coloured

RATE = 44100
N = 2**16
NOISE = torch.randn(2, N, generator=torch.Generator().manual_seed(0))
EVERYWHERE = torch.hann_window(N)[None].expand(2, N)


def pinkish(seed):
    """Noise that falls by 6 dB an octave above 500 Hz."""
    white = np.random.default_rng(seed).standard_normal(N)
    return torch.tensor(signal.lfilter(*signal.butter(1, 500, fs=RATE), white), dtype=torch.float32)


def levels_db(x):
    hz, power = signal.welch(x.numpy(), RATE, nperseg=4096)
    edges = 100 * 2.0 ** np.arange(8)
    return [10 * np.log10(power[..., (low <= hz) & (hz < 2 * low)].mean(-1)) for low in edges]


def test_it_has_the_spectrum_and_the_level_of_the_recording():
    like = torch.stack([pinkish(1), 10 * pinkish(2)])
    np.testing.assert_allclose(levels_db(coloured(NOISE, like, EVERYWHERE)), levels_db(like), atol=1.5)


def test_what_is_not_listened_to_does_not_matter():
    weight = EVERYWHERE.clone()
    weight[:, N // 3 : N // 2] = 0
    like = torch.stack([pinkish(1), pinkish(2)])
    other = like.clone()
    other[:, N // 3 : N // 2] = 1e3
    torch.testing.assert_close(coloured(NOISE, other, weight), coloured(NOISE, like, weight), rtol=0, atol=0)


def test_half_a_recording_tells_the_level_as_well_as_all_of_it():
    like = torch.stack([pinkish(1), pinkish(2)])
    half = torch.cat([torch.hann_window(N // 2), torch.zeros(N // 2)])[None].expand(2, N)
    np.testing.assert_allclose(levels_db(coloured(NOISE, like, half)), levels_db(like), atol=2.5)


@pytest.mark.parametrize("gain", [1e-3, 7.0])
def test_it_is_as_loud_as_the_recording_whatever_the_noise_is(gain):
    like = torch.stack([pinkish(1), pinkish(2)])
    once = coloured(NOISE, like, EVERYWHERE)
    torch.testing.assert_close(coloured(gain * NOISE, like, EVERYWHERE), once, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(coloured(NOISE, gain * like, EVERYWHERE), gain * once, rtol=1e-3, atol=1e-5 * gain)


def test_silence_makes_silence():
    like = torch.stack([pinkish(1), pinkish(2)])
    for made in (
        coloured(NOISE, torch.zeros(2, N), EVERYWHERE),
        coloured(NOISE, like, torch.zeros(2, N)),
        coloured(torch.zeros(2, N), like, EVERYWHERE),
    ):
        assert not made.any()
