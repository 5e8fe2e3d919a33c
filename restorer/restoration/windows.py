"""Where the windows of a long recording lie, and how they are joined.

In samples at the rate of the stage that works in them: the prior's or, for classical methods, the recording's own.
The ends of a window get no weight, for the transform wraps round there (the guard). Next to it neighbours overlap and
are cross-faded linearly: noise that belongs to the place makes them agree there, so that amplitudes add, not powers.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from restorer.audio import Samples

GUARD = 1 / 32
OVERLAP = 1 / 4
"""Shares of a window's length; the overlap includes both guards."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A window from `start` on; its weight is 0 before rise[0], 1 between rise[1] and fall[0], 0 from fall[1] on.

    known_until: the gaps before this sample have been filled by earlier windows, which this one hears.
    """

    start: int
    rise: Span
    fall: Span
    known_until: int | None = None

    def weights(self, length: int) -> NDArray[np.float64]:
        """(length,): the weight of each of its samples; two windows that share a fade sum to 1 in it."""
        at = np.arange(self.start, self.start + length, dtype=np.float64) + 0.5
        return np.asarray(_ramp(at, self.rise) * (1 - _ramp(at, self.fall)))


def _ramp(at: NDArray[np.float64], fade: Span) -> NDArray[np.float64]:
    """From 0 to 1 over the fade; a step where it has no length."""
    if fade[0] == fade[1]:
        return (at > fade[0]).astype(np.float64)
    return np.asarray(np.clip((at - fade[0]) / (fade[1] - fade[0]), 0.0, 1.0))


def grid(length: int) -> Iterator[Window]:
    """Endless overlapping windows from sample 0 on, weights summing to 1 at every sample."""
    guard, overlap = round(GUARD * length), round(OVERLAP * length)
    fade, hop = overlap - 2 * guard, length - overlap
    for i in count():
        begin = i * hop
        rise = (begin, begin + fade) if i else (0, 0)
        yield Window(begin - guard, rise, (begin + hop, begin + hop + fade))


def grid_size(length: int, total: int) -> int:
    """How many windows of the grid cover `total` samples."""
    return -(-total // (length - round(OVERLAP * length)))


def grid_around(gaps: Sequence[Span], length: int) -> Iterator[Window]:
    """The grid's windows, but that the end of one comes early where two would cross-fade inside a gap or beside one.

    gaps: sorted, apart. The next window then begins before the gap and has it whole, unless it is nearly as long as
    a window. Weights sum to 1 at every sample.
    """
    guard, overlap = round(GUARD * length), round(OVERLAP * length)
    fade, hop = overlap - 2 * guard, length - overlap
    begin, rise = 0, (0, 0)
    while True:
        end = _end_between(gaps, begin + fade, begin + hop, fade)
        yield Window(begin - guard, rise, (end, end + fade))
        begin, rise = end, (end, end + fade)


def _end_between(gaps: Sequence[Span], after: int, last: int, fade: int) -> int:
    """The latest sample after `after`, `last` at most, from which to cross-fade: outside of gaps, and a fade away from
    them; if that cannot be, as far as it can."""
    near = gaps[
        bisect_right(gaps, after - fade, key=lambda gap: gap[1]) : bisect_left(
            gaps, last + 2 * fade, key=lambda gap: gap[0]
        )
    ]
    firsts, stops = np.array(near, dtype=np.int64).reshape(-1, 2).T
    beside = np.concatenate([firsts - 2 * fade, firsts - fade, stops, stops + fade])
    ends = np.append(beside[(beside > after) & (beside < last)], last)

    def lost(begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples of gaps between."""
        common = np.minimum(stops, end[:, None]) - np.maximum(firsts, begin[:, None])
        return np.asarray(common.clip(min=0).sum(axis=1))

    best = np.lexsort((-ends, lost(ends - fade, ends + 2 * fade), lost(ends, ends + fade)))[0]
    return int(ends[best])


def fills(gaps: Sequence[Span], length: int) -> list[Window]:
    """Windows that fill the gaps (sorted, apart), in the order in which they must run.

    Gaps that lie together in less than half a window share one, centred on them. A longer gap is filled from left to
    right, a quarter of a window at a time, each window hearing what was filled before; the last is centred on the rest.
    """
    windows: list[Window] = []
    clusters = _clusters(gaps, length // 2)
    for i, (first, stop) in enumerate(clusters):
        # Fades lie beside the gaps, so a window's weight reaches a little further, but never into another's gap.
        before = first - clusters[i - 1][1] if i else length
        after = clusters[i + 1][0] - stop if i + 1 < len(clusters) else length
        rise = first - min(before // 2, length // 8)
        fall = stop + min(after // 2, length // 8)
        begin, known = first, None
        while stop - begin > length // 2:
            upto = begin + length // 4
            windows.append(Window(begin - length // 2, (rise, rise), (upto, upto), known))
            begin = known = upto
            rise = upto - length // 8
        windows.append(Window((begin + stop - length) // 2, (rise, rise), (fall, fall), known))
    return windows


def _clusters(gaps: Sequence[Span], extent: int) -> list[Span]:
    """Runs of gaps that fit into `extent`, each as the span from its first sample to its last."""
    clusters: list[Span] = []
    for first, stop in gaps:
        if clusters and stop - clusters[-1][0] <= extent:
            clusters[-1] = (clusters[-1][0], stop)
        else:
            clusters.append((first, stop))
    return clusters


class Tape:
    """The part of a long signal that is still needed: appended at its end, forgotten at its beginning.

    Either takes time in proportion to what comes or goes, however much stays.
    """

    def __init__(self, channels: int) -> None:
        self.start = 0
        # What is needed, and the store that it lies in, with room behind it. What has left is never written again.
        self._samples: Samples = np.zeros((0, channels))
        self._store, self._used = self._samples, 0

    @property
    def end(self) -> int:
        return self.start + len(self._samples)

    def append(self, block: Samples) -> None:
        size = len(self._samples) + len(block)
        if self._used + len(block) > len(self._store):
            self._store = np.empty((2 * size, self._samples.shape[1]))
            self._store[: len(self._samples)] = self._samples
            self._used = len(self._samples)
        self._store[self._used : self._used + len(block)] = block
        self._used += len(block)
        self._samples = self._store[self._used - size : self._used]

    def add(self, start: int, block: Samples) -> None:
        """Adds to what stands from `start` on, grown by silence where needed; what lies before the tape is dropped."""
        stop = start + len(block)
        if stop > self.end:
            self.append(np.zeros((stop - self.end, block.shape[1])))
        first = max(start, self.start)
        if first < stop:
            self._samples[first - self.start : stop - self.start] += block[first - start :]

    def view(self, start: int, stop: int) -> Samples:
        """The samples from start to stop, mirrored at the ends of the tape where it does not reach."""
        first, last = max(start, self.start), min(stop, self.end)
        part = self._samples[first - self.start : last - self.start]
        return np.pad(part, ((first - start, stop - last), (0, 0)), mode="symmetric")

    def take(self, stop: int) -> Samples:
        """Removes and returns the samples before `stop`, silence where nothing was put."""
        if stop > self.end:
            self.append(np.zeros((stop - self.end, self._samples.shape[1])))
        part = self._samples[: stop - self.start]
        self._samples = self._samples[stop - self.start :]
        self.start = stop
        return part

    def forget(self, before: int) -> None:
        """Drops the samples before `before`, as far as there are any."""
        if before > self.start:
            self.take(min(before, self.end))
