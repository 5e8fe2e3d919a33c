"""What every metric takes: finite one-dimensional signals, compared sample by sample."""

import numpy as np
import numpy.typing as npt

from restorer.errors import UsageError

Signal = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def as_signal(x: npt.ArrayLike) -> Signal:
    """`x` as float64 of shape (time,), full-scale units.

    Raises UsageError if `x` has another shape, no samples, or a value that is not finite: a metric of a broken
    signal would be a number all the same.
    """
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1 or signal.size == 0:
        raise UsageError(f"a signal of shape {signal.shape} cannot be measured: give one channel, shape (time,)")
    if not np.isfinite(signal).all():
        raise UsageError(f"{np.count_nonzero(~np.isfinite(signal))} samples are not finite: repair the signal first")
    return signal


def as_pair(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> tuple[Signal, Signal]:
    """Two signals of one length. Raises UsageError where the lengths differ: nothing is aligned or cut here."""
    first, second = as_signal(reference), as_signal(estimate)
    if first.size != second.size:
        raise UsageError(
            f"reference has {first.size} samples and estimate {second.size}: align and cut them to one length first"
        )
    return first, second


def as_mask(mask: npt.ArrayLike, length: int) -> Mask:
    """A boolean mask of shape (length,). Raises UsageError if it has another shape or selects nothing."""
    selected = np.asarray(mask, dtype=np.bool_)
    if selected.shape != (length,):
        raise UsageError(f"a mask of shape {selected.shape} does not fit {length} samples: give one value a sample")
    if not selected.any():
        raise UsageError("the mask selects no sample: mark at least one")
    return selected
