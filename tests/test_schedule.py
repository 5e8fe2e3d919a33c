"""The noise levels: the published formula, its ends, its symmetries and its refusals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorer.diffusion.schedule import edm_schedule
from restorer.errors import UsageError

sigma_mins = st.floats(1e-8, 0.1)
ratios = st.floats(1.1, 1e8)
rhos = st.floats(1, 1e6)
steps = st.integers(2, 200)


@given(steps, sigma_mins, ratios, rhos)
def test_levels_fall_from_sigma_max_to_sigma_min_and_then_to_zero(n_steps, sigma_min, ratio, rho):
    sigmas = edm_schedule(n_steps, sigma_min, sigma_min * ratio, rho)

    assert sigmas.shape == (n_steps + 1,)
    assert sigmas.dtype == torch.float64
    assert sigmas[0] == sigma_min * ratio
    assert sigmas[-2] == sigma_min
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


@given(steps, sigma_mins, ratios, st.floats(1, 100))
def test_levels_follow_the_formula_of_the_paper(n_steps, sigma_min, ratio, rho):
    sigma_max = sigma_min * ratio
    a, b = sigma_max ** (1 / rho), sigma_min ** (1 / rho)

    expected = [(a + i / (n_steps - 1) * (b - a)) ** rho for i in range(n_steps)]

    # Rounding (1e-16) of the formula as printed: times rho by its power, times ratio where rho 1 subtracts.
    tolerance = 1e-12 + 1e-15 * ratio
    assert edm_schedule(n_steps, sigma_min, sigma_max, rho)[:-1].tolist() == pytest.approx(expected, rel=tolerance)


@given(steps, sigma_mins, ratios, rhos, st.floats(1e-3, 1e3))
def test_levels_scale_with_their_bounds(n_steps, sigma_min, ratio, rho, scale):
    scaled = edm_schedule(n_steps, sigma_min * scale, sigma_min * ratio * scale, rho)
    expected = scale * edm_schedule(n_steps, sigma_min, sigma_min * ratio, rho)
    # Rounding of the scaled bounds (1e-16), spread at rho = 1 over levels that are 1/ratio as large.
    torch.testing.assert_close(scaled, expected, rtol=1e-12 + 1e-15 * ratio, atol=0)


def test_rho_one_spaces_evenly_and_a_huge_rho_evenly_in_ln_sigma():
    torch.testing.assert_close(edm_schedule(5, 1.0, 3.0, 1)[:-1], torch.linspace(3, 1, 5, dtype=torch.float64))
    # To first order in 1/rho a level differs from the geometric one by ln(ratio)^2 / (8 rho) at most, here 3e-11.
    geometric = torch.logspace(0, -7, 8, dtype=torch.float64)
    torch.testing.assert_close(edm_schedule(8, 1e-7, 1.0, 1e12)[:-1], geometric, rtol=1e-10, atol=0)


def test_one_step_goes_from_sigma_max_to_zero():
    assert edm_schedule(1, 0.01, 2.5, 13).tolist() == [2.5, 0]


@pytest.mark.parametrize("n_steps", [0, -3])
def test_refuses_no_steps(n_steps):
    with pytest.raises(UsageError, match=rf"^{n_steps} steps .*at least 1.*give"):
        edm_schedule(n_steps, 0.01, 1, 7)


@pytest.mark.parametrize(
    ("sigma_min", "sigma_max"), [(0, 1), (-1, 1), (1, 1), (2, 1), (0.01, math.inf), (math.nan, 1), (0.01, math.nan)]
)
def test_refuses_bounds_that_do_not_fall(sigma_min, sigma_max):
    with pytest.raises(UsageError, match=rf"{sigma_max:g} down to {sigma_min:g}.*give 0 < sigma_min < sigma_max"):
        edm_schedule(10, sigma_min, sigma_max, 7)


@pytest.mark.parametrize("rho", [0.5, 0, -7, math.inf, math.nan])
def test_refuses_rho_below_one_or_not_finite(rho):
    with pytest.raises(UsageError, match=rf"rho {rho:g} .*at least 1.*7 to 13"):
        edm_schedule(10, 0.01, 1, rho)


def test_refuses_more_levels_than_numbers():
    with pytest.raises(UsageError, match=r"10 noise levels between 1\.0 and 1\.0000000000000002 coincide.*fewer steps"):
        edm_schedule(10, 1.0, math.nextafter(1.0, 2.0), 7)
