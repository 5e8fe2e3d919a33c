"""Solvers of the probability flow dx/dsigma = (x - D(x, sigma)) / sigma, and of its stochastic twins, down to music.

They know neither measurements nor networks: a measurement has already changed the denoiser (guidance.py).
Shapes: x (batch, time); sigmas (steps + 1,) strictly falling, as edm_schedule gives them. A schedule cut off before
its 0 is solved down to its last level. Every item is solved for itself; the denoiser gets sigma as (batch,), like x.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from restorer.diffusion.denoiser import Denoiser

Noise = Callable[[int], Tensor]
"""Standard normal noise for a step of the schedule, shaped like x."""

Corrector = Callable[[Tensor, float, int], Tensor]
"""(x, sigma, i) -> what x becomes at the i-th level, sigma, before the denoiser hears it."""

_GAMMA_MAX = math.sqrt(2) - 1

_DAMPING = 0.75
"""Of the extrapolation where steps carry noise. An estimate bends over steps as long as a preset's: in full it makes
Gaussian music 1 dB too loud in nine steps from sigma 5, 0.6 in twelve; so it is 0.3 or 0.2 dB too soft. Long gaps,
whose windows hear each other, had swollen by 10 dB in eight seconds."""


@torch.no_grad()
def heun(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    churn: float = 0.0,
    s_noise: float = 1.0,
    corrector: Corrector | None = None,
    progress: Callable[[], None] | None = None,
) -> Tensor:
    """Stochastic second-order sampler (Karras et al. 2022, Algorithm 2, S_tmin = 0, S_tmax = inf); x is at sigmas[0].

    churn is S_churn: every step first raises the noise by the factor 1 + min(churn / steps, sqrt(2) - 1), with noise(i)
    times s_noise. Without churn the sampler is deterministic and never calls noise. The error falls with the square of
    the number of steps. T steps take 2T - 1 evaluations, and progress() is called after each.
    The step to 0 returns the denoiser's estimate itself, to the bit: what data consistency has put there stays.
    """
    evaluate = _evaluator(denoiser, progress)
    gamma = min(churn / (len(sigmas) - 1), _GAMMA_MAX)
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas.tolist())):
        if corrector is not None:
            x = corrector(x, sigma, i)
        sigma_hat = sigma * (1 + gamma)
        if gamma > 0:
            x = x + s_noise * math.sqrt(sigma_hat**2 - sigma**2) * noise(i)
        denoised = evaluate(x, sigma_hat)
        if sigma_next == 0:
            return denoised
        slope = (x - denoised) / sigma_hat
        x_next = x + (sigma_next - sigma_hat) * slope
        slope_next = (x_next - evaluate(x_next, sigma_next)) / sigma_next
        x = x + (sigma_next - sigma_hat) * (slope + slope_next) / 2
    return x


@torch.no_grad()
def dpm2m(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise | None = None,
    corrector: Corrector | None = None,
    progress: Callable[[], None] | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2) with alpha = 1 and lambda = -ln(sigma); x is at sigmas[0].

    Solves the linear part exactly and extrapolates the denoised estimate in lambda from the step before: the error
    falls with the square of the number of steps. The first step and the step to 0 (infinitely long in lambda) are of
    first order; the latter returns the denoiser's estimate itself. T steps take T evaluations, progress() after each.

    With noise it is SDE-DPM-Solver++(2M) (the same paper, the reverse equation with noise): step i takes away more of
    the noise in x than the next level asks for, and puts noise(i) in its place. What was decided wrongly at one level
    can so be mended at the next; without noise it stays. Where we differ: the extrapolation is damped.
    """
    evaluate = _evaluator(denoiser, progress)
    share = 1.0 if noise is None else _DAMPING
    denoised_last, h_last = None, math.nan
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas.tolist())):
        if corrector is not None:
            x = corrector(x, sigma, i)
        denoised = evaluate(x, sigma)
        if sigma_next == 0:
            return denoised
        h = math.log(sigma / sigma_next)
        target = denoised
        if denoised_last is not None:
            target = denoised + share * ((denoised - denoised_last) * h / (2 * h_last))
        kept = sigma_next / sigma
        if noise is None:
            x = target + kept * (x - target)
        else:
            x = target + kept**2 * (x - target) + sigma_next * math.sqrt(1 - kept**2) * noise(i)
        denoised_last, h_last = denoised, h
    return x


def _evaluator(denoiser: Denoiser, progress: Callable[[], None] | None) -> Callable[[Tensor, float], Tensor]:
    """The denoiser at one level for the whole batch, which reports every evaluation."""

    def evaluate(x: Tensor, sigma: float) -> Tensor:
        denoised = denoiser(x, x.new_full((len(x),), sigma))
        if progress is not None:
            progress()
        return denoised

    return evaluate
