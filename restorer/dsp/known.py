"""What of a window is known for certain, while the rest of it drowns in noise."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Known:
    """What is known of windows (batch, time): all below a frequency, as long as something was heard.

    below: (batch,), that frequency as a share of Nyquist, 0 to 1. where: (batch, time), 1 where it was heard, else 0.
    """

    below: Tensor
    where: Tensor

    def part(self, x: Tensor) -> Tensor:
        """(batch, time): what of x (batch, time) is known. Linear in x."""
        length = x.shape[-1]
        place = torch.linspace(0, 1, length // 2 + 1, dtype=x.dtype, device=x.device)
        low = torch.fft.irfft(torch.fft.rfft(x) * (place <= self.below[:, None]), n=length)
        return self.where * low

    def rest(self, x: Tensor) -> Tensor:
        """(batch, time): what of x (batch, time) is not known."""
        return x - self.part(x)

    def put(self, known: Tensor, x: Tensor) -> Tensor:
        """x, with the known part of `known` in place of its own; all (batch, time)."""
        return x + self.part(known - x)

    def rest_share(self, emphasis: Tensor | None = None) -> Tensor:
        """(batch,): the power of the rest of white noise of unit variance.

        emphasis: (time // 2 + 1,), gains with which the noise is heard.
        """
        bins = self.where.shape[-1] // 2 + 1
        power = self.where.new_ones(bins) if emphasis is None else emphasis.square().to(self.where)
        low = torch.linspace(0, 1, bins, dtype=power.dtype, device=power.device) <= self.below[:, None]
        return power.mean() - (power * low).mean(-1) * self.where.mean(-1)

    def cells(self, places: Tensor, frames: int) -> Tensor:
        """(batch, bands, frames): the share of time in which each cell of a transform is known.

        places: (bands,), the bands' centres as shares of Nyquist. frames divides the window; frame i is centred at its
        i-th part.
        """
        centred = self.where.roll(self.where.shape[-1] // (2 * frames), -1)
        heard = centred.unflatten(-1, (frames, -1)).mean(-1)
        return (places <= self.below[:, None])[:, :, None] * heard[:, None]
