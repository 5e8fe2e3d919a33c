"""What a denoiser is, how a network becomes one, and how it learns (EDM: Karras, Aittala, Aila, Laine 2022)."""

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from restorer.dsp.known import Known


class Denoiser(Protocol):
    """D(x, sigma): the expected clean signal, given x = clean + sigma * white noise.

    x: (batch, time); sigma: (batch,), positive; returns (batch, time). The score is (D(x, sigma) - x) / sigma**2.
    """

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor: ...


LEAST_VARIANCE = 0.02
"""Of an item, re the data's: what keeps the loss of silence finite."""

CFG_SCALE = 2.0
"""Of classifier-free guidance (cfg): how many times what hearing changes counts. More brings partials, and hardness."""

CFG_LEVELS = (0.22, 0.3, 1.8, 2.4)
"""Of noise, re the data's standard deviation: guidance begins, is whole, is no longer whole, ends."""


class Preconditioned(nn.Module):
    """A denoiser from a network F: D = c_skip x + c_out F(c_in x, c_noise), so that F sees and aims at unit variance.

    c_skip = sd^2 / (sd^2 + s^2), c_out = s sd / sqrt(sd^2 + s^2), c_in = 1 / sqrt(sd^2 + s^2), c_noise = ln(s) / 4
    for the noise level s and the data's standard deviation sd (EDM, Table 1).
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, known: Known | None = None) -> Tensor:
        """x (batch, time), sigma (batch,) -> the denoised estimate (batch, time).

        known: what of x carries no noise: it comes back as it is, and the network, which is told, sees it at unit
        variance too. A level of noise for every place instead of one for all; the rest is EDM's.

        A trained network's estimate is then guided: `D = C + (w - 1) (C - U)` for the expected music C, given what is
        known, the expected music U with nothing but noise in its place, and `cfg_scales` w. Exact denoisers need
        no guidance; one that learned for hours believes what it hears too little: each note of the lows makes its
        partials somewhat too improbable, and what a sampler decides by that adds up. See `expected`.
        """
        s = sigma[:, None]
        total = (self.sigma_data**2 + s**2).sqrt()
        c_skip, c_out, c_noise = self.sigma_data**2 / total**2, s * self.sigma_data / total, sigma.log() / 4
        if known is None:
            return c_skip * x + c_out * self.network(x / total, c_noise)
        seen = known.put(x / self.sigma_data, x / total)
        return known.put(x, c_skip * x + c_out * self.network(seen, c_noise, known))

    def expected(self, x: Tensor, sigma: Tensor, known: Known, noise: Tensor) -> Tensor:
        """The expected music, given what is known, not guided: `C = D + (1 / w - 1) (D - U)`, (batch, time).

        noise: (batch, time), standard normal, stands for what is known where U is to guess without it. By it a network
        learns to speak guided, which then costs no second evaluation: what is held against the truth is C, and U,
        which learns where nothing is known, is left alone (Chen, Jiang, Zheng, Chen, Su, Zhu 2025, guidance-free
        training; guidance itself is classifier-free, Ho and Salimans 2022, within an interval of noise levels,
        Kynkaanniemi et al. 2024).
        """
        guided = self(x, sigma, known)
        scales = torch.where(known.where.any(-1), cfg_scales(sigma / self.sigma_data), 1.0)
        # A GPU asks of all: it would have to wait until it is known which are guided.
        rows = torch.arange(len(x), device=x.device) if x.is_cuda else (scales > 1).nonzero()[:, 0]
        if not len(rows):
            return guided
        guess = guided.detach().clone()
        with torch.no_grad():
            unheard = known.put(sigma[:, None] * noise, x)
            guess[rows] = self(unheard[rows], sigma[rows])
        return guided + (1 / scales - 1)[:, None] * known.rest(guided - guess)

    def loss(
        self, x: Tensor, sigma: Tensor, noise: Tensor, known: Known | None = None, emphasis: Tensor | None = None
    ) -> Tensor:
        """The mean square error of each item (batch,), weighed by 1 / c_out^2: about 1 for a network that says nothing.

        x: clean (batch, time); sigma: (batch,); noise: (batch, time), standard normal; known: what it leaves alone, and
        what does not count; emphasis: (time // 2 + 1,), what errors count at each frequency, a gain. Least for the
        expected clean signal, whatever the emphasis; where something is known it is `expected` that is held against x.

        c_out here is that of the item's own variance: with the data's (EDM), a loud window would count hundreds of
        times as much as a soft one at high levels, and the network would learn little but the loud. The variance is
        estimated from what the network sees: a weight that knew more about x than the network does would move the best
        denoiser away from the expected clean signal, towards the soft.
        """
        if known is None:
            noisy = unknown = x + sigma[:, None] * noise
            share, error = torch.ones_like(sigma), self(noisy, sigma) - x
        else:
            noisy = x + sigma[:, None] * known.rest(noise)
            unknown, share = known.rest(noisy), known.rest_share()
            error = self.expected(noisy, sigma, known, noise) - x
        # the standard deviation of the noise's own mean square
        uncertainty = sigma**2 * (2 / (share * x.shape[-1])).sqrt()
        least = (3 * uncertainty).clamp(min=LEAST_VARIANCE * self.sigma_data**2)
        variance = torch.maximum(unknown.square().mean(-1) / share - sigma**2, least)
        weight = 1 / variance + 1 / sigma**2
        if emphasis is not None:
            error = torch.fft.irfft(torch.fft.rfft(error) * emphasis, n=x.shape[-1])
            share = emphasis.square().mean() if known is None else known.rest_share(emphasis)
        return weight * error.square().mean(-1) / share


def log_normal_levels(uniform: Tensor, mean: float, std: float) -> Tensor:
    """Noise levels whose logarithm is N(mean, std^2), from uniform numbers in (0, 1): the training's distribution."""
    return (mean + std * torch.special.ndtri(uniform)).exp()


def cfg_scales(levels: Tensor) -> Tensor:
    """CFG_SCALE within CFG_LEVELS, 1 outside, and at their edges linear in the logarithm of the level."""
    begins, whole, fades, ends = (math.log(level) for level in CFG_LEVELS)
    log = levels.log()
    share = torch.minimum((log - begins) / (whole - begins), (ends - log) / (ends - fades)).clamp(0, 1)
    return 1 + (CFG_SCALE - 1) * share
