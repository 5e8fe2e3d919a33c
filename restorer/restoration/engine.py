"""Windows in, restored windows out: where prior, measurement and sampler meet. Pure: no files, no text."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from restorer.degradation.operator import InDomain, Measurement
from restorer.diffusion.denoiser import Denoiser
from restorer.diffusion.guidance import consistent, guided, told
from restorer.diffusion.noise import START_STEP, KeyedNoise
from restorer.diffusion.sampler import Corrector, dpm2m, heun
from restorer.diffusion.schedule import edm_schedule
from restorer.prior import Audible, Prior
from restorer.restoration.damage import Damage
from restorer.restoration.floor import keeping_floor
from restorer.restoration.settings import GENERATE, Settings


@torch.no_grad()
def restore_windows(
    windows: Tensor,
    starts: Sequence[int],
    damage: Damage,
    prior: Prior,
    settings: Settings,
    seed: int,
    floors_db: Tensor | None = None,
) -> Tensor:
    """What the prior adds to each window: (batch, length), to be cross-faded and added to the recording.

    windows: (batch, length + 2 margin) float32 at the prior's rate, margin = prior.whitening.margin, on any device.
    starts: the absolute sample at which each window's inner part begins; it keys the noise and places the damage.
    floors_db: (batch, bands), the noise floors that the recording lets expect (`RecordingFloor`); None: each window's.
    No value of a window depends on its neighbours in the batch. A silent window gets nothing.

    On a CPU one window at a time: convolutions and FFTs there round differently for every size of a batch, which
    bfloat16 makes large enough to be measured, and they gain little from company.
    """
    if prior.device.type == "cpu" and len(starts) > 1:
        alone = [
            restore_windows(windows[[i]], [starts[i]], damage, prior, settings, seed, floors)
            for i, floors in enumerate([None] * len(starts) if floors_db is None else floors_db.split(1))
        ]
        return torch.cat(alone)
    whitening = prior.whitening
    windows, offset = _centred(windows.to(prior.device), starts, damage, whitening.margin)
    whitened = whitening.cut(windows)
    audible = damage.audible(whitened, starts)
    level = prior.level(whitened, audible)
    silent = level <= 0
    gain = prior.sigma_data / torch.where(silent, prior.sigma_data, level)
    whitened = whitened * gain
    # The recording as the window hears it, periodic: it is another at the window's edges, which have no weight.
    heard = whitening.inverse(whitened)
    placed = damage.degradation.on(starts, prior.length).scaled(gain)
    measurement = Measurement(damage.measured(heard, placed), InDomain(placed, whitening.inverse, whitening))
    noise = KeyedNoise(seed, starts, prior.length, prior.device)
    denoiser = _informed(prior, audible, whitened)
    if damage.trusted is not None:
        trusted = damage.trusted.on(starts, prior.length).scaled(gain)
        denoiser = consistent(denoiser, Measurement(heard, InDomain(trusted, whitening.inverse, whitening)))
    denoiser = _hearing(denoiser, measurement, settings)
    missing = partial(damage.missing, placed=placed)
    corrector = None
    if not audible.everything:
        if floors_db is None:
            expected = prior.floor(whitened, audible)
        else:
            expected = prior.floor_spectrum(floors_db.to(prior.device) + 20 * torch.log10(gain / prior.sigma_data))
        corrector = keeping_floor(prior, expected, audible, missing, noise)
    x = whitened
    if settings.n_steps > 0:
        # Faded out towards a gap: its edge is broadband, and a prior would take it for a click.
        begun = whitening(heard - missing(heard))
        x = _sample(denoiser, begun, prior, noise, settings, corrector)
    change = damage.confined(whitening.inverse(x) - heard, heard, placed)
    return torch.where(silent, 0.0, change / gain) + offset


def _centred(windows: Tensor, starts: Sequence[int], damage: Damage, margin: int) -> tuple[Tensor, Tensor | float]:
    """Windows (batch, length + 2 margin) without the offset that what is heard of them has, and what of that offset
    their gaps lack, (batch, length): to the prior a gap at 0 in a recording that is not would be a step."""
    if damage.gaps is None:
        return windows, 0.0
    heard = damage.gaps.on([start - margin for start in starts], windows.shape[-1])(torch.ones_like(windows))
    offset = (windows * heard).sum(-1, keepdim=True) / heard.sum(-1, keepdim=True).clamp(min=1)
    return windows - offset * heard, (offset * (1 - heard))[:, margin : windows.shape[-1] - margin]


@torch.no_grad()
def restore_classically(rows: Tensor, starts: Sequence[int], damage: Damage) -> Tensor:
    """What the damage's classical method adds to the channels of a stretch: (channels, time), on the device of rows.

    rows: (channels, time) float32 of any length, at the damage's rate; starts: the absolute samples at which they
    begin.
    """
    return damage.classical(rows, starts) - rows


@torch.no_grad()
def generate(
    prior: Prior,
    seconds: float,
    settings: Settings = GENERATE,
    seed: int = 0,
    progress: Callable[[], None] | None = None,
) -> Iterator[Tensor]:
    """Blocks (samples,) of music that the prior makes up, `seconds` in all (none of 0 or less), on its device.

    They are windows of prior.length samples at prior.sample_rate, each made by itself and faded in and out; float32,
    mostly within full scale 1.0. progress: called once per evaluation of each window.
    """
    whole = round(seconds * prior.sample_rate)
    for start in range(0, whole, prior.length):
        noise = KeyedNoise(seed, [start], prior.length, prior.device)
        silence = torch.zeros(1, prior.length, device=prior.device)
        wave = prior.whitening.inverse(_sample(prior, silence, prior, noise, settings, progress=progress))[0]
        wave = wave[: whole - start]
        fade = min(prior.length // 32, len(wave) // 2)
        ramp = torch.linspace(0, 1, fade, device=prior.device)
        wave[:fade] *= ramp
        wave[len(wave) - fade :] *= ramp.flip(0)
        yield wave


def n_evaluations(settings: Settings) -> int:
    """How often the network is asked for one window, without churn; with reconstruction guidance also backwards."""
    return max(0, 2 * settings.n_steps - 1) if settings.sampler == "heun" else settings.n_steps


def _informed(prior: Prior, audible: Audible, whitened: Tensor) -> Denoiser:
    """The prior, told what of the whitened windows (batch, length) is known."""
    if not prior.told or audible.everything:
        return prior
    return told(prior, audible.known(whitened, prior.sample_rate), whitened)


def _hearing(denoiser: Denoiser, measurement: Measurement, settings: Settings) -> Denoiser:
    if "rg" in settings.guidance:
        denoiser = guided(denoiser, measurement, settings.xi)
    if "dc" in settings.guidance:
        denoiser = consistent(denoiser, measurement)
    return denoiser


def _sample(
    denoiser: Denoiser,
    begun: Tensor,
    prior: Prior,
    noise: KeyedNoise,
    settings: Settings,
    corrector: Corrector | None = None,
    progress: Callable[[], None] | None = None,
) -> Tensor:
    """From what there is (batch, length), drowned in noise of the highest level, down."""
    sigmas = edm_schedule(settings.n_steps, settings.sigma_min, settings.sigma_max, settings.rho) * prior.sigma_data
    x = begun + float(sigmas[0]) * noise(START_STEP)
    if settings.sampler == "heun":
        return heun(denoiser, x, sigmas, noise, settings.churn, corrector=corrector, progress=progress)
    fresh = noise if settings.sampler == "dpm2m-sde" else None
    return dpm2m(denoiser, x, sigmas, fresh, corrector, progress)
