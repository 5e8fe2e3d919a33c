"""Design of invertible constant-Q frames, once, in float64 numpy.

A non-stationary Gabor frame cuts the spectrum into overlapping bands, each brought to time by its own inverse FFT
(Velasco, Holighaus, Dörfler, Grill, "Constructing an invertible constant-Q transform with nonstationary Gabor
frames", DAFx 2011). In the painless case, every band no wider than its number of frames, the frame operator is
diagonal in frequency, so that the inverse is exact: weigh, sum, done.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Bands that share one number of frames.

    bins: (bands, frames), the FFT bin (0 to length - 1) that each point of a band's short spectrum reads; the band's
    centre is at point 0, the bins below it are wrapped to the end.
    analysis, synthesis: (bands, frames), the weights of those points on the way in and on the way out, 0 off the band.
    """

    bins: Ints
    analysis: Floats
    synthesis: Floats

    @property
    def bands(self) -> int:
        return self.bins.shape[0]

    @property
    def frames(self) -> int:
        return self.bins.shape[1]


@dataclass(frozen=True)
class Frame:
    """A constant-Q frame for signals of `length` samples: for every bin, sum(analysis * synthesis) is 1."""

    length: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _Band:
    centre: int
    offsets: Ints
    window: Floats


def raster_frame(length: int, bins_per_octave: int = 64, octaves: int = 7) -> Frame:
    """The paper's rasterised transform: every band has the same number of frames.

    One group, low to high: DC, bins_per_octave * octaves bins, Nyquist; (450, 704) for 65536 samples, 64 bins, 7
    octaves. Centres are geometric from Nyquist / 2**octaves to Nyquist inclusive; the last of them makes room for the
    Nyquist row by moving half-way down to its neighbour. Hann windows as wide as the distance between the neighbours.
    """
    nyquist = length / 2
    count = bins_per_octave * octaves
    inner = nyquist * 2.0 ** (octaves * (np.arange(count) / (count - 1) - 1))
    grid = np.concatenate([[-inner[0], 0.0], inner, [nyquist, 2 * nyquist - inner[-1]]])
    widths = np.maximum(np.round(grid[2:] - grid[:-2]).astype(int), 4)
    centres = grid[1:-1].copy()
    centres[-2] = (centres[-3] + nyquist) / 2
    bands = [_hann_band(round(centre), width) for centre, width in zip(centres, widths, strict=True)]
    frames = int(widths.max())
    bins, windows = _lay_out(bands, frames)
    positive = (bins >= 0) & (bins <= length // 2)
    total = np.bincount(bins[positive], weights=windows[positive] ** 2, minlength=length // 2 + 1)
    synthesis = np.where(positive, windows / total[np.clip(bins, 0, length // 2)], 0.0)
    return Frame(length, (Group(bins % length, windows, synthesis),))


def octave_frame(length: int, bins_per_octave: int = 48, octaves: int = 7) -> Frame:
    """A tight frame with per-octave time resolution: coefficients have the energy of the signal.

    Groups from the highest octave down, each with the least power of two of frames that holds its widest band, then
    the rest from Nyquist / 2**octaves down to DC in evenly spaced bands. Inside a group, bands go from low to high.
    Neighbouring windows are a Hann cross-over normalised to unit sum of squares (the canonical tight window); the
    highest stays flat to Nyquist, the lowest to DC, so that no bin needs a band of its own.
    """
    nyquist = length / 2
    log_centres = nyquist * 2.0 ** (-(np.arange(bins_per_octave * octaves)[::-1] + 0.5) / bins_per_octave)
    lowest = nyquist / 2**octaves
    last_frames = _power_of_two(lowest * 4 * (2 ** (1 / bins_per_octave) - 1))
    rest = max(1, int(np.ceil(2 * lowest / max(2, last_frames // 2))))
    centres = np.concatenate([(np.arange(rest) + 0.5) * lowest / rest, log_centres])
    bands = _crossed_bands(centres, length // 2)
    parts = [bands[rest + i * bins_per_octave : rest + (i + 1) * bins_per_octave] for i in reversed(range(octaves))]
    return Frame(length, tuple(_tight_group(part, length) for part in [*parts, bands[:rest]]))


def _tight_group(bands: list[_Band], length: int) -> Group:
    frames = _power_of_two(max(len(band.offsets) for band in bands))
    bins, windows = _lay_out(bands, frames)
    # A real signal's energy is counted on the positive bins alone: twice, except at DC and at Nyquist.
    twice = np.where((bins == 0) | (2 * bins == length), 1.0, 2.0)
    scale = np.sqrt(twice * frames / length)
    return Group(bins, windows * scale, windows / scale)


def _hann_band(centre: int, width: int) -> _Band:
    offsets = np.arange(-(width // 2), width - width // 2)
    return _Band(centre, offsets, 0.5 + 0.5 * np.cos(2 * np.pi * offsets / width))


def _crossed_bands(centres: Floats, last_bin: int) -> list[_Band]:
    """Windows whose squares sum to one at every bin from 0 to last_bin; centres rise."""
    every = np.arange(last_bin + 1)
    right = np.searchsorted(centres, every, side="right")
    bands = []
    for k, centre in enumerate(centres):
        here = every[(right == k) | (right == k + 1)] if 0 < k < len(centres) - 1 else _edge(right, every, k)
        window = _cross(here, centres, k)
        bands.append(_Band(round(centre), here - round(centre), window))
    return bands


def _edge(right: Ints, every: Ints, k: int) -> Ints:
    return every[right <= 1] if k == 0 else every[right >= k]


def _cross(bins: Ints, centres: Floats, k: int) -> Floats:
    """Band k's window on `bins`: Hann in linear frequency towards each neighbour, normalised with it."""
    padded = np.concatenate([[-np.inf], centres, [np.inf]])
    below, centre, above = padded[k : k + 3]
    distance = np.where(bins < centre, (centre - bins) / (centre - below), (bins - centre) / (above - centre))
    hann = np.cos(np.pi / 2 * distance) ** 2
    return np.asarray(hann / np.hypot(hann, 1 - hann))


def _lay_out(bands: list[_Band], frames: int) -> tuple[Ints, Floats]:
    """Bins (bands, frames), not yet wrapped, and windows, with every band's centre at point 0."""
    points = np.arange(frames)
    points = np.where(points < (frames + 1) // 2, points, points - frames)
    bins = np.array([band.centre for band in bands])[:, None] + points
    windows = np.zeros(bins.shape)
    for row, band in enumerate(bands):
        bins[row, band.offsets % frames] = band.centre + band.offsets
        windows[row, band.offsets % frames] = band.window
    return np.where(windows == 0, np.maximum(bins[:, :1], 0), bins), windows


def _power_of_two(at_least: float) -> int:
    return int(2 ** np.ceil(np.log2(max(at_least, 1))))
