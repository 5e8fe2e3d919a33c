"""All that a training is at one moment: how it begins, how it is kept, how it goes on."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorer.audio.whole import whole_file
from restorer.dsp.whiten import design_equaliser
from restorer.errors import UsageError, WeightsError
from restorer.network.octave import OctaveNet
from restorer.prior import FORMAT, PRESETS, Prior, fast_dtype, load_prior, new_prior
from restorer.training.floors import HEARD_WINDOWS, learned_floors
from restorer.training.optimizer import new_optimizers
from restorer.training.settings import Excerpts, TrainSettings
from restorer.training.spectrum import mean_spectrum

N_TAPS = 4095

HEARD_FIRST = 512
"""Excerpts of which the noise floors are learned before the training, and of an eighth of them the spectrum."""

FINE_TUNING_PACE = 0.1
"""Of the set learning rates, for weights that have learned already; see weights/TRAINING.md."""


@dataclass
class State:
    """All that a resumed training needs; random numbers and data are functions of (seed, step).

    average: the moving average of the weights of `prior`, which is what is shipped.
    """

    prior: Prior
    average: Prior
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    elapsed_s: float = 0.0


def begin(
    settings: TrainSettings, training: Callable[[int], Excerpts], device: torch.device, init: Path | None
) -> State:
    """A training before its first step, from random weights or from those of `init`.

    The equaliser is part of what the weights of `init` have learned; the noise floors are those of the new recordings.
    """
    torch.manual_seed(settings.seed)
    preset = PRESETS[settings.preset]
    margin = N_TAPS // 2 if preset.whitened else 0
    excerpts = training(HEARD_WINDOWS * preset.length + 2 * margin)
    if init is None:
        waves = [excerpts.excerpt(index) for index in range(HEARD_FIRST // 8)]
        prior, pace = new_prior(settings.preset, _equaliser(settings, waves)), 1.0
    else:
        prior, pace = _given(settings, init), FINE_TUNING_PACE
    prior.floors = learned_floors(prior, (excerpts.excerpt(index) for index in range(HEARD_FIRST)), settings.seed)
    return _state(settings, prior, device, pace)


def _given(settings: TrainSettings, init: Path) -> Prior:
    given = load_prior(init)
    if given.card.preset != settings.preset:
        raise WeightsError(f"{init} is of preset {given.card.preset}, not {settings.preset}; name that one")
    prior = new_prior(settings.preset, given.whitening.taps)
    prior.load_state_dict(given.state_dict())
    return prior


def load(settings: TrainSettings, path: Path, device: torch.device) -> State:
    """The training that `save` wrote to `path`.

    UsageError if there is none, WeightsError if it cannot be read, or is of another preset.
    """
    saved = _read(path)
    if saved["preset"] != settings.preset:
        raise WeightsError(f"{path} trains preset {saved['preset']}, not {settings.preset}; name that one")
    try:
        prior = new_prior(settings.preset, saved["prior"]["whitening.taps"])
        state = _state(settings, prior, device)
        state.prior.load_state_dict(saved["prior"])
        state.average.load_state_dict(saved["average"])
        for optimizer, kept in zip(state.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{path} does not fit preset {settings.preset} of this version: {reason}") from error
    state.step, state.elapsed_s = saved["step"], saved["elapsed_s"]
    return state


def save(state: State, preset: str, path: Path) -> None:
    """Whole or not at all: an interruption leaves the state before. Raises WeightsError if it cannot be written."""
    saved: dict[str, Any] = {"format": FORMAT, "preset": preset, "step": state.step, "elapsed_s": state.elapsed_s}
    saved |= {"prior": state.prior.state_dict(), "average": state.average.state_dict()}
    saved |= {"optimizers": [optimizer.state_dict() for optimizer in state.optimizers]}
    with whole_file(path, WeightsError, "make room, and go on with --resume", (RuntimeError,)) as partial:
        torch.save(saved, partial)


def _state(settings: TrainSettings, prior: Prior, device: torch.device, pace: float = 1.0) -> State:
    prior.to(device)
    network = prior.denoiser.network
    if isinstance(network, OctaveNet):
        network.compute_dtype = fast_dtype(device)
    average = copy.deepcopy(prior).requires_grad_(False)
    return State(prior, average, new_optimizers(prior, settings, pace))


def _equaliser(settings: TrainSettings, waves: list[NDArray[np.float32]]) -> Tensor | None:
    preset = PRESETS[settings.preset]
    if not preset.whitened:
        return None
    power = mean_spectrum(waves, preset.sample_rate)
    return design_equaliser(torch.from_numpy(power), settings.whitening, settings.cap_db, N_TAPS)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"{path} is missing: nothing to resume; start without --resume")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises pickle, zip, runtime and value errors alike for a bad file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path} is no readable state of a training: {reason}") from error
    parts = {"preset", "step", "elapsed_s", "prior", "average", "optimizers"}
    if not isinstance(saved, dict) or not parts <= set(saved):
        raise WeightsError(f"{path} is no state of a training; start without --resume, in another folder")
    if saved.get("format") != FORMAT:
        raise WeightsError(f"{path} is a training of another version than {FORMAT}; start without --resume")
    return saved
