"""Damage that the prior repairs, at its own rate: what it changes is brought back to the recording's rate and added."""

import math
from collections.abc import Iterator

import numpy as np

from restorer.audio import Resampler, Samples, resampled_length
from restorer.prior import Prior
from restorer.restoration.batches import Batches, Rows
from restorer.restoration.damage import Damage
from restorer.restoration.floor import HEARD_AHEAD, HeardWindow, RecordingFloor
from restorer.restoration.stage import Done
from restorer.restoration.windows import Tape, Window


class PriorStage:
    """A `Stage`. damage: of recordings at sample_rate (Hz) as the prior hears them.

    To rounding the result does not depend on at_once, the number of windows that the network sees together.
    """

    def __init__(
        self,
        damage: Damage,
        prior: Prior,
        sample_rate: int,
        channels: int,
        batches: Batches,
        at_once: int,
        done: Done,
    ) -> None:
        self._damage, self._prior, self._rate, self._batches, self._done = damage, prior, sample_rate, batches, done
        self._at_once = at_once
        # at the recording's rate: what came in, and what is to be added
        self._to_prior = Resampler(sample_rate, prior.sample_rate, channels)
        self._to_file = Resampler(prior.sample_rate, sample_rate, channels)
        self._recording, self._changed = Tape(channels), Tape(channels)
        # at the prior's rate: what is heard, and what was restored
        self._heard, self._change = Tape(channels), Tape(channels)
        self._windows: Iterator[Window] = iter(damage.windows(prior.length))
        self._next: Window | None = next(self._windows, None)
        self._waiting: list[tuple[Window, Samples, Samples, HeardWindow]] = []  # until more of the recording is heard
        self._ready: list[tuple[Window, Samples, Samples, Rows | None]] = []
        self._floor = RecordingFloor(prior, channels)
        self.windows_restored = 0

    @property
    def position_s(self) -> float:
        heard = self._waiting[0][0].start if self._waiting else self._heard.end
        return max(0, heard) / self._prior.sample_rate

    def heard_of(self, block: Samples, start: int) -> Samples:
        return self._damage.heard(block, start)

    def count(self, frames: int) -> int:
        return self._damage.count(self._prior.length, resampled_length(frames, self._rate, self._prior.sample_rate))

    def push(self, block: Samples) -> Samples:
        self._heard.append(self._to_prior.push(block))
        self._recording.append(block)
        return self._advanced(ended=False)

    def finish(self) -> Samples:
        self._heard.append(self._to_prior.finish())
        self._damage = self._damage.within(max(1, self._heard.end))
        return self._advanced(ended=True)

    def _advanced(self, *, ended: bool) -> Samples:
        """Restores the windows that have arrived; the frames that no later window changes."""
        self._advance(ended=ended)
        self._changed.append(self._to_file.push(self._settled(ended=ended)))
        if ended:
            self._changed.append(self._to_file.finish())
        start = self._recording.start
        stop = self._recording.end if ended else min(self._recording.end, self._changed.end)
        return self._damage.repaired(self._recording.take(stop), self._changed.take(stop), start)

    def _advance(self, *, ended: bool) -> None:
        margin, length = self._prior.whitening.margin, self._prior.length
        while (window := self._next) is not None:
            if (
                (self._heard.end <= max(window.rise[0], 0))
                if ended
                else (self._heard.end < window.start + length + margin)
            ):
                break
            samples = self._heard.view(window.start - margin, window.start + length + margin)
            self._next = next(self._windows, None)
            hurts = self._damage.hurts(samples[margin : margin + length], window.start)
            if hurts.any():
                self._hear(window, samples, hurts)
            else:
                self._done(1)
            self._tell(window.start - HEARD_AHEAD * length)
            if len(self._ready) >= self._at_once or window.known_until is not None or self._is_awaited():
                self._restore_ready()
            if self._next is not None:
                self._heard.forget(self._next.start - margin)
        if ended:
            self._tell(math.inf)
        if ended or self._is_late():
            self._restore_ready()
        self._heard.forget(self._heard.end if self._next is None else self._next.start - margin)

    def _hear(self, window: Window, samples: Samples, hurts: Samples) -> None:
        heard = self._floor.hear(samples, window.start, self._damage)
        if heard is None:
            self._ready.append((window, samples, hurts, None))
        else:
            self._waiting.append((window, samples, hurts, heard))

    def _tell(self, upto: float) -> None:
        """Makes ready the waiting windows that start by then, after all that was heard so far."""
        while self._waiting and self._waiting[0][0].start <= upto:
            window, samples, hurts, heard = self._waiting.pop(0)
            self._ready.append((window, samples, hurts, self._floor.expected(heard)))
            if len(self._ready) >= self._at_once:
                self._restore_ready()

    def _is_late(self) -> bool:
        """Whether the first of the windows that are ready has waited for others for long enough."""
        if not self._ready:
            return False
        window, *_, floors = self._ready[0]
        heard = self._heard.end - window.start - (0 if floors is None else HEARD_AHEAD * self._prior.length)
        return heard > (self._at_once + 1) * self._prior.length

    def _restore_ready(self) -> None:
        if not self._ready:
            return
        windows, samples, hurts, floors = map(list, zip(*self._ready, strict=True))
        known_until = windows[0].known_until
        damage = self._damage if known_until is None else self._damage.after(known_until)
        changes = self._batches.changes(windows, samples, floors, damage)
        for window, change, where in zip(windows, changes, hurts, strict=True):
            weighed = change.astype(np.float64) * where * window.weights(self._prior.length)[:, None]
            self._change.add(window.start, weighed)
        if self._is_awaited():
            self._hear_again(windows[-1], weighed)
        self._ready.clear()
        self.windows_restored += len(windows)
        self._done(len(windows))

    def _is_awaited(self) -> bool:
        """Whether the next window goes on in a gap from where the last one stops."""
        return self._next is not None and self._next.known_until is not None

    def _hear_again(self, window: Window, change: Samples) -> None:
        first, last = max(window.start, self._heard.start), min(window.start + len(change), self._heard.end)
        if first < last:
            self._heard.add(first, change[first - window.start : last - window.start])

    def _settled(self, *, ended: bool) -> Samples:
        """The change as far as no later window adds to it."""
        coming = [window for window, *_ in (*self._ready, *self._waiting)] + ([self._next] if self._next else [])
        changing = [window.rise[0] for window in coming]
        settled = self._heard.end if ended else min([self._heard.end, *changing])
        return self._change.take(max(settled, self._change.start))
