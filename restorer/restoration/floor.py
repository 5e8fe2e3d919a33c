"""The noise floor of what is missing: kept, step by step, where a sampler by itself would lose it."""

from collections.abc import Callable

import torch
from torch import Tensor

from restorer.diffusion.noise import FLOOR_STEP, KeyedNoise
from restorer.diffusion.sampler import Corrector
from restorer.prior import Audible, Prior

_BENEFIT = 10**0.1
"""Of the doubt: a floor is measured to a decibel. Else each step would add what chance alone has hidden."""


def keeping_floor(
    prior: Prior, whitened: Tensor, audible: Audible, missing: Callable[[Tensor], Tensor], noise: KeyedNoise
) -> Corrector:
    """Adds noise to a sampling wherever its floor lies below that of the noise level and of the floor to be expected.

    whitened: what was heard, (batch, length), and `audible` of it. missing: the part of a waveform that nothing was
    heard of. No step adds more than the floor itself.

    A denoiser hears through noise whether a floor is there: the power of a hundred thousand samples is known to half a
    percent. Long before a floor is as loud as the noise that half percent decides about it, and no network gets it
    right; the better a prior was trained, the surer it found that there is none, and what it restored was too clean.
    """
    expected = prior.floor(whitened, audible).square()

    def corrector(x: Tensor, sigma: float, i: int) -> Tensor:
        lacking = expected + sigma**2 - _BENEFIT * prior.inaudible_floor(x, audible).square()
        lacking = torch.minimum(lacking.clamp(min=0), expected).sqrt()
        added = torch.fft.irfft(torch.fft.rfft(noise(FLOOR_STEP - i)) * lacking, n=prior.length)
        return x + prior.whitening(missing(prior.whitening.inverse(added)))

    return corrector
