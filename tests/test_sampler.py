"""The samplers on priors whose flow is known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorer.diffusion.noise import KeyedNoise
from restorer.diffusion.sampler import dpm2m, heun
from restorer.diffusion.schedule import edm_schedule
from tests.oracles import relative_error, spectral_flow, spectral_gaussian, white_flow, white_gaussian


def silent(step):
    raise AssertionError("a deterministic sampler asked for noise")


def deterministic_heun(denoiser, x, sigmas, progress=None):
    return heun(denoiser, x, sigmas, silent, progress=progress)


both = pytest.mark.parametrize("sample", [deterministic_heun, dpm2m])


class Recording:
    """A denoiser that remembers the levels it was asked for."""

    def __init__(self, denoiser):
        self.denoiser = denoiser
        self.levels = []

    def __call__(self, x, sigma):
        assert sigma.shape == (len(x),)
        assert sigma.dtype == x.dtype
        assert sigma.device == x.device
        assert not torch.is_grad_enabled()
        self.levels.append(float(sigma[0]))
        return self.denoiser(x, sigma)


def gaussian(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@both
@pytest.mark.parametrize(("std", "sigma_max"), [(0.057, 0.7), (0.5, 3.0), (2.0, 20.0)])
def test_error_falls_fourfold_when_steps_double(sample, std, sigma_max):
    """Stopped before the step to 0, which is of first order whatever the sampler."""
    x = gaussian(0, 2, 32) * math.hypot(std, sigma_max)
    sigma_min = std / 5
    expected = white_flow(x, std, sigma_max, sigma_min)

    def error(n_steps):
        sigmas = edm_schedule(n_steps + 1, sigma_min, sigma_max, 7)[:-1]
        return relative_error(sample(white_gaussian(std), x, sigmas), expected)

    ratios = [coarse / fine for coarse, fine in pairwise([error(64), error(128), error(256)])]
    # Second order: 4 in the limit. First order would show 2, third 8; the term of third order is still a tenth here.
    assert all(3.5 < ratio < 4.5 for ratio in ratios)


@both
def test_second_order_needs_no_even_steps(sample):
    """Steps in ln(sigma) that are alternately one and three units long."""
    std, sigma_max = 0.5, 3.0
    x = gaussian(0, 2, 32) * 3

    def error(n_pairs):
        units = torch.tensor([1.0, 3.0], dtype=torch.float64).repeat(n_pairs).cumsum(0) / (4 * n_pairs)
        sigmas = sigma_max * torch.cat([units.new_zeros(1), units]).mul(-math.log(30)).exp()
        return relative_error(sample(white_gaussian(std), x, sigmas), white_flow(x, std, sigma_max, sigma_max / 30))

    # As above; a multistep that takes its last two steps for equal is of first order here: 2.
    assert 3.5 < error(64) / error(128) < 4.5


@both
def test_white_prior_ends_at_its_closed_form(sample):
    std, sigma_max = 0.3, 4.0
    x = gaussian(1, 3, 64) * math.hypot(std, sigma_max)
    sampled = sample(white_gaussian(std), x, edm_schedule(200, 1e-4, sigma_max, 7))
    # Second order in 200 steps: a few 1e-4 (the step to 0 adds (sigma_min / std)^2 / 2 = 6e-8 only).
    assert relative_error(sampled, white_flow(x, std, sigma_max)) < 1e-3


@both
def test_coloured_prior_ends_at_its_closed_form(sample):
    spectrum = torch.logspace(1, -5, 65, dtype=torch.float64)
    x = gaussian(2, 2, 128) * 5
    sampled = sample(spectral_gaussian(spectrum), x, edm_schedule(200, 1e-5, 5.0, 7))
    # As above, for components from 3 down to 0.003.
    assert relative_error(sampled, spectral_flow(x, spectrum, 5.0)) < 1e-3


@both
@given(x=st.floats(-3, 3), c=st.floats(-3, 3), n_steps=st.integers(2, 12), rho=st.floats(1, 10))
def test_a_certain_denoiser_gives_straight_lines(sample, x, c, n_steps, rho):
    """Where D does not depend on x, the flow is a straight line from x to D, and any number of steps is exact."""
    sigmas = edm_schedule(n_steps, 0.01, 2.0, rho)
    x, c = torch.full((1, 1), x, dtype=torch.float64), torch.full((1, 1), c, dtype=torch.float64)
    torch.testing.assert_close(sample(lambda x, sigma: c, x, sigmas[:-1]), c + (x - c) * 0.01 / 2, rtol=0, atol=1e-12)
    assert torch.equal(sample(lambda x, sigma: c, x, sigmas), c)


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_heun_takes_two_evaluations_a_step_and_one_for_the_last(n_steps):
    denoiser, calls = Recording(white_gaussian(1.0)), []
    sigmas = edm_schedule(n_steps, 0.1, 3, 7)
    heun(denoiser, gaussian(3, 2, 8), sigmas, silent, progress=lambda: calls.append(len(denoiser.levels)))
    assert len(denoiser.levels) == 2 * n_steps - 1
    assert calls == list(range(1, 2 * n_steps))
    between = [level.item() for level in sigmas[1:-1] for _ in range(2)]
    assert denoiser.levels == [sigmas[0].item(), *between]


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_dpm2m_takes_one_evaluation_a_step(n_steps):
    denoiser, calls = Recording(white_gaussian(1.0)), []
    sigmas = edm_schedule(n_steps, 0.1, 3, 7)
    dpm2m(denoiser, gaussian(3, 2, 8), sigmas, progress=lambda: calls.append(len(denoiser.levels)))
    assert denoiser.levels == sigmas[:-1].tolist()
    assert calls == list(range(1, n_steps + 1))


@pytest.mark.parametrize("sample", [heun, dpm2m])
def test_a_corrector_has_its_turn_at_every_level_before_the_denoiser(sample):
    turns, heard = [], []

    def corrector(x, sigma, i):
        turns.append((sigma, i))
        return torch.full_like(x, i)

    def denoiser(x, sigma):
        heard.append((float(sigma[0]), float(x[0, 0])))
        return x

    sigmas = edm_schedule(4, 0.1, 3, 7)
    given = {"noise": silent} if sample is heun else {}
    sample(denoiser, torch.zeros(1, 2, dtype=torch.float64), sigmas, corrector=corrector, **given)
    assert turns == [(sigma, i) for i, sigma in enumerate(sigmas[:-1].tolist())]
    assert heard[:: 2 if sample is heun else 1] == turns


@pytest.mark.parametrize(("churn", "gamma"), [(0.7, 0.1), (5.0, math.sqrt(2) - 1), (1e9, math.sqrt(2) - 1)])
def test_churn_raises_the_level_of_every_step_with_its_own_noise(churn, gamma):
    """Karras et al. 2022, Algorithm 2: gamma = min(S_churn / N, sqrt(2) - 1), and evaluations at t_hat, then t_next."""
    denoiser, steps = Recording(white_gaussian(1.0)), []
    sigmas = edm_schedule(7, 0.1, 3, 7)

    def noise(step):
        steps.append(step)
        return torch.zeros(1, 4, dtype=torch.float64)

    heun(denoiser, gaussian(4, 1, 4), sigmas, noise, churn=churn)

    assert steps == list(range(7))
    assert denoiser.levels[::2] == pytest.approx((sigmas[:-1] * (1 + gamma)).tolist(), rel=1e-12)
    assert denoiser.levels[1::2] == sigmas[1:-1].tolist()


def test_churn_adds_what_the_raised_level_lacks():
    """A denoiser that believes everything (D = x) leaves x alone, so that only the added noise is seen."""
    sigmas = edm_schedule(4, 0.5, 3, 7)[:-1]
    x = gaussian(5, 1, 4)
    gamma, s_noise = 0.2, 1.05
    sampled = heun(lambda x, sigma: x, x, sigmas, lambda i: gaussian(i, 1, 4), churn=0.6, s_noise=s_noise)
    added = [s_noise * math.sqrt((1 + gamma) ** 2 - 1) * sigmas[i] * gaussian(i, 1, 4) for i in range(3)]
    torch.testing.assert_close(sampled, x + sum(added))


@pytest.mark.parametrize("churn", [1.0, 5.0])
def test_with_churn_samples_keep_the_variance_of_the_prior(churn):
    std, sigma_max, n = 0.5, 3.0, 1 << 17
    noise = KeyedNoise(0, [0], n)
    x = math.hypot(std, sigma_max) * KeyedNoise(1, [0], n)(0)
    sampled = heun(white_gaussian(std), x, edm_schedule(60, 1e-3, sigma_max, 7), noise, churn=churn)
    # The variance of n normal values has a relative standard deviation of sqrt(2/n) = 0.4 %: 5 of them; the solver's
    # own error with 60 steps is below 0.5 %. Forgetting the added noise or its level is wrong by tens of per cent.
    assert float(sampled.var()) == pytest.approx(std**2, rel=5 * (2 / n) ** 0.5 + 5e-3)


@pytest.mark.parametrize(("std", "sigma_max"), [(0.5, 3.0), (0.1, 5.0)])
def test_with_noise_dpm2m_keeps_the_variance_of_the_prior(std, sigma_max):
    n = 1 << 17
    x = math.hypot(std, sigma_max) * KeyedNoise(1, [0], n)(0)
    sampled = dpm2m(white_gaussian(std), x, edm_schedule(60, 1e-3, sigma_max, 7), KeyedNoise(0, [0], n))
    # As above: five standard deviations of an estimate, and what the solver errs in 60 steps.
    assert float(sampled.var()) == pytest.approx(std**2, rel=5 * (2 / n) ** 0.5 + 1e-2)


@pytest.mark.parametrize("n_steps", [9, 12, 18])
@pytest.mark.parametrize("std", [0.3, 1.0, 3.0])
def test_with_noise_dpm2m_is_neither_too_loud_nor_too_soft_in_few_steps(std, n_steps):
    noise = KeyedNoise(0, [0], 1 << 17)
    x = std * KeyedNoise(1, [0], 1 << 17)(0) + 5 * noise(-1)
    sampled = dpm2m(white_gaussian(std), x, edm_schedule(n_steps, 0.01, 5.0, 7), noise)
    # 131072 values tell their power to 0.02 dB
    assert abs(20 * math.log10(float(sampled.std()) / std)) < 0.4


def test_with_noise_dpm2m_forgets_where_it_began():
    """Without noise the flow maps every start to its own end; with it, a start that drowned says nothing of the end."""
    n, sigmas = 1 << 17, edm_schedule(20, 1e-3, 5.0, 7)
    x = 5 * KeyedNoise(1, [0], n)(0)

    def likeness(noise):
        return float(torch.corrcoef(torch.stack([x[0], dpm2m(white_gaussian(0.5), x, sigmas, noise)[0]]))[0, 1])

    # Music of standard deviation 0.5 and the same in noise of 5 are alike to 0.1; five standard deviations of chance.
    assert likeness(None) == pytest.approx(1, abs=1e-6)
    assert likeness(KeyedNoise(0, [0], n)) < 0.1 + 5 * n**-0.5


@given(st.lists(st.floats(0.1, 3), min_size=2, max_size=6, unique=True).map(sorted))
def test_with_noise_dpm2m_is_at_its_level_after_every_step(levels):
    """Where D is certain, x - D is noise of just the level, however long the steps."""
    n = 1 << 14
    sigmas = torch.tensor(levels[::-1], dtype=torch.float64)
    asked = []

    def noise(i):
        asked.append(i)
        return gaussian(1 + i, 1, n)

    sampled = dpm2m(lambda x, sigma: torch.full_like(x, 7.0), 7 + sigmas[0] * gaussian(0, 1, n), sigmas, noise)
    assert float((sampled - 7).std()) == pytest.approx(levels[0], rel=5 * (2 * n) ** -0.5)
    assert asked == list(range(len(levels) - 1))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=4), st.sampled_from([0.0, 3.0]))
def test_batch_equals_its_items_alone(starts, churn):
    sigmas = edm_schedule(6, 0.01, 2, 7)

    def samples(starts):
        noise = KeyedNoise(0, starts, 64)
        x = 2 * noise(-1)
        multistep = dpm2m(white_gaussian(0.5), x, sigmas, noise if churn else None)
        return heun(white_gaussian(0.5), x, sigmas, noise, churn=churn), multistep

    for i, start in enumerate(starts):
        for together, alone in zip(samples(starts), samples([start]), strict=True):
            # The same operations on the same numbers; a vector unit may round the odd one differently by its place.
            torch.testing.assert_close(together[i], alone[0], rtol=1e-6, atol=1e-7)


@both
def test_a_broken_neighbour_harms_nobody(sample):
    x = gaussian(6, 3, 16)
    x[1] = math.nan
    sampled = sample(white_gaussian(0.5), x, edm_schedule(6, 0.01, 2, 7))
    assert sampled.isfinite().all(dim=-1).tolist() == [True, False, True]


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_input_is_kept_and_its_dtype_returned(sample, dtype):
    x = gaussian(7, 2, 16, dtype=dtype)
    before = x.clone()
    sampled = sample(Recording(white_gaussian(0.5)), x, edm_schedule(6, 0.01, 2, 7))
    assert sampled.dtype == dtype
    assert torch.equal(x, before)


@both
def test_last_step_returns_the_estimate_to_the_bit(sample):
    denoiser, x = white_gaussian(0.5), gaussian(9, 1, 16, dtype=torch.float32)
    sigmas = edm_schedule(6, 0.13, 2, 7)
    before = sample(denoiser, x, sigmas[:-1])
    assert torch.equal(sample(denoiser, x, sigmas), denoiser(before, torch.tensor([sigmas[-2]], dtype=torch.float32)))
