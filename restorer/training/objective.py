"""What a training step minimises, and the same loss on windows and noise that never change."""

import numpy as np
import torch
from torch import Tensor, nn

from restorer.diffusion.denoiser import log_normal_levels
from restorer.dsp.known import Known
from restorer.prior import Prior
from restorer.training.settings import Excerpts, TrainSettings

RAREST = 0.006
"""Share of the noise levels left out at either end: seldom met, they upset the network and teach it little."""

OCTAVES = 8
"""Below Nyquist, that count alike in the loss; what is deeper counts with the lowest."""

CUTOFFS = (0.01, 0.6)
"""Of windows without highs, as shares of Nyquist."""

GAPS = (0.05, 1.0)
"""The spans that are lost, as shares of a window; of those at its ends only a part."""

VALIDATION_LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

VALIDATION_KNOWN = (("highs", 1 / 16, 0.0), ("gap", 1.0, 1 / 4))
"""What is validated besides: a name, below which share of Nyquist all is known, the share of a window that is a gap."""

KNOWN_LEVELS = (1.0, 3.0)

CPU = torch.device("cpu")

_AT_ONCE = 8


class Objective(nn.Module):
    """From raw excerpts to the loss: whitening, level, noise."""

    emphasis: Tensor

    def __init__(self, prior: Prior, settings: TrainSettings) -> None:
        super().__init__()
        self.prior = prior
        self.settings = settings
        self.register_buffer("emphasis", octaves_alike(prior.length), persistent=False)

    def forward(self, excerpts: Tensor, uniform: Tensor, loudness: Tensor, noise: Tensor, known: Known) -> Tensor:
        """excerpts (batch, length + 2 margin), and what `draw` draws for them -> the batch's mean loss, a scalar."""
        x = brought_to_level(self.prior, self.prior.whitening.cut(excerpts))
        x = x * 10 ** (self.settings.loudness_std_db / 20 * loudness[:, None])
        sigma = self.prior.sigma_data * log_normal_levels(uniform, self.settings.level_mean, self.settings.level_std)
        told, emphasis = known if self.prior.told else None, self.emphasis if self.prior.whitened else None
        return self.prior.denoiser.loss(x, sigma, noise, told, emphasis).mean()


def octaves_alike(length: int) -> Tensor:
    """(length // 2 + 1,): gains by which white noise becomes pink: each of its octaves as strong as the next.

    Whitened music is as white as noise, and half of it lies in the highest octave, where there is little but hiss; the
    partials that are heard best would count least.
    """
    place = torch.linspace(0, 1, length // 2 + 1).clamp(min=2.0**-OCTAVES)
    return place.rsqrt() / place.reciprocal().mean().sqrt()


def draw(
    seed: int, step: int, rank: int, batch: int, length: int, device: torch.device = CPU
) -> tuple[Tensor, Tensor, Tensor, Known]:
    """Uniform (batch,), loudness (batch,), noise (batch, length) and what is known of the windows: a function of the
    arguments, drawn where it is needed, for a GPU would wait for the noise of a large batch; other numbers on a GPU
    than on the CPU."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]
    random = torch.Generator(device).manual_seed(int(state))
    uniform = RAREST + (1 - 2 * RAREST) * torch.rand(batch, generator=random, device=device)
    loudness = torch.randn(batch, generator=random, device=device)
    noise = torch.randn(batch, length, generator=random, device=device)
    return uniform, loudness, noise, draw_known(random, batch, length)


def draw_known(random: torch.Generator, batch: int, length: int) -> Known:
    """Of windows that have lost all (three of ten, as when the prior plays by itself), their highs, a span, or both."""
    kind, cutoff, size, centre = torch.rand(4, batch, generator=random, device=random.device)
    highs, gap, nothing = kind < 0.43, (kind > 0.35) & (kind < 0.7), kind >= 0.7
    below = torch.where(highs, _between(CUTOFFS, cutoff), 1.0)
    distance = (torch.linspace(0, 1, length, device=random.device) - centre[:, None]).abs()
    lost = gap[:, None] & (distance < _between(GAPS, size)[:, None] / 2)
    return Known(below, (~(lost | nothing[:, None])).float())


def _between(bounds: tuple[float, float], uniform: Tensor) -> Tensor:
    """From uniform numbers in 0..1, numbers whose logarithm is uniform."""
    low, high = bounds
    return low * (high / low) ** uniform


def brought_to_level(prior: Prior, x: Tensor) -> Tensor:
    """Windows (batch, time) at the prior's level; silence, which has none, stays silent."""
    level = prior.level(x)
    return torch.where(level > 0, x * (prior.sigma_data / level), x)


def validation_batch(prior: Prior, excerpts: Excerpts, count: int) -> Tensor:
    """(count, length): the first excerpts, whitened, at the prior's level."""
    waves = torch.stack([torch.from_numpy(excerpts.excerpt(i)) for i in range(count)])
    return brought_to_level(prior, prior.whitening.cut(waves.to(prior.device)))


@torch.no_grad()
def validate(prior: Prior, windows: Tensor) -> dict[str, float]:
    """The loss at each noise level (times sigma_data), for whitened windows and noise that never change.

    By name: "0.1" where all is noise; "highs_1.0", "gap_1.0" where the lows, or what lies around a gap, are known.
    """
    losses = {str(level): _loss(prior, windows, level, i) for i, level in enumerate(VALIDATION_LEVELS)}
    for name, below, gap in VALIDATION_KNOWN if prior.told else ():
        heard = torch.linspace(-0.5, 0.5, windows.shape[-1], device=windows.device).abs() >= gap / 2
        known = Known(windows.new_full((len(windows),), below), heard.to(windows).expand_as(windows))
        for i, level in enumerate(KNOWN_LEVELS):
            losses[f"{name}_{level}"] = _loss(prior, windows, level, i, known)
    return losses


def _loss(prior: Prior, windows: Tensor, level: float, seed: int, known: Known | None = None) -> float:
    random = torch.Generator().manual_seed(seed)
    parts = []
    for first in range(0, len(windows), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        x = windows[some]
        noise = torch.randn(x.shape, generator=random).to(x.device)
        sigma = torch.full((len(x),), level * prior.sigma_data).to(x)
        told = None if known is None else Known(known.below[some], known.where[some])
        parts.append(prior.denoiser.loss(x, sigma, noise, told))
    return float(torch.cat(parts).mean())
