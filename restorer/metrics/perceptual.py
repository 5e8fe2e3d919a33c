"""How far apart two signals sound, by models of hearing that others have built. None of them is PEAQ.

Each takes a reference and an estimate (time,) of one rate, brings both to 48 kHz (soxr, VHQ) and gives a number that
grows with quality. Raised by all: UsageError if the shapes differ.
"""

from functools import cache
from typing import Any

import numpy.typing as npt
import soxr

from restorer.metrics.signals import Signal, as_pair

RATE = 48000


def zimtohrli_mos(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> float:
    """Mean opinion score, 1 to 5, of equal signals 5.

    Implementation and model: zimtohrli 0.2.1.post1 (Google; Alakuijala et al. 2025), a gammatone-like filterbank with
    NSIM; its defaults: a full-scale sine plays at 80 dB SPL; its own mapping from distance to score.
    """
    from zimtohrli import mos_from_signals

    first, second = _pair(reference, estimate, sample_rate)
    return float(mos_from_signals(first, second))


def two_f_mms(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> float:
    """Mean MUSHRA score that the 2f-model estimates, 0 to 100 (clipped there).

    Implementation: seabass-2f 0.1.0, parameters its defaults. Model: Kastner, Herre 2019, "An efficient model for
    estimating subjective quality of separated audio source signals": a function of two of PEAQ's model output variables
    (AvgModDiff1 and ADB), fitted to listening tests of source separation, so neither PEAQ nor an ODG. Slow: many times
    the length of the signal.
    """
    from seabass.core.models.mms import estimated_mean_mushra_score

    first, second = _pair(reference, estimate, sample_rate)
    return float(estimated_mean_mushra_score(second[None], first[None], fs=RATE))


def visqol_mos(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> float:
    """Mean opinion score of listening quality (MOS-LQO), 1 to about 4.73.

    Implementation: visqol-python 3.8.0 (a port of Google's ViSQOL 3, Chinen et al. 2020), audio mode with its support
    vector model, other parameters its defaults. Weak on dark, low-passed music, which it rates high.
    """
    first, second = _pair(reference, estimate, sample_rate)
    return float(_visqol().measure_from_arrays(first, second, RATE).moslqo)


def _pair(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> tuple[Signal, Signal]:
    first, second = as_pair(reference, estimate)
    if sample_rate == RATE:
        return first, second
    return tuple(soxr.resample(each, sample_rate, RATE, quality="VHQ") for each in (first, second))


@cache
def _visqol() -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return api
