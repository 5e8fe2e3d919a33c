"""Noise that belongs to the place in the recording, not to the order in which windows are worked on."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor

START_STEP: Final = -1
"""The step whose noise fills a window before sampling begins; samplers ask for the steps 0, 1, ... only."""

FLOOR_STEP: Final = -2
"""The step, with all below it, whose noise becomes the noise floor of what is missing."""

_BLOCK: Final = 8192
_WORD: Final = 2**64

_THREADS: Final = ThreadPoolExecutor(thread_name_prefix="noise")
"""To draw takes a millisecond or two a window and step, and a GPU has dozens of windows at once; NumPy lets threads do
it side by side."""

Values = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True)
class KeyedNoise:
    """Standard normal noise, a function of (seed, absolute sample, step) and of nothing else.

    `noise(step)` has shape (len(starts), length); row i covers the absolute samples starts[i] up to starts[i] + length.
    Windows that overlap get the same values on their common samples, and channels that start together the same row,
    whatever else is in the batch. Seed, starts and step are any integers, also negative (seed and step modulo 2^64).
    Values are drawn on the CPU in float32, then moved: the same on every device.
    """

    seed: int
    starts: Sequence[int]
    length: int
    device: torch.device | str = "cpu"

    def __call__(self, step: int) -> Tensor:
        # Page-locked, so that the copy need not wait until a GPU has done what it was told before: while it is at work
        # on a step, the noise of the next is drawn.
        on_gpu = torch.device(self.device).type == "cuda"
        values = torch.empty(len(self.starts), self.length, pin_memory=on_gpu)
        distinct = dict.fromkeys(self.starts)
        drawn = dict(zip(distinct, _THREADS.map(partial(_row, self.seed, step, self.length), distinct), strict=True))
        for row, start in zip(values.numpy(), self.starts, strict=True):
            row[:] = drawn[start]
        return values.to(self.device, non_blocking=on_gpu)


def _row(seed: int, step: int, length: int, start: int) -> Values:
    """The noise of the absolute samples start ... start + length - 1."""
    first, last = start // _BLOCK, (start + length - 1) // _BLOCK
    random = np.random.Generator(np.random.Philox(0))
    blocks = np.empty((last + 1 - first, _BLOCK), dtype=np.float32)
    for block, index in zip(blocks, range(first, last + 1), strict=True):
        random.bit_generator.state = _place(seed, step, index)
        random.standard_normal(out=block, dtype=np.float32)
    offset = start - first * _BLOCK
    return blocks.reshape(-1)[offset : offset + length]


def _place(seed: int, step: int, index: int) -> dict[str, object]:
    """Where the noise of the absolute samples index * _BLOCK ... (index + 1) * _BLOCK - 1 begins: a state of Philox.

    Philox (Salmon et al. 2011) is a cipher of a 256-bit counter under a 128-bit key, so that seed, step and place enter
    it as they are and no two of them can meet. torch's CPU generator would look at 32 bits of its seed only: among the
    hundreds of thousands of blocks of an hour of music, some would be the same.
    """
    key = np.array([seed % _WORD, step % _WORD], dtype=np.uint64)
    counter = np.array([0, 0, 0, index % _WORD], dtype=np.uint64)
    # Nothing drawn yet. A new generator would be in this state too, but takes as long as a third of its block.
    nothing = {"buffer": np.zeros(4, dtype=np.uint64), "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}
    return {"bit_generator": "Philox", "state": {"counter": counter, "key": key}, **nothing}
