"""Where sound is missing: digital zero, held or repeated samples, dropouts to a noise floor, and clicks.

What is missing begins and ends abruptly, in the midst of sound; a pause fades into a noise floor and a recording begins
and ends with silence. So a gap needs sound right before and right after it.
"""

from itertools import chain

import numpy as np

from restorer.degradation.detect.clicks import clicks
from restorer.degradation.detect.missing import BESIDE_S, LONGEST_S, Hole, Wave, constant, dropouts, repeated, step_of

_CORE_S = 3.0
_BEFORE_S = 0.25
_AFTER_S = LONGEST_S + 0.25


class GapMeter:
    """One channel in, (time,) block by block; its holes out. It remembers some seconds, and what it found."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._core, self._before, self._after = (round(s * sample_rate) for s in (_CORE_S, _BEFORE_S, _AFTER_S))
        self._held = np.zeros(0)
        self._start = 0  # of what is held
        self._done = 0  # holes that begin before it are found
        self._holes: list[Hole] = []
        self._highest = 0.0

    def push(self, samples: Wave) -> None:
        self._held = np.concatenate([self._held, samples])
        while self._start + len(self._held) >= self._done + self._core + self._after:
            self._search(self._done + self._core)

    def result(self) -> tuple[Hole, ...]:
        """All holes, in order and apart."""
        if len(self._held):
            self._search(self._start + len(self._held))
        return tuple(self._holes)

    def _search(self, until: int) -> None:
        """Finds the holes that begin before `until`, a sample of the recording, and forgets what is not needed more."""
        wave = self._held[: until + self._after - self._start]
        self._highest = max(self._highest, float(np.abs(wave).max()))
        found = [
            Hole(hole.first + self._start, hole.stop + self._start, hole.kind, hole.confidence, hole.value)
            for hole in holes_in(wave, self._rate, self._highest)
        ]
        last = self._holes[-1].stop if self._holes else 0
        self._holes += [hole for hole in found if self._done <= hole.first < until and hole.first >= last]
        self._done = until
        keep = max(self._start, until - self._before)
        self._held = self._held[keep - self._start :].copy()
        self._start = keep


def holes_in(wave: Wave, rate: int, highest: float) -> list[Hole]:
    """The holes of a wave (time,), in order and apart. highest: the largest magnitude so far, where clipping holds."""
    found: list[Hole] = []
    step = step_of(wave)
    sought = (
        constant(wave, rate, step, highest), repeated(wave, rate, step), dropouts(wave, rate, step),
        clicks(wave, rate, step),
    )  # fmt: skip
    # In this order: the edge of a gap is no click beside it.
    for hole in chain.from_iterable(sought):
        near = round(BESIDE_S / 2 * rate) if hole.kind == "click" else 0
        if all(hole.stop + near <= other.first or hole.first - near >= other.stop for other in found):
            found.append(hole)
    return sorted(found, key=lambda hole: hole.first)
