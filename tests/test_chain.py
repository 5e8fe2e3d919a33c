"""Dither and what stands before a writer: laws of the noise, and which sound it meets."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restorer.audio import AudioFormat
from restorer.audio.chain import chained
from restorer.audio.dither import needs_dither, tpdf
from restorer.audio.stream import WavStreamWriter

cuts = st.lists(st.integers(0, 40000), max_size=4).map(sorted)


@given(cuts=cuts, seed=st.integers(0, 2**40))
def test_the_noise_is_a_function_of_the_place(cuts, seed):
    whole = tpdf(seed, 0, 40000, 2)
    ends = [0, *cuts, 40000]
    parts = [tpdf(seed, a, b - a, 2) for a, b in itertools.pairwise(ends)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_noise_is_triangular_and_channels_and_seeds_differ():
    noise = tpdf(0, 0, 200_000, 2)
    assert np.abs(noise).max() <= 1
    # The variance of a triangle from -1 to 1 is 1/6; five standard errors of these many samples.
    assert abs(noise.var() - 1 / 6) < 5 * (1 / 6) / np.sqrt(noise.size / 2)
    assert abs(noise.mean()) < 5 * np.sqrt(1 / 6 / noise.size)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.02
    assert not np.array_equal(noise, tpdf(1, 0, 200_000, 2))


@pytest.mark.parametrize("seed", [-1, 10**42])
def test_any_whole_number_is_a_seed(seed):
    assert not np.array_equal(tpdf(seed, 0, 100, 1), tpdf(0, 0, 100, 1))


FORMS = {name: AudioFormat("WAV", name, 44100, 1) for name in ("PCM_16", "PCM_24", "PCM_32", "FLOAT")}


@pytest.mark.parametrize(
    ("held", "stored", "computed", "expected"),
    [
        ("PCM_24", "PCM_16", False, True),
        ("FLOAT", "PCM_16", False, True),
        ("PCM_16", "PCM_16", False, False),
        ("PCM_16", "PCM_16", True, True),
        ("PCM_16", "PCM_24", False, False),
        ("PCM_32", "PCM_24", False, False),
        ("PCM_24", "FLOAT", True, False),
    ],
)
def test_dither_where_depth_falls_and_nowhere_else(held, stored, computed, expected):
    assert needs_dither(FORMS[held], FORMS[stored], computed=computed) is expected


def through(held, stored, samples, *, rescales=False, seed=0, size=777):
    pipe = io.BytesIO()
    chain = chained(WavStreamWriter(pipe, stored), held, rescales=rescales, seed=seed)
    for each in chain:
        each.__enter__()
    for start in range(0, len(samples), size):
        chain[-1].write(samples[start : start + size])
    for each in reversed(chain):
        each.__exit__(None, None, None)
    return np.frombuffer(pipe.getvalue()[44:], "<i2") / 32768


def test_dither_leaves_a_tone_that_rounding_would_swallow():
    tone = 0.4 / 32768 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)[:, None]
    out = through(FORMS["PCM_24"], FORMS["PCM_16"], tone)
    assert not np.rint(tone * 32768).any()
    level = 2 * np.abs(np.mean(out * np.exp(-2j * np.pi * 1000 * np.arange(44100) / 44100))) * 32768
    assert abs(level - 0.4) < 0.03  # five standard errors of noise of half a step RMS


def test_the_result_does_not_depend_on_the_blocks_but_on_the_seed():
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (20000, 1))
    one = through(FORMS["FLOAT"], FORMS["PCM_16"], sound)
    assert np.array_equal(one, through(FORMS["FLOAT"], FORMS["PCM_16"], sound, size=131))
    assert not np.array_equal(one, through(FORMS["FLOAT"], FORMS["PCM_16"], sound, seed=1))


def test_turning_down_does_not_depend_on_the_blocks():
    sound = np.random.default_rng(0).uniform(-1.7, 1.7, (20000, 1))
    one = through(FORMS["PCM_16"], FORMS["PCM_16"], sound, rescales=True)
    assert np.array_equal(one, through(FORMS["PCM_16"], FORMS["PCM_16"], sound, rescales=True, size=131))
    assert 0.999 < np.abs(one).max() < 1
