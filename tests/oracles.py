"""Denoisers known in closed form: priors that are Gaussian, in which every step of a sampler can be checked by hand."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Oracle = Callable[[Tensor, Tensor], Tensor]


def white_gaussian(std: float) -> Oracle:
    """The exact denoiser of white Gaussian music of deviation s: `E[clean | x] = x s^2 / (s^2 + sigma^2)`."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return x * (std**2 / (std**2 + sigma[:, None] ** 2))

    return denoise


def spectral_gaussian(spectrum: Tensor) -> Oracle:
    """The exact denoiser of stationary Gaussian music, `E[clean | X] = X S / (S + sigma^2)` in every bin of the rfft.

    spectrum: S (time // 2 + 1,), the variance of every orthonormal bin.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        wiener = spectrum.to(x) / (spectrum.to(x) + sigma[:, None] ** 2)
        clean: Tensor = torch.fft.irfft(torch.fft.rfft(x) * wiener, n=x.shape[-1])
        return clean

    return denoise


def white_flow(x: Tensor, std: float, sigma_from: float, sigma_to: float = 0.0) -> Tensor:
    """Where the probability-flow equation of `white_gaussian(std)` takes x: its variance stays std^2 + sigma^2."""
    return x * math.sqrt((std**2 + sigma_to**2) / (std**2 + sigma_from**2))


def spectral_flow(x: Tensor, spectrum: Tensor, sigma_from: float, sigma_to: float = 0.0) -> Tensor:
    """Where the probability-flow equation of `spectral_gaussian(spectrum)` takes x."""
    gain = ((spectrum + sigma_to**2) / (spectrum + sigma_from**2)).sqrt()
    moved: Tensor = torch.fft.irfft(torch.fft.rfft(x) * gain.to(x), n=x.shape[-1])
    return moved


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """||actual - expected|| / ||expected||."""
    return float(torch.linalg.vector_norm(actual - expected) / torch.linalg.vector_norm(expected))
