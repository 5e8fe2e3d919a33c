"""The noise floor of what is missing: raised where a sampling has lost it, left alone where it is there."""

from functools import partial

import pytest
import torch
from torch import Tensor

from restorer.diffusion.noise import KeyedNoise
from restorer.restoration.damage import damage_of
from restorer.restoration.floor import keeping_floor
from restorer.restoration.task import BandwidthExtension, Inpainting, Task
from tests.tiny import WhitePrior

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
    corrector = keeping_floor(prior, heard, audible, missing, KeyedNoise(0, [0, 5000], prior.length))  # type: ignore[arg-type]
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
