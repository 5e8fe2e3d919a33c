"""Windows through the engine: those that were kept from an earlier run, the others as many at once as memory allows."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorer.audio import Samples
from restorer.errors import RestorerError
from restorer.prior import Prior
from restorer.restoration.damage import Damage
from restorer.restoration.engine import restore_classically, restore_windows
from restorer.restoration.kept import CLASSICAL, PRIOR, Change, Kept
from restorer.restoration.settings import Settings
from restorer.restoration.windows import Window

_NO_MEMORY = ("out of memory", "alloc_failed")  # of torch, of cuDNN, cuBLAS and cuFFT

Rows = NDArray[np.float32]
"""(batch, time) at the rate of the damage."""


class Engine(Protocol):
    """Who restores windows; `restore_windows` and `restore_classically` have the arguments. Nobody else needs torch."""

    @property
    def room(self) -> int:
        """How many rows at once are worth waiting for."""

    @property
    def most(self) -> int | None:
        """How many rows at once the device's memory turned out to hold; None: as many as were tried."""

    def changes(
        self, rows: Rows, starts: Sequence[int], floors: Rows | None, damage: Damage, settings: Settings, seed: int
    ) -> Rows:
        """(batch, length): what the prior adds. floors: (batch, bands), of `RecordingFloor`."""

    def classical(self, rows: Rows, starts: Sequence[int], damage: Damage) -> Rows:
        """(batch, length): what the damage's classical method adds."""

    def check(self) -> None:
        """Called once in a while by who uses it; raises where nobody waits for the result any more."""


class OwnEngine:
    """An Engine that computes at once, where it is called. A batch that does not fit into memory is halved.

    The result is the same, as no window depends on its batch. Raises RestorerError where one window alone does not fit.
    """

    def __init__(self, prior: Prior, batch_size: int) -> None:
        self._prior = prior
        # On a CPU windows gain nothing from company (`restore_windows`), so that none waits for others.
        self.room = 1 if prior.device.type == "cpu" else batch_size
        self.most: int | None = None

    def changes(
        self, rows: Rows, starts: Sequence[int], floors: Rows | None, damage: Damage, settings: Settings, seed: int
    ) -> Rows:
        done: list[Tensor] = []
        at = 0
        while at < len(rows):
            stop = min(at + (self.most or len(rows)), len(rows))
            here = None if floors is None else torch.from_numpy(floors[at:stop])
            part = self._tried(torch.from_numpy(rows[at:stop]), starts[at:stop], here, damage, settings, seed)
            if part is not None:
                done.append(part)
                at = stop
            elif stop - at == 1:
                raise RestorerError(
                    f"{self._prior.device} has too little memory for one window; close what else uses it, or choose "
                    "--device cpu"
                )
            else:
                self.most = (stop - at) // 2
        return torch.cat(done).numpy()

    def classical(self, rows: Rows, starts: Sequence[int], damage: Damage) -> Rows:
        return restore_classically(torch.from_numpy(rows).to(self._prior.device), starts, damage).cpu().numpy()

    def check(self) -> None:
        """Who calls it waits himself."""

    def _tried(
        self,
        rows: Tensor,
        starts: Sequence[int],
        floors: Tensor | None,
        damage: Damage,
        settings: Settings,
        seed: int,
    ) -> Tensor | None:
        """The changes, (rows, length) float32 on the CPU; None if the memory did not suffice."""
        try:
            return restore_windows(rows, starts, damage, self._prior, settings, seed, floors).cpu().float()
        except RuntimeError as error:
            said = str(error).lower()
            if not isinstance(error, torch.OutOfMemoryError) and not any(word in said for word in _NO_MEMORY):
                raise
        # Here nothing holds the tensors of the attempt any more.
        if self._prior.device.type == "cuda":
            torch.cuda.empty_cache()
        return None


class Batches:
    """What the restoration adds to windows of one recording."""

    def __init__(self, engine: Engine, settings: Settings, seed: int, kept: Kept | None = None) -> None:
        self._engine, self._settings, self._seed, self._kept = engine, settings, seed, kept
        self._most_before = engine.most

    @property
    def notes(self) -> tuple[str, ...]:
        most = self._engine.most
        return () if most == self._most_before else (
            f"the device's memory was too small for more than {most} windows at once (channels counted), so it "
            f"went on with as many; --batch-size {most} asks for no more",
        )  # fmt: skip

    def changes(
        self,
        windows: Sequence[Window],
        samples: Sequence[Samples],
        floors: Sequence[Rows | None],
        damage: Damage,
    ) -> list[Change]:
        """samples: what each window hears, (length + 2 margin, channels); floors: what `RecordingFloor` said of it."""
        found = [self._found(each) for each in windows]
        missing = [i for i, change in enumerate(found) if change is None]
        if missing:
            new = self._computed(
                [windows[i].start for i in missing], [samples[i] for i in missing], [floors[i] for i in missing], damage
            )
            for i, change in zip(missing, new, strict=True):
                found[i] = change
                self._keep(windows[i], change)
        return [change for change in found if change is not None]

    def classical(self, window: Window, samples: Samples, damage: Damage) -> Change:
        """What the damage's classical method adds to the samples of a window (time, channels), from 0 on at most."""
        found = None if self._kept is None else self._kept.find(CLASSICAL, window.start, None)
        if found is not None:
            return found
        rows = samples.T.astype(np.float32)
        change = self._engine.classical(rows, [max(window.start, 0)] * len(rows), damage).T
        if self._kept is not None:
            self._kept.keep(CLASSICAL, window.start, None, change)
        return change

    def _found(self, window: Window) -> Change | None:
        return None if self._kept is None else self._kept.find(PRIOR, window.start, window.known_until)

    def _keep(self, window: Window, change: Change) -> None:
        if self._kept is not None:
            self._kept.keep(PRIOR, window.start, window.known_until, change)

    def _computed(
        self, places: Sequence[int], samples: Sequence[Samples], floors: Sequence[Rows | None], damage: Damage
    ) -> list[Change]:
        channels = samples[0].shape[1]
        rows = np.concatenate([each.T for each in samples]).astype(np.float32)
        starts = [start for start in places for _ in range(channels)]
        expected = [each for each in floors if each is not None]  # of all windows or of none
        changes = self._engine.changes(
            rows, starts, np.concatenate(expected) if expected else None, damage, self._settings, self._seed
        )
        return list(changes.reshape(len(samples), channels, -1).transpose(0, 2, 1))
