"""Laws of streaming resampling."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from restorer.audio import Resampler, resample, resampled_length
from restorer.errors import UsageError

RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000, 44099]
rates = st.sampled_from(RATES)


def through(x, from_rate, to_rate, sizes):
    resampler = Resampler(from_rate, to_rate, x.shape[1])
    out, start = [], 0
    for size in sizes:
        out.append(resampler.push(x[start : start + size]))
        start += size
    return np.concatenate([*out, resampler.push(x[start:]), resampler.finish()])


def sine(hz, rate, frames):
    return np.sin(2 * np.pi * hz * np.arange(frames) / rate)[:, None]


@settings(max_examples=60, deadline=None)
@given(rates, rates, st.integers(0, 5000), st.lists(st.integers(0, 1500), max_size=6), st.integers(1, 3))
def test_blocks_joined_equal_the_whole(from_rate, to_rate, frames, sizes, channels):
    x = np.random.default_rng(frames).standard_normal((frames, channels))
    whole = resample(x, from_rate, to_rate)
    assert np.array_equal(through(x, from_rate, to_rate, sizes), whole)  # bit for bit: no tolerance


@settings(max_examples=60, deadline=None)
@given(rates, rates, st.integers(0, 20000))
@example(48000, 44100, 240)  # 220.5, of which soxr makes 220
@example(44100, 22050, 3)  # 1.5, of which it makes 2
def test_length(from_rate, to_rate, frames):
    exact = Fraction(frames * to_rate, from_rate)
    law = math.floor(exact + Fraction(1, 2))
    assert resampled_length(frames, from_rate, to_rate) == law
    shortest = math.ceil(exact - Fraction(1, 2))  # another than the law for a half alone
    assert shortest <= len(resample(np.zeros((frames, 1)), from_rate, to_rate)) <= law


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 22050), (22050, 44100), (48000, 22050), (22050, 96000)])
def test_a_sine_stays_in_its_place(from_rate, to_rate):
    hz, frames = 1000, from_rate  # one second
    y = resample(sine(hz, from_rate, frames), from_rate, to_rate)[:, 0]
    middle = slice(to_rate // 4, 3 * to_rate // 4)  # away from the ends, where the sine is cut
    t = np.arange(to_rate)[middle] / to_rate
    phase = np.angle(np.vdot(np.exp(2j * np.pi * hz * t), y[middle])) + np.pi / 2  # of sin against exp
    assert abs(phase / (2 * np.pi * hz) * to_rate) < 1e-4  # samples; 0.01 was asked for, a linear phase gives far less


def test_an_impulse_stays_in_its_place():
    x = np.zeros((4096, 1))
    x[2000] = 1
    y = resample(x, 44100, 22050)[:, 0]
    energy = y**2
    assert abs(np.sum(energy * np.arange(len(y))) / energy.sum() - 1000) < 0.01


@pytest.mark.parametrize(
    ("low", "high", "share", "limit_db"),  # limits: 0.01 dB of droop either way is -52 dB, measured -70.8 and less
    [(22050, 44100, 0.9, -165)]
    + [(low, high, 0.6, -100) for low, high in [(22050, 48000), (44100, 96000), (16000, 44100), (22050, 32000)]]
    + [(low, high, 0.9, -69) for low, high in [(22050, 48000), (44100, 96000), (16000, 44100)]],
)
def test_up_and_down_again_keeps_a_band_limited_sound(low, high, share, limit_db):
    rng = np.random.default_rng(3)
    spectrum = np.zeros(low // 2 + 1, complex)
    band = int(share * low / 2)
    spectrum[20:band] = rng.standard_normal(band - 20) + 1j * rng.standard_normal(band - 20)
    x = np.fft.irfft(spectrum, low)[:, None]
    back = resample(resample(x, low, high), high, low)
    middle = slice(low // 10, -low // 10)  # the ends ring: the periodic noise is cut there
    assert len(back) == low
    error = np.linalg.norm((back - x)[middle]) / np.linalg.norm(x[middle])
    assert 20 * np.log10(error) < limit_db


def test_what_the_lower_rate_cannot_hold_is_removed():
    y = resample(sine(15000, 44100, 44100), 44100, 22050)[2000:-2000]
    assert 20 * np.log10(np.abs(y).max()) < -100  # no alias: VHQ is meant to stop it by 28 bits, -168 dB


def test_equal_rates_hand_the_block_through():
    x = np.ones((10, 2))
    resampler = Resampler(44100, 44100, 2)
    assert resampler.push(x) is x
    assert resampler.finish().shape == (0, 2)
    assert resample(x, 44100, 44100) is x


def test_a_transposed_view_is_resampled_like_its_copy():
    x = np.random.default_rng(1).standard_normal((2, 3000)).T
    assert np.array_equal(resample(x, 44100, 48000), resample(x.copy(), 44100, 48000))


@pytest.mark.parametrize("rate", [0, -1, 999, 768001])
def test_absurd_rates_are_refused(rate):
    with pytest.raises(UsageError, match=f"{rate} lies outside 1000 to 768000 Hz"):
        Resampler(44100, rate, 1)
    with pytest.raises(UsageError):
        Resampler(rate, 44100, 1)
