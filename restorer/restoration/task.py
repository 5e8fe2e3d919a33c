"""What is wrong with a recording, in the user's units; light enough to be checked before anything heavy is imported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from restorer.errors import UsageError

Gap = tuple[float, float]
"""From and to, in seconds."""


@dataclass(frozen=True)
class BandwidthExtension:
    """Everything above cutoff_hz is missing (20 <= cutoff_hz < Nyquist of the prior and of the file)."""

    cutoff_hz: float


@dataclass(frozen=True)
class Inpainting:
    """Nothing is known in the gaps: (from, to) in seconds, sorted, apart from each other.

    by_channel_s: the gaps of each channel, of which gaps_s are the union (`gaps_of` makes it); None: every channel has
    all of them. Raises UsageError if they are not.
    """

    gaps_s: tuple[Gap, ...]
    by_channel_s: tuple[tuple[Gap, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.by_channel_s is not None and _united(self.by_channel_s) != merged_gaps(self.gaps_s):
            raise UsageError("the gaps of the channels are not the recording's; give gaps_of(by_channel_s)")

    @property
    def of_channels_s(self) -> tuple[tuple[Gap, ...], ...]:
        """Each channel's, or those that all have alike as one."""
        return self.by_channel_s or (self.gaps_s,)

    def of(self, channel: int) -> tuple[Gap, ...]:
        """A channel's own gaps."""
        return self.gaps_s if self.by_channel_s is None else self.by_channel_s[channel]


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
    gaps = _union([part for part in parts if isinstance(part, Inpainting)])
    damaged: list[Part] = [part for part in parts if not isinstance(part, Inpainting)]
    damaged += [gaps] if gaps.gaps_s else []
    if not damaged:
        return UNDAMAGED
    return damaged[0] if len(damaged) == 1 else Repair(tuple(damaged))


def _union(parts: Sequence[Inpainting]) -> Inpainting:
    counts = [len(part.by_channel_s) for part in parts if part.by_channel_s is not None]
    return gaps_of([[gap for part in parts for gap in part.of(channel)] for channel in range(max(counts, default=1))])


def gaps_of(channels: Sequence[Iterable[Gap]]) -> Inpainting:
    """The task for gaps of each channel, in any order; of a single channel: of all that there are."""
    by_channel_s = tuple(merged_gaps(own) for own in channels)
    gaps_s = _united(by_channel_s)
    if all(own == gaps_s for own in by_channel_s):
        return Inpainting(gaps_s)
    return Inpainting(gaps_s, by_channel_s)


def _united(channels: Iterable[Iterable[Gap]]) -> tuple[Gap, ...]:
    return merged_gaps(gap for own in channels for gap in own)


def merged_gaps(gaps_s: Iterable[Gap]) -> tuple[Gap, ...]:
    """Gaps in the order of time; those that touch or overlap become one."""
    merged: list[Gap] = []
    for start, stop in sorted(gaps_s):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
