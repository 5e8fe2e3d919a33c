"""What a restorer does to a clean recording that was degraded on purpose: functions without files or printing."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from restorer.bench.degrade import low_passed
from restorer.bench.recordings import Clip
from restorer.errors import UsageError
from restorer.metrics.levels import Levels, band_level, level_error, octave_error, quiet_level_error
from restorer.metrics.likeness import likeness_above
from restorer.metrics.lsd import LSD_RATE, log_spectral_distance, log_spectral_distance_in
from restorer.metrics.sdr import clip_to_sdr, sdr
from restorer.metrics.seams import click_ratio
from restorer.metrics.signals import Signal

TASKS = ("bwe", "inpaint", "declip")
CUTOFFS_HZ = (1000.0, 3000.0)
GAPS_S = (0.05, 0.5)
GAP_PLACES = (0.2, 0.4, 0.6, 0.8)
INPUT_SDRS_DB = (3.0, 7.0)
HIGHEST_BAND_HZ = 10000.0
ALLOWED_FADE_S = 0.01
# A sample this near the threshold counts as clipped: rounding to 16 bits moves it across.
HALF_STEP_16_BIT = 0.5 / 32768

Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Restorers:
    """What is measured: for each task a function of (damaged (frames, channels), sample rate, what is known)."""

    bwe: Callable[[Signal, int, float], Signal]
    inpaint: Callable[[Signal, int, Spans], Signal]
    declip: Callable[[Signal, int, float], Signal]


@dataclass(frozen=True)
class Bwe:
    """Distances in log10 power, over all frequencies or those above the cutoff; likeness in two octaves above it; level
    errors in dB of the worst third-octave band from the cutoff to 10 kHz; change below 0.9 cutoff in dB re the input
    there."""

    task: ClassVar[str] = "bwe"

    clip: str
    cutoff_hz: float
    lsd_in: float
    lsd_out: float
    lsd_ratio: float
    lsd_above_in: float
    lsd_above_out: float
    likeness: float
    level_error_db: float
    level_error_at_hz: float
    quiet_error_db: float
    quiet_error_at_hz: float
    in_band_change_db: float
    seconds: float
    level_errors_db: dict[int, float]
    quiet_errors_db: dict[int, float]


@dataclass(frozen=True)
class Inpaint:
    """Gaps of one length in one clip. changed: samples that differ beyond the allowed fades; reach: how far from the
    gap the farthest difference lies; octave errors of single gaps, original against fill; distances within the gaps."""

    task: ClassVar[str] = "inpaint"

    clip: str
    gap_s: float
    changed_samples: int
    reach_ms: float
    worst_click_ratio: float
    octave_error_db: float
    octave_error_at_hz: float
    mean_octave_error_db: float
    lsd_in: float
    lsd_out: float
    seconds: float
    octave_errors_db: list[dict[int, float]]


@dataclass(frozen=True)
class Declip:
    """changed: reliable samples, those below the threshold, that do not come back bit by bit."""

    task: ClassVar[str] = "declip"

    clip: str
    input_sdr_db: float
    threshold: float
    clipped_percent: float
    sdr_in: float
    sdr_out: float
    sdr_gain: float
    lsd_in: float
    lsd_out: float
    changed_samples: int
    seconds: float


Result = Bwe | Inpaint | Declip


def evaluate_bwe(clip: Clip, cutoff_hz: float, restore: Callable[[Signal, int, float], Signal]) -> Bwe:
    rate, clean = clip.sample_rate, clip.samples
    damaged = low_passed(clean, rate, cutoff_hz)
    restored, seconds = _timed(lambda x: restore(x, rate, cutoff_hz), damaged)
    above = (cutoff_hz, LSD_RATE / 2)
    lsd_in, lsd_out = (log_spectral_distance(clean, x, rate) for x in (damaged, restored))
    levels = level_error(clean, restored, rate, cutoff_hz, HIGHEST_BAND_HZ)
    quiet = quiet_level_error(clean, restored, rate, cutoff_hz, HIGHEST_BAND_HZ)
    level_hz, level_db = levels.worst()
    quiet_hz, quiet_db = quiet.worst()
    change, band = (band_level(x, rate, 0, 0.9 * cutoff_hz) for x in (restored - damaged, damaged))
    return Bwe(
        clip=clip.name,
        cutoff_hz=cutoff_hz,
        lsd_in=lsd_in,
        lsd_out=lsd_out,
        lsd_ratio=lsd_out / lsd_in,
        lsd_above_in=log_spectral_distance(clean, damaged, rate, band_hz=above),
        lsd_above_out=log_spectral_distance(clean, restored, rate, band_hz=above),
        likeness=likeness_above(clean, restored, rate, cutoff_hz),
        level_error_db=level_db,
        level_error_at_hz=level_hz,
        quiet_error_db=quiet_db,
        quiet_error_at_hz=quiet_hz,
        in_band_change_db=change - band,
        seconds=seconds,
        level_errors_db=_by_band(levels),
        quiet_errors_db=_by_band(quiet),
    )


def evaluate_inpaint(clip: Clip, gap_s: float, restore: Callable[[Signal, int, Spans], Signal]) -> Inpaint:
    """Gaps of `gap_s` at GAP_PLACES of the clip, all in one recording, as a user would have them."""
    rate, clean = clip.sample_rate, clip.samples
    gaps = [(start, start + round(gap_s * rate)) for start in (round(place * clean.size) for place in GAP_PLACES)]
    damaged = clean.copy()
    for start, stop in gaps:
        damaged[start:stop] = 0
    spans_s = [(start / rate, stop / rate) for start, stop in gaps]
    restored, seconds = _timed(lambda x: restore(x, rate, spans_s), damaged)
    distance = np.min([_distance_to(clean.size, *gap) for gap in gaps], axis=0)
    differing = distance[restored != damaged]
    fade = round(ALLOWED_FADE_S * rate)
    clicks = [click_ratio(restored, start - fade, stop + fade, rate) for start, stop in gaps]
    errors = [octave_error(clean[i:j], restored[i:j], rate).between(0, HIGHEST_BAND_HZ) for i, j in gaps]
    worst = max((error.worst() for error in errors), key=lambda at: abs(at[1]))
    lsd_in, lsd_out = (log_spectral_distance_in(clean, x, rate, gaps) for x in (damaged, restored))
    return Inpaint(
        clip=clip.name,
        gap_s=gap_s,
        changed_samples=int(np.count_nonzero(differing > fade)),
        reach_ms=1000 * float(differing.max(initial=0)) / rate,
        worst_click_ratio=max(clicks),
        octave_error_db=worst[1],
        octave_error_at_hz=worst[0],
        mean_octave_error_db=float(np.mean([np.abs(error.values_db).mean() for error in errors])),
        lsd_in=lsd_in,
        lsd_out=lsd_out,
        seconds=seconds,
        octave_errors_db=[_by_band(error) for error in errors],
    )


def evaluate_declip(clip: Clip, input_sdr_db: float, restore: Callable[[Signal, int, float], Signal]) -> Declip:
    rate, clean = clip.sample_rate, clip.samples
    threshold = clip_to_sdr(clean, input_sdr_db)
    damaged = clean.clip(-threshold, threshold)
    restored, seconds = _timed(lambda x: restore(x, rate, threshold), damaged)
    reliable = np.abs(damaged) < threshold - HALF_STEP_16_BIT
    sdr_in, sdr_out = (sdr(clean, x) for x in (damaged, restored))
    return Declip(
        clip=clip.name,
        input_sdr_db=input_sdr_db,
        threshold=threshold,
        clipped_percent=100 * float(np.mean(~reliable)),
        sdr_in=sdr_in,
        sdr_out=sdr_out,
        sdr_gain=sdr_out - sdr_in,
        lsd_in=log_spectral_distance(clean, damaged, rate),
        lsd_out=log_spectral_distance(clean, restored, rate),
        changed_samples=int(np.count_nonzero(restored[reliable] != damaged[reliable])),
        seconds=seconds,
    )


def evaluate(clips: Sequence[Clip], task: str, restorers: Restorers) -> Iterator[Result]:
    """The results of one of TASKS for every clip and setting, each as soon as it is there."""
    for clip in clips:
        if task == "bwe":
            yield from (evaluate_bwe(clip, cutoff_hz, restorers.bwe) for cutoff_hz in CUTOFFS_HZ)
        elif task == "inpaint":
            yield from (evaluate_inpaint(clip, gap_s, restorers.inpaint) for gap_s in GAPS_S)
        else:
            yield from (evaluate_declip(clip, sdr_db, restorers.declip) for sdr_db in INPUT_SDRS_DB)


def _timed(restore: Callable[[Signal], Signal], damaged: Signal) -> tuple[Signal, float]:
    started = time.perf_counter()
    restored = restore(damaged[:, None].copy())
    seconds = time.perf_counter() - started
    if restored.shape != (damaged.size, 1):
        raise UsageError(f"restored to shape {restored.shape}: a restorer keeps the shape, ({damaged.size}, 1)")
    return np.asarray(restored[:, 0], dtype=np.float64), seconds


def _distance_to(length: int, start: int, stop: int) -> Signal:
    """Samples from each of `length` samples to the span [start, stop): 0 within, 1 at its neighbours."""
    index = np.arange(length)
    return np.maximum(np.maximum(start - index, index - stop + 1), 0).astype(np.float64)


def _by_band(levels: Levels) -> dict[int, float]:
    return {round(hz): round(float(db), 2) for hz, db in zip(levels.centres_hz, levels.values_db, strict=True)}
