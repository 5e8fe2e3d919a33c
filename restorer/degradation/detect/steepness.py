"""Which low-pass, if any, explains a spectrum better than music does: both are given the chance to predict it.

Music's long-term spectrum in dB, over octaves, is a Gaussian process: a slope, bends about an octave wide, and partials
that stick out. Its covariance is known before any recording is heard, so every band is predicted from those below it,
and what remains are independent errors of unit variance (Cholesky). A low-pass adds a known curve. The one that leaves
the least squares is the most likely; how much less than the best gentle slope leaves, which may be an instrument's,
tells how sure it is (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, ch. 2 and 5).

A low-pass takes loud and quiet moments alike: two spectra, of which one hears the partials of loud moments and the
other the noise between notes, bear it on top of slopes of their own, and both have to be explained by it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from restorer.degradation.detect.lowpasses import Spectrum, low_passes

LOWEST_HZ = 650.0

_FROM_HZ = 250.0
_PER_OCTAVE = 36  # bands
_CUTOFFS_PER_OCTAVE = 120
_TOP = 0.97  # of half the sample rate

# Of music, by maximum likelihood over 38 sounds rendered with two SoundFonts (pianos, and 22 other programs).
_SLOPE_DB, _SLOPE_SPREAD_DB = -12.0, 8.0  # an octave
_LEVEL_DB = 40.0
_BEND_DB, _BEND_OCTAVES = 10.5, 1.25
_ROUGH_DB2, _ROUGHER_DB2 = 3.4, 17.0  # variance of a band, and what is added to it at 1 kHz: partials lie farther apart

_FLOOR_DB = 4.0  # above the noise that storing has left: what lies lower says that it lies there, no more
_CENSORED = 4  # bands
_CLIFF_DB, _CLIFF_BANDS = 45.0, 7  # behind such a fall there is nothing of the music to go by
_VARYING_DB = 12.0  # by which loud and quiet moments come apart within a quarter of an octave
_LEAST = 1.0  # log likelihood, more than for the gentlest slopes; undamaged music reaches 0.3
_LEAST_VARYING = 4.0  # and where a codec switches bands off, 1.8
_LEAST_AT_ALL = 4.0
_FEW_NOTES_S = 8.0  # a short piece has a rougher spectrum: it counts for half as much as a long one at eight seconds
_BESIDE_OCTAVES = 0.5
_NEXT = 0.85  # of a cutoff: a second one is sought below


@dataclass(frozen=True)
class Fall:
    """A low-pass: cutoff_hz, how many dB of its fall are seen above the noise, and by how much more likely it is, as a
    multiple of the least that counts. comes_and_goes: right below it, loud moments have more than quiet ones."""

    cutoff_hz: float
    fall_db: float
    score: float
    comes_and_goes: bool


def lowest_fall(hz: Spectrum, loud_db: Spectrum, quiet_db: Spectrum, seconds: float, sample_rate: int) -> Fall | None:
    """The lowest low-pass that is seen, of those one above the other; None where there is none."""
    filters = _filters(sample_rate)
    if filters is None:
        return None
    levels = [_banded(hz, level, filters.bands_hz) for level in (loud_db, quiet_db)]
    views = [_view(level) for level in levels]
    # One filter shifts loud and quiet moments by the same dB: what it passes at times only, a codec has cut.
    apart = filters.bands_hz[_comes_apart(levels[0] - levels[1], views[0].n_seen)]
    weight = 0.7 / (1 + _FEW_NOTES_S / seconds)  # of each of two that are heard in the same notes; half at 20 s
    fall, below_hz = None, np.inf
    while True:
        sought = ~filters.is_gentle & (filters.hz < below_hz)
        if not sought.any():
            return fall
        loud, quiet = (weight * _gain(view, filters, below_hz) for view in views)
        best, gain, more = _most_likely(loud + quiet, sought, filters.is_gentle)
        varies = bool(len(apart)) or loud[best] < loud[filters.is_gentle].max()
        if varies:  # the fall of quiet moments is none, or not this one
            best, gain, more = _most_likely(loud, sought, filters.is_gentle)
        least = _LEAST_VARYING if varies else _LEAST
        if more < least or gain < _LEAST_AT_ALL:
            return fall
        cutoff_hz = float(filters.hz[best])
        last = min(views[0].n_seen, int(np.searchsorted(filters.bands_hz, below_hz))) - 1
        comes_and_goes = bool(np.any(np.abs(np.log2(apart / cutoff_hz)) < _BESIDE_OCTAVES))
        if fall and comes_and_goes:  # above it something is left, at times
            return fall
        fall = Fall(cutoff_hz, float(-filters.curves[best, last]), more / least, comes_and_goes)
        below_hz = _NEXT * cutoff_hz


def _most_likely(gain: Spectrum, sought: NDArray[np.bool_], is_gentle: NDArray[np.bool_]) -> tuple[int, float, float]:
    """Which of those sought, its gain, and how much more that is than the gentlest slopes' and than none."""
    best = int(np.argmax(np.where(sought, gain, -np.inf)))
    return best, float(gain[best]), float(gain[best] - max(0.0, gain[is_gentle].max()))


@dataclass(frozen=True)
class _Filters:
    """Low-passes at the middles of bands: curves (filters, bands) in dB; whitened by `whitening` (bands, bands), which
    takes away what the bands below predict."""

    bands_hz: Spectrum
    hz: Spectrum
    is_gentle: NDArray[np.bool_]
    curves: NDArray[np.float32]
    whitened: NDArray[np.float32]
    whitening: Spectrum


@lru_cache(maxsize=2)
def _filters(sample_rate: int) -> _Filters | None:
    """None at a sample rate that leaves no room for a low-pass and the octave below it."""
    top = _TOP * sample_rate / 2
    if top < 2 * LOWEST_HZ:
        return None
    bands = np.arange(np.log2(_FROM_HZ), np.log2(top), 1 / _PER_OCTAVE)
    cutoffs = 2 ** np.arange(np.log2(LOWEST_HZ), np.log2(top), 1 / _CUTOFFS_PER_OCTAVE)
    # Of a triangular matrix the inverse is triangular: the first bands are whitened the same, whatever follows.
    whitening = np.tril(np.linalg.inv(np.linalg.cholesky(_covariance(bands))))
    within = [low_passes(2 ** (bands + part / _PER_OCTAVE), cutoffs, sample_rate) for part in (-1 / 3, 0, 1 / 3)]
    curves = np.median([curve for curve, _, _ in within], axis=0)
    _, hz, is_gentle = within[0]
    whitened = (curves @ whitening.T).astype(np.float32)
    return _Filters(2**bands, hz, is_gentle, curves.astype(np.float32), whitened, whitening)


def _covariance(bands: Spectrum) -> Spectrum:
    """Of music's level between bands (octaves): Matern's 5/2 for the bends; dB squared."""
    from_1k = bands - np.log2(1000)
    apart = np.sqrt(5) * np.abs(bands[:, None] - bands) / _BEND_OCTAVES
    bends = _BEND_DB**2 * (1 + apart + apart**2 / 3) * np.exp(-apart)
    slopes = _LEVEL_DB**2 + _SLOPE_SPREAD_DB**2 * from_1k[:, None] * from_1k
    covariance: Spectrum = bends + slopes + np.diag(_ROUGH_DB2 + _ROUGHER_DB2 * 2**-from_1k)
    return covariance


def _banded(hz: Spectrum, level: Spectrum, bands_hz: Spectrum) -> Spectrum:
    """The median level of each band; where bands are narrower than bins, the level there."""
    half = 2 ** (0.5 / _PER_OCTAVE)
    firsts, lasts = np.searchsorted(hz, bands_hz / half), np.searchsorted(hz, bands_hz * half)
    between = np.interp(bands_hz, hz, level)
    return np.array(
        [
            np.median(level[first:last]) if last - first > 1 else at
            for first, last, at in zip(firsts, lasts, between, strict=True)
        ]
    )


@dataclass(frozen=True)
class _View:
    """Levels of bands, less the noise of storing: the first n_seen are known, up to n_known at most what they are."""

    level: Spectrum
    n_seen: int
    n_known: int


def _view(level: Spectrum) -> _View:
    floor = min(float(np.median(level[-8:])), float(np.median(level[-16:-8])))
    # A gap between two partials may reach it, too; five bands in a row are no gap.
    ahead = np.median(np.lib.stride_tricks.sliding_window_view(level, 5), axis=1)
    lost = np.flatnonzero((ahead < floor + _FLOOR_DB) & (level[:-4] < floor + _FLOOR_DB))
    n_seen = int(lost[0]) if len(lost) else len(level)
    n_known = min(len(level), n_seen + _CENSORED)
    cliffs = np.flatnonzero(level[: 1 - _CLIFF_BANDS] - level[_CLIFF_BANDS - 1 :] > _CLIFF_DB)
    if len(cliffs) and cliffs[0] + _CLIFF_BANDS < n_seen:
        n_seen = n_known = int(cliffs[0]) + _CLIFF_BANDS
    own = np.minimum(level, floor)
    # A tenth of the floor is left, where the estimate of the floor is all there is.
    power, noise = 10 ** (level[:n_seen] / 10), 10 ** (floor / 10)
    own[:n_seen] = 10 * np.log10(np.maximum(power - 0.9 * noise, 0.1 * noise))
    return _View(own, n_seen, n_known)


def _gain(view: _View, filters: _Filters, below_hz: float) -> Spectrum:
    """How much more likely the levels below a frequency are with each filter than without one: log likelihood."""
    music = view.level - _SLOPE_DB * np.log2(filters.bands_hz / 1000)
    below = int(np.searchsorted(filters.bands_hz, below_hz))
    known, seen = min(view.n_known, below), min(view.n_seen, below)
    errors = filters.whitening[:known, :known] @ music[:known]
    left = errors - filters.whitened[:, :known]
    for each in (errors, left.T):
        each[seen:] = np.minimum(each[seen:], 0)  # lower than the noise is as good as at it
    gain: Spectrum = (np.sum(errors**2) - np.sum(left**2, axis=1)) / 2
    return gain


def _comes_apart(difference: Spectrum, n_seen: int) -> NDArray[np.intp]:
    """The bands from which on loud moments are suddenly farther above quiet ones than before."""
    step = _PER_OCTAVE // 4
    if n_seen < 2 * step:
        return np.zeros(0, np.intp)
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(difference[:n_seen], 5), axis=1)
    return np.flatnonzero(smooth[step:] - smooth[:-step] > _VARYING_DB) + step // 2 + 2
