"""What the paper's network (CQT-Diff, Moliner, Lehtinen, Välimäki 2022) is made of, under the names of its checkpoint.

Tensors: (batch, channels, bands, frames). Convolutions are narrow in time and dilated over the bands.
"""

import math
from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

HALF_POWER = 1 / math.sqrt(2)
"""Keeps the variance of a sum of two independent signals of equal variance."""

KERNEL = (5, 3)
"""Bands by frames."""


class Block(nn.Module):
    """The noise level as a gain per channel, a 1x1 convolution, residual convolutions of doubling dilation, residual.

    The residual is taken behind the gain.
    """

    def __init__(self, inputs: int, outputs: int, condition: int, layers: int) -> None:
        super().__init__()
        gain = nn.Linear(condition, inputs)
        nn.init.ones_(gain.bias)  # an untrained block passes its input on
        self.film = named("output_layer", gain)
        self.res_conv = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.H = nn.ModuleList(DilatedLayer(outputs, 2**layer) for layer in range(layers))
        self.first_conv = nn.Sequential(nn.GELU(), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (batch, inputs, bands, frames), condition (batch, condition) -> (batch, outputs, bands, frames)."""
        x = x * self.film(condition)[:, :, None, None]
        y = self.first_conv(x)
        for layer in self.H:
            y = layer(y)
        return torch.mul(y + self.res_conv(x), HALF_POWER)


class DilatedLayer(nn.Module):
    """(x + conv(gelu(x))) / sqrt 2, dilated over bands."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = band_conv(channels, channels, dilation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.mul(x + self.conv(functional.gelu(x)), HALF_POWER)


class NoiseEmbedding(nn.Module):
    """c_noise (batch,) -> condition (batch, size): fixed random Fourier features and a perceptron."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.RFF_freq = _fixed(16 * torch.randn(1, features))
        sizes = (2 * features, size // 4, size // 2, size)
        self.MLP = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, c_noise: Tensor) -> Tensor:
        angle = 2 * math.pi * c_noise[:, None] * self.RFF_freq
        h = torch.cat([angle.sin(), angle.cos()], dim=1)
        for layer in self.MLP:
            h = functional.relu(layer(h))
        return h


class BandEncoding(nn.Module):
    """Tells a convolution which row it is on: random Fourier features of the row number, as further channels.

    The features are stored next to their frequencies, as the checkpoint has them: an angle reaches 45,000 rad, where
    float32 is off by milliradians, so that features made anew elsewhere would not be quite those of the training.
    """

    def __init__(self, features: int, bands: int) -> None:
        super().__init__()
        self.RFF_freq = _fixed(16 * torch.randn(1, features))
        angle = 2 * math.pi * self.RFF_freq[..., None] * torch.arange(bands)
        self.embeddings = _fixed(torch.cat([angle.sin(), angle.cos()], dim=1))

    def forward(self, planes: Tensor) -> Tensor:
        """(batch, channels, bands, frames) -> (batch, channels + 2 features, bands, frames)."""
        rows = self.embeddings[..., None].expand(len(planes), -1, -1, planes.shape[-1])
        return torch.cat([planes, rows], dim=1)


def band_conv(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    """Same size; mirrored at the edges, in bands and in frames; no bias."""
    return nn.Conv2d(
        inputs, outputs, KERNEL, dilation=(dilation, 1), padding="same", padding_mode="reflect", bias=False
    )


def named(name: str, module: nn.Module) -> nn.Sequential:
    """`module` alone, one level down under `name`: only for the names of the checkpoint."""
    return nn.Sequential(OrderedDict([(name, module)]))


def _fixed(value: Tensor) -> nn.Parameter:
    """A parameter that is not trained; no buffer, because the reference counts it among its parameters."""
    return nn.Parameter(value, requires_grad=False)
