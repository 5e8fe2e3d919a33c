"""Hearing a measurement y = A(x): each function turns a denoiser into one that knows it.

They compose, in this order: `consistent(guided(told(...), [m], strength), m)`.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from restorer.degradation.operator import Measurement, require_consistency
from restorer.diffusion.denoiser import Denoiser
from restorer.dsp.known import Known
from restorer.errors import UsageError


def told(denoiser: Callable[[Tensor, Tensor, Known], Tensor], known: Known, heard: Tensor) -> Denoiser:
    """What is known of `heard` (batch, time) is put into x without noise, and the denoiser told: `D'(x, s) = D(x', s)`.

    Else what is known would drown in the sampler's noise just where it matters most: at high levels, where it is
    decided what the unknown becomes. For a denoiser that learned with a noise level for every place
    (`Preconditioned.loss`) this is exact: the expected music, given what is known and the rest in noise.
    """

    def knowing(x: Tensor, sigma: Tensor) -> Tensor:
        return denoiser(known.put(heard, x), sigma, known)

    return knowing


def guided(denoiser: Denoiser, measurement: Measurement | Sequence[Measurement], strength: float) -> Denoiser:
    """Reconstruction guidance: pulls every item's estimate by an RMS of strength * sigma towards what was measured.

    `D'(x, s) = D(x, s) - strength s sqrt(N) G / ||G||`, with `G = grad_x ||y - A(D(x, s))||` of each item (N samples).
    Since score = (D - x) / s^2, the score gains `-xi(s) G` with `xi(s) = xi' sqrt(N) / (s ||G||)`, xi' = strength:
    a vector of length xi' sqrt(N) / s. Where we differ: the paper (Moliner et al. 2022) takes G of the squared norm and
    prints `xi(s) = xi' sqrt(N) / (s ||G||^2)`; its reference code takes G of the plain norm and divides once, as we do,
    but by the norm over the whole batch, which couples windows. Here a batch equals its items alone.

    Several measurements pull together: G is the gradient of the norm of all their residuals, one behind the other.
    An item whose gradient is zero (y = A(D) already, or A does not see it) stays where it is.
    Works under torch.no_grad (not in inference mode), needs no gradient from the caller and leaves no graph behind;
    costs one backward pass. Raises UsageError for a strength that is negative or not finite.
    """
    if not 0 <= strength < math.inf:
        raise UsageError(
            f"guidance strength {strength:g} must be finite and at least 0: the usual values are 0.1 to 0.5"
        )
    measurements = [measurement] if isinstance(measurement, Measurement) else list(measurement)
    assert measurements, "guidance without a measurement"
    measured = torch.cat([m.y for m in measurements], dim=-1)

    def pulled(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            estimate = denoiser(x, sigma)
            heard = torch.cat([m.degradation(estimate) for m in measurements], dim=-1)
        residual = measured - heard.detach()
        # -G is the Jacobian of A(D) applied backwards to the unit residual: no square root to differentiate at zero.
        (downhill,) = torch.autograd.grad(heard, x, grad_outputs=_unit(residual))
        return estimate.detach() + strength * math.sqrt(x.shape[-1]) * sigma[:, None] * _unit(downhill)

    return pulled


def consistent(denoiser: Denoiser, measurement: Measurement) -> Denoiser:
    """Data consistency: `D''(x, s) = A.project(D(x, s), y)`, the estimate corrected to agree with what was measured.

    Raises UsageError, at once, for a degradation without consistency.
    """
    degradation = require_consistency(measurement.degradation)

    def projected(x: Tensor, sigma: Tensor) -> Tensor:
        return degradation.project(denoiser(x, sigma), measurement.y)

    return projected


def _unit(v: Tensor) -> Tensor:
    """Every row (batch, n) at Euclidean length 1, and rows of zeros as they are.

    Scaled to a peak of 1 first, a row that is not zero has a length of at least 1: the two bounds act on rows of zeros
    only, and no small row underflows.
    """
    peak = v.abs().amax(dim=-1, keepdim=True)
    v = v / torch.where(peak > 0, peak, torch.ones_like(peak))
    length: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v / length.clamp(min=1)
