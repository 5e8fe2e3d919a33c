"""The short-time Fourier transform in the shape of the constant-Q one: to see what the latter is worth in a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ShortTimeFourier(nn.Module):
    """Forward and inverse transform of real signals of `length` samples: Hann windows of `size`, `hop` samples apart.

    inverse(forward(x)) is x to rounding. White noise of unit variance has coefficients of unit variance. Works in the
    precision of its input (float32 or float64). hop: at most half of size.
    """

    window: Tensor

    def __init__(self, length: int, size: int, hop: int) -> None:
        super().__init__()
        self.length, self.size, self.hop = length, size, hop
        window = torch.hann_window(size, dtype=torch.float64)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)

    @property
    def bands(self) -> int:
        return self.size // 2 + 1

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (batch, length) -> one complex tensor (batch, bands, frames), mirrored at the ends."""
        if x.shape[-1] != self.length:
            raise ValueError(f"this transform is for {self.length} samples, got {x.shape[-1]}: cut or pad the signal")
        window = self.window.to(x)
        return [torch.stft(x, self.size, self.hop, window=window, pad_mode="reflect", return_complex=True)]

    def inverse(self, coefficients: Sequence[Tensor]) -> Tensor:
        """One complex tensor (batch, bands, frames) -> real (batch, length)."""
        (group,) = coefficients
        return torch.istft(group, self.size, self.hop, window=self.window.to(group.real), length=self.length)
