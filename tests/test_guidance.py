"""Guidance and consistency: how far, in which direction, for whom, and what is left alone."""

import math
import weakref
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restorer.degradation.operator import Measurement
from restorer.diffusion.guidance import consistent, guided, told
from restorer.diffusion.noise import START_STEP, KeyedNoise
from restorer.diffusion.sampler import dpm2m, heun
from restorer.diffusion.schedule import edm_schedule
from restorer.dsp.known import Known
from restorer.errors import UsageError
from tests.oracles import spectral_gaussian, white_gaussian


@dataclass(frozen=True)
class Mask:
    """Keeps the samples where keep is 1."""

    keep: Tensor

    def __call__(self, x):
        return x * self.keep

    def on(self, starts, length):
        raise NotImplementedError

    def scaled(self, gain):
        return self

    def project(self, x, y):
        return y + x * (1 - self.keep)


@dataclass(frozen=True)
class Clip:
    """A hard clip at +-c, here without its projection."""

    c: float

    def __call__(self, x):
        return x.clamp(-self.c, self.c)

    def on(self, starts, length):
        return self

    def scaled(self, gain):
        return Clip(self.c * gain)


def gaussian(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mixing(seed, n, dtype=torch.float64):
    """A denoiser that is neither linear nor local."""
    weight = gaussian(seed, n, n, dtype=dtype) / n**0.5

    def denoise(x, sigma):
        return torch.tanh(x @ weight) / (1 + sigma[:, None])

    return denoise


def half(n, dtype=torch.float64):
    return Mask((torch.arange(n) < n // 2).to(dtype))


def rms(x):
    return x.square().mean(dim=-1).sqrt()


@given(st.integers(0, 1000), st.floats(0, 10), st.lists(st.floats(1e-7, 1e3), min_size=1, max_size=3))
@settings(deadline=None)
def test_guidance_moves_every_item_by_strength_times_sigma(seed, strength, levels):
    x, sigma = gaussian(seed, len(levels), 32), torch.tensor(levels, dtype=torch.float64)
    denoiser = mixing(seed + 1, 32)
    measurement = Measurement(gaussian(seed + 2, len(levels), 32), Clip(0.7))
    moved = guided(denoiser, measurement, strength)(x, sigma) - denoiser(x, sigma)
    # Rounding of D (values about 1, 1e-16) in the difference; the law itself holds at every level: no hidden fade.
    torch.testing.assert_close(rms(moved), strength * sigma, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("degradation", [half(12), Clip(0.3)])
def test_guidance_goes_along_minus_the_gradient_of_the_distance(degradation):
    """Against the Jacobian written out in full: G = -J^T (y - A(D)) / ||y - A(D)||."""
    n, strength = 12, 0.35
    denoiser, x, sigma, y = mixing(0, n), gaussian(1, 1, n), torch.tensor([0.8], dtype=torch.float64), gaussian(2, 1, n)
    jacobian = torch.autograd.functional.jacobian(lambda x: degradation(denoiser(x[None], sigma))[0], x[0])
    residual = y[0] - degradation(denoiser(x, sigma))[0]
    gradient = -jacobian.T @ residual / residual.norm()

    expected = denoiser(x, sigma) - strength * 0.8 * math.sqrt(n) * gradient / gradient.norm()

    # The same products in another order, float64.
    torch.testing.assert_close(
        guided(denoiser, Measurement(y, degradation), strength)(x, sigma), expected, rtol=1e-12, atol=1e-12
    )


@given(st.integers(0, 1000), st.floats(0.01, 3))
@settings(deadline=None)
def test_guidance_lowers_the_residual_of_an_exact_denoiser(seed, level):
    """The Jacobian J of an exact denoiser is a posterior covariance over sigma^2: a^T J a >= 0 for the residual a."""
    n = 64
    denoiser = spectral_gaussian(torch.logspace(0, -3, n // 2 + 1, dtype=torch.float64))
    x, sigma, degradation = gaussian(seed, 2, n), torch.full((2,), level, dtype=torch.float64), half(n)
    y = degradation(gaussian(seed + 1, 2, n))

    def distance(estimate):
        return torch.linalg.vector_norm(y - degradation(estimate), dim=-1)

    moved = guided(denoiser, Measurement(y, degradation), 1e-6)(x, sigma)
    assert (distance(moved) < distance(denoiser(x, sigma))).all()


def test_batch_equals_its_items_alone():
    denoiser, degradation = mixing(0, 32), Clip(0.5)
    x, y, sigma = gaussian(1, 4, 32), gaussian(2, 4, 32), torch.tensor([0.1, 1.0, 2.0, 0.5], dtype=torch.float64)
    y[2] *= 1e6
    together = guided(denoiser, Measurement(y, degradation), 0.3)(x, sigma)
    for i in range(4):
        alone = guided(denoiser, Measurement(y[i : i + 1], degradation), 0.3)(x[i : i + 1], sigma[i : i + 1])
        # A matrix product may add in another order for another batch size: float64 rounding.
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=1e-13)


def test_an_item_without_gradient_stays_and_its_neighbours_move():
    """Items: measured already; no sample seen; an ordinary one."""
    n, denoiser = 16, mixing(0, 16)
    x, sigma = gaussian(1, 3, n), torch.ones(3, dtype=torch.float64)
    keep = torch.ones(3, n, dtype=torch.float64)
    keep[1] = 0
    y = Mask(keep)(gaussian(2, 3, n))
    plain = denoiser(x, sigma)
    y[0] = plain[0]
    y[1] = 7  # a residual that no x can change

    moved = guided(denoiser, Measurement(y, Mask(keep)), 0.3)(x, sigma) - plain

    assert torch.equal(moved[:2], torch.zeros(2, n, dtype=torch.float64))
    assert float(rms(moved[2])) == pytest.approx(0.3)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e25])
def test_a_tiny_or_huge_residual_pulls_as_far_as_any(scale):
    """In float32, where the square of 1e-30 is 0 and that of 1e25 infinite: no hidden epsilon, no overflow."""
    x, sigma = torch.zeros(1, 16), torch.ones(1)
    y = gaussian(0, 1, 16, dtype=torch.float32) * scale
    moved = guided(white_gaussian(1.0), Measurement(y, Mask(torch.ones(16))), 0.3)(x, sigma)
    torch.testing.assert_close(moved, 0.3 * y / rms(y / scale) / scale)


def test_several_measurements_pull_as_one_that_holds_them_all():
    n, denoiser = 16, mixing(0, 16)
    x, y, sigma = gaussian(1, 2, n), gaussian(2, 2, n), torch.ones(2, dtype=torch.float64)
    first, everything = half(n), Mask(torch.ones(n, dtype=torch.float64))
    second = Mask(1 - first.keep)
    parts = [Measurement(first(y), first), Measurement(second(y), second)]

    together = guided(denoiser, parts, 0.3)(x, sigma)

    torch.testing.assert_close(together, guided(denoiser, Measurement(y, everything), 0.3)(x, sigma))
    alone = guided(denoiser, parts[0], 0.3)(x, sigma)
    torch.testing.assert_close(guided(denoiser, [parts[0], parts[0]], 0.3)(x, sigma), alone)
    assert torch.equal(guided(denoiser, [parts[0]], 0.3)(x, sigma), alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    x, y = gaussian(1, 2, 16, dtype=dtype), gaussian(2, 2, 16, dtype=dtype)
    measurement = Measurement(y, half(16, dtype))
    denoiser = consistent(guided(mixing(0, 16, dtype), measurement, 0.3), measurement)
    assert denoiser(x, torch.ones(2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("returns", [torch.float32, torch.bfloat16])
def test_a_denoiser_in_bfloat16_autocast_is_guided_as_far(returns):
    weight = gaussian(0, 16, 16, dtype=torch.float32).requires_grad_()

    def denoiser(x, sigma):
        with torch.autocast("cpu", torch.bfloat16):
            inside = x @ weight
        assert inside.dtype == torch.bfloat16
        return inside.to(returns)

    x, y, sigma = gaussian(1, 2, 16, dtype=torch.float32), gaussian(2, 2, 16, dtype=torch.float32), torch.ones(2)
    with torch.no_grad():
        moved = guided(denoiser, Measurement(y, Clip(0.5)), 0.3)(x, sigma) - denoiser(x, sigma)
    assert moved.dtype == torch.float32
    # The sum with D rounds in float32 (values of a few units).
    torch.testing.assert_close(rms(moved), torch.full((2,), 0.3), rtol=1e-5, atol=0)
    assert weight.grad is None


@pytest.mark.parametrize("grad_enabled", [False, True])
def test_the_graph_is_freed_and_the_caller_sees_none(grad_enabled):
    inside = []

    def denoiser(x, sigma):
        hidden = torch.exp(-x.square())
        inside.append(weakref.ref(hidden))
        return hidden * x

    x = gaussian(1, 1, 16).requires_grad_(grad_enabled)
    with torch.set_grad_enabled(grad_enabled):
        moved = guided(denoiser, Measurement(gaussian(2, 1, 16), Clip(0.5)), 0.3)(x, torch.ones(1, dtype=torch.float64))
        assert torch.is_grad_enabled() == grad_enabled
    assert not moved.requires_grad
    assert inside[0]() is None
    assert x.grad is None


@pytest.mark.parametrize("strength", [-0.1, math.nan, math.inf])
def test_refuses_a_strength_that_is_negative_or_not_finite(strength):
    with pytest.raises(UsageError, match=rf"strength {strength:g} .*at least 0.*0\.1 to 0\.5"):
        guided(white_gaussian(1.0), Measurement(torch.zeros(1, 4), Clip(0.5)), strength)


def test_refuses_consistency_without_a_projection():
    with pytest.raises(UsageError, match=r"^Clip has no data consistency.*guidance \(rg\)"):
        consistent(white_gaussian(1.0), Measurement(torch.zeros(1, 4), Clip(0.5)))


@given(st.integers(0, 1000))
@settings(deadline=None)
def test_a_consistent_estimate_agrees_with_the_measurement(seed):
    n, degradation = 16, half(16)
    y = degradation(gaussian(seed, 2, n))
    measurement = Measurement(y, degradation)
    x, sigma = gaussian(seed + 1, 2, n), torch.ones(2, dtype=torch.float64)
    pulled = guided(mixing(seed, n), measurement, 0.2)
    estimate = consistent(pulled, measurement)(x, sigma)
    assert torch.equal(degradation(estimate), y)
    unseen = degradation.keep == 0
    assert torch.equal(estimate[:, unseen], pulled(x, sigma)[:, unseen])


@pytest.mark.parametrize("churn", [None, 0.0, 5.0])
def test_samples_under_consistency_are_the_posterior_of_a_white_prior(churn):
    """Samples of a white prior know nothing of each other: the seen ones are y, the others are drawn from the prior."""
    std, sigma_max, n = 0.3, 2.0, 1 << 16
    degradation = half(n, torch.float32)
    y = degradation(std * KeyedNoise(2, [0], n)(0))
    noise = KeyedNoise(0, [0], n)
    denoiser, x = consistent(white_gaussian(std), Measurement(y, degradation)), sigma_max * noise(START_STEP)
    x = x + std * KeyedNoise(1, [0], n)(0)  # at level sigma_max a sample is music plus noise
    sigmas = edm_schedule(60, 1e-3, sigma_max, 7)

    sampled = dpm2m(denoiser, x, sigmas) if churn is None else heun(denoiser, x, sigmas, noise, churn=churn)

    seen = degradation.keep > 0
    assert torch.equal(sampled[:, seen], y[:, seen])
    # The deviation of n/2 normal values has a relative standard deviation of 1/sqrt(n) = 0.4 %: 5 of them; the solvers'
    # own error at 60 steps is below 0.5 %.
    assert float(sampled[:, ~seen].std()) == pytest.approx(std, rel=5 / n**0.5 + 5e-3)
    # Independent of y: a correlation of n/2 pairs has standard deviation sqrt(2/n).
    correlation = torch.corrcoef(torch.stack([sampled[0, ~seen], y[0, seen]]))[0, 1]
    assert abs(float(correlation)) < 5 * (2 / n) ** 0.5


HALVES, LIKENESS = 1 << 16, 0.8
FIRST_HALF = Known(torch.ones(1), (torch.arange(HALVES) < HALVES // 2).float()[None])


def second_like_the_first(x, sigma, known=None):
    """The exact denoiser of windows whose second half repeats the first but for a part of its own, both as loud."""
    level = sigma[:, None] ** 2
    first, second = x.split(HALVES // 2, dim=1)
    if known is not None:
        own = 1 - LIKENESS**2
        return torch.cat([first, (own * second + level * LIKENESS * first) / (own + level)], dim=1)
    common, apart = (first + second) / 2, (first - second) / 2
    common, apart = common * (1 + LIKENESS) / (1 + LIKENESS + level), apart * (1 - LIKENESS) / (1 - LIKENESS + level)
    return torch.cat([common + apart, common - apart], dim=1)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_denoiser_that_is_told_samples_the_posterior(fresh):
    """Of a window whose second half repeats the first but for a part of its own: the second, given the first."""
    n, sigma_max, own = HALVES, 50.0, 1 - LIKENESS**2
    heard = KeyedNoise(2, [0], n)(0)

    noise = KeyedNoise(0, [0], n)
    sigmas = edm_schedule(100, 1e-3, sigma_max, 7)
    denoiser = told(second_like_the_first, FIRST_HALF, heard)
    sampled = dpm2m(denoiser, sigma_max * noise(START_STEP), sigmas, noise if fresh else None)

    first, second = sampled[0].split(n // 2)
    torch.testing.assert_close(first, heard[0, : n // 2], rtol=0, atol=1e-5)
    rest = second - LIKENESS * first
    # n / 2 values: five standard deviations, and 2 % for the solver and for the start, which knows nothing
    assert float(rest.std()) == pytest.approx(own**0.5, rel=5 / n**0.5 + 0.02)
    assert abs(float((rest * first).mean())) < 5 * (2 / n) ** 0.5 + 0.02
