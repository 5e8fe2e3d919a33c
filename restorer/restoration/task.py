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


Part = BandwidthExtension | Inpainting | Declipping


@dataclass(frozen=True)
class Repair:
    """All of these, at most one of each kind: lost highs first, then flattened peaks, then gaps were suffered."""

    parts: tuple[Part, ...]


Task = Part | Repair

UNDAMAGED = Inpainting(())
"""Nothing is missing: every sample is passed on as it is."""


Kind = Literal["cutoff", "clipping", "gaps"]


@dataclass(frozen=True)
class Search:
    """A task that each recording is to tell by itself. known: its parts that need no search, or besides those found."""

    wanted: tuple[Kind, ...]
    known: tuple[Part, ...] = ()


def parts_of(task: Task) -> tuple[Part, ...]:
    """What a task consists of: itself, or the parts of a repair."""
    return task.parts if isinstance(task, Repair) else (task,)


def joined(parts: Iterable[Part]) -> Task:
    """The task of these parts; all gaps are one part. UNDAMAGED where there is nothing to do."""
    parts = tuple(parts)
    gaps_s = merged_gaps(gap for part in parts if isinstance(part, Inpainting) for gap in part.gaps_s)
    damaged: list[Part] = [part for part in parts if not isinstance(part, Inpainting)]
    damaged += [Inpainting(gaps_s)] if gaps_s else []
    if not damaged:
        return UNDAMAGED
    return damaged[0] if len(damaged) == 1 else Repair(tuple(damaged))


def merged_gaps(gaps_s: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Gaps in the order of time; those that touch or overlap become one."""
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(gaps_s):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
