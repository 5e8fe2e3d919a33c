"""The constant-Q transform of a frame: invertible, differentiable, without a loop over bands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restorer.dsp.frame import Frame, Group, Ints


class ConstantQ(nn.Module):
    """Forward and inverse transform of real signals of `frame.length` samples.

    inverse(forward(x)) is x to rounding, for any real x, DC and Nyquist included. Works in the precision of its input
    (float32 or float64; half precisions have no FFT); its tables follow the module's device.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.length = frame.length
        self._shapes = [(group.bands, group.frames) for group in frame.groups]
        self._analysis = _Links(_stack(frame.groups, "bins"), _stack(frame.groups, "analysis"), frame.length)
        self._synthesis = _Links(_stack(frame.groups, "bins"), _stack(frame.groups, "synthesis"), frame.length // 2 + 1)

    @property
    def bands(self) -> int:
        """Of all groups together."""
        return sum(bands for bands, _ in self._shapes)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (..., length) -> one complex tensor (..., bands, frames) per group of the frame."""
        if x.shape[-1] != self.length:
            raise ValueError(f"this transform is for {self.length} samples, got {x.shape[-1]}: cut or pad the signal")
        points = self._analysis.spread(torch.fft.fft(x))
        sizes = [bands * frames for bands, frames in self._shapes]
        parts = torch.split(points, sizes, dim=-1)
        return [torch.fft.ifft(part.unflatten(-1, shape)) for part, shape in zip(parts, self._shapes, strict=True)]

    def inverse(self, coefficients: Sequence[Tensor]) -> Tensor:
        """One complex tensor (..., bands, frames) per group -> real (..., length)."""
        points = torch.cat([torch.fft.fft(group).flatten(-2) for group in coefficients], dim=-1)
        return torch.fft.irfft(self._synthesis.gather(points), n=self.length)


def _stack(groups: Sequence[Group], field: str) -> Any:
    return np.concatenate([getattr(group, field).ravel() for group in groups])


class _Links(nn.Module):
    """A sparse real matrix between spectrum bins and points of the bands, and its transpose, both as gathers.

    A scatter-add is slow on a CPU and unordered on a GPU, so the transpose is a table too: for every bin, the points
    that it is linked with (few: bands overlap pairwise), padded with weight 0.
    """

    point_bin: Tensor
    point_weight: Tensor
    bin_points: Tensor
    bin_weights: Tensor

    def __init__(self, bins: Ints, weights: np.ndarray[Any, Any], n_bins: int) -> None:
        super().__init__()
        used = np.flatnonzero(weights)
        used = used[np.argsort(bins[used], kind="stable")]
        counts = np.bincount(bins[used], minlength=n_bins)
        rank = np.arange(len(used)) - np.repeat(np.cumsum(counts) - counts, counts)
        points = np.zeros((counts.max(), n_bins), dtype=np.int64)
        table = np.zeros(points.shape)
        points[rank, bins[used]] = used
        table[rank, bins[used]] = weights[used]
        safe = np.where(weights == 0, 0, bins)
        # float64 tables: cast to the precision of the signal at use, so that one module serves both.
        self.register_buffer("point_bin", torch.from_numpy(safe), persistent=False)
        self.register_buffer("point_weight", torch.from_numpy(np.asarray(weights, dtype=np.float64)), persistent=False)
        self.register_buffer("bin_points", torch.from_numpy(points), persistent=False)
        self.register_buffer("bin_weights", torch.from_numpy(table), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> "_Links":
        """Follow the device, not the dtype: `.to(torch.bfloat16)` of a network must not round its transform."""
        for name, buffer in self._buffers.items():
            assert buffer is not None
            self._buffers[name] = buffer.to(device=fn(torch.empty(0, device=buffer.device)).device)
        return self

    def spread(self, spectrum: Tensor) -> Tensor:
        """(..., bins) -> (..., points)"""
        return _Spread.apply(spectrum, self)  # type: ignore[no-untyped-call]

    def gather(self, points: Tensor) -> Tensor:
        """(..., points) -> (..., bins), the transpose of spread."""
        return _Gather.apply(points, self)  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, links: _Links) -> Tensor:
        ctx.links = links
        return spectrum[..., links.point_bin] * links.point_weight.to(spectrum.real.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(grad, ctx.links), None  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, links: _Links) -> Tensor:
        ctx.links = links
        weights = links.bin_weights.to(points.real.dtype)
        total = points[..., links.bin_points[0]] * weights[0]
        for index, weight in zip(links.bin_points[1:], weights[1:], strict=True):
            total = total + points[..., index] * weight
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Spread.apply(grad, ctx.links), None  # type: ignore[no-untyped-call]
