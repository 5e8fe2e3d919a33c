"""What a recording may have suffered, as functions y = A(x): gaps, hard clipping, lost highs, or all of them."""

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
