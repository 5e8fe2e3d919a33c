"""Lost highs: A(x) = the low-passed x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from restorer.dsp.filters import (
    Taps,
    apply_fir,
    apply_response,
    biquad_lowpass,
    chebyshev_lowpass,
    crossover_highpass,
    crossover_lowpass,
    kaiser_lowpass,
)


@dataclass(frozen=True, eq=False)
class LowPass:
    """A low-pass with its `cutoff_hz`, for signals at `sample_rate`; made by one of the class methods.

    `taps`: the impulse response, centred, or `causal` from its first sample on; `crossover`: what `project` uses.

    Laws: linear, and independent of time (away from the ends of a window) and of level.
    Every constructor raises UsageError for a cutoff outside (0, Nyquist).
    """

    cutoff_hz: float
    sample_rate: float
    taps: Taps
    crossover: Taps
    causal: bool = False

    @classmethod
    def kaiser(cls, cutoff_hz: float, sample_rate: float, order: int = 500) -> LowPass:
        """The paper's zero-phase FIR filter of even `order`; see `kaiser_lowpass`."""
        taps = kaiser_lowpass(cutoff_hz, sample_rate, order)
        return cls(cutoff_hz, sample_rate, taps, crossover_highpass(cutoff_hz, sample_rate))

    @classmethod
    def chebyshev(cls, cutoff_hz: float, sample_rate: float, order: int, ripple_db: float) -> LowPass:
        """A causal Chebyshev type I filter; UsageError also for an order or a ripple out of range."""
        taps = chebyshev_lowpass(cutoff_hz, sample_rate, order, ripple_db)
        return cls(cutoff_hz, sample_rate, taps, crossover_highpass(cutoff_hz, sample_rate), causal=True)

    @classmethod
    def biquad(cls, cutoff_hz: float, sample_rate: float) -> LowPass:
        """A causal Butterworth filter of second order, 12 dB an octave."""
        taps = biquad_lowpass(cutoff_hz, sample_rate)
        return cls(cutoff_hz, sample_rate, taps, crossover_highpass(cutoff_hz, sample_rate), causal=True)

    @classmethod
    def resampling(cls, target_rate: float, sample_rate: float) -> LowPass:
        """What is left after resampling to `target_rate` < sample_rate and back; the cutoff is target_rate / 2.

        Both ways go through a windowed sinc that passes up to 0.9 of the cutoff and stops from the cutoff on, as good
        resamplers do. Nothing louder than -80 dB aliases then, and the detour equals that filter twice, for any ratio.
        """
        once = crossover_lowpass(target_rate / 2, sample_rate)
        crossover = crossover_highpass(target_rate / 2, sample_rate)
        return cls(target_rate / 2, sample_rate, np.convolve(once, once), crossover)

    def __call__(self, x: Tensor) -> Tensor:
        """The low-passed x (batch, time); beyond its ends x is taken as 0."""
        return apply_response(x, self.taps) if self.causal else apply_fir(x, self.taps)

    def on(self, starts: Sequence[int], length: int) -> LowPass:
        """Itself: the filter is the same at all times."""
        return self

    def scaled(self, gain: Tensor | float) -> LowPass:
        """Itself: the filter is linear."""
        return self

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """y + HP(x - y), HP the complementary crossover high-pass at the cutoff; all (batch, time).

        NOT a projection: A(x') = y does not hold in general, least of all for a filter that slopes gently or turns the
        phase below its cutoff. It leaves everything below 0.9 cutoff as measured (to -80 dB of x - y) and everything
        above the cutoff as x has it. The paper's step, x + y - A(x), is no projection either: with H the response of
        A, it leaves 1 - H of the residual y - A(x), most of it around the cutoff.
        """
        return y + apply_fir(x - y, self.crossover)

    def kept(self, x: Tensor) -> Tensor:
        """What the crossover leaves of x (batch, time), all of it below the cutoff."""
        return x - apply_fir(x, self.crossover)
