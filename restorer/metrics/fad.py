"""Frechet audio distance: how far a set of recordings is from another, seen through the embeddings of a network."""

from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soxr

from restorer.errors import UsageError
from restorer.metrics.signals import Signal, as_signal

EmbeddingModel = Literal["musicnn", "vggish"]

_VGGISH_RATE = 16000


def embed(x: npt.ArrayLike, sample_rate: int, model: EmbeddingModel = "musicnn") -> Signal:
    """(patches, dimensions): the embeddings of a signal (time,).

    musicnn: `restorer.metrics.musicnn.embeddings`: MTT_musicnn, penultimate layer, 200 dimensions, patches of 3 s a
    second apart; the weights of musicnn 0.1.0, which works offline.
    vggish: frechet-audio-distance 0.3.4, model "vggish" without PCA and activation, 128 dimensions, patches of 0.96 s,
    at 16 kHz; the model of the paper. It downloads its weights when it is first used.

    Raises UsageError if the signal is shorter than a patch, or too loud to have embeddings.
    """
    found = _MODELS[model](as_signal(x), sample_rate)
    if not np.isfinite(found).all():
        raise UsageError(f"{model} has no embeddings for it: full scale is 1.0, turn it down")
    return found


def _by_musicnn(x: Signal, sample_rate: int) -> Signal:
    from restorer.metrics.musicnn import embeddings

    return embeddings(x, sample_rate)


def _by_vggish(x: Signal, sample_rate: int) -> Signal:
    signal = soxr.resample(x, sample_rate, _VGGISH_RATE, quality="VHQ")
    if signal.size < _VGGISH_RATE:
        raise UsageError(f"{signal.size / _VGGISH_RATE:.2f} s are too short for VGGish: give at least 1 s")
    found = _vggish().get_embeddings([signal], _VGGISH_RATE)
    return np.asarray(found, dtype=np.float64).reshape(-1, np.shape(found)[-1])


_MODELS = {"musicnn": _by_musicnn, "vggish": _by_vggish}


def frechet_distance(reference: npt.ArrayLike, estimate: npt.ArrayLike) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of embeddings (patches, dimensions):

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

    with covariances over patches - 1. The trace of the root is the sum of singular values of A1 A2^T, A centred
    embeddings over sqrt(patches - 1), since C = A^T A: exact even where patches are fewer than dimensions. It is that
    of R1 R2^T as well, A = Q R, which does not grow with the patches.
    Laws: 0 for equal sets, whatever their order; symmetric; |d|^2 for a set and itself moved by d; equal under a
    rotation of both. Of few patches it is too high: compare only what was measured on the same recordings.
    Source: Dowson, Landau 1982; Kilgour et al. 2019.

    Raises UsageError unless both have at least two patches of the same dimensions, all finite.
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    shapes = f"embeddings of shapes {first.shape} and {second.shape}"
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise UsageError(f"{shapes} have no Frechet distance: give two or more patches of the same dimensions each")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UsageError(f"{shapes} are not all finite: leave the broken ones out")
    spread = [(each - each.mean(axis=0)) / np.sqrt(len(each) - 1) for each in (first, second)]
    triangles = [np.asarray(np.linalg.qr(each, mode="r")) for each in spread]
    root = np.linalg.svd(triangles[0] @ triangles[1].T, compute_uv=False).sum()
    moved = float(np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2))
    # Rounding may leave a little below 0 for equal sets.
    return max(0.0, moved + float(np.sum(spread[0] ** 2) + np.sum(spread[1] ** 2) - 2 * root))


@cache
def _vggish() -> Any:
    from frechet_audio_distance import FrechetAudioDistance

    return FrechetAudioDistance(model_name="vggish", sample_rate=_VGGISH_RATE, use_pca=False, use_activation=False)
