"""Autoregressive models of short stretches of sound: fitted, run on into the unknown, and bridged.

A model of order p is its prediction error filter a (p + 1,), a[0] = 1: e[t] = sum_k a[k] x[t - k] is small. All of this
is float64 NumPy on the host: recursions over single samples and banded solves gain nothing from a GPU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solveh_banded
from scipy.signal import lfilter, lfiltic

Wave = NDArray[np.float64]
Indices = NDArray[np.intp]

FLOOR = 1e-9  # of Burg's method: -90 dB, below which no recording of 16 bits says anything
_EPS = float(np.finfo(np.float64).eps)


def burg(x: Wave, order: int, floor: float) -> Wave:
    """The filter a (at most order + 1,) that Burg's lattice finds in x (time,): stable, whatever x is.

    `floor`: power of the white noise that x is taken to bear besides, over its mean power. Its expectation is added to
    every sum. It bounds the depth of the model where a recording is band-limited, and with it the condition of
    `bridge`; silence has order 0. Orders are limited to half of the samples.
    Source: Burg 1975, "Maximum entropy spectral analysis".
    """
    a = np.ones(1)
    if not x.any():
        return a
    noise = floor * float(x @ x) / x.size
    forward, backward = x[1:], x[:-1]
    for _ in range(min(order, x.size // 2)):
        energy = float(forward @ forward + backward @ backward) + 2 * forward.size * noise * float(a @ a)
        product = float(forward @ backward) + forward.size * noise * float(a[1:] @ a[:0:-1])
        a = np.append(a, 0.0)
        k = -2 * product / energy
        a = a + k * a[::-1]
        forward, backward = forward[1:] + k * backward[1:], backward[:-1] + k * forward[:-1]
    return a


def run_on(x: Wave, a: Wave, count: int) -> Wave:
    """The next `count` samples after x (time,), time >= order, if the prediction error of a stays 0: (count,)."""
    order = a.size - 1
    if order == 0:
        return np.zeros(count)
    state = lfiltic([1.0], a, x[: -order - 1 : -1])
    samples, _ = lfilter([1.0], a, np.zeros(count), zi=state)
    return np.asarray(samples, dtype=np.float64)


def bridge(x: Wave, missing: Indices, a: Wave) -> Wave:
    """x (time,) with its `missing` samples (sorted indices) chosen for the least sum of squared prediction errors.

    Errors count from the first missing sample to the last that depends on one, up to the end of x; before its start x
    is taken as 0. Missing samples at the end of x are therefore run on. The normal equations are banded: their
    bandwidth is the number of missing samples within an order's length, and they are positive definite, a[0] being 1.
    Source: Janssen, Veldhuis, Vries 1986, "Adaptive interpolation of discrete-time signals that can be modeled as
    autoregressive processes".
    """
    order = a.size - 1
    first, end = int(missing[0]), min(int(missing[-1]) + order + 1, x.size)
    known = x.copy()
    known[missing] = 0.0
    history = np.concatenate([np.zeros(max(0, order - first)), known[max(0, first - order) : end]])
    error = np.convolve(history, a)[order : order + end - first]
    right = -np.correlate(np.append(error, np.zeros(order)), a, "valid")[missing - first]
    known[missing] = _solved(_normal(a, missing, end), right)
    return known


def _normal(a: Wave, missing: Indices, end: int) -> Wave:
    """The lower bands of A'A, (bands, missing), where A takes missing samples to prediction errors before `end`."""
    order = a.size - 1
    bands = max(1, int((np.searchsorted(missing, missing + order, side="right") - np.arange(missing.size)).max()))
    lags = np.arange(order + 1)
    # sums[l, k] = a[l] a[0] + ... + a[k] a[k - l]: the correlation at lag l of the filter cut off after a[k].
    shifted = np.where(lags >= lags[:, None], a[(lags - lags[:, None]) % (order + 1)], 0.0)
    sums = np.cumsum(a * shifted, axis=1)
    reach = np.minimum(order, end - 1 - missing)
    normal = np.zeros((bands, missing.size))
    for band in range(bands):
        count = missing.size - band
        lag = missing[band:] - missing[:count]
        near = lag <= order
        normal[band, :count][near] = sums[lag[near], reach[:count][near]]
    return normal


def _solved(normal: Wave, right: Wave) -> Wave:
    """Cholesky; where rounding has eaten the least eigenvalue (pure tones), with the diagonal raised by as much."""
    raised = normal.copy()
    for factor in (0.0, 1.0, 1e3, 1e6):
        raised[0] = normal[0] * (1 + factor * len(right) * _EPS)
        try:
            return np.asarray(solveh_banded(raised, right, lower=True), dtype=np.float64)
        except LinAlgError:
            continue
    raise AssertionError("normal equations with a unit diagonal of positive weight are not singular to 1e-7")
