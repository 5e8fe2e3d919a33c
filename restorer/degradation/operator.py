"""What a degradation promises, and how degradations are joined.

A new degradation is one file with a class of the shape of `Degradation`; nothing is inherited or registered.
The laws that its docstring names are checked by tests/laws.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from restorer.errors import UsageError


@runtime_checkable
class Degradation(Protocol):
    """A known, differentiable map A from a clean waveform x (batch, time) to the measured y = A(x), same shape."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """y = A(x), (batch, time)."""
        ...

    def on(self, starts: Sequence[int], length: int) -> Degradation:
        """The part of A for a batch of windows of `length` samples that begin at the absolute samples `starts`."""
        ...

    def scaled(self, gain: Tensor | float) -> Degradation:
        """A' with A'(gain x) = gain A(x); gain above 0, a number or (batch, 1)."""
        ...


@runtime_checkable
class Projectable(Degradation, Protocol):
    """A degradation with a data consistency of its own."""

    def project(self, x: Tensor, y: Tensor, /) -> Tensor:
        """The nearest x' to x with A(x') = y, or the substitute for it that the class names; all (batch, time)."""
        ...


@runtime_checkable
class Pointwise(Projectable, Protocol):
    """A projectable degradation that treats every sample by itself: keeps it, or moves it to the nearest kept value (0
    in a gap, the level of a clip). The projection of a chain of such maps is the chain of their projections."""

    @property
    def pointwise(self) -> bool: ...


@runtime_checkable
class BandLimit(Projectable, Protocol):
    """A projectable degradation that keeps one band of x; `project` replaces that, and leaves the rest."""

    def kept(self, x: Tensor, /) -> Tensor:
        """The part of x (batch, time) that `project` takes from the measurement."""
        ...


@dataclass(frozen=True)
class Measurement:
    """What was heard, y (batch, time), and the degradation through which it was heard."""

    y: Tensor
    degradation: Degradation


class Composed:
    """A_n o ... o A_1: several degradations one after the other, given in the order in which they were suffered.

    `Composed(HardClip.symmetric(0.3), Gaps(spans))` clips, then cuts. Of no members it is the identity.
    """

    def __init__(self, *members: Degradation) -> None:
        self.members = members

    def __call__(self, x: Tensor) -> Tensor:
        for member in self.members:
            x = member(x)
        return x

    def on(self, starts: Sequence[int], length: int) -> Composed:
        return Composed(*(member.on(starts, length) for member in self.members))

    def scaled(self, gain: Tensor | float) -> Composed:
        return Composed(*(member.scaled(gain) for member in self.members))

    @property
    def pointwise(self) -> bool:
        """Whether every member treats single samples, so that `project` is exact."""
        return all(isinstance(member, Pointwise) and member.pointwise for member in self.members)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest x' to x with A(x') = y.

        Exact for pointwise members, by folding y through their projections in the order of application: each leaves a
        sample as the one before has it or frees it towards x. A composition of one member is that member.
        A band limit may come first: then the others' projection of the band that it keeps is what it measured, and its
        own, which need not be exact, puts the rest of x on top.
        Raises UsageError where there is no such order (a low-pass after anything else).
        """
        if not has_consistency(self):
            raise UsageError(_no_consistency(self))
        first, *rest = self.members or (self,)
        if rest and isinstance(first, BandLimit):
            return first.project(x, Composed(*rest).project(first.kept(x), y))
        estimate = y
        for member in self.members:
            estimate = require_consistency(member).project(x, estimate)
        return estimate


@dataclass(frozen=True)
class InDomain:
    """A degradation of waveforms, for signals that live in another domain (a whitened one).

    `to_wave` and `from_wave` map (batch, time) to (batch, time), are linear, and are each other's inverse.
    """

    degradation: Degradation
    to_wave: Callable[[Tensor], Tensor]
    from_wave: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """A(to_wave(x)): the measurement stays a waveform."""
        return self.degradation(self.to_wave(x))

    def on(self, starts: Sequence[int], length: int) -> InDomain:
        return replace(self, degradation=self.degradation.on(starts, length))

    def scaled(self, gain: Tensor | float) -> InDomain:
        return replace(self, degradation=self.degradation.scaled(gain))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """x', whose waveform is the projection of the waveform of x: to_wave(x') = A.project(to_wave(x), y).

        Only the change is carried back, so that an inexact inverse cannot touch what the projection leaves alone.
        Raises UsageError where A has no consistency.
        """
        wave = self.to_wave(x)
        return x + self.from_wave(require_consistency(self.degradation).project(wave, y) - wave)


def has_consistency(degradation: Degradation) -> TypeGuard[Projectable]:
    """Whether `degradation.project` answers: compositions answer for their members, wrappers for what they wrap."""
    if isinstance(degradation, Composed):
        first, *rest = degradation.members or (None,)
        alone = not rest and first is not None and has_consistency(first)
        return alone or degradation.pointwise or (isinstance(first, BandLimit) and Composed(*rest).pointwise)
    if isinstance(degradation, InDomain):
        return has_consistency(degradation.degradation)
    return isinstance(degradation, Projectable)


def require_consistency(degradation: Degradation) -> Projectable:
    """The degradation itself. Raises UsageError where it has no consistency."""
    if has_consistency(degradation):
        return degradation
    raise UsageError(_no_consistency(degradation))


def _no_consistency(degradation: Degradation) -> str:
    return (
        f"{_name(degradation)} has no data consistency (gaps and clips have one, alone, together and after a"
        " low-pass); use reconstruction guidance (rg) without consistency"
    )


def _name(degradation: Degradation) -> str:
    if isinstance(degradation, Composed):
        return " then ".join(_name(member) for member in degradation.members)
    if isinstance(degradation, InDomain):
        return _name(degradation.degradation)
    return type(degradation).__name__
