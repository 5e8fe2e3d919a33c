"""What a training step minimises, and the same loss on windows and noise that never change."""

import numpy as np
import torch
from torch import Tensor, nn

from restorer.diffusion.denoiser import log_normal_levels
from restorer.prior import Prior
from restorer.training.settings import Excerpts, TrainSettings

RAREST = 0.006
"""Share of the noise levels left out at either end: seldom met, they upset the network and teach it little."""

VALIDATION_LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Objective(nn.Module):
    """From raw excerpts to the loss: whitening, level, noise."""

    def __init__(self, prior: Prior, settings: TrainSettings) -> None:
        super().__init__()
        self.prior = prior
        self.settings = settings

    def forward(self, excerpts: Tensor, uniform: Tensor, loudness: Tensor, noise: Tensor) -> Tensor:
        """excerpts (batch, length + 2 margin), and what `draw` draws for them -> the batch's mean loss, a scalar."""
        x = brought_to_level(self.prior, self.prior.whitening.cut(excerpts))
        x = x * 10 ** (self.settings.loudness_std_db / 20 * loudness[:, None])
        sigma = self.prior.sigma_data * log_normal_levels(uniform, self.settings.level_mean, self.settings.level_std)
        return self.prior.denoiser.loss(x, sigma, noise).mean()


def draw(seed: int, step: int, rank: int, batch: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform (batch,), loudness (batch,) and noise (batch, length): a function of the arguments, on the CPU."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]
    random = torch.Generator().manual_seed(int(state))
    uniform = RAREST + (1 - 2 * RAREST) * torch.rand(batch, generator=random)
    return uniform, torch.randn(batch, generator=random), torch.randn(batch, length, generator=random)


def brought_to_level(prior: Prior, x: Tensor) -> Tensor:
    """Windows (batch, time) at the prior's level; silence, which has none, stays silent."""
    level = prior.level(x)
    return torch.where(level > 0, x * (prior.sigma_data / level), x)


def validation_batch(prior: Prior, excerpts: Excerpts, count: int) -> Tensor:
    """(count, length): the first excerpts, whitened, at the prior's level."""
    waves = torch.stack([torch.from_numpy(excerpts.excerpt(i)) for i in range(count)])
    return brought_to_level(prior, prior.whitening.cut(waves.to(prior.device)))


@torch.no_grad()
def validate(prior: Prior, windows: Tensor) -> dict[float, float]:
    """The loss at each noise level (times sigma_data), for whitened windows and noise that never change."""
    losses = {}
    for i, level in enumerate(VALIDATION_LEVELS):
        random = torch.Generator().manual_seed(i)
        parts = []
        for x in windows.split(8):
            noise = torch.randn(x.shape, generator=random).to(x.device)
            parts.append(prior.denoiser.loss(x, torch.full((len(x),), level * prior.sigma_data).to(x), noise))
        losses[level] = float(torch.cat(parts).mean())
    return losses
