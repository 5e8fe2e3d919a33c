"""What is measured: the prior with each guidance, and everything that needs no prior. A method is one line here."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restorer.bench.degrade import Damaged
from restorer.bench.severity import TaskName
from restorer.classical.aspade import ASPADE, aspade
from restorer.classical.extrapolate import EXTRAPOLATION, extrapolate
from restorer.classical.janssen import JANSSEN_GAPS, janssen_gaps
from restorer.classical.replication import REPLICATION, replicate
from restorer.classical.social import SS_EW, SS_PEW, SS_PEW_WINDOWS, social, social_mean
from restorer.classical.weighted_l1 import WEIGHTED_L1, weighted_l1
from restorer.degradation import Degradation, Gaps, HardClip, LowPass
from restorer.errors import UsageError
from restorer.metrics.signals import Signal
from restorer.prior import Prior
from restorer.restoration.settings import BWE, DECLIP, INPAINT, Guidance, Settings
from restorer.restoration.stream import restore
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting

UNTOUCHED = "none"
AUTO = "auto"
GUIDANCES: tuple[Guidance, ...] = ("dc", "rg", "dc+rg")
PRESETS: dict[TaskName, Settings] = {"bwe": BWE, "inpaint": INPAINT, "declip": DECLIP}


@dataclass(frozen=True)
class Classical:
    """`function`(y (batch, time) float32, degradation, sample_rate, settings); up_to as in Method."""

    name: str
    task: TaskName
    function: Callable[..., Tensor]
    settings: Any
    up_to: float = math.inf


CLASSICAL = (
    Classical("replication", "bwe", replicate, REPLICATION),
    Classical("Janssen", "inpaint", janssen_gaps, JANSSEN_GAPS, JANSSEN_GAPS.longest_s),
    Classical("extrapolation", "inpaint", extrapolate, EXTRAPOLATION, EXTRAPOLATION.longest_s),
    Classical("SS-EW", "declip", social, SS_EW),
    Classical("SS-PEW", "declip", social, SS_PEW),
    Classical("mean SS-PEW", "declip", social_mean, SS_PEW_WINDOWS),
    Classical("A-SPADE", "declip", aspade, ASPADE),
    Classical("weighted l1", "declip", weighted_l1, WEIGHTED_L1),
)


@dataclass(frozen=True)
class Method:
    """One row of a task's table. identity: what else decides its result than its name, as text.

    up_to: the greatest severity that it is for, as gaps of so many seconds.
    """

    name: str
    task: TaskName
    identity: str
    restore: Callable[[Damaged], Signal]
    up_to: float = math.inf


@dataclass(frozen=True)
class Sweep:
    """Rows of the diffusion beside its presets: each of these numbers of steps, each S_churn (by the Heun sampler)."""

    n_steps: tuple[int, ...] = ()
    churns: tuple[float, ...] = ()


def names(task: TaskName) -> list[str]:
    """The methods of a task, in the order of the table."""
    classical = [each.name for each in CLASSICAL if each.task == task]
    return [UNTOUCHED, *classical, AUTO, *(f"diffusion {guidance}" for guidance in GUIDANCES)]


def require_known(chosen: Sequence[str], tasks: Sequence[TaskName]) -> None:
    """Raises UsageError for a method that none of the tasks has."""
    known = list(dict.fromkeys(name for task in tasks for name in names(task)))
    for name in chosen:
        if name not in known:
            raise UsageError(f"--method {name!r} is unknown for {', '.join(tasks)}; choose of: {', '.join(known)}")


def methods_of(
    task: TaskName,
    prior: Prior,
    prior_hash: str,
    *,
    chosen: Sequence[str] = (),
    sweep: Sweep = Sweep(),
    seed: int = 0,
    batch_size: int = 8,
) -> list[Method]:
    """The methods of a task, all or those `chosen` by name. prior_hash: what tells one prior's results from another's.

    The diffusion goes the way of the user's recordings, `restore` with the preset of the task; "auto" is that
    preset itself, in which light damage is left to classical methods.
    """
    found = [Method(UNTOUCHED, task, "", lambda damaged: damaged.samples)]
    found += [_classical(each, prior.device) for each in CLASSICAL if each.task == task]
    for name, settings in _diffusions(task, sweep):
        found.append(_diffusion(name, task, prior, settings, seed, batch_size, prior_hash))
    return [method for method in found if not chosen or method.name.partition(",")[0] in chosen]


def _classical(each: Classical, device: torch.device) -> Method:
    def restored(damaged: Damaged) -> Signal:
        y = torch.from_numpy(damaged.samples[None]).float().to(device)
        rate = damaged.clip.sample_rate
        estimate = each.function(y, degradation_of(damaged), rate, each.settings)
        return np.asarray(estimate[0].cpu().double().numpy())

    return Method(each.name, each.task, f"{each.settings} {device.type}", restored, each.up_to)


def _diffusions(task: TaskName, sweep: Sweep) -> Iterator[tuple[str, Settings]]:
    yield AUTO, PRESETS[task]
    for guidance, n_steps, churn in product(GUIDANCES, sweep.n_steps or (None,), sweep.churns or (None,)):
        name, settings = f"diffusion {guidance}", replace(PRESETS[task], guidance=guidance, method="diffusion")
        if n_steps is not None:
            name, settings = f"{name}, {n_steps} steps", replace(settings, n_steps=n_steps)
        if churn is not None:
            name, settings = f"{name}, churn {churn:g}", replace(settings, sampler="heun", churn=churn)
        yield name, settings


def _diffusion(
    name: str, task: TaskName, prior: Prior, settings: Settings, seed: int, batch_size: int, prior_hash: str
) -> Method:
    def restored(damaged: Damaged) -> Signal:
        samples, rate = damaged.samples[:, None], damaged.clip.sample_rate
        return restore(samples, rate, damaged.task, prior, settings, seed=seed, batch_size=batch_size)[:, 0]

    return Method(name, task, f"{settings} seed {seed} prior {prior_hash} {prior.device.type}", restored)


def degradation_of(damaged: Damaged) -> Degradation:
    """What happened to the clip, at its own rate."""
    rate = damaged.clip.sample_rate
    match damaged.task:
        case BandwidthExtension(cutoff_hz):
            return LowPass.kaiser(cutoff_hz, rate)
        case Inpainting():
            return Gaps(damaged.spans)
        case Declipping(threshold):
            return HardClip.symmetric(threshold)
