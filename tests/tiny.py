"""A prior small enough for tests: the exact denoiser of music that is white in the whitened domain."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from restorer.dsp.expected_floor import Floors
from restorer.dsp.known import Known
from restorer.dsp.noise_floor import band_count, measured_floors, noise_spectrum
from restorer.dsp.whiten import Whitening, design_equaliser
from restorer.prior import Audible


def _equaliser() -> Whitening:
    power = torch.linspace(1.0, 0.1, 513, dtype=torch.float64)
    return Whitening(design_equaliser(power, exponent=1.0, cap_db=30.0, n_taps=255))


def _white_floors() -> Floors:
    """The same for all bands and windows."""
    floors = Floors.unknown(band_count(8000))
    floors.mean.zero_()
    return floors


@dataclass
class WhitePrior:
    """What the engine asks of a Prior; the denoiser of white noise of standard deviation sigma_data."""

    sample_rate: int = 8000
    length: int = 4096
    sigma_data: float = 1.0
    told: bool = True
    whitening: Whitening = field(default_factory=_equaliser)
    floors: Floors = field(default_factory=_white_floors)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def level(self, x: Tensor, audible: Audible) -> Tensor:
        heard = audible.mask(x)
        highest = round(min(audible.below_hz, 1000.0) / self.sample_rate * self.length)
        low = torch.fft.rfft(x * heard)[..., 1:highest].abs().square().mean(-1, keepdim=True)
        return (low / heard.sum(-1, keepdim=True).clamp(min=1)).sqrt()

    def floor(self, x: Tensor, audible: Audible) -> Tensor:
        return torch.full((len(x), self.length // 2 + 1), self.sigma_data)

    def floor_spectrum(self, floors_db: Tensor) -> Tensor:
        return noise_spectrum(floors_db, self.length, self.sample_rate)

    def inaudible_floor(self, x: Tensor, audible: Audible) -> Tensor:
        db, _ = measured_floors(x, torch.ones_like(x) if audible.where is None else 1 - audible.where, self.sample_rate)
        return self.floor_spectrum(db)

    def __call__(self, x: Tensor, sigma: Tensor, known: Known | None = None) -> Tensor:
        variance = self.sigma_data**2
        estimate = x * (variance / (variance + sigma[:, None] ** 2))
        return estimate if known is None else known.put(x, estimate)
