"""Stretches of a signal of which something is true; without torch, as `detect` does without."""

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]


def runs(mask: NDArray[np.bool_], start: int = 0) -> list[Span]:
    """Where a mask (frames,) is true, first (included) and stop (excluded) of each run; its first frame is `start`.

    >>> runs(np.array([True, False, True, True]), 10)
    [(10, 11), (12, 14)]
    """
    edges = start + np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
