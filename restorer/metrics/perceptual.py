"""How far apart two signals sound, by models of hearing that others have built. None of them is PEAQ.

Each takes a reference and an estimate (time,) of one rate, brings both to 48 kHz (soxr, VHQ) and gives a number that
grows with quality. Raised by all: UsageError if the shapes differ, the signals are too short for the model, or it has
no number for them, as for silence.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy.typing as npt
import soxr

from restorer.errors import UsageError
from restorer.metrics.signals import Signal, as_pair

RATE = 48000

# Samples. Zimtohrli's NSIM takes 8 steps of 85 Hz for granted, and writes beyond its memory where there are fewer.
_SHORTEST_ZIMTOHRLI = 4800
# The 2f-model leaves out the 24 frames (hop 1024) of the first half second, and has no number for no frames.
_SHORTEST_2F = 26624
# ViSQOL compares patches of 45 frames: 80 ms, 20 ms apart.
_SHORTEST_VISQOL = 46080


def zimtohrli_mos(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> float:
    """Mean opinion score, 1 to 5, of equal signals 5.

    Implementation and model: zimtohrli 0.2.1.post1 (Google; Alakuijala et al. 2025), a gammatone-like filterbank with
    NSIM; its defaults: a full-scale sine plays at 80 dB SPL; its own mapping from distance to score.
    """
    first, second = _pair(reference, estimate, sample_rate, _SHORTEST_ZIMTOHRLI)
    from zimtohrli import mos_from_signals

    return _number("Zimtohrli", lambda: mos_from_signals(first, second))


def two_f_mms(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> float:
    """Mean MUSHRA score that the 2f-model estimates, 0 to 100 (clipped there).

    Implementation: seabass-2f 0.1.0, parameters its defaults. Model: Kastner, Herre 2019, "An efficient model for
    estimating subjective quality of separated audio source signals": a function of two of PEAQ's model output variables
    (AvgModDiff1 and ADB), fitted to listening tests of source separation, so neither PEAQ nor an ODG. Slow: many times
    the length of the signal.
    """
    first, second = _pair(reference, estimate, sample_rate, _SHORTEST_2F)
    from seabass.core.models.mms import estimated_mean_mushra_score

    # Copies: it scales what it is given, in place.
    test, original = second[None].copy(), first[None].copy()
    return _number("the 2f-model", lambda: estimated_mean_mushra_score(test, original, fs=RATE))


def visqol_mos(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> float:
    """Mean opinion score of listening quality (MOS-LQO), 1 to about 4.73.

    Implementation: visqol-python 3.8.0 (a port of Google's ViSQOL 3, Chinen et al. 2020), audio mode with its support
    vector model, other parameters its defaults. Weak on dark, low-passed music, which it rates high.
    """
    first, second = _pair(reference, estimate, sample_rate, _SHORTEST_VISQOL)
    return _number("ViSQOL", lambda: _visqol().measure_from_arrays(first, second, RATE).moslqo)


def _pair(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, shortest: int) -> tuple[Signal, Signal]:
    """Both at 48 kHz; shortest: samples there that the model needs."""
    first, second = as_pair(reference, estimate)
    if sample_rate != RATE:
        first, second = (soxr.resample(each, sample_rate, RATE, quality="VHQ") for each in (first, second))
    if first.size < shortest:
        raise UsageError(f"{first.size / RATE:.3f} s are too short for it: give at least {shortest / RATE:.3f} s")
    return first, second


def _number(model: str, score: Callable[[], float]) -> float:
    """The score, where there is one: of what they cannot judge some models say so, others give no number."""
    try:
        value = float(score())
    except ValueError as error:
        raise UsageError(f"{model} cannot judge it ({error}): give sound that is not silent") from error
    if math.isnan(value):
        raise UsageError(f"{model} has no number for it: give sound that is not silent")
    return value


@cache
def _visqol() -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return api
