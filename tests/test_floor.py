"""The noise floor of what is missing: raised where a sampling has lost it, left alone where it is there."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from restorer.diffusion.noise import KeyedNoise
from restorer.dsp.expected_floor import Floors
from restorer.dsp.noise_floor import mean_db
from restorer.prior import PRESETS, Prior, new_prior
from restorer.restoration.damage import damage_of
from restorer.restoration.engine import restore_windows
from restorer.restoration.floor import HeardWindow, RecordingFloor, keeping_floor
from restorer.restoration.settings import BWE
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Task
from tests.tiny import WhitePrior
from tests.tiny_network import TINY_PRESET, tiny_taps

HIGHS = BandwidthExtension(1000.0)
GAP = Inpainting(((0.15, 0.35),))


def noise(seed: int, length: int) -> Tensor:
    return torch.randn(2, length, generator=torch.Generator().manual_seed(seed))


def kept(task: Task, x: Tensor, sigma: float, prior: WhitePrior, i: int = 0) -> Tensor:
    """What becomes of x at level sigma, of white music of the prior's level."""
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    heard, starts = noise(0, prior.length), [0, 0]
    missing = partial(damage.missing, placed=damage.degradation.on(starts, prior.length))
    audible = damage.audible(heard, starts)
    corrector = keeping_floor(
        prior, prior.floor(heard, audible), audible, missing, KeyedNoise(0, [0, 5000], prior.length)
    )  # type: ignore[arg-type]
    return corrector(x, sigma, i)


def power(x: Tensor, task: object, inside: bool) -> Tensor:
    """The mean power (2,) of whitened windows where the music is missing, or away from there."""
    if task is HIGHS:
        spectrum = torch.fft.rfft(x)[:, 600:] if inside else torch.fft.rfft(x)[:, :440]
        return spectrum.abs().square().mean(-1) / x.shape[-1]
    inner = x[:, 1400:2600] if inside else torch.cat([x[:, :900], x[:, 3100:]], dim=-1)
    return inner.square().mean(-1)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("task", [HIGHS, GAP])
def test_a_lost_floor_comes_back_where_the_music_is_missing_and_nowhere_else(task, sigma):
    prior = WhitePrior()
    x = sigma * noise(1, prior.length)  # nothing but the sampling's own noise
    raised = kept(task, x, sigma, prior)
    expected = prior.sigma_data**2 + sigma**2
    torch.testing.assert_close(power(raised, task, True), torch.full((2,), expected), rtol=0.35, atol=0)
    torch.testing.assert_close(power(raised, task, False), power(x, task, False), rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("task", [HIGHS, GAP])
def test_a_floor_that_is_there_is_left_alone(task, sigma):
    prior = WhitePrior()
    x = prior.sigma_data * noise(0, prior.length) + sigma * noise(1, prior.length)
    added = kept(task, x, sigma, prior) - x
    assert (power(added, task, True) < 0.2 * prior.sigma_data**2).all()


@pytest.mark.parametrize("task", [HIGHS, GAP])
def test_no_step_adds_more_than_the_floor(task):
    """However far below the noise level's a sampling's own noise is."""
    prior = WhitePrior()
    added = kept(task, torch.zeros(2, prior.length), 10.0, prior)
    torch.testing.assert_close(power(added, task, True), torch.ones(2), rtol=0.35, atol=0)


def test_every_step_has_noise_of_its_own():
    prior = WhitePrior()
    x = torch.zeros(2, prior.length)
    first, again, second = (kept(HIGHS, x, 1.0, prior, i) for i in (0, 0, 1))
    assert torch.equal(first, again)
    assert abs((first * second).mean() / first.square().mean()) < 0.1


# What is expected of a recording


class Level(Floors):
    """Of a corpus whose floors are as loud in all bands, and do not depart from that: the mean of those heard."""

    def expected(self, counts: Tensor, heard: Tensor) -> Tensor:
        floors_db = mean_db(counts) * heard
        return (floors_db.sum(-1) / heard.sum(-1).clamp(min=1))[:, None].expand(heard.shape)


@pytest.fixture
def prior(monkeypatch) -> Prior:
    monkeypatch.setitem(PRESETS, "tiny", TINY_PRESET)
    torch.manual_seed(0)
    made = new_prior("tiny", tiny_taps())
    bands = len(made.floors.mean)
    made.floors = Level(torch.full((bands,), -15.0), torch.zeros(bands, bands), [])
    return made


def recording(prior: Prior, seed: int, channels: int = 1) -> np.ndarray:
    """A window of noise that is white when whitened, and its margins: (frames, channels)."""
    random = torch.Generator().manual_seed(seed)
    margin = prior.whitening.margin
    rows = torch.randn(channels, prior.length + 4 * margin, generator=random)
    return 0.1 * prior.whitening.inverse(rows)[:, margin:-margin].T.double().numpy()


class Listening:
    """Windows of a recording, heard one after the other, each as if it were the last."""

    def __init__(self, prior: Prior, task: Task = HIGHS, channels: int = 1) -> None:
        self.floor = RecordingFloor(prior, channels)
        self.damage = damage_of(task, prior.sample_rate, prior.sample_rate)

    def hear(self, samples: np.ndarray, start: int) -> np.ndarray | None:
        window = self.heard(samples, start)
        return None if window is None else self.floor.expected(window)

    def heard(self, samples: np.ndarray, start: int) -> HeardWindow | None:
        return self.floor.hear(samples, start, self.damage)


def test_of_a_first_window_it_is_what_the_window_lets_expect(prior):
    """So that the engine does the same whether it is told or not."""
    samples = recording(prior, 0)
    damage = damage_of(HIGHS, prior.sample_rate, prior.sample_rate)
    floors_db = torch.from_numpy(Listening(prior).hear(samples, 0))
    window = torch.from_numpy(samples.T).float()
    settings = replace(BWE, n_steps=2)
    told, alone = (restore_windows(window, [0], damage, prior, settings, 0, each) for each in (floors_db, None))
    # Cells are counted by whole decibels, of the recording's level here, of the prior's there.
    torch.testing.assert_close(told, alone, rtol=0, atol=0.02 * float(alone.std()))
    louder = restore_windows(window, [0], damage, prior, settings, 0, floors_db + 6)
    assert louder.std() > 1.2 * alone.std()


def test_hiss_is_expected_to_stay_as_it_was(prior):
    """A window ten times as loud, hiss and all, says that the hiss is louder by 20 dB; only half of it is believed."""
    floor, steady = Listening(prior), Listening(prior)
    first = floor.hear(recording(prior, 0), 0)
    for start in range(5):
        again = steady.hear(recording(prior, 0), start)
        np.testing.assert_allclose(again, first, atol=1e-4)
    second = floor.hear(10 * recording(prior, 0), 1)
    np.testing.assert_allclose(second, first + 10, atol=0.01)
    third = floor.hear(recording(prior, 0), 2)
    np.testing.assert_allclose(third, first + 20 / 3, atol=0.01)


def test_what_varies_within_recordings_may_vary(prior):
    bands = len(prior.floors.mean)
    prior.floors = Level(prior.floors.mean, torch.full((bands, bands), 1e4), [])
    floor = Listening(prior)
    first, second = floor.hear(recording(prior, 0), 0), floor.hear(10 * recording(prior, 0), 1)
    np.testing.assert_allclose(second, first + 20, atol=0.1)


def test_it_is_as_loud_as_the_recording(prior):
    soft, loud = Listening(prior), Listening(prior)
    for seed in range(3):
        level = loud.hear(8 * recording(prior, seed), 0) - soft.hear(recording(prior, seed), 0)
        np.testing.assert_allclose(level, 20 * np.log10(8), atol=0.01)


def test_channels_are_heard_by_themselves_and_silence_stays_silent(prior):
    stereo, left = Listening(prior, channels=2), Listening(prior)
    for seed in range(3):
        samples = recording(prior, seed, channels=2)
        samples[:, 1] *= seed != 1
        together, alone = stereo.hear(samples, 0), left.hear(samples[:, :1], 0)
        np.testing.assert_allclose(together[:1], alone, atol=1e-4)
        assert (together[1] < -100).all() == (seed == 1)  # digital silence has no hiss
    assert np.isfinite(Listening(prior).hear(0 * samples[:, :1], 0)).all()


def test_next_to_silence_before_or_within_the_music_says_nothing_of_it(prior):
    """A transfer that begins with its converter's own noise, a fade of 120 dB."""
    music, floor = [recording(prior, seed) for seed in range(3)], Listening(prior)
    expected = [floor.hear(each, 0) for each in music]
    led_in = Listening(prior)
    for _ in range(4):
        led_in.hear(1e-6 * recording(prior, 9), 0)
    heard = [led_in.hear(music[0], 0), led_in.hear(music[1], 0)]
    led_in.hear(1e-6 * recording(prior, 9), 0)
    np.testing.assert_allclose([*heard, led_in.hear(music[2], 0)], expected, atol=1e-4)


def test_next_to_silence_keeps_its_own_floor_whatever_music_comes_before_or_after(prior):
    listening = Listening(prior)
    silence, music = 1e-6 * recording(prior, 9), recording(prior, 0)
    alone = Listening(prior).hear(silence, 0)
    first, _, last = (listening.heard(each, 0) for each in (silence, music, silence))
    told = [listening.floor.expected(each) for each in (first, last)]
    np.testing.assert_allclose(told, [alone, alone], atol=1e-4)


def test_what_comes_later_tells_of_what_came_before(prior):
    """A loud window first: the soft ones after it tell that the recording's hiss is softer than it lets expect."""
    listening = Listening(prior)
    first = listening.heard(10 * recording(prior, 0), 0)
    before = listening.floor.expected(first)
    listening.hear(recording(prior, 0), 1)
    np.testing.assert_allclose(listening.floor.expected(first), before - 10, atol=0.01)


def test_digital_silence_within_a_window_has_no_floor(prior):
    """Nor has what rounding leaves of it, which the whitening of loud highs raises."""
    whole, half = Listening(prior), Listening(prior)
    cut = recording(prior, 0)
    cut[len(cut) // 2 :] = 0
    np.testing.assert_allclose(half.hear(cut, 0), whole.hear(recording(prior, 0), 0), atol=1.5)


@pytest.mark.parametrize("task", [GAP, Declipping(0.1)])
def test_beside_a_gap_floors_are_heard_and_of_clipping_none_is_missing(prior, task):
    assert Listening(prior, task).hear(recording(prior, 0), 0) is None
