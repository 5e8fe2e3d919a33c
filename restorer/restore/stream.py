"""A recording that arrives in blocks and leaves restored, in memory that does not grow with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorer.audio import Resampler, Samples, resampled_length
from restorer.audio.samples import as_table, require_finite
from restorer.prior import Prior
from restorer.restore.batches import Batches, Engine, OwnEngine
from restorer.restore.damage import Damage, damage_of
from restorer.restore.fit import require_fit
from restorer.restore.kept import Kept
from restorer.restore.settings import Settings, preset_of
from restorer.restore.task import Task
from restorer.restore.windows import Tape, Window


@dataclass(frozen=True)
class Progress:
    """Windows done and to do (None while unknown), and the same in seconds of the recording."""

    windows_done: int
    windows_total: int | None
    seconds_done: float
    seconds_total: float | None


@dataclass(frozen=True)
class Heard:
    """A block of the recording, and what the prior may hear of what came so far, at its rate: the next frames of it."""

    recording: Samples
    heard: Samples
    ended: bool = False


@dataclass(frozen=True)
class Restored:
    """A block of the recording, and at the prior's rate the next frames of what is to be added to the recording."""

    recording: Samples
    change: Samples
    ended: bool = False


class RestoringStream:
    """push blocks (frames, channels) at the recording's rate; get back as many frames in all, some of them later.

    The result does not depend on the sizes of the blocks nor, to rounding, on batch_size, the number of windows
    (channels counted) that the network sees at once. What the damage spares comes back bit for bit.
    `push` is three steps, `hear`, `restore` and `repair`, which have nothing in common but what they hand on: each may
    have a thread to itself.
    total: the frames to come, if known, for the progress. kept: windows of an earlier run, to which new ones are
    added. engine: who restores windows, if several recordings share one. Raises UsageError for a task that does not
    fit the rate.
    """

    def __init__(
        self,
        task: Task,
        prior: Prior,
        settings: Settings,
        sample_rate: int,
        channels: int,
        *,
        seed: int = 0,
        batch_size: int = 8,
        total: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        kept: Kept | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._prior, self._method = prior, settings.method
        engine = OwnEngine(prior, batch_size) if engine is None else engine
        self._batches = Batches(engine, settings, seed, kept)
        self._report = progress
        self._damage: Damage = damage_of(task, sample_rate, prior.sample_rate)
        self._at_once = max(1, min(engine.room, batch_size) // channels)
        # `hear`
        self._nothing: Samples = np.zeros((0, channels))
        self._to_prior = Resampler(sample_rate, prior.sample_rate, channels)
        self._arrived = 0
        # `repair`, at the file's rate: what came in, and what is to be added
        self._to_file = Resampler(prior.sample_rate, sample_rate, channels)
        self._recording, self._changed = Tape(channels), Tape(channels)
        # `restore`, at the prior's rate: what is heard, and what was restored
        self._heard, self._change = Tape(channels), Tape(channels)
        self._windows: Iterator[Window] = iter(self._damage.windows(prior.length))
        self._next: Window | None = next(self._windows, None)
        self._ready: list[tuple[Window, Samples]] = []
        self.windows_done = 0
        self.windows_classical = self.windows_prior = 0
        self._total_s: float | None = None
        self._windows_total: int | None = None
        if total is not None:
            at_prior = resampled_length(total, sample_rate, prior.sample_rate)
            self._total_s = total / sample_rate
            self._windows_total = self._damage.count(prior.length, at_prior)

    @property
    def notes(self) -> tuple[str, ...]:
        """What went otherwise than asked, in lines for the user."""
        return self._batches.notes

    @property
    def seconds_at_once(self) -> float:
        """How much of the recording the network sees at once."""
        return self._at_once * self._prior.length / self._prior.sample_rate

    def push(self, block: Samples) -> Samples:
        """The next frames in; those out that are finished by now, perhaps none."""
        return self.repair(self.restore(self.hear(block)))

    def finish(self) -> Samples:
        """The frames still held back. Nothing may be pushed after it."""
        return self.repair(self.restore(self.hear_end()))

    def heard_of(self, block: Samples, start: int) -> Samples:
        """What of these frames, the first of which is `start`, the prior may hear."""
        return self._damage.heard(block, start)

    def hear(self, block: Samples) -> Heard:
        """The next frames in."""
        heard = self._to_prior.push(self.heard_of(block, self._arrived))
        self._arrived += len(block)
        return Heard(block, heard)

    def hear_end(self) -> Heard:
        """No more frames in. Nothing may be heard after it."""
        return Heard(self._nothing, self._to_prior.finish(), ended=True)

    def restore(self, heard: Heard) -> Restored:
        """What `hear` returned, in its order; what is settled by now, perhaps nothing."""
        self._heard.append(heard.heard)
        self._advance(ended=heard.ended)
        return Restored(heard.recording, self._settled(ended=heard.ended), heard.ended)

    def repair(self, restored: Restored) -> Samples:
        """What `restore` returned, in its order; the frames out that are finished by now, perhaps none."""
        self._recording.append(restored.recording)
        self._changed.append(self._to_file.push(restored.change))
        if restored.ended:
            self._changed.append(self._to_file.finish())
        start = self._recording.start
        stop = self._recording.end if restored.ended else min(self._recording.end, self._changed.end)
        return self._damage.repaired(self._recording.take(stop), self._changed.take(stop), start)

    def _advance(self, *, ended: bool) -> None:
        """Restores the windows whose samples have arrived."""
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
            inner = samples[margin : margin + length]
            if not self._damage.hurts(inner, window.start):
                self._done(1)
            elif self._is_classical(inner, window):
                self._restore_classically(window, samples)
            else:
                self._ready.append((window, samples))
            in_turn = window.known_until is not None or self._is_awaited()
            if len(self._ready) >= self._at_once or in_turn:
                self._restore_ready()
            if self._next is not None:
                self._heard.forget(self._next.start - margin)
        waiting = self._ready and self._heard.end - self._ready[0][0].start > (self._at_once + 1) * length
        if ended or waiting:
            self._restore_ready()
        self._heard.forget(self._heard.end if self._next is None else self._next.start - margin)

    def _is_classical(self, inner: Samples, window: Window) -> bool:
        if self._method == "auto":
            return self._damage.is_light(inner, window.start)
        return self._method == "classical"

    def _restore_classically(self, window: Window, samples: Samples) -> None:
        change = self._batches.classical(window, samples, self._damage)
        self._change.add(window.start, self._weighed(window, change.astype(np.float64)))
        self.windows_classical += 1
        self._done(1)

    def _weighed(self, window: Window, change: Samples) -> Samples:
        return change * window.weights(self._prior.length)[:, None]

    def _restore_ready(self) -> None:
        if not self._ready:
            return
        windows = [window for window, _ in self._ready]
        known_until = windows[0].known_until
        damage = self._damage if known_until is None else self._damage.after(known_until)
        changes = self._batches.changes(windows, [samples for _, samples in self._ready], damage)
        for window, change in zip(windows, changes, strict=True):
            weighed = self._weighed(window, change.astype(np.float64))
            self._change.add(window.start, weighed)
        if self._is_awaited():
            self._hear_again(windows[-1], weighed)
        self._ready.clear()
        self.windows_prior += len(windows)
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
        changing = [window.rise[0] for window, _ in self._ready] + ([self._next.rise[0]] if self._next else [])
        settled = self._heard.end if ended else min([self._heard.end, *changing])
        return self._change.take(max(settled, self._change.start))

    def _done(self, windows: int) -> None:
        self.windows_done += windows
        if self._report is None:
            return
        heard_s = self._heard.end / self._prior.sample_rate
        self._report(Progress(self.windows_done, self._windows_total, heard_s, self._total_s))


def restore_signal(
    samples: NDArray[np.floating[Any]],
    sample_rate: int,
    task: Task,
    prior: Prior,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    batch_size: int = 8,
    progress: Callable[[Progress], None] | None = None,
) -> Samples:
    """A whole recording, restored: a new float64 array of the same shape, which may exceed full scale.

    samples: (frames, channels), or (frames,) of one channel; floats, full scale 1.0. sample_rate: Hz, 1000 to 768000.
    settings: None is what was measured to be good for the task (`preset_of`). seed: the same one, the same result.
    batch_size: windows that a GPU restores at once. progress: called after each window. What the damage spares comes
    back bit for bit. Raises UsageError for another shape or type, and for a task that does not fit the recording;
    AudioError for a rate or a number of channels that no recording has, and for samples outside gaps that are not
    finite.
    """
    table = as_table(samples, sample_rate)
    require_fit(task, sample_rate, len(table) / sample_rate, "the recording")
    stream = RestoringStream(
        task, prior, preset_of(task) if settings is None else settings, sample_rate, table.shape[1], seed=seed,
        batch_size=batch_size, total=len(table), progress=progress,
    )  # fmt: skip
    require_finite(stream.heard_of(table, 0), 0, sample_rate, "the recording")
    return np.concatenate([stream.push(table), stream.finish()]).reshape(samples.shape)
