"""Each task as the stages of a restoration need it: the operator, where it hurts, and what may be changed."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, Self

from torch import Tensor

from restorer.audio import Samples
from restorer.degradation import Degradation, Gaps, HardClip, LowPass, Projectable
from restorer.errors import UsageError
from restorer.prior import Audible
from restorer.restoration.damage.light import LIGHT_CLIPPING, split
from restorer.restoration.damage.several import Several
from restorer.restoration.damage.single import LostHighs, LostPeaks, LostSpans
from restorer.restoration.settings import Method
from restorer.restoration.task import (
    UNDAMAGED,
    BandwidthExtension,
    Declipping,
    Gap,
    Inpainting,
    Part,
    Repair,
    Task,
    joined,
    parts_of,
)
from restorer.restoration.windows import Window

RINGING = 24
"""Samples beside a gap that cannot be trusted where the recording was resampled: the gap's edge rings in them."""

_PEAKS_BELOW_HZ = 2000.0

# The same numbers, the same object: so recordings that suffer from the same have equal damage.
_low_pass = lru_cache(LowPass.kaiser)
_hard_clip = lru_cache(HardClip.symmetric)


class Damage(Protocol):
    """A task at the rate of the stage that deals with it (tensors), and at the file's rate (Samples).

    Equal ones do the same to windows.
    """

    @property
    def degradation(self) -> Degradation: ...

    def audible(self, whitened: Tensor, starts: Sequence[int]) -> Audible:
        """What of whitened windows (batch, time) is the recording's."""

    @property
    def trusted(self) -> Projectable | None:
        """What of the sound before sampling is kept as it is: heard through this."""

    @property
    def gaps(self) -> Gaps | None:
        """Where nothing is heard at all."""

    def measured(self, heard: Tensor, placed: Degradation) -> Tensor:
        """(batch, time): y, of what is heard after a classical method had its turn; `placed`: A on these windows."""

    def missing(self, wave: Tensor, placed: Degradation) -> Tensor:
        """(batch, time): the part of a waveform that lies where nothing was heard."""

    def confined(self, change: Tensor, heard: Tensor, placed: Degradation) -> Tensor:
        """The part of a window's change (batch, time) that may reach the recording."""

    def windows(self, length: int) -> Iterator[Window]:
        """The windows of `length` samples to restore, in order; endless where the damage may be anywhere."""

    def count(self, length: int, total: int) -> int:
        """How many of them a recording of `total` samples has."""

    def after(self, known_until: int) -> Self:
        """What is left of the damage once the gap around that sample has been filled as far."""

    def within(self, end: int) -> Self:
        """The same of a recording that ends there; windows hear it mirrored beyond its ends, with its damage."""

    def heard(self, original: Samples, start: int) -> Samples:
        """What of the recording's samples from `start` on (file's rate) may be heard."""

    def hurts(self, block: Samples, start: int) -> Samples:
        """(frames, channels): where a window with these samples, from `start` on, is to be restored; 1, 0 where not,
        between the two in fades."""

    def classical(self, y: Tensor, starts: Sequence[int]) -> Tensor:
        """(channels, time): the classical estimate for the channels of a stretch of the recording, which begin at the
        samples `starts`. UsageError for damage that is beyond it."""

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        """The recording's samples from `start` on (file's rate), with the change where it may be, else bit for bit."""


class Stages(NamedTuple):
    """What a classical method is to repair, at the file's rate, and then the prior, at its own; None: nothing."""

    classical: Damage | None
    prior: Damage | None


def stages_of(task: Task, method: Method, file_rate: int, prior_rate: int) -> Stages:
    """Who repairs what, as `method` has it; see README for the evidence. Raises UsageError as `damage_of` does.

    Whatever the method, the prior begins with clipped peaks where social sparsity has left them.
    """
    if method == "classical":
        return Stages(damage_of(task, file_rate, file_rate), None)
    parts = parts_of(task)
    for part in parts:
        if isinstance(part, BandwidthExtension) and part.cutoff_hz >= prior_rate / 2:
            raise UsageError(
                f"a cutoff of {part.cutoff_hz:g} Hz: the prior knows nothing above {prior_rate / 2:g} Hz; what is "
                "missing there stays so"
            )
    damage_of(task, file_rate, prior_rate)  # refuses what has no stages either
    gaps = next((part for part in parts if isinstance(part, Inpainting)), UNDAMAGED)
    light, heavy = split(gaps) if method == "auto" else (UNDAMAGED, gaps)
    peaks: list[Part] = [part for part in parts if isinstance(part, Declipping)]
    highs: list[Part] = [part for part in parts if isinstance(part, BandwidthExtension)]
    # A window that adds highs fills its gaps with the same change, which cannot be told apart: in every channel.
    filled = Inpainting(heavy.gaps_s) if highs else heavy
    least = LIGHT_CLIPPING if method == "auto" else 0.0
    return Stages(
        _if_any(joined([*peaks, light]), file_rate, file_rate, left=heavy),
        _if_any(joined([*highs, *peaks, filled]), file_rate, prior_rate, least),
    )


def _if_any(
    task: Task, file_rate: int, rate: int, least_clipping: float = 0.0, left: Inpainting = UNDAMAGED
) -> Damage | None:
    return None if task == UNDAMAGED else damage_of(task, file_rate, rate, least_clipping, left)


def damage_of(
    task: Task, file_rate: int, rate: int, least_clipping: float = 0.0, left: Inpainting = UNDAMAGED
) -> Damage:
    """The task for a file at file_rate, to be dealt with at `rate` (Hz).

    least_clipping: the share of a window's samples up to which clipping does not hurt. left: gaps that are left to
    another, of which nothing is learned. Raises UsageError for a cutoff that is not below half of `rate`, and for
    two parts of a kind.
    """
    match task:
        case BandwidthExtension(cutoff_hz):
            return LostHighs(_low_pass(cutoff_hz, rate), rate)
        case Inpainting(gaps_s):
            spans = file_spans(gaps_s, rate)
            near = spans if file_rate == rate else widened(spans, RINGING)
            own, at_file_rate = by_channel(task, rate), by_channel(task, file_rate)
            return LostSpans(Gaps(near), own, at_file_rate, rate, by_channel(left, rate))
        case Declipping(threshold):
            trusted = _low_pass(min(_PEAKS_BELOW_HZ, rate / 4), rate)
            return LostPeaks(_hard_clip(threshold), rate, trusted, least_clipping, by_channel(left, rate))
        case Repair(parts):
            return _several([damage_of(part, file_rate, rate, least_clipping, left) for part in parts])


def by_channel(gaps: Inpainting, rate: int) -> tuple[Gaps, ...]:
    """Each channel's, or those of all as one."""
    return tuple(Gaps(file_spans(own, rate)) for own in gaps.of_channels_s)


def _several(damages: Sequence[Damage]) -> Damage:
    if len(damages) == 1:
        return damages[0]
    highs = [each for each in damages if isinstance(each, LostHighs)]
    peaks = [each for each in damages if isinstance(each, LostPeaks)]
    spans = [each for each in damages if isinstance(each, LostSpans)]
    if max(len(highs), len(peaks), len(spans)) > 1:
        raise UsageError("a recording has one cutoff, one clip level and one list of gaps; name each at most once")
    return Several(next(iter(highs), None), next(iter(peaks), None), next(iter(spans), None))


def widened(spans: Sequence[tuple[int, int]], by: int) -> tuple[tuple[int, int], ...]:
    """The spans, in order, each `by` samples longer at either end, though not before 0; those that meet, as one."""
    wide: list[tuple[int, int]] = []
    for first, stop in spans:
        begin = max(0, first - by)
        if wide and begin <= wide[-1][1]:
            begin = wide.pop()[0]
        wide.append((begin, stop + by))
    return tuple(wide)


def file_spans(gaps_s: Sequence[Gap], rate: int) -> tuple[tuple[int, int], ...]:
    """Gaps in samples, each at least one long; those that lie apart in time but not in samples, as one."""
    spans: list[tuple[int, int]] = []
    ended_s = 0.0
    for first_s, stop_s in gaps_s:
        first = round(first_s * rate)
        stop = max(round(stop_s * rate), first + 1)
        if spans and ended_s <= first_s and first <= spans[-1][1]:
            first = spans.pop()[0]
        spans.append((first, stop))
        ended_s = stop_s
    return tuple(spans)
