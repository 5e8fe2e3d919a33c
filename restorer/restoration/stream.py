"""A recording that arrives in blocks and leaves restored, in memory that does not grow with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorer.audio import Samples
from restorer.audio.samples import as_table, require_finite
from restorer.errors import UsageError
from restorer.prior import Prior
from restorer.restoration.batches import Batches, Engine, OwnEngine
from restorer.restoration.classical_stage import WINDOW_S, ClassicalStage
from restorer.restoration.damage import stages_of
from restorer.restoration.fit import require_fit
from restorer.restoration.kept import Kept
from restorer.restoration.prior_stage import PriorStage
from restorer.restoration.settings import Settings, preset_of
from restorer.restoration.stage import Stage
from restorer.restoration.task import Task, for_channels


@dataclass(frozen=True)
class Progress:
    """Windows done and to do (None while unknown), and the same in seconds of the recording."""

    windows_done: int
    windows_total: int | None
    seconds_done: float
    seconds_total: float | None


class RestoringStream:
    """push blocks (frames, channels) at the recording's rate; get back as many frames in all, some of them later.

    First what a classical method repairs, then what the prior does, each at its own rate (`stages_of`). The result
    does not depend on the sizes of the blocks nor, to rounding, on batch_size, the number of windows (channels counted)
    that the network sees at once. What the damage spares comes back bit for bit.
    total: the frames to come, if known, for the progress. kept: windows of an earlier run, to which new ones are
    added. engine: who restores windows, if several recordings share one. Raises UsageError for a task that does not
    fit the rate, or that the method cannot do.
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
        task = for_channels(task, channels)
        self._report, self._rate = progress, sample_rate
        engine = OwnEngine(prior, batch_size) if engine is None else engine
        batches = Batches(engine, settings, seed, kept)
        at_once = max(1, min(engine.room, batch_size) // channels)
        damage = stages_of(task, settings.method, sample_rate, prior.sample_rate)
        self._classical = self._prior = None
        if damage.classical is not None:
            self._classical = ClassicalStage(damage.classical, sample_rate, channels, batches, self._done)
        if damage.prior is not None:
            self._prior = PriorStage(damage.prior, prior, sample_rate, channels, batches, at_once, self._done)
        self._stages: list[Stage] = [stage for stage in (self._classical, self._prior) if stage is not None]
        self._batches = batches
        self._nothing: Samples = np.zeros((0, channels))
        self._arrived = 0
        self._window_s = at_once * prior.length / prior.sample_rate
        self.windows_done = 0
        self._total_s = None if total is None else total / sample_rate
        self._windows_total = None if total is None else sum(self.count(total))

    @property
    def notes(self) -> tuple[str, ...]:
        """What went otherwise than asked, in lines for the user."""
        return self._batches.notes

    @property
    def windows_classical(self) -> int:
        """The windows that a classical method has restored."""
        return 0 if self._classical is None else self._classical.windows_restored

    @property
    def windows_prior(self) -> int:
        """The windows that the prior has restored."""
        return 0 if self._prior is None else self._prior.windows_restored

    @property
    def seconds_at_once(self) -> float:
        """How much of the recording is worked on at once."""
        return self._window_s if self._classical is None else max(self._window_s, WINDOW_S)

    def count(self, frames: int) -> tuple[int, int]:
        """The windows of a recording of so many frames: for classical methods, and for the prior."""
        classical, prior = self._classical, self._prior
        return 0 if classical is None else classical.count(frames), 0 if prior is None else prior.count(frames)

    def heard_of(self, block: Samples, start: int) -> Samples:
        """What of these frames, the first of which is `start`, may be heard."""
        for stage in self._stages:
            block = stage.heard_of(block, start)
        return block

    def push(self, block: Samples) -> Samples:
        """The next frames in; those out that are finished by now, perhaps none.

        UsageError for another shape, AudioError for samples outside gaps that are not finite.
        """
        if block.shape[1:] != self._nothing.shape[1:]:
            channels = self._nothing.shape[1]
            raise UsageError(
                f"a block of shape {block.shape} in a recording of {channels} channels; give (frames, {channels})"
            )
        start, self._arrived = self._arrived, self._arrived + len(block)
        # What no stage may hear would reach one through another, and need not be finite.
        block = self.heard_of(block, start)
        require_finite(block, start, self._rate, "the recording")
        for stage in self._stages:
            block = stage.push(block)
        return block

    def finish(self) -> Samples:
        """The frames still held back. Nothing may be pushed after it."""
        rest = self._nothing
        for stage in self._stages:
            rest = np.concatenate([stage.push(rest), stage.finish()])
        return rest

    def _done(self, windows: int) -> None:
        self.windows_done += windows
        if self._report is not None:
            position_s = self._stages[-1].position_s
            self._report(Progress(self.windows_done, self._windows_total, position_s, self._total_s))


def restore(
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
    return np.concatenate([stream.push(table), stream.finish()]).reshape(np.shape(samples))
