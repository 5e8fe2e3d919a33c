"""Strings laid out so that a device adds them up in few large steps; numpy alone.

Strings that need the same change of pitch are a group, as in `piano.strings`; what they add up to, its mix, is made
from strips of STRIP samples. A slot is the part of one string in one strip. Strips with about the same number of slots
are a pile, and are added up together: a pile is a rectangle, strips x depth slots, and silent where a strip has fewer.
Groups with mixes of about the same length are a stack, and are transformed together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from restorer.training.bank import Bank
from restorer.training.playing import RELEASES, Doubles, Floats, Integers

STRIP = 1024
_STACK = 16  # groups: each step of their transform, about 50 MiB, stays in the cache of a large GPU
_PILE = 4096  # slots: 16 MiB in float32, which stay there too

Array = TypeVar("Array")


class Strings(NamedTuple):
    """The strings of all takes, in samples of the mixes of their groups."""

    group: Integers
    address: Integers
    size: Integers
    begin: Integers
    stop: Integers
    gain: Doubles
    release: Floats


class Slots(NamedTuple, Generic[Array]):
    """Strings, strip by strip. Sample b of a slot is the shelf's at `source` + b times
    exp(min(`level`, `start` + b * `slope`)): steady until the damper falls, then falling."""

    source: Array
    start: Array
    slope: Array
    level: Array


@dataclass(frozen=True)
class Pile:
    """Strips `strips` of those that are heard, whose slots `slots` follow each other by `depth`."""

    strips: slice
    slots: slice
    depth: int


@dataclass(frozen=True)
class Stack:
    """Groups `groups`, the longest first; their mixes are `strips` of all strips, the same number for each."""

    groups: slice
    strips: slice


@dataclass(frozen=True)
class Layout:
    """Where every strip of every string goes."""

    stacks: tuple[Stack, ...]
    piles: tuple[Pile, ...]
    heard: Integers  # strips, among all, that have slots; the deepest first
    slots: Slots[NDArray[np.float32] | Integers]


def addresses(banks: Sequence[Bank]) -> tuple[Integers, ...]:
    """Where the notes of all banks begin on one shelf, (channels, notes) for each bank: after each, and before the
    first, lie STRIP zeros, so that a strip may begin before a note, or end after it."""
    first, found = STRIP, []
    for bank in banks:
        ends = np.cumsum(np.tile(bank.length + STRIP, bank.channels))
        found.append((first + ends - np.tile(bank.length + STRIP, bank.channels)).reshape(bank.channels, -1))
        first += int(ends[-1])
    return tuple(found)


def shelf(banks: Sequence[Bank]) -> NDArray[np.int16]:
    """All samples of all banks, by `addresses`."""
    places = addresses(banks)
    samples = np.zeros(int(places[-1][-1, -1] + banks[-1].length[-1]) + STRIP, np.int16)
    for bank, firsts in zip(banks, places, strict=True):
        for recorded, row in zip(np.asarray(bank.samples), firsts, strict=True):
            for first, offset, size in zip(row, bank.offset, bank.length, strict=True):
                samples[first : first + size] = recorded[offset : offset + size]
    return samples


def laid_out(strings: Strings, size: Integers) -> Layout:
    """The layout of `strings`, of groups with mixes of `size` samples, the longest first."""
    first_of_stack = np.arange(0, size.size, _STACK)
    n_strips = -(-size[first_of_stack] // STRIP)[np.arange(size.size) // _STACK]  # of each group
    ends = np.cumsum(n_strips)
    bases = ends - n_strips
    stacks = tuple(
        Stack(slice(i, min(i + _STACK, size.size)), slice(bases[i], ends[min(i + _STACK, size.size) - 1]))
        for i in first_of_stack.tolist()
    )
    begin = np.maximum(strings.begin, 0)
    silent = np.minimum(strings.stop + np.ceil(RELEASES * strings.release), size[strings.group])
    end = np.minimum(strings.begin + strings.size, silent).astype(np.int64)
    count = np.where(end > begin, -(-end // STRIP) - begin // STRIP, 0)
    string = np.repeat(np.arange(count.size), count)
    nth = np.arange(string.size) - np.repeat(np.cumsum(count) - count, count)  # of the string's strips
    strip = (bases[strings.group] + begin // STRIP)[string] + nth

    depth = np.bincount(strip, minlength=int(n_strips.sum()))
    heard = np.argsort(-depth, kind="stable")[: np.count_nonzero(depth)]
    piles, first_slot = _piled(depth[heard])
    rank = np.empty(depth.size, np.int64)
    rank[heard] = np.arange(heard.size)
    base = max(count.size, 1)
    rank, string = np.divmod(np.sort(rank[strip] * base + string), base)  # faster than the order of `rank`
    above = np.arange(rank.size) - (np.cumsum(depth[heard]) - depth[heard])[rank]  # slots of the same strip before
    at = STRIP * (heard[rank] - bases[strings.group[string]])
    total = piles[-1].slots.stop if piles else 0
    return Layout(stacks, piles, heard, _slots(strings, string, at, first_slot[rank] + above, total))


def _piled(depth: Integers) -> tuple[tuple[Pile, ...], Integers]:
    """Piles, and the first slot of every strip, of strips by falling depth."""
    first_slot = np.zeros(depth.size, np.int64)
    piles: list[Pile] = []
    at = slot = 0
    while at < depth.size:
        deepest = int(depth[at])
        end = min(at + max(_PILE // deepest, 1), depth.size)
        end_slot = slot + (end - at) * deepest
        first_slot[at:end] = np.arange(slot, end_slot, deepest)
        piles.append(Pile(slice(at, end), slice(slot, end_slot), deepest))
        at, slot = end, end_slot
    return tuple(piles), first_slot


def _slots(
    strings: Strings, string: Integers, at: Integers, slot: Integers, total: int
) -> Slots[NDArray[np.float32] | Integers]:
    """`total` slots, of which `slot` hold the parts of `string` that begin at `at`; the others the shelf's first zeros,
    at gain 1."""
    source = np.zeros(total, np.int64)
    start, slope, level = (np.zeros(total, np.float32) for _ in range(3))
    source[slot] = (strings.address - strings.begin)[string] + at
    steady, fall = np.log(strings.gain)[string], (1 / strings.release)[string]
    start[slot] = steady + fall * (strings.stop[string] - at)
    slope[slot] = -fall
    level[slot] = steady
    return Slots(source, start, slope, level)
