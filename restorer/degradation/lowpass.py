"""Lost highs: A(x) = the low-passed x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from restorer.dsp.filters import Taps, apply_fir, crossover_highpass, kaiser_lowpass


@dataclass(frozen=True, eq=False)
class LowPass:
    """A zero-phase low-pass with its `cutoff_hz`, for signals at `sample_rate`; made by `kaiser`.

    `taps`: the impulse response, centred; `crossover`: what `project` uses.

    Laws: linear, and independent of time (away from the ends of a window) and of level.
    """

    cutoff_hz: float
    sample_rate: float
    taps: Taps
    crossover: Taps

    @classmethod
    def kaiser(cls, cutoff_hz: float, sample_rate: float, order: int = 500) -> LowPass:
        """The paper's FIR filter of even `order`; see `kaiser_lowpass`.

        Raises UsageError for a cutoff outside [20 Hz, Nyquist) and for an order that is odd or below 2.
        """
        taps = kaiser_lowpass(cutoff_hz, sample_rate, order)
        return cls(cutoff_hz, sample_rate, taps, crossover_highpass(cutoff_hz, sample_rate))

    def __call__(self, x: Tensor) -> Tensor:
        """The low-passed x (batch, time); beyond its ends x is taken as 0."""
        return apply_fir(x, self.taps)

    def on(self, starts: Sequence[int], length: int) -> LowPass:
        """Itself: the filter is the same at all times."""
        return self

    def scaled(self, gain: Tensor | float) -> LowPass:
        """Itself: the filter is linear."""
        return self

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """y + HP(x - y), HP the complementary crossover high-pass at the cutoff; all (batch, time).

        NOT a projection: A(x') = y does not hold in general, least of all for a filter that slopes gently. It leaves
        everything below 0.9 cutoff as measured (to -80 dB of x - y) and everything above the cutoff as x has it. The
        paper's step, x + y - A(x), is no projection either: with H the response of A, it leaves 1 - H of the residual
        y - A(x), most of it around the cutoff.
        """
        return y + apply_fir(x - y, self.crossover)

    def kept(self, x: Tensor) -> Tensor:
        """What the crossover leaves of x (batch, time), all of it below the cutoff."""
        return x - apply_fir(x, self.crossover)
