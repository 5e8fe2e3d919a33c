"""Gaps of up to about 100 ms, bridged from both sides by linear prediction.

Sources: Kauppinen, Roth 2002, "Audio signal extrapolation: theory and applications" (Burg's method, high orders, both
sides cross-faded); Esquef, Valimaki, Roth, Kauppinen 2003, "Interpolation of long gaps in audio signals".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from restorer.classical.autoregression import FLOOR, Wave, burg, run_on
from restorer.classical.contexts import Filler, fill_gaps
from restorer.classical.frames import check_positive
from restorer.degradation import Gaps


@dataclass(frozen=True)
class ExtrapolationSettings:
    """`order` of the models, at most; half the samples of a side that is short. `context_s`: what either side is
    learned from. `longest_s`: longer gaps are refused. Raises UsageError for values that are not above 0 and finite."""

    order: int = 2000
    context_s: float = 0.2
    longest_s: float = 0.15

    def __post_init__(self) -> None:
        check_positive(self)


EXTRAPOLATION = ExtrapolationSettings()


def extrapolate(y: Tensor, gaps: Gaps, sample_rate: float, settings: ExtrapolationSettings = EXTRAPOLATION) -> Tensor:
    """y (batch, time) with its gaps filled, of its dtype and on its device; outside the gaps it is y bit for bit.

    The side before runs on, that after runs backwards, and cos^2 cross-fades them over the gap; a side that
    has fewer samples than the gap is left out, if the other has more. Raises UsageError as `fill_gaps` does.
    """
    longest, context = (max(1, round(seconds * sample_rate)) for seconds in (settings.longest_s, settings.context_s))

    return fill_gaps(y, gaps, longest, context, [two_sided(settings.order)])


def two_sided(order: int) -> Filler:
    """Both sides run on by models of at most `order`, cross-faded."""

    def fill(before: Wave, now: Wave, after: Wave) -> Wave:
        onward = run_on(before, burg(before, order, FLOOR), now.size)
        back = run_on(after[::-1], burg(after[::-1], order, FLOOR), now.size)[::-1]
        if min(before.size, after.size) < now.size:  # too few to tell how it goes on over that length
            return onward if before.size >= after.size else back
        share = np.cos(np.pi / 2 * (np.arange(now.size) + 0.5) / now.size) ** 2
        return share * onward + (1 - share) * back

    return fill
