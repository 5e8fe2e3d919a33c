"""What the stages of a restoration have in common: blocks of a recording in, blocks of it out, at its own rate."""

from collections.abc import Callable
from typing import Protocol

from restorer.audio import Samples

Done = Callable[[int], None]
"""Told how many more windows have been looked at."""


class Stage(Protocol):
    """push blocks (frames, channels); get back as many frames in all, some of them later, in memory that does not grow.

    What its damage spares is handed on bit for bit. The result does not depend on the sizes of the blocks.
    """

    windows_restored: int

    @property
    def position_s(self) -> float:
        """Up to where it has heard the recording, in seconds."""

    def heard_of(self, block: Samples, start: int) -> Samples:
        """What of these frames, the first of which is `start`, it listens to."""

    def push(self, block: Samples) -> Samples:
        """The next frames in, of which `heard_of` every stage has been asked; those out that are finished by now."""

    def finish(self) -> Samples:
        """The frames still held back. Nothing may be pushed after it."""

    def count(self, frames: int) -> int:
        """How many windows a recording of so many frames has."""
