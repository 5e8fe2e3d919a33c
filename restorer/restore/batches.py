"""Windows through the engine: those that were kept from an earlier run, the others as many at once as memory allows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from restorer.audio import Samples
from restorer.errors import RestorerError
from restorer.prior import Prior
from restorer.restore.damage import Damage
from restorer.restore.engine import restore_windows
from restorer.restore.kept import PRIOR, Change, Kept
from restorer.restore.settings import Settings
from restorer.restore.windows import Window

_NO_MEMORY = ("out of memory", "alloc_failed")  # of torch, of cuDNN, cuBLAS and cuFFT


class Batches:
    """What the prior adds to windows. Where a batch does not fit into the device's memory, halves do.

    The result is the same, as no window depends on its batch. Raises RestorerError where one window alone does not fit.
    """

    def __init__(self, prior: Prior, settings: Settings, seed: int, kept: Kept | None = None) -> None:
        self._prior, self._settings, self._seed, self._kept = prior, settings, seed, kept
        self._most: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        return () if self._most is None else (
            f"the device's memory was too small for more than {self._most} windows at once (channels counted), so it "
            f"went on with as many; --batch-size {self._most} asks for no more",
        )  # fmt: skip

    def changes(self, windows: Sequence[Window], samples: Sequence[Samples], damage: Damage) -> list[Change]:
        """samples: what each window hears, (length + 2 margin, channels)."""
        found = [self._found(each) for each in windows]
        missing = [i for i, change in enumerate(found) if change is None]
        if missing:
            new = self._computed([windows[i].start for i in missing], [samples[i] for i in missing], damage)
            for i, change in zip(missing, new, strict=True):
                found[i] = change
                self._keep(windows[i], change)
        return [change for change in found if change is not None]

    def _found(self, window: Window) -> Change | None:
        return None if self._kept is None else self._kept.find(PRIOR, window.start, window.known_until)

    def _keep(self, window: Window, change: Change) -> None:
        if self._kept is not None:
            self._kept.keep(PRIOR, window.start, window.known_until, change)

    def _computed(self, places: Sequence[int], samples: Sequence[Samples], damage: Damage) -> list[Change]:
        channels = samples[0].shape[1]
        rows = torch.from_numpy(np.concatenate([each.T for each in samples]).astype(np.float32))
        starts = [start for start in places for _ in range(channels)]
        done: list[Tensor] = []
        at = 0
        while at < len(rows):
            stop = min(at + (self._most or len(rows)), len(rows))
            part = self._tried(rows[at:stop], starts[at:stop], damage)
            if part is not None:
                done.append(part)
                at = stop
            elif stop - at == 1:
                raise RestorerError(
                    f"{self._prior.device} has too little memory for one window; close what else uses it, or choose "
                    "--device cpu"
                )
            else:
                self._most = (stop - at) // 2
        wave = torch.cat(done).numpy().reshape(len(samples), channels, -1).transpose(0, 2, 1)
        return list(wave)

    def _tried(self, rows: Tensor, starts: Sequence[int], damage: Damage) -> Tensor | None:
        """The changes, (rows, length) float32 on the CPU; None if the memory did not suffice."""
        try:
            return restore_windows(rows, starts, damage, self._prior, self._settings, self._seed).cpu().float()
        except RuntimeError as error:
            said = str(error).lower()
            if not isinstance(error, torch.OutOfMemoryError) and not any(word in said for word in _NO_MEMORY):
                raise
        # Here nothing holds the tensors of the attempt any more.
        if self._prior.device.type == "cuda":
            torch.cuda.empty_cache()
        return None
