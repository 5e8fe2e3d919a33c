"""The falling noise levels that a sampler visits."""

import math

import torch
from torch import Tensor

from restorer.errors import UsageError


def edm_schedule(n_steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Noise levels evenly spaced in `sigma^(1/rho)`, and then 0: float64, shape (n_steps + 1,).

    `sigma_i = (sigma_max^(1/rho) + i/(n_steps - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho` for i < n_steps
    (Karras et al. 2022, eq. 5). The levels fall strictly; the first is sigma_max and the last but one sigma_min,
    exactly; a single step is [sigma_max, 0]. rho = 1 spaces them evenly, a large rho nearly evenly in ln(sigma).
    Scaling both bounds scales every level.

    Raises UsageError unless n_steps >= 1, 0 < sigma_min < sigma_max < inf and 1 <= rho < inf,
    and where the bounds are too close for n_steps different float64 numbers.
    """
    if n_steps < 1:
        raise UsageError(f"{n_steps} steps asked for, at least 1 is needed: give a higher number of steps")
    if not 0 < sigma_min < sigma_max < math.inf:
        raise UsageError(
            f"noise levels from {sigma_max:g} down to {sigma_min:g}: they must be finite, positive and falling; "
            "give 0 < sigma_min < sigma_max"
        )
    if not 1 <= rho < math.inf:
        raise UsageError(f"rho {rho:g} is not a finite number of at least 1: the usual values are 7 to 13")

    fraction = torch.linspace(0, 1, n_steps, dtype=torch.float64)
    # The same formula relative to sigma_max, with expm1 and log1p: rho = 1e5 keeps all its digits.
    drop = math.expm1((math.log(sigma_min) - math.log(sigma_max)) / rho)
    levels = sigma_max * torch.exp(rho * torch.log1p(fraction * drop))
    levels[-1] = sigma_min
    levels[0] = sigma_max
    if (levels.diff() >= 0).any():
        raise UsageError(
            f"{n_steps} noise levels between {sigma_min!r} and {sigma_max!r} coincide, they must fall strictly: "
            "ask for fewer steps or a wider range"
        )
    return torch.cat([levels, levels.new_zeros(1)])
