"""Each task as the engine and the job need it: the operator, where it hurts, and what may be changed."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol, Self

from torch import Tensor

from restorer.audio import Samples
from restorer.degradation import Degradation, Gaps, HardClip, LowPass, Projectable
from restorer.errors import UsageError
from restorer.prior import Prior
from restorer.restore.damage.several import Several
from restorer.restore.damage.single import RINGING, LostHighs, LostPeaks, LostSpans
from restorer.restore.task import BandwidthExtension, Declipping, Inpainting, Repair, Task
from restorer.restore.windows import Window

_ROUNDING = 1e-4
_RIPPLE = 0.05
_PEAKS_BELOW_HZ = 2000.0

# The same numbers, the same object: so recordings that suffer from the same have equal damage.
_low_pass = lru_cache(LowPass.kaiser)
_hard_clip = lru_cache(HardClip.symmetric)


class Damage(Protocol):
    """A task at the prior's rate (tensors) and at the file's rate (Samples). Equal ones do the same to windows."""

    @property
    def degradation(self) -> Degradation: ...

    def level(self, whitened: Tensor, starts: Sequence[int], prior: Prior) -> Tensor:
        """(batch, 1): the level of each window's undamaged whitened signal, as far as it is heard; 0 for silence."""

    @property
    def trusted(self) -> Projectable | None:
        """What of the warm start is kept as it is: heard through this."""

    def warm(self, y: Tensor, placed: Degradation, guess: Tensor) -> Tensor:
        """(batch, time): the waveform to which the sampler adds its first noise; `placed`: A on these windows.

        guess: (batch, time), noise that stands for what is missing. Without it the sampler would hear through its
        first noise that nothing is there, for the power of a hundred thousand samples is known to half a percent, and
        leave it soft: what it restores is as loud as the guess allows.
        """

    def confined(self, change: Tensor, y: Tensor, placed: Degradation) -> Tensor:
        """The part of a window's change (batch, time) that may reach the recording."""

    def windows(self, length: int) -> Iterator[Window]:
        """The windows to restore, in order; endless where the damage may be anywhere."""

    def count(self, length: int, total: int) -> int:
        """How many of them a recording of `total` samples (prior's rate) has."""

    def after(self, known_until: int) -> Self:
        """What is left of the damage once all before that sample (prior's rate) has been restored."""

    def heard(self, original: Samples, start: int) -> Samples:
        """What of the recording's samples from `start` on (file's rate) the prior may hear."""

    def hurts(self, block: Samples, start: int) -> bool:
        """Whether a window with these samples, from `start` on (prior's rate), needs restoring."""

    def is_light(self, block: Samples, start: int) -> bool:
        """Whether a classical method does better than the prior on a window with these samples (prior's rate)."""

    def classical(self, y: Tensor, placed: Degradation) -> Tensor:
        """(batch, time): the classical estimate for these waveforms. UsageError for damage that is beyond it."""

    def repaired(self, original: Samples, change: Samples, start: int) -> Samples:
        """The recording's samples from `start` on (file's rate), with the change where it may be, else bit for bit."""


def damage_of(task: Task, file_rate: int, prior_rate: int) -> Damage:
    """The task for a file at file_rate and a prior at prior_rate (Hz).

    Raises UsageError for a cutoff that is not below half the prior's rate.
    """
    match task:
        case BandwidthExtension(cutoff_hz):
            return LostHighs(_low_pass(cutoff_hz, prior_rate), prior_rate)
        case Inpainting(gaps_s):
            spans = file_spans(gaps_s, prior_rate)
            near = spans if file_rate == prior_rate else widened(spans, RINGING)
            return LostSpans(Gaps(near), Gaps(file_spans(gaps_s, file_rate)), prior_rate)
        case Declipping(threshold):
            # Between the samples of another rate a flattened peak ripples about its level; at the same rate it is only
            # whitening there and back that moves it, by a few millionths of full scale.
            tolerance = _ROUNDING if file_rate == prior_rate else max(_ROUNDING, _RIPPLE * threshold)
            clip = _hard_clip(threshold, tolerance)
            trusted = _low_pass(_PEAKS_BELOW_HZ, prior_rate)
            return LostPeaks(clip, _hard_clip(threshold), prior_rate, trusted)
        case Repair(parts):
            return _several([damage_of(part, file_rate, prior_rate) for part in parts])


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


def file_spans(gaps_s: Sequence[tuple[float, float]], rate: int) -> tuple[tuple[int, int], ...]:
    return tuple((round(first * rate), max(round(stop * rate), round(first * rate) + 1)) for first, stop in gaps_s)
