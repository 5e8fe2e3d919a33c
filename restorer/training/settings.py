"""How to train and on what, without torch: what can be said before it is imported."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from restorer.errors import UsageError

if TYPE_CHECKING:
    import torch


NO_LIMIT = 2**62
"""Steps, where only the minutes end a training."""


class Excerpts(Protocol):
    """Endless recordings to learn from: excerpt i is a function of i alone, so that a training resumes exactly."""

    def excerpt(self, index: int) -> NDArray[np.float32]: ...


@runtime_checkable
class Played(Excerpts, Protocol):
    """Excerpts that a GPU makes itself, a batch at a time, from little that other processes prepare."""

    def prepared(self, indices: Sequence[int]) -> Any: ...

    def studio(self, device: "torch.device") -> "Callable[[Any], torch.Tensor]": ...


@dataclass(frozen=True)
class TrainSettings:
    """How to train; a run is a function of these, of its data and of the number of its processes.

    minutes, steps: the budget of the whole training, resumed parts included; the first to be spent ends it.
    batch_size: windows a step, over all processes. muon_rate, adam_rate: of the weights that act by their direction, of
    the others, before they fall. level_mean, level_std: ln sigma ~ N(mean, std^2), within 2.5 std.
    loudness_std_db: windows are brought to the prior's level, give or take.
    ema_shape: the average at step t weighs step s like (s / t)**ema_shape (Karras et al. 2024, power-function EMA).
    whitening, cap_db: exponent and range of the equaliser.

    UsageError for a budget of nothing.
    """

    preset: str = "harmonic-44k"
    minutes: float = math.inf
    steps: int = NO_LIMIT
    batch_size: int = 8
    muon_rate: float = 0.1
    adam_rate: float = 1e-3
    warmup_steps: int = 50
    decay_share: float = 1.0
    clip_norm: float = 1.0
    level_mean: float = 0.0
    level_std: float = 1.8
    loudness_std_db: float = 4.0
    ema_shape: float = 6.94
    whitening: float = 1.0
    cap_db: float = 72.0
    seed: int = 0
    workers: int = 1
    checkpoint_minutes: float = 8.0
    validation_windows: int = 24
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, value in (("minutes", self.minutes), ("steps", self.steps)):
            if not value > 0:
                raise UsageError(f"a training of {value:g} {name} would learn nothing; give more than 0")
