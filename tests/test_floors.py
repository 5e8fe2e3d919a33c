"""Floors that are learned: hiss is heard below a cutoff and goes on above it; silence and order do not matter."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from restorer.bench.degrade import low_passed
from restorer.dsp.expected_floor import Floors
from restorer.dsp.noise_floor import counted_cells, heard_bands, mean_db
from restorer.prior import PRESETS, Prior, new_prior
from restorer.training.floors import HEARD_WINDOWS, learned_floors
from tests.tiny_network import TINY_PRESET, tiny_taps

Wave = np.ndarray[tuple[int], np.dtype[np.float32]]
CUTOFF_HZ = 1700.0


@pytest.fixture(scope="module")
def prior() -> Prior:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY_PRESET)
        return new_prior("tiny", tiny_taps())


def length(prior: Prior) -> int:
    return HEARD_WINDOWS * prior.length + 2 * prior.whitening.margin


def waves(prior: Prior, seeds: range) -> Iterator[Wave]:
    """Notes, 12 a second, and steady white noise, 10 to 70 dB softer; nobody knows how loud either was recorded."""
    seconds = np.arange(length(prior)) / prior.sample_rate
    for seed in seeds:
        random = np.random.default_rng(seed)
        sound = 0.1 * 10 ** -random.uniform(0.5, 3.5) * random.standard_normal(seconds.size)
        for onset_s in random.uniform(-1, seconds[-1], int(12 * seconds[-1])):
            age = np.maximum(seconds - onset_s, 0)
            pitch = random.uniform(100, 600)
            partials = sum(np.sin(2 * np.pi * k * pitch * age) / k for k in range(1, 7))
            sound += 0.1 * random.uniform(0.3, 1) * np.exp(-6 * age) * partials
        yield np.asarray(10 ** random.uniform(-2, 0) * sound, np.float32)


def heard(prior: Prior, floors: Floors, wave: Wave) -> tuple[Tensor, Tensor]:
    """What is expected above the cutoff of the wave low-passed there, and what is there, in dB re the level."""
    bands = heard_bands(prior.sample_rate, CUTOFF_HZ)[None]
    low = np.asarray(low_passed(wave.astype(np.float64), prior.sample_rate, CUTOFF_HZ), np.float32)
    below, there = (counted(prior, each) for each in (low, wave))
    windows = prior.whitening.cut(torch.from_numpy(wave)[None]).view(HEARD_WINDOWS, -1)
    level_db = 10 * torch.log10(prior.level(windows).double().square().mean(0, keepdim=True))
    return (floors.expected(below, bands) - level_db)[~bands], (mean_db(there) - level_db)[~bands]


def counted(prior: Prior, wave: Wave) -> Tensor:
    windows = prior.whitening.cut(torch.from_numpy(wave)[None]).view(HEARD_WINDOWS, -1)
    return counted_cells(windows, torch.ones_like(windows), prior.sample_rate).sum(0, keepdim=True)


@pytest.fixture(scope="module")
def floors(prior: Prior) -> Floors:
    return learned_floors(prior, waves(prior, range(48)), seed=0)


def test_hiss_below_a_cutoff_tells_of_the_hiss_above(prior: Prior, floors: Floors) -> None:
    expected, true = (
        torch.stack(each)
        for each in zip(*(heard(prior, floors, wave) for wave in waves(prior, range(500, 520))), strict=True)
    )
    mean_off, off = (floors.mean[-true.shape[1] :] - true).abs().mean(), (expected - true).abs().mean()
    assert mean_off > 7  # what one would say without listening
    assert off < 0.35 * mean_off


def test_the_same_seed_learns_the_same_and_leaves_other_chance_alone(prior: Prior, floors: Floors) -> None:
    torch.manual_seed(7)
    again = learned_floors(prior, waves(prior, range(48)), seed=0)
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3))
    assert all(torch.equal(value, floors.state_dict()[name]) for name, value in again.state_dict().items())


def test_silence_tells_nothing(prior: Prior) -> None:
    few = list(waves(prior, range(6)))
    half = few[0].copy()
    half[: half.size // 2 + prior.whitening.margin] = 0  # two windows of it
    plain = learned_floors(prior, [*few[1:], few[0]], seed=0)
    silent = learned_floors(prior, [*few[1:], np.zeros_like(few[0]), few[0]], seed=0)
    assert all(torch.equal(value, silent.state_dict()[name]) for name, value in plain.state_dict().items())
    beside = learned_floors(prior, [*few[1:], half], seed=0)
    torch.testing.assert_close(beside.mean, plain.mean, rtol=0, atol=3.0)
    assert learned_floors(prior, [np.zeros_like(half)], seed=0) is prior.floors


def test_what_windows_depart_from_their_recording_by(prior: Prior) -> None:
    """White noise that is 6 dB louder in every second window: 3 dB about the mean, in all bands together."""
    steps = np.repeat(2.0 ** (np.arange(HEARD_WINDOWS) % 2), prior.length)
    margin = prior.whitening.margin
    loud = np.concatenate([np.ones(margin), steps, np.ones(margin)])
    noise = [np.random.default_rng(seed).standard_normal(loud.size) for seed in range(24)]
    flat = [prior.whitening.inverse(torch.from_numpy(each))[None].numpy()[0] for each in noise]
    floors = learned_floors(prior, [np.asarray(loud * each, np.float32) for each in flat], seed=0)
    unbiased = 6.02**2 / 4 * HEARD_WINDOWS / (HEARD_WINDOWS - 1)
    torch.testing.assert_close(
        floors.within[8:, 8:], torch.full_like(floors.within[8:, 8:], unbiased), rtol=0.2, atol=0
    )
