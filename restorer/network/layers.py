"""Layers that keep magnitudes (Karras et al., "Analyzing and improving the training dynamics of diffusion models",
2024): weights of unit norm per output, activations and sums rescaled, so that unit variance in gives unit variance
out and no normalisation of activations is needed, which would erase how loud a note is against the noise.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, silu

SILU_GAIN = 1 / 0.596
"""1 / the root mean square of silu(z), z standard normal."""


class Conv(nn.Module):
    """A 2-d convolution over (frequency, time), "same" size at stride 1, without bias, whose weights act with norm 1.

    scale: the factor on a unit-variance input; the layers fold the gain of what stands before and after into it.
    weight: (outputs, inputs * kernel height * kernel width), a row for each output, as what learns it wants matrices.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int] = (1, 1), dilation: int = 1, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.shape = (outputs, inputs, *kernel)
        self.weight = nn.Parameter(torch.randn(outputs, inputs * kernel[0] * kernel[1]))
        self.padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
        self.dilation = (dilation, 1)
        self.scale = scale

    def unit_weight(self, dtype: torch.dtype) -> Tensor:
        unit = self.weight * (self.scale / torch.linalg.vector_norm(self.weight, dim=1, keepdim=True))
        return unit.view(self.shape).to(dtype, memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.unit_weight(x.dtype), padding=self.padding, dilation=self.dilation)


class Halve(nn.Module):
    """Half the frames: pairs of frames become channels, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(2 * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(fold(x, 2))


class Double(nn.Module):
    """Twice the frames: the inverse of Halve's folding, after a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = Conv(inputs, 2 * outputs, scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        return unfold(self.conv(x), 2)


class Block(nn.Module):
    """Residual block: two 3x3 convolutions, dilated in frequency, with the noise level as a gain between them.

    The sum keeps unit variance: (1 - share) x + share h, rescaled. The paper named above has a share of 0.3; here few
    blocks follow each other (five in a row stay within 3 dB, ten do not).
    """

    share = 0.5

    def __init__(self, channels: int, dilations: tuple[int, int], condition: int) -> None:
        super().__init__()
        norm = math.hypot(1 - self.share, self.share)
        self.keep = (1 - self.share) / norm
        self.first = Conv(channels, channels, (3, 3), dilations[0], scale=SILU_GAIN)
        self.second = Conv(channels, channels, (3, 3), dilations[1], scale=SILU_GAIN * self.share / norm)
        self.gain = nn.Linear(condition, channels)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (batch, channels, bands, frames), condition (batch, condition) -> like x."""
        gain = (1 + self.gain(condition))[:, :, None, None].to(x.dtype)
        h = self.second(silu(self.first(silu(x)) * gain))
        return torch.add(h, x, alpha=self.keep)


class NoiseEmbedding(nn.Module):
    """c_noise (batch,) -> condition (batch, size): fixed random Fourier features, then one layer.

    A quarter as fast as EDM's: about one wave for all levels, so that what one level learns serves those beside it.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, size: int, features: int = 64) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi / 2 * torch.randn(features))
        self.register_buffer("phases", 2 * math.pi * torch.rand(features))
        self.linear = nn.Linear(features, size)

    def forward(self, c_noise: Tensor) -> Tensor:
        waves = math.sqrt(2) * torch.cos(torch.outer(c_noise, self.frequencies) + self.phases)
        return silu(self.linear(waves))


def fold(x: Tensor, factor: int) -> Tensor:
    """(batch, channels, bands, frames) -> (batch, factor * channels, bands, frames / factor); free in channels_last."""
    batch, channels, bands, frames = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch, bands, frames // factor, factor * channels)
    return rows.permute(0, 3, 1, 2)


def unfold(x: Tensor, factor: int) -> Tensor:
    """The inverse of fold."""
    batch, channels, bands, frames = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch, bands, frames * factor, channels // factor)
    return rows.permute(0, 3, 1, 2)
