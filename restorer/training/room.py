"""What lies between an instrument and its recording: a room, an uneven microphone, a noise floor, hum, a band limit."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

LONGEST_TAIL_S = 1.5  # a room's answer is faded out by here; RT60 2.5 s has fallen by 36 dB
SHORTEST_LEAD_S = 0.02  # takes what wraps round of the zero-phase equaliser's ringing
_BANDS_HZ = (125.0, 500.0, 2000.0, 8000.0)  # the room's decay is set at these and crosses over between them
TILT_OCTAVES = float(np.log2(10000 / 100))
TILT_RANGE = np.log2(0.05), np.log2(16.0)  # in octaves re 1 kHz; level beyond
N_REFLECTIONS = 12
LN_1000 = 6.91  # a decay by 60 dB
N_HARMONICS = 12  # of the mains; what is above 720 Hz is as weak as any hiss
HISS_LEVEL = -5.0  # octaves re 1 kHz: below, a noise floor is white
EDGE = 0.05  # a band limit falls over this share of its frequency


@dataclass(frozen=True)
class Peak:
    """A broad bump or dip of an equaliser, Gaussian over log frequency."""

    centre_hz: float
    gain_db: float
    width_octaves: float


@dataclass(frozen=True)
class Acoustics:
    """One recording place and chain. The noise in it (the room's late field, the hiss) is drawn from `seed`."""

    seed: int = 0
    rt60_s: float = 0.0  # at 500 Hz; 0: no room
    wet_db: float = -10.0  # energy of all reflections re the direct sound
    bass: float = 1.0  # RT60 at 125 Hz re 500 Hz
    treble: float = 0.5  # RT60 at 8 kHz re 500 Hz
    tilt_db: float = 0.0  # gain at 10 kHz re 100 Hz, a straight line over log frequency that stops at 50 Hz and 16 kHz
    peaks: tuple[Peak, ...] = ()
    hiss_db: float | None = None  # RMS of the noise floor, dB re full scale
    hiss_slope_db: float = 0.0  # per octave: 0 white, -3 pink
    hum_hz: float | None = None  # of the mains
    hum_db: float = -60.0  # RMS, dB re full scale
    band_hz: float | None = None  # nothing is left above, as behind a codec or a lower sample rate


DRY = Acoustics()
_HISS_DB = (-85.0, -50.0)


def draw_acoustics(rng: np.random.Generator) -> Acoustics:
    """A room (one in five is dry), an uneven response, most with a noise floor, some with hum or a band limit.

    A close-miked sampler is brighter and quieter in its pauses than recordings are: the tilt leans to the dark side,
    and half of the noise floors are heard. One in four is brighter still, by hard hammers or a producer's equaliser.
    """
    peaks = [
        Peak(float(60 * 200 ** rng.random()), float(rng.uniform(-6, 6)), float(rng.uniform(0.3, 1.2)))
        for _ in range(rng.integers(1, 4))
    ]
    if rng.random() < 0.25:
        peaks.append(Peak(float(rng.uniform(3e3, 8e3)), float(rng.uniform(0, 20)), float(rng.uniform(0.8, 1.6))))
    return Acoustics(
        seed=int(rng.integers(2**63)),
        rt60_s=0.0 if rng.random() < 0.2 else float(np.exp(rng.uniform(np.log(0.2), np.log(2.5)))),
        wet_db=float(rng.uniform(-25, 2)),
        bass=float(rng.uniform(0.9, 1.4)),
        treble=float(rng.uniform(0.3, 0.9)),
        tilt_db=float(rng.uniform(-22, 8)),
        peaks=tuple(peaks),
        hiss_db=None if rng.random() < 0.1 else float(rng.uniform(*_HISS_DB)),
        hiss_slope_db=float(rng.uniform(-4, 1)),
        hum_hz=float(rng.choice((50.0, 60.0))) if rng.random() < 0.1 else None,
        hum_db=float(rng.uniform(-85, -50)),
        band_hz=float(np.exp(rng.uniform(np.log(10e3), np.log(20e3)))) if rng.random() < 0.3 else None,
    )


def lead_samples(acoustics: Acoustics, sample_rate: int) -> int:
    """How much of the sound before an excerpt its `recorded` needs."""
    tail_s = min(np.ceil(4 * 0.8 * acoustics.rt60_s) / 4, LONGEST_TAIL_S)  # quarter seconds: few sizes of transforms
    return round(float(max(tail_s, SHORTEST_LEAD_S)) * sample_rate)


def recorded(dry: Floats, lead: int, sample_rate: int, acoustics: Acoustics) -> Floats:
    """The sound of `dry` (lead + time,), heard through `acoustics`; (time,), what follows the lead.

    One product of spectra: the convolution is circular, and what wraps round falls into the lead, which must be
    `lead_samples` long.
    """
    rng = np.random.default_rng(acoustics.seed)
    n = int(next_fast_len(dry.size, real=True))
    spectrum = rfft(dry, n)
    if acoustics.rt60_s > 0:
        spectrum *= rfft(impulse_response(acoustics, lead, sample_rate, rng), n)
    if acoustics.tilt_db or acoustics.peaks:
        spectrum *= equaliser(acoustics, n, sample_rate)
    if acoustics.hiss_db is not None:
        spectrum += hiss(acoustics.hiss_db, acoustics.hiss_slope_db, n, sample_rate, rng)
    if acoustics.band_hz is not None:
        spectrum *= band_limit(acoustics.band_hz, n, sample_rate)
    heard: Floats = irfft(spectrum, n)[lead : dry.size]
    if acoustics.hum_hz is not None:
        heard += hum(acoustics.hum_db, acoustics.hum_hz, heard.size, sample_rate, rng)
    return heard


def impulse_response(acoustics: Acoustics, length: int, sample_rate: int, rng: np.random.Generator) -> Floats:
    """(length,), unit energy: direct sound at 0, a dozen early reflections, noise whose RT60 varies with frequency.

    The late field is Gaussian noise with exponential decay (Moorer, "About this reverberation business", 1979), band
    by band.
    """
    seconds = np.arange(length, dtype=np.float32) / sample_rate
    noise = rfft(rng.standard_normal(length, dtype=np.float32))
    hats = band_weights(length, sample_rate)
    late = np.zeros(length, np.float32)
    for hat, band_s in zip(hats, decays_s(acoustics), strict=True):
        late += irfft(noise * hat, length) * np.exp(-LN_1000 / band_s * seconds)
    first = draw_reflections(length, sample_rate, rng)
    late *= 1 - np.exp(-seconds / first.grows_s)
    fade = length // 4
    late[length - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    late /= np.sqrt(np.square(late).sum())
    late *= np.sqrt(1 - first.share)
    np.add.at(late, first.delays, first.early)
    late *= 10 ** (acoustics.wet_db / 20)
    late[0] += 1
    late /= np.sqrt(1 + 10 ** (acoustics.wet_db / 10))
    return late


@dataclass(frozen=True)
class Reflections:
    """How a room answers before its late field is dense."""

    grows_s: float  # time constant with which the late field builds up
    share: float  # of the reflected energy that comes early
    delays: NDArray[np.int64]  # in samples
    early: Floats  # their energies add to `share`


def draw_reflections(length: int, sample_rate: int, rng: np.random.Generator) -> Reflections:
    """A dozen early reflections in an answer of `length` samples."""
    grows_s = rng.uniform(0.002, 0.03)
    delays = np.minimum((rng.uniform(0.001, 0.06, N_REFLECTIONS) * sample_rate).astype(np.int64), length - 1)
    early = rng.choice([-1.0, 1.0], N_REFLECTIONS) * rng.uniform(0.3, 1, N_REFLECTIONS)
    early = early * np.exp(-delays / (0.03 * sample_rate))
    share = rng.uniform(0.1, 0.7)
    early *= np.sqrt(share / np.square(early).sum())
    return Reflections(grows_s, share, delays, early.astype(np.float32))


def decays_s(acoustics: Acoustics) -> tuple[float, ...]:
    """RT60 at each of the bands of `band_weights`."""
    factors = (acoustics.bass, 1.0, (acoustics.treble + 1) / 2, acoustics.treble)
    return tuple(acoustics.rt60_s * factor for factor in factors)


def equaliser(acoustics: Acoustics, n: int, sample_rate: int) -> Floats:
    """Gains of the rfft bins of n samples; zero phase, 0 dB tilt at 1 kHz."""
    octaves = octaves_of_bins(n, sample_rate)
    tilt = acoustics.tilt_db / TILT_OCTAVES
    gain_db = tilt * np.clip(octaves, *TILT_RANGE)
    for peak in acoustics.peaks:
        distance = (octaves - np.float32(np.log2(peak.centre_hz / 1000))) / np.float32(peak.width_octaves)
        gain_db += peak.gain_db * np.exp(-0.5 * np.square(distance))
    gains: Floats = np.exp(gain_db * np.float32(np.log(10) / 20))
    return gains


def hiss(level_db: float, slope_db: float, n: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Spectrum of n samples of Gaussian noise of that RMS, its power density sloping by `slope_db` per octave."""
    octaves = octaves_of_bins(n, sample_rate)
    sloping = np.maximum(octaves, np.float32(HISS_LEVEL))
    shape: Floats = np.exp(sloping * np.float32(slope_db * np.log(10) / 20))
    noise = rng.standard_normal((octaves.size, 2), dtype=np.float32).view(np.complex64)[:, 0]
    rms = 10 ** (level_db / 20) / np.sqrt(np.square(shape).mean())
    coloured: NDArray[np.complex64] = noise * shape * np.float32(rms * np.sqrt(n / 2))
    return coloured


def hum(level_db: float, mains_hz: float, length: int, sample_rate: int, rng: np.random.Generator) -> Floats:
    """(length,) of that RMS: the mains' harmonics, falling by 3 to 12 dB an octave, each as it happens to be."""
    amplitude, begin = draw_harmonics(level_db, rng)
    phase = 2 * np.pi * mains_hz / sample_rate * np.arange(length)
    out = np.zeros(length, np.float32)
    for n, (a, at) in enumerate(zip(amplitude, begin, strict=True), 1):
        out += (a * np.sin(n * phase + at)).astype(np.float32)
    return out


def draw_harmonics(level_db: float, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Amplitudes and phases, (N_HARMONICS,) each, of the mains' harmonics, whose sum has that RMS."""
    number = np.arange(1, N_HARMONICS + 1)
    fall_db = rng.uniform(3, 12) * np.log2(number) + rng.uniform(0, 12, N_HARMONICS)
    amplitude = 10 ** (-fall_db / 20)
    amplitude *= np.sqrt(2 / np.square(amplitude).sum()) * 10 ** (level_db / 20)
    return amplitude, rng.uniform(0, 2 * np.pi, N_HARMONICS)


def band_limit(band_hz: float, n: int, sample_rate: int) -> Floats:
    """Gains of the rfft bins of n samples: 1, falling as a raised cosine up to band_hz, 0 above."""
    frequency = np.arange(n // 2 + 1) * (sample_rate / n)
    share = np.clip((band_hz - frequency) / (EDGE * band_hz), 0, 1)
    gains: Floats = (0.5 - 0.5 * np.cos(np.pi * share)).astype(np.float32)
    return gains


@lru_cache(maxsize=32)
def octaves_of_bins(n: int, sample_rate: int) -> Floats:
    """log2(f / 1 kHz) of the rfft bins of n samples; DC counts as the first bin."""
    bins = np.maximum(np.arange(n // 2 + 1), 1)
    return np.log2(bins * (sample_rate / n / 1000)).astype(np.float32)


@lru_cache(maxsize=32)
def band_weights(n: int, sample_rate: int) -> tuple[Floats, ...]:
    """Weights, one array per band of _BANDS_HZ, that add to 1 in every rfft bin."""
    octaves = octaves_of_bins(n, sample_rate)
    centres = np.log2(np.array(_BANDS_HZ) / 1000)
    return tuple(np.interp(octaves, centres, row).astype(np.float32) for row in np.eye(centres.size))
