"""Samples of a wave that are not music: digital zero, held or repeated samples, dropouts to a noise floor."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from restorer.dsp.runs import runs

Wave = NDArray[np.float64]
GapKind = Literal["zero", "held", "repeated", "dropout", "click"]

SHORTEST_S = 0.9e-3
LONGEST_S = 2.1
BESIDE_S = 0.003
STEP = 1 / 32768  # of 16 bits

_FINER = 1000  # one move in so many may be smaller than the step: a splice or a fade of what was rounded
_AUDIBLE = 4.0  # steps, RMS right beside a gap; of 16 bits -78 dB of full scale
_JUMP = 20.0  # times what a rounded wave of that slope could stand still
_NEAR_S = 1e-3  # to a gap
_FAR_S = (0.05, 0.1)  # from it, where the sound has not faded yet
_FADED = 0.2  # of what it was there; a dropout in music keeps more, or ends at a corner
_FADED_AWAY = 0.12  # and no corner tells the contrary: what was cut off so far down was hardly there any more


@dataclass(frozen=True)
class Hole:
    """Samples first (included) to stop (excluded) of one channel are not music. value: of a hold; else 0."""

    first: int
    stop: int
    kind: GapKind
    confidence: float
    value: float = 0.0


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(wave**2))) if len(wave) else 0.0


def step_of(wave: Wave) -> float:
    """The step that the wave was rounded to, of 16 bits at least.

    In sound of 8 or 12 bits, whatever it is stored in now, waves stand still and jump as they do in no other.
    """
    moves = np.abs(np.diff(wave))
    moves = moves[moves > 0]
    rank = len(moves) // _FINER
    return max(STEP, float(np.partition(moves, rank)[rank])) if len(moves) else STEP


def constant(wave: Wave, rate: int, step: float, highest: float) -> Iterator[Hole]:
    """Digital zero, and one sample held."""
    audible = _AUDIBLE * step
    beside = max(8, round(BESIDE_S * rate))
    for first, stop in runs(np.diff(wave) == 0):
        stop += 1  # a run of n differences is one of n + 1 samples
        value = float(wave[first])
        if value and abs(value) < 0.98 * highest:
            first += 1  # the sample that is held is still right
        length = stop - first
        if not SHORTEST_S * rate <= length <= LONGEST_S * rate or first < beside or len(wave) - stop < beside:
            continue
        if value and abs(value) >= 0.98 * highest:
            continue  # a wave that was clipped
        left, right = wave[first - beside : first], wave[stop : stop + beside]
        if value:  # what stands still is judged by its movement, not its level
            left, right = left - value, right - value
        loudness = min(_rms(left), _rms(right))
        slope = min(float(np.mean(np.abs(np.diff(side)))) for side in (left, right))
        stillness = slope * length / (_JUMP * step)
        if loudness > audible and stillness > 1 and not _is_rest(wave, first, stop, rate, step, bool(value)):
            confidence = 1 - 0.5 * min(1.0, (audible / loudness) ** 0.5) / min(stillness, 2)
            yield Hole(first, stop, "held" if value else "zero", confidence, value)


def _is_rest(wave: Wave, first: int, stop: int, rate: int, step: float, is_held: bool = False) -> bool:
    """Whether the sound had faded before `first`, or fades in from `stop` on.

    Music that was cut off where it is soft turns at a corner there, which a fade does not; only a held sample begins
    without one, wherever it does.
    """
    before, after = _faded(wave[:first][::-1], rate), _faded(wave[stop:], rate)
    if before < _FADED_AWAY or is_held:
        return before < _FADED_AWAY
    corners = (_corner(wave, at, round(BESIDE_S * rate), step) for at in (first, stop))
    return any(left < _FADED and corner < _CORNER for left, corner in zip((before, after), corners, strict=True))


def _faded(outwards: Wave, rate: int) -> float:
    """What is left of the sound beside a gap, of what it is farther away: of its level or, as a slow wave may just be
    crossing zero, of its movement."""
    near, (begin, end) = max(12, round(_NEAR_S * rate)), (round(s * rate) for s in _FAR_S)
    views = outwards[:end], np.diff(outwards[:end])
    return max(_rms(view[:near]) / max(_rms(view[begin:]), STEP) for view in views)


_REPEAT_SAMPLES = 16  # fewer than 1 ms has at 22.05 kHz; equal ones in a row are no chance
_LONGEST_REPEAT_S = 0.1  # a buffer; what comes back later may be music that was made of loops
_MOST_TIMES = 4  # what comes back more often, a tone does, whose period is a whole number of samples
_ANCHORS = 3
_SEAM = 3.0  # times the sharpest bends of the music beside it


def repeated(wave: Wave, rate: int, step: float) -> Iterator[Hole]:
    """A buffer that was played twice: samples equal to those just before them, with a jump where they begin. A steady
    tone repeats as well, but goes on smoothly.

    Every run of 16 samples gets a number that depends on them alone; equal numbers (of a quarter of them, chosen by
    their own digits) are compared sample by sample.
    """
    if len(wave) < 4 * _REPEAT_SAMPLES:
        return
    code = wave.view(np.uint64).copy()
    code ^= code >> np.uint64(29)
    factor, width = 0x9E3779B97F4A7C15, 1
    while width < _REPEAT_SAMPLES:
        code = code[:-width] * np.uint64(factor) + code[width:]
        factor, width = factor * factor % 2**64, 2 * width
    code ^= code >> np.uint64(31)
    anchors = np.flatnonzero((code & np.uint64(_ANCHORS)) == 0)
    order = anchors[np.argsort(code[anchors], kind="stable")]
    same = np.flatnonzero(code[order[1:]] == code[order[:-1]])
    lags = order[same + 1] - order[same]
    fits = (lags >= SHORTEST_S * rate) & (lags <= _LONGEST_REPEAT_S * rate)
    done = 0
    for place, lag in sorted(zip(order[same + 1][fits].tolist(), lags[fits].tolist(), strict=True)):
        if place < done:
            continue
        first, stop = _equal_around(wave, place, lag)
        done = stop
        copy = wave[first:stop]
        length = stop - first
        if not 0.95 * lag <= length <= LONGEST_S * rate or first < lag or stop == len(wave) or np.ptp(copy) < 8 * step:
            continue
        # A tone may end with a jump, but not just when it has repeated once.
        seams = [first] * (length <= _MOST_TIMES * lag) + [stop] * (length <= 1.05 * lag)
        usual = float(np.quantile(np.abs(np.diff(wave[first - lag : first], 2)), 0.95))
        jump = max((float(np.abs(np.diff(wave[at - 2 : at + 2], 2)).max()) for at in seams), default=0.0)
        limit = _SEAM * usual + 2 * step
        if jump > limit:
            yield Hole(first, stop, "repeated", 1 - 0.5 * limit / jump)


def _equal_around(wave: Wave, place: int, lag: int) -> tuple[int, int]:
    """The longest stretch around `place` that equals the one `lag` samples before."""
    back = wave[max(lag, place - 8 * lag) : place][::-1] == wave[max(lag, place - 8 * lag) - lag : place - lag][::-1]
    ahead = wave[place:] == wave[place - lag : len(wave) - lag]
    before = len(back) if back.all() else int(np.argmin(back))
    after = len(ahead) if ahead.all() else int(np.argmin(ahead))
    return place - before, place + after


_BLOCK_S = 0.25e-3
_AROUND_S = 0.004
_DROP = 0.08  # of the level around, -22 dB
_FAINT = 10.0  # times softer than the sound right beside it
_LINGERING_S = 0.008
_CORNER = 3.0  # times as sharp as any bend nearby


def dropouts(wave: Wave, rate: int, step: float) -> Iterator[Hole]:
    """A sudden fall, for a while, to a level far below."""
    audible = 3 * _AUDIBLE * step
    size = max(4, round(_BLOCK_S * rate))
    blocks = np.abs(wave[: len(wave) // size * size]).reshape(-1, size).max(axis=1)
    around = round(_AROUND_S * rate / size)
    if len(blocks) < 2 * around + 4:
        return
    sides = np.lib.stride_tricks.sliding_window_view(blocks, around)
    usual = np.median(sides, axis=1)
    # The level of the blocks just before and just after each block.
    before = np.concatenate([np.zeros(around), usual[:-1]])[: len(blocks)]
    after = np.concatenate([usual[1:], np.zeros(around)])[: len(blocks)]
    n = len(blocks)
    quiet_next = np.maximum(blocks, np.concatenate([blocks[1:], [np.inf]]))
    falls = np.flatnonzero((quiet_next < _DROP * before) & (before > audible))
    ends_quiet = np.maximum(blocks, np.concatenate([[np.inf], blocks[:-1]]))
    rises = np.flatnonzero((ends_quiet < _DROP * after) & (after > audible))
    done = 0
    longest = round(LONGEST_S * rate / size)
    for begin in falls.tolist():
        if begin < done:
            continue
        candidates = rises[(rises >= begin) & (rises < min(begin + longest, n))]
        ceiling = _DROP * before[begin]
        for end in candidates[:4].tolist():
            inside = blocks[begin : end + 1]
            level = float(np.median(inside))
            if inside.max() > ceiling or inside.max() > 6 * level + step:
                continue
            hole = _outlined(wave, begin * size, (end + 1) * size, rate, step)
            if hole is not None:
                done = end + 1
                yield hole
                break


def _outlined(wave: Wave, first: int, stop: int, rate: int, step: float) -> Hole | None:
    """The exact edges: outwards from within while no sample rises above the noise."""
    noise = 1.3 * float(np.abs(wave[first:stop]).max()) + step
    loud = np.abs(wave) > noise
    left, right = np.flatnonzero(loud[:first]), np.flatnonzero(loud[stop:])
    if not len(left) or not len(right):
        return None
    first, stop = int(left[-1]) + 1, stop + int(right[0])
    beside = round(BESIDE_S * rate)
    if not SHORTEST_S * rate <= stop - first <= LONGEST_S * rate or first < beside or len(wave) - stop < beside:
        return None
    edge = max(12, round(1e-3 * rate))
    floor = _rms(wave[first:stop]) + 1e-9
    sides = [_rms(wave[first - edge : first]), _rms(wave[stop : stop + edge])]
    around = [_rms(wave[first - beside : first]), _rms(wave[stop : stop + beside])]
    corners = [_corner(wave, at, beside, step) for at in (first, stop)]
    if min(sides) < _FAINT * floor:
        return None
    # Right at its edges the sound must be there in full, or turn at a corner: a fade is no gap.
    if any(side < 0.3 * own and corner < _CORNER for side, own, corner in zip(sides, around, corners, strict=True)):
        return None
    # A slow wave that lingers at zero comes and goes in a curve; what is missing begins or ends at a corner.
    if stop - first < _LINGERING_S * rate and max(corners) < _CORNER:
        return None
    if _is_rest(wave, first, stop, rate, step):
        return None
    return Hole(first, stop, "dropout", float(1 - 0.5 * min(1.0, _FAINT * floor / min(sides))))


def _corner(wave: Wave, edge: int, beside: int, step: float) -> float:
    """How much more sharply the wave turns at the edge than anywhere near it."""
    bends = np.abs(np.diff(wave[max(0, edge - 2 * beside) : edge + 2 * beside], 2))
    at = min(edge, 2 * beside)
    usual = np.quantile(np.concatenate([bends[: max(0, at - 4)], bends[at + 2 :]]), 0.98)
    return float(bends[max(0, at - 4) : at + 2].max() / (usual + step))
