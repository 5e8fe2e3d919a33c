"""What is wrong with a recording, in the user's units; light enough to be checked before anything heavy is imported."""

from dataclasses import dataclass


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


def parts_of(task: Task) -> tuple[Part, ...]:
    """What a task consists of: itself, or the parts of a repair."""
    return task.parts if isinstance(task, Repair) else (task,)
