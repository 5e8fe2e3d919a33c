"""What a recording has suffered, found in the recording itself, as it comes: lost highs, cut peaks, gaps and clicks.

    detector = Detector(sample_rate, channels)
    for block in blocks:                # (frames, channels), of any sizes: they do not change what is found
        detector.push(block)
    findings = detector.result()

Memory does not grow with the recording, but with what is found in it, and by a kilobyte or two a minute. An undamaged
recording has no findings but, where a lossy codec has stored it, that codec's own low-pass.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from restorer.degradation.detect.clipping import Ceiling, PeakMeter
from restorer.degradation.detect.cutoff import Edge, SpectrumMeter, Stretch, is_about, same
from restorer.degradation.detect.gaps import GapMeter
from restorer.degradation.detect.missing import GapKind, Hole

__all__ = ["KINDS", "ClipLevel", "Cutoff", "Detector", "Findings", "Gap", "Kind", "Stretch"]

Kind = Literal["cutoff", "clipping", "gaps"]
KINDS: tuple[Kind, ...] = ("cutoff", "clipping", "gaps")

_CHUNK = 1 << 16
_SHARED = 8  # samples by which the edges of one gap may differ from channel to channel


@dataclass(frozen=True)
class Cutoff:
    """Nothing is left above cutoff_hz in a channel. is_codec: a lossy codec's own low-pass, which is no damage.

    range_hz: the least and the greatest cutoff of its stretches of some 20 s; stretches: where it changes, else one.
    fall_db: how far down the low-pass is seen, above the noise. confidence: 0 to 1.
    """

    channel: int
    cutoff_hz: float
    range_hz: tuple[float, float]
    stretches: tuple[Stretch, ...]
    fall_db: float
    is_codec: bool
    confidence: float


@dataclass(frozen=True)
class ClipLevel:
    """Peaks of one channel and polarity were held at `level` (full scale, with its sign); share: of its samples that
    were. kind "soft": they were bent, not cut, towards it. confidence: 0 to 1."""

    channel: int
    level: float
    kind: Literal["hard", "soft"]
    share: float
    confidence: float


@dataclass(frozen=True)
class Gap:
    """Samples first (included) to stop (excluded) of these channels are not music; confidence: 0 to 1."""

    first: int
    stop: int
    kind: GapKind
    channels: tuple[int, ...]
    confidence: float


@dataclass(frozen=True)
class Findings:
    """All that was found in a recording of `frames` frames; what was not looked for is empty.

    extremes: the lowest and the highest sample of each channel, 0 or beyond. sustained: the magnitude that each channel
    passes again and again, without clicks; empty where neither clipping nor gaps were looked for.
    """

    sample_rate: int
    channels: int
    frames: int
    extremes: tuple[tuple[float, float], ...]
    cutoffs: tuple[Cutoff, ...] = ()
    clip_levels: tuple[ClipLevel, ...] = ()
    gaps: tuple[Gap, ...] = ()
    sustained: tuple[float, ...] = ()

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate

    @property
    def damage(self) -> tuple[Cutoff | ClipLevel | Gap, ...]:
        """What could be repaired: everything but codecs' low-passes and soft clipping."""
        cutoffs = (each for each in self.cutoffs if not each.is_codec)
        levels = (each for each in self.clip_levels if each.kind == "hard")
        return (*cutoffs, *levels, *self.gaps)


class Detector:
    """Blocks (frames, channels) in, findings out; looks for the kinds that are wanted.

    is_lossy: the recording comes from a file of a lossy codec, whose low-pass may be lower than others are.
    """

    def __init__(
        self, sample_rate: int, channels: int, wanted: Collection[Kind] = KINDS, *, is_lossy: bool = False
    ) -> None:
        self._rate, self._channels = sample_rate, channels
        every = range(channels)
        self._spectra = [SpectrumMeter(sample_rate, is_lossy) for _ in every] if "cutoff" in wanted else []
        # A gap may be what a clipped wave looks like: the level tells.
        self._peaks = [PeakMeter(sample_rate) for _ in every] if {"clipping", "gaps"} & set(wanted) else []
        self._gaps = [GapMeter(sample_rate) for _ in every] if "gaps" in wanted else []
        self._wants_levels = "clipping" in wanted
        self._waiting: list[NDArray[np.float64]] = []
        self._n_waiting = 0
        self._frames = 0
        self._lowest, self._highest = np.zeros(channels), np.zeros(channels)

    def push(self, block: NDArray[np.float64]) -> None:
        """The next frames, (frames, channels)."""
        self._frames += len(block)
        self._waiting.append(block)
        self._n_waiting += len(block)
        if self._n_waiting < _CHUNK:
            return
        waiting = np.concatenate(self._waiting)
        whole = len(waiting) // _CHUNK * _CHUNK
        for start in range(0, whole, _CHUNK):
            self._measure(waiting[start : start + _CHUNK])
        self._waiting = [waiting[whole:].copy()]
        self._n_waiting -= whole

    def _measure(self, chunk: NDArray[np.float64]) -> None:
        meters: list[SpectrumMeter | PeakMeter | GapMeter] = [*self._spectra, *self._peaks, *self._gaps]
        self._lowest = np.minimum(self._lowest, chunk.min(axis=0))
        self._highest = np.maximum(self._highest, chunk.max(axis=0))
        columns = np.ascontiguousarray(chunk.T)
        for number, meter in enumerate(meters):
            meter.push(columns[number % self._channels])

    def result(self) -> Findings:
        """What was found in all that was pushed. Nothing may be pushed after it."""
        if self._n_waiting:
            self._measure(np.concatenate(self._waiting))
        ceilings = [meter.result() for meter in self._peaks]
        levels = _levels(ceilings) if self._wants_levels else ()
        holes = [_unclipped(meter.result(), each) for meter, each in zip(self._gaps, ceilings, strict=False)]
        extremes = tuple(zip(self._lowest.tolist(), self._highest.tolist(), strict=True))
        sustained = tuple(meter.sustained for meter in self._peaks)
        return Findings(
            self._rate, self._channels, self._frames, extremes, _of_one_codec(self._cutoffs()), levels, _merged(holes),
            sustained,
        )  # fmt: skip

    def _cutoffs(self) -> tuple[Cutoff, ...]:
        found = []
        for channel, meter in enumerate(self._spectra):
            edge, stretches = meter.result()
            edge = _of_the_whole(edge, stretches)
            if edge is not None:
                cutoffs = [each.edge.cutoff_hz for each in stretches if each.edge] or [edge.cutoff_hz]
                found.append(
                    Cutoff(
                        channel, edge.cutoff_hz, (min(cutoffs), max(cutoffs)), stretches, edge.fall_db, edge.is_codec,
                        edge.confidence,
                    )
                )  # fmt: skip
        return tuple(found)


def _of_the_whole(edge: Edge | None, stretches: tuple[Stretch, ...]) -> Edge | None:
    """Its own edge, where stretches do not differ from it; else the highest of theirs, above which nothing is left, if
    stretches with an edge make up more than half."""
    edges = [each for each in stretches if each.edge is not None]
    if not edges or (edge is not None and all(same(edge, each.edge) for each in edges)):
        return edge
    total = sum(each.stop_s - each.start_s for each in stretches)
    if sum(each.stop_s - each.start_s for each in edges) <= total / 2:
        return None
    return max((each.edge for each in edges if each.edge), key=lambda it: it.cutoff_hz)


def _of_one_codec(cutoffs: tuple[Cutoff, ...]) -> tuple[Cutoff, ...]:
    """What is a codec's in one channel is one in all with about the same cutoff, even where it does not show."""
    codecs = [each.cutoff_hz for each in cutoffs if each.is_codec]
    return tuple(
        replace(each, is_codec=any(is_about(each.cutoff_hz, cutoff_hz) for cutoff_hz in codecs)) for each in cutoffs
    )


def _levels(ceilings: list[tuple[Ceiling, ...]]) -> tuple[ClipLevel, ...]:
    return tuple(
        ClipLevel(channel, each.level, each.kind, each.share, each.confidence)
        for channel, found in enumerate(ceilings)
        for each in found
    )


def _unclipped(holes: tuple[Hole, ...], ceilings: tuple[Ceiling, ...]) -> list[Hole]:
    """Without the holds that are clipped waves."""
    levels = [each.level for each in ceilings]
    return [hole for hole in holes if hole.kind != "held" or all(abs(hole.value / at - 1) > 0.01 for at in levels)]


def _merged(holes: list[list[Hole]]) -> tuple[Gap, ...]:
    """The holes of all channels in order, those of the same kind and place as one."""
    every = sorted(
        ((hole, channel) for channel, found in enumerate(holes) for hole in found), key=lambda it: it[0].first
    )
    gaps: list[Gap] = []
    for hole, channel in every:
        latest = range(len(gaps) - 1, max(-1, len(gaps) - 1 - 2 * len(holes)), -1)
        twin = next((index for index in latest if _is_twin(gaps[index], hole, channel)), None)
        if twin is None:
            gaps.append(Gap(hole.first, hole.stop, hole.kind, (channel,), hole.confidence))
        else:
            gap = gaps[twin]
            gaps[twin] = Gap(
                min(gap.first, hole.first), max(gap.stop, hole.stop), hole.kind,
                tuple(sorted((*gap.channels, channel))), max(gap.confidence, hole.confidence),
            )  # fmt: skip
    return tuple(gaps)


def _is_twin(gap: Gap, hole: Hole, channel: int) -> bool:
    """Whether a hole of another channel is this gap."""
    is_there = abs(gap.first - hole.first) <= _SHARED and abs(gap.stop - hole.stop) <= _SHARED
    return is_there and gap.kind == hole.kind and channel not in gap.channels
