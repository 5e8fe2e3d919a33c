"""Damage that a classical method repairs, at the recording's own rate, before the prior hears of it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from restorer.audio import Samples
from restorer.restoration.batches import Batches
from restorer.restoration.damage import Damage
from restorer.restoration.stage import Done
from restorer.restoration.windows import Tape, Window

WINDOW_S = 3.0
"""Twice the longest window that social sparsity works in (6 s gain 0.03 dB), and no longer than those of the prior: who
listens at the end of a pipe waits for both."""


class ClassicalStage:
    """A `Stage`. damage: at the recording's rate, sample_rate (Hz).

    A window hears nothing beyond the recording's ends; one that reaches to its end stands for all that would follow.
    """

    def __init__(self, damage: Damage, sample_rate: int, channels: int, batches: Batches, done: Done) -> None:
        self._damage, self._rate, self._batches, self._done = damage, sample_rate, batches, done
        self._length = round(WINDOW_S * sample_rate)
        self._windows: Iterator[Window] = iter(damage.windows(self._length))
        self._next: Window | None = next(self._windows, None)
        self._recording, self._change = Tape(channels), Tape(channels)
        self._given = 0  # frames that have left
        self.windows_restored = 0

    @property
    def position_s(self) -> float:
        return self._recording.end / self._rate

    def heard_of(self, block: Samples, start: int) -> Samples:
        return self._damage.heard(block, start)

    def count(self, frames: int) -> int:
        number = 0
        for window in self._damage.windows(self._length):
            if max(window.rise[0], 0) >= frames:
                break
            number += 1
            if frames <= window.start + self._length:
                break
        return number

    def push(self, block: Samples) -> Samples:
        self._recording.append(block)
        return self._advanced(ended=False)

    def finish(self) -> Samples:
        return self._advanced(ended=True)

    def _advanced(self, *, ended: bool) -> Samples:
        """Repairs the windows that have arrived; the frames that no later window changes."""
        end = self._recording.end
        while (window := self._next) is not None:
            is_last = ended and end <= window.start + self._length
            if max(window.rise[0], 0) >= end or not (is_last or end > window.start + self._length):
                break
            self._next = None if is_last else next(self._windows, None)
            self._restore(replace(window, fall=(end, end)) if is_last else window)
        settled = end if ended or self._next is None else min(end, max(self._next.rise[0], self._given))
        original = self._recording.view(self._given, settled)
        out = self._damage.repaired(original, self._change.take(settled), self._given)
        self._given = settled
        self._recording.forget(settled if self._next is None else min(settled, self._next.start))
        return out

    def _restore(self, window: Window) -> None:
        first, stop = max(window.start, 0), min(window.start + self._length, self._recording.end)
        samples = self._recording.view(first, stop)
        hurts = self._damage.hurts(samples, first)
        if hurts.any():
            weights = window.weights(self._length)[first - window.start : stop - window.start]
            change = self._batches.classical(window, samples, self._damage).astype(np.float64)
            self._change.add(first, change * hurts * weights[:, None])
            self.windows_restored += 1
        self._done(1)
