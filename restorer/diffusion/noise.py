"""Noise that belongs to the place in the recording, not to the order in which windows are worked on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

START_STEP: Final = -1
"""The step whose noise fills a window before sampling begins; samplers ask for the steps 0, 1, ... only."""

FLOOR_STEP: Final = -2
"""The step, with all below it, whose noise becomes the noise floor of what is missing."""

DEAF_STEP: Final = 2**32
"""The step, which no schedule has, whose noise stands for what was heard where a denoiser is to guess without it."""

_BLOCK: Final = 8192
_WORD: Final = 2**64


@dataclass(frozen=True)
class KeyedNoise:
    """Standard normal noise, a function of (seed, absolute sample, step) and of nothing else.

    `noise(step)` has shape (len(starts), length); row i covers the absolute samples starts[i] up to starts[i] + length.
    Windows that overlap get the same values on their common samples, and channels that start together the same row,
    whatever else is in the batch. Seed, starts and step are any integers, also negative (seed and step modulo 2^64).
    Values are drawn on the CPU in float32, then moved: the same on every device, and in another dtype the same rounded.
    """

    seed: int
    starts: Sequence[int]
    length: int
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32

    def __call__(self, step: int) -> Tensor:
        extents = {start: range(start // _BLOCK, (start + self.length - 1) // _BLOCK + 1) for start in self.starts}
        blocks = {index: _block(self.seed, step, index) for extent in extents.values() for index in extent}
        values = np.empty((len(self.starts), self.length), dtype=np.float32)
        for row, start in zip(values, self.starts, strict=True):
            extent = extents[start]
            offset = start - extent.start * _BLOCK
            row[:] = np.concatenate([blocks[index] for index in extent])[offset : offset + self.length]
        return torch.from_numpy(values).to(self.device, self.dtype)


def _block(seed: int, step: int, index: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The noise of the absolute samples index * _BLOCK ... (index + 1) * _BLOCK - 1.

    Philox (Salmon et al. 2011) is a cipher of a 256-bit counter under a 128-bit key, so that seed, step and place enter
    it as they are and no two of them can meet. torch's CPU generator would look at 32 bits of its seed only: among the
    hundreds of thousands of blocks of an hour of music, some would be the same.
    """
    key = np.array([seed % _WORD, step % _WORD], dtype=np.uint64)
    counter = np.array([0, 0, 0, index % _WORD], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).standard_normal(_BLOCK, dtype=np.float32)
