"""What is wrong with a recording, in the user's units; light enough to be checked before anything heavy is imported."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BandwidthExtension:
    """Everything above cutoff_hz is missing (0 < cutoff_hz < Nyquist of the prior and of the file)."""

    cutoff_hz: float


@dataclass(frozen=True)
class Inpainting:
    """Nothing is known in the gaps: (from, to) in seconds, sorted, apart from each other."""

    gaps_s: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Declipping:
    """Samples at or beyond +-threshold (linear full scale, above 0) were flattened there."""

    threshold: float


Task = BandwidthExtension | Inpainting | Declipping

UNDAMAGED = Inpainting(())
"""Nothing is missing: every sample is passed on as it is."""


@dataclass(frozen=True)
class Search:
    """A task that each recording is to tell by itself. gaps_s: gaps that are known besides those to be found."""

    wanted: Literal["cutoff", "clipping", "gaps"]
    gaps_s: tuple[tuple[float, float], ...] = ()


def merged_gaps(gaps_s: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Gaps in the order of time; those that touch or overlap become one."""
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(gaps_s):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
