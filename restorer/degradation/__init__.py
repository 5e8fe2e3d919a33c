"""What a recording may have suffered, as functions y = A(x): gaps, hard clipping, lost highs, or all of them.

What it has suffered, `detect` finds. Names are imported when they are first used: `detect` does without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restorer.degradation.clip import HardClip
    from restorer.degradation.lowpass import LowPass
    from restorer.degradation.mask import Gaps
    from restorer.degradation.operator import (
        Composed,
        Degradation,
        InDomain,
        Measurement,
        Pointwise,
        Projectable,
        has_consistency,
        require_consistency,
    )

__all__ = [
    "Composed",
    "Degradation",
    "Gaps",
    "HardClip",
    "InDomain",
    "LowPass",
    "Measurement",
    "Pointwise",
    "Projectable",
    "has_consistency",
    "require_consistency",
]

_HOMES = {"HardClip": "clip", "LowPass": "lowpass", "Gaps": "mask"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'operator')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
