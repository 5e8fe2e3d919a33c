"""A prior: what is known of music before any measurement. Weights on disk become a denoiser of whitened windows."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from restorer.audio.whole import whole_file
from restorer.diffusion.denoiser import Preconditioned
from restorer.dsp.expected_floor import Floors
from restorer.dsp.known import Known
from restorer.dsp.noise_floor import band_count, counted_cells, heard_bands, measured_floors, noise_spectrum
from restorer.dsp.whiten import Whitening
from restorer.errors import UsageError, WeightsError
from restorer.network.cqtdiff import CqtDiff, short_time_fourier
from restorer.network.octave import OctaveConfig, OctaveNet
from restorer.shipped import DEFAULT_PRIOR, find_weights

FORMAT = "restorer-prior-5"
"""Of weights and trainings: told what is known, a prior of this format speaks guided."""

_ANY_FORMAT = "restorer-prior-"

LEVEL_BAND_HZ = 1000.0
"""Where the loudness of whitened music is measured: below it."""


@dataclass(frozen=True)
class Preset:
    """An architecture with the facts that its weights rely on.

    sigma_data: the standard deviation that windows are brought to. whitened: whether the prior needs an equaliser.
    told: whether the network can be told what of a window is known.
    """

    name: str
    build: Callable[[], nn.Module]
    sample_rate: int
    length: int
    sigma_data: float
    whitened: bool
    told: bool


PRESETS = {
    "harmonic-44k": Preset("harmonic-44k", lambda: OctaveNet(OctaveConfig()), 44100, 2**17, 1.0, True, True),
    "cqtdiff-22k": Preset("cqtdiff-22k", CqtDiff, 22050, 2**16, 0.057, False, False),
    "stft-22k": Preset("stft-22k", lambda: CqtDiff(transform=short_time_fourier()), 22050, 2**16, 0.057, False, False),
}


class Audible(NamedTuple):
    """What of windows can be trusted: what lies below below_hz, where `where` (batch, time) is 1 (None: everywhere)."""

    below_hz: float = math.inf
    where: Tensor | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is missing."""
        return math.isinf(self.below_hz) and self.where is None

    def mask(self, x: Tensor) -> Tensor:
        """`where` for windows x (batch, time)."""
        return torch.ones_like(x) if self.where is None else self.where

    def known(self, x: Tensor, sample_rate: float) -> Known:
        """The same of windows x (batch, time), as a denoiser is told."""
        below = min(1.0, 2 * self.below_hz / sample_rate)
        return Known(x.new_full((len(x),), below), self.mask(x))


ALL_AUDIBLE = Audible()


@dataclass(frozen=True)
class Card:
    """What a weights file says of itself: its preset, and facts about its making (data, licences, steps, losses)."""

    name: str
    preset: str
    facts: dict[str, Any]


class Prior(nn.Module):
    """A denoiser of windows (batch, length) in the whitened domain at sample_rate, at level sigma_data.

    `floors`: what noise floors to expect in that domain.
    """

    def __init__(self, card: Card, taps: Tensor) -> None:
        super().__init__()
        preset = PRESETS[card.preset]
        self.card = card
        self.sample_rate = preset.sample_rate
        self.length = preset.length
        self.sigma_data = preset.sigma_data
        self.whitened = preset.whitened
        self.told = preset.told
        self.denoiser = Preconditioned(preset.build(), preset.sigma_data)
        self.whitening = Whitening(taps)
        self.floors = Floors.unknown(band_count(preset.sample_rate))

    def forward(self, x: Tensor, sigma: Tensor, known: Known | None = None) -> Tensor:
        """The denoised estimate of x (batch, length) at noise levels sigma (batch,); what is known carries no noise."""
        return self.denoiser(x, sigma, known)

    def level(self, x: Tensor, audible: Audible = ALL_AUDIBLE) -> Tensor:
        """(batch, 1): how loud the music in whitened windows x (batch, length) is; the prior expects sigma_data.

        In the whitened domain the level of white noise that is as strong below LEVEL_BAND_HZ, as far as it is audible:
        damage and hiss change the highs more than the lows. Else the standard deviation. 0 for silence.
        """
        heard = audible.mask(x)
        # An offset is no music; whitened it would be louder than it, and the taper spreads it over the lowest bins.
        x = x - (x * heard).sum(-1, keepdim=True) / heard.sum(-1, keepdim=True).clamp(min=1)
        variance = (x * heard).square().sum(-1, keepdim=True) / heard.sum(-1, keepdim=True).clamp(min=1)
        if not self.whitened:
            return variance.sqrt()
        window = heard * torch.hann_window(self.length, dtype=x.dtype, device=x.device)
        energy = window.square().sum(-1, keepdim=True).clamp(min=1)
        highest = max(2, round(min(audible.below_hz, LEVEL_BAND_HZ) / self.sample_rate * self.length))
        low = torch.fft.rfft(x * window)[..., 1:highest].abs().square().mean(-1, keepdim=True) / energy
        # The part of the variance acts where there are no lows to speak of: a few treble notes, an onset at the edge.
        return (low + variance / 64).sqrt()

    def floor(self, x: Tensor, audible: Audible = ALL_AUDIBLE) -> Tensor:
        """(batch, length // 2 + 1): the noise floor to be expected of windows x (batch, length) at the prior's level.

        A spectrum: what to multiply white noise's rfft by. From the floor as far as it is audible.
        """
        counts = counted_cells(x / self.sigma_data, audible.mask(x), self.sample_rate)
        bands = heard_bands(self.sample_rate, audible.below_hz, x.device)
        return self.floor_spectrum(self.floors.expected(counts, bands & (counts.sum(-1) > 0)).to(x))

    def inaudible_floor(self, x: Tensor, audible: Audible) -> Tensor:
        """(batch, length // 2 + 1): the noise floor that x (batch, length) has where it is not audible, a spectrum."""
        where = torch.ones_like(x) if audible.where is None else 1 - audible.where
        floors_db, _ = measured_floors(x / self.sigma_data, where, self.sample_rate)
        if audible.where is not None and math.isfinite(audible.below_hz):
            anywhere, _ = measured_floors(x / self.sigma_data, torch.ones_like(x), self.sample_rate)
            low = heard_bands(self.sample_rate, audible.below_hz, x.device)
            floors_db = torch.where(low, floors_db, anywhere)
        return self.floor_spectrum(floors_db)

    def floor_spectrum(self, floors_db: Tensor) -> Tensor:
        """(batch, length // 2 + 1): the spectrum of floors (batch, bands) in dB re sigma_data."""
        return self.sigma_data * noise_spectrum(floors_db, self.length, self.sample_rate)

    @property
    def device(self) -> torch.device:
        return self.whitening.taps.device

    def save(self, path: Path, facts: dict[str, Any]) -> None:
        """Writes the weights and the card with `facts`, whole or not at all. Raises WeightsError if it cannot."""
        card = replace(self.card, name=path.stem, facts=facts)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        with whole_file(path, WeightsError, "choose another place, or make room", (SafetensorError,)) as partial:
            save_file(tensors, partial, metadata={"format": FORMAT, "card": json.dumps(asdict(card))})
            partial.chmod(0o644)  # safetensors writes for the owner alone


def new_prior(preset: str, taps: Tensor | None = None) -> Prior:
    """An untrained prior; taps: the equaliser of a whitened preset."""
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    return Prior(Card(preset, preset, {}), torch.ones(1) if taps is None else taps)


def load_prior(name: str | Path = DEFAULT_PRIOR, device: torch.device | str = "cpu") -> Prior:
    """A trained prior by the name of shipped weights or the path of a .safetensors file, ready to run on `device`."""
    path = find_weights(name)
    card, shapes = _read_header(path)
    try:
        prior = Prior(card, torch.zeros(shapes["whitening.taps"]))
        with safe_open(path, framework="pt") as file:
            prior.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{path} does not fit preset {card.preset}: {str(error).splitlines()[-1].strip()}"
        ) from error
    prior = prior.to(device).eval().requires_grad_(False)
    if isinstance(prior.denoiser.network, OctaveNet):
        prior.denoiser.network.compute_dtype = fast_dtype(torch.device(device))
    return prior


def read_card(name: str | Path) -> Card:
    """The card of a weights file, without loading its weights."""
    return _read_header(find_weights(name))[0]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32, in which a bf16 convolution would be emulated."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def _read_header(path: Path) -> tuple[Card, dict[str, list[int]]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    form = metadata.get("format", "")
    if form.startswith(_ANY_FORMAT) and form != FORMAT:
        raise WeightsError(f"{path} is of format {form}, this version's is {FORMAT}; train or import it again")
    if form != FORMAT or "whitening.taps" not in shapes:
        raise WeightsError(f"{path} holds no prior of restorer ({FORMAT}); train or import one")
    try:
        card = Card(**json.loads(metadata["card"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has no readable card: {error}") from error
    if card.preset not in PRESETS:
        raise WeightsError(f"{path} is of preset {card.preset!r}, unknown to this version; update restorer")
    return card, shapes
