"""Gaps with what is known beside them: what the autoregressive methods see of a recording."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from restorer.classical.autoregression import Wave
from restorer.classical.frames import check_waveform
from restorer.degradation import Gaps
from restorer.errors import UsageError

Span = tuple[int, int]

Filler = Callable[[Wave, Wave, Wave], Wave]
"""(samples before a gap, what stands in it, samples after it) to what is to stand in it."""


def fill_gaps(
    y: Tensor, gaps: Gaps, longest: int, context: int, passes: Sequence[Filler], left: Gaps | None = None
) -> Tensor:
    """y (batch, time) with its gaps filled, each from at most `context` samples on either side, the rest bit for bit.

    `passes`: a filler for each time that all gaps are gone through, in the order of time. What is seen after a gap ends
    at the next one in the first pass; later the others count as known, so that gaps close together learn from each
    other. The mean of what is known beside a gap is taken off before, and added after. Whatever stood in a gap is not
    heard; one with nothing beside it becomes silence. `left`: gaps that stay, beyond which nothing is seen; None: none.
    Raises UsageError as `check_waveform`, for a gap longer than `longest` samples, and where the starts of the gaps are
    not those of the items.
    """
    out = y.clone()
    rows = range(len(y)) if y.ndim == 2 else ()
    spans = [_spans(gaps, row, y) for row in rows]
    seen = [
        _seen(its, [] if left is None else _spans(left, row, y), y.shape[-1], context) for row, its in enumerate(spans)
    ]
    for row, its in enumerate(spans):
        for first, stop in its:
            out[row, first:stop] = 0.0
    check_waveform(out)
    for first, stop in (span for its in spans for span in its):
        if stop - first > longest:
            raise UsageError(
                f"gap {first}..{stop}: {stop - first} samples are more than the {longest} that this method may bridge;"
                " fill longer gaps with a prior"
            )
    for row, its in enumerate(spans):
        for turn, fill in enumerate(passes):
            for i, (first, stop) in enumerate(its):
                begin, end = seen[row][i]
                if turn == 0 and i + 1 < len(its):
                    end = min(end, its[i + 1][0])
                wave = out[row, begin:end].double().cpu().numpy()
                filled = _filled(wave, first - begin, stop - begin, fill)
                out[row, first:stop] = torch.from_numpy(filled).to(out)
    return out


def _seen(spans: Sequence[Span], left: Sequence[Span], time: int, context: int) -> list[Span]:
    """What is seen of an item for each of its gaps: up to `context` samples on either side, and none beyond `left`."""
    begins, stops = zip(*left, strict=True) if left else ((), ())
    seen = []
    for first, stop in spans:
        before, after = bisect_right(stops, first), bisect_left(begins, stop)
        begin = max(0, first - context, stops[before - 1] if before else 0)
        seen.append((begin, min(time, stop + context, begins[after] if after < len(begins) else time)))
    return seen


def _filled(seen: Wave, first: int, stop: int, fill: Filler) -> Wave:
    before, after = seen[:first], seen[stop:]
    if before.size + after.size == 0:
        return np.zeros(stop - first)
    mean = float(np.concatenate([before, after]).mean())
    return fill(before - mean, seen[first:stop] - mean, after - mean) + mean


def _spans(gaps: Gaps, row: int, y: Tensor) -> Sequence[Span]:
    """The gaps as they lie in one item of y, those that touch made one."""
    if len(gaps.starts) not in (1, len(y)):
        raise UsageError(f"gaps placed in {len(gaps.starts)} windows, but a batch of {len(y)}: give a start for each")
    start = gaps.starts[row % len(gaps.starts)]
    found: list[Span] = []
    for first, stop in gaps.spans:
        first, stop = max(0, first - start), min(y.shape[-1], stop - start)
        if first >= stop:
            continue
        if found and found[-1][1] == first:
            first = found.pop()[0]
        found.append((first, stop))
    return found
