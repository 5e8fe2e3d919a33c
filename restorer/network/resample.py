"""Halving and doubling the frames by band-limited interpolation, with the kernels that the reference network stores.

A Hann-windowed sinc of six zero crossings on either side, cut off at 0.99 of the lower Nyquist frequency (J. O. Smith,
"Digital audio resampling", 2002): the default of torchaudio.transforms.Resample, whose buffers the checkpoint holds.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ZERO_CROSSINGS = 6
ROLLOFF = 0.99


class Resample(nn.Module):
    """`up` points for every `down` points on the last axis, a ratio in lowest terms; n points become ceil(n up / down).

    kernel: (up, 1, taps), one row of taps for each output point of a period of `down` input points.
    """

    kernel: Tensor

    def __init__(self, up: int, down: int) -> None:
        super().__init__()
        self.up = up
        self.down = down
        self.reach = math.ceil(ZERO_CROSSINGS * down / (ROLLOFF * min(up, down)))
        self.register_buffer("kernel", resampling_kernel(up, down, self.reach))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., ceil(n up / down)); what lies beyond the ends counts as 0."""
        points = math.ceil(x.shape[-1] * self.up / self.down)
        rows = functional.pad(x.reshape(-1, 1, x.shape[-1]), (self.reach, self.reach + self.down))
        phases = functional.conv1d(rows, self.kernel.to(rows.dtype), stride=self.down)
        return phases.transpose(1, 2).reshape(*x.shape[:-1], -1)[..., :points]


def resampling_kernel(up: int, down: int, reach: int) -> Tensor:
    """(up, 1, 2 reach + down), float32: windowed sinc seen from each output point, `reach` input points either side."""
    cutoff = ROLLOFF * min(up, down)
    inputs = torch.arange(-reach, reach + down, dtype=torch.float64) / down
    outputs = torch.arange(up, dtype=torch.float64) / up
    crossings = (cutoff * (inputs - outputs[:, None])).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(math.pi / 2 * crossings / ZERO_CROSSINGS) ** 2
    return (cutoff / down * window * torch.sinc(crossings))[:, None].float()
