"""How to sample: values, and the presets that were measured to be good."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from restorer.errors import UsageError
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair, Task

Guidance = Literal["dc", "rg", "dc+rg"]
Method = Literal["auto", "diffusion", "classical"]
SamplerName = Literal["dpm2m", "dpm2m-sde", "heun"]


@dataclass(frozen=True)
class Settings:
    """guidance: data consistency, reconstruction guidance, or both. xi: the strength of the guidance.

    n_steps noise levels (0: nothing is sampled) by EDM's law with exponent rho, from sigma_max (where what is missing
    drowns) down to sigma_min, both times the level of the window, then 0. churn: S_churn of the Heun sampler.
    method: who restores, the prior or a classical method; auto: in each window the one that was measured to be better.

    Raises UsageError for a word that is none of these and for fewer than 0 steps or a churn below 0.
    """

    method: Method = "auto"
    guidance: Guidance = "dc"
    sampler: SamplerName = "dpm2m-sde"
    n_steps: int = 12
    xi: float = 0.2
    sigma_max: float = 1.0
    sigma_min: float = 0.01
    rho: float = 7.0
    churn: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (("method", Method), ("guidance", Guidance), ("sampler", SamplerName)):
            if (word := getattr(self, name)) not in get_args(known):
                raise UsageError(f"{name} {word!r} is unknown; choose of: {', '.join(get_args(known))}")
        if self.n_steps < 0:
            raise UsageError(f"{self.n_steps} steps: must be 0 or more")
        if not self.churn >= 0:  # the sampler would fall to lower levels than those asked for
            raise UsageError(f"churn {self.churn:g}: must be 0 or more; 0 leaves the Heun sampler without noise")


BWE = Settings(n_steps=10, sigma_max=40.0)
"""From where nothing is decided yet: at a level of 5 a prior hears how loud lost highs are, and that there are none.
How loud a gap is, its surroundings say."""

INPAINT = Settings(n_steps=9, sigma_max=5.0)
DECLIP = Settings(sampler="dpm2m", n_steps=3, sigma_max=0.05)
GENERATE = Settings(sampler="dpm2m", n_steps=50, sigma_max=80.0)
"""Without noise in its steps, which would take the highs away; see weights/TRAINING.md."""

Quality = Literal["draft", "standard", "best"]
QUALITIES: dict[Quality, float] = {"draft": 0.5, "standard": 1.0, "best": 2.0}
"""Times the steps of a preset where the prior does the work; what more of them bring: `bench/steps.py`."""


def preset_of(task: Task, quality: Quality = "standard") -> Settings:
    """What was measured to be good for a task; several kinds of damage are as bad as lost highs.

    quality: how many steps may be spent; declipping alone gains nothing by more.
    """
    match task:
        case Declipping():
            return DECLIP
        case Inpainting():
            return _in_steps(INPAINT, quality)
        case BandwidthExtension() | Repair():
            return _in_steps(BWE, quality)


def _in_steps(preset: Settings, quality: Quality) -> Settings:
    return replace(preset, n_steps=math.ceil(preset.n_steps * QUALITIES[quality]))
