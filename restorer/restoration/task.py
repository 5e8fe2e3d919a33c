"""What is wrong with a recording, in the user's units; light enough to be checked before anything heavy is imported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from restorer.errors import UsageError

Gap = tuple[float, float]
"""From and to, in seconds."""

LOWEST_THRESHOLD = 1 / 32768
"""A step of 16 bits: of what was cut lower, nothing is left but its rounding."""


@dataclass(frozen=True)
class BandwidthExtension:
    """Everything above cutoff_hz is missing (20 <= cutoff_hz < Nyquist of the prior and of the file)."""

    cutoff_hz: float


@dataclass(frozen=True)
class Inpainting:
    """Nothing is known in the gaps: (from, to) in seconds, sorted, apart from each other.

    by_channel_s: the gaps of each channel, of which gaps_s are the union (`gaps_of` makes it); None: every channel has
    all of them. others_s: the gaps of each further channel, where nobody knows yet how many there are (`for_channels`);
    None: there are no others. Raises UsageError if they are not.
    """

    gaps_s: tuple[Gap, ...]
    by_channel_s: tuple[tuple[Gap, ...], ...] | None = None
    others_s: tuple[Gap, ...] | None = None

    def __post_init__(self) -> None:
        if self.by_channel_s is not None and _united(self.of_channels_s) != merged_gaps(self.gaps_s):
            raise UsageError("the gaps of the channels are not the recording's; give gaps_of(by_channel_s)")

    @property
    def of_channels_s(self) -> tuple[tuple[Gap, ...], ...]:
        """Each channel's, then the others'; or those that all have alike as one."""
        others = () if self.others_s is None else (self.others_s,)
        return (*self.by_channel_s, *others) if self.by_channel_s else (self.gaps_s,)

    def of(self, channel: int) -> tuple[Gap, ...]:
        """A channel's own gaps."""
        if self.by_channel_s is None:
            return self.gaps_s
        if self.others_s is not None and channel >= len(self.by_channel_s):
            return self.others_s
        return self.by_channel_s[channel]

    def for_channels(self, channels: int, name: str = "the recording") -> "Inpainting":
        """The same for a recording that has so many channels. Raises UsageError where it has not those told of."""
        if self.by_channel_s is None:
            return self
        told = len(self.by_channel_s)
        if self.others_s is None and told != channels:
            raise UsageError(f"gaps of {told} channels for a recording of {channels}; give those of each channel")
        if told > channels:
            raise UsageError(
                f"gaps are said to be in channel {told}, and {name} has {channels}; give the gaps of this recording"
            )
        return gaps_of([self.of(channel) for channel in range(channels)])


@dataclass(frozen=True)
class Declipping:
    """Samples at or beyond +-threshold (linear full scale, LOWEST_THRESHOLD or above) were flattened there."""

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


def for_channels(task: Task, channels: int, name: str = "the recording") -> Task:
    """The task for a recording that has so many channels; see `Inpainting.for_channels`."""
    parts = [part.for_channels(channels, name) if isinstance(part, Inpainting) else part for part in parts_of(task)]
    return Repair(tuple(parts)) if isinstance(task, Repair) else parts[0]


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
    told = [part for part in parts if part.by_channel_s is not None]
    known = [part for part in told if part.others_s is None]  # whose number of channels is the recording's
    count = max((len(part.by_channel_s or ()) for part in known or told), default=1)
    own = [part.for_channels(count) for part in parts] if known else parts
    channels = [[gap for part in own for gap in part.of(channel)] for channel in range(count)]
    return gaps_of(channels, None if known else [gap for part in own for gap in part.of(count)])


def gaps_of(channels: Sequence[Iterable[Gap]], others: Iterable[Gap] | None = None) -> Inpainting:
    """The task for gaps of each channel, in any order; of a single channel: of all that there are.

    others: the gaps of each further channel, where nobody knows yet how many there are.
    """
    by_channel_s = tuple(merged_gaps(own) for own in channels)
    others_s = None if others is None else merged_gaps(others)
    gaps_s = _united((*by_channel_s, others_s or ()))
    if all(own == gaps_s for own in by_channel_s) and others_s in (None, gaps_s):
        return Inpainting(gaps_s)
    return Inpainting(gaps_s, by_channel_s, others_s)


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
