"""The musicnn network as its package trained it, run by torch: patches of music to embeddings.

Source: Pons, Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging"; package musicnn
0.1.0 (ISC), of which only the weights are read, without TensorFlow.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import soxr
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv1d, conv2d, linear, pad
from torchaudio.transforms import MelSpectrogram

from restorer.errors import UsageError
from restorer.metrics.signals import Signal, as_signal
from restorer.metrics.tf_checkpoint import read_checkpoint

MODEL = "MTT_musicnn"
RATE = 16000
PATCH = 187  # frames of 256 samples: 3 s, as in training
HOP = 62  # frames between patches: 1 s
_BATCH_NORM_EPSILON = 1e-3  # TensorFlow's default, part of the trained network

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Heard:
    """For each patch: `penultimate` (patches, 200), the embedding, and `tags` (patches, 50), before the sigmoid."""

    penultimate: Tensor
    tags: Tensor


def embeddings(x: Signal, sample_rate: int) -> Signal:
    """(patches, 200): the penultimate layer of MTT_musicnn for patches of 3 s, 1 s apart, of a signal (time,).

    Raises UsageError if it is shorter than one patch, or the package is not installed.
    """
    return hear(x, sample_rate).penultimate.double().numpy()


@torch.no_grad()
def hear(x: Signal, sample_rate: int) -> Heard:
    """What the network makes of a signal (time,), as `embeddings`.

    Log-mel spectrum as the package's: 16 kHz, 512-sample Hann window, 96 Slaney mel bands, log10(1 + 10000 power) of
    powers rounded to float16.
    """
    signal = soxr.resample(as_signal(x), sample_rate, RATE, quality="VHQ")
    if len(signal) < PATCH * 256:
        raise UsageError(f"{len(signal) / RATE:.2f} s are less than one patch of musicnn: give at least 3 s")
    to_mel = MelSpectrogram(RATE, 512, hop_length=256, n_mels=96, norm="slaney", mel_scale="slaney")
    power = to_mel(torch.from_numpy(signal).float()).half().float()
    patches = torch.log10(10000 * power + 1).T.unfold(0, PATCH, HOP).mT
    return _network(patches, _weights(_folder()))


def _network(x: Tensor, w: Weights) -> Heard:
    """x (patches, frames, bands)."""
    x = _normalised(x[:, None], w, "")
    timbral = [_pooled(pad(x, (0, 0, 3, 3)), w, f"_{i}" if i else "", i + 1) for i in (0, 1)]
    # TensorFlow's "same": of an even kernel's margin the larger half comes behind.
    temporal = [_pooled(pad(x, (0, 0, n // 2 - 1, n // 2)), w, f"_{i}", i + 1) for i, n in ((2, 128), (3, 64), (4, 32))]
    features = [torch.cat(timbral + temporal, 1)]
    for i in (5, 6, 7):
        kernel = w[f"conv2d_{i}/kernel"][:, :, 0].permute(2, 1, 0)
        found = conv1d(pad(features[-1], (3, 3)), kernel, w[f"conv2d_{i}/bias"]).relu()
        found = _normalised(found, w, f"_{i + 1}")
        features.append(found if i == 5 else found + features[-1])
    over_time = torch.cat(features, 1)
    pooled = torch.stack([over_time.amax(-1), over_time.mean(-1)], -1).flatten(1)
    pooled = _normalised(pooled, w, "_9")
    penultimate = linear(pooled, w["dense/kernel"].T, w["dense/bias"]).relu()
    penultimate = _normalised(penultimate, w, "_10")
    return Heard(penultimate, linear(penultimate, w["dense_1/kernel"].T, w["dense_1/bias"]))


def _pooled(x: Tensor, w: Weights, conv: str, norm: int) -> Tensor:
    """A convolution over (time, bands), and of its bands the loudest: (patches, channels, frames)."""
    kernel = w[f"conv2d{conv}/kernel"].permute(3, 2, 0, 1)
    found = conv2d(x, kernel, w[f"conv2d{conv}/bias"]).relu()
    return _normalised(found, w, f"_{norm}").amax(-1)


def _normalised(x: Tensor, w: Weights, name: str) -> Tensor:
    mean, variance, gamma, beta = (
        w[f"batch_normalization{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
    )
    return batch_norm(x, mean, variance, gamma, beta, eps=_BATCH_NORM_EPSILON)


def _folder() -> Path:
    spec = find_spec("musicnn")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("musicnn is not installed; run `pip install --no-deps musicnn==0.1.0`")
    return Path(spec.submodule_search_locations[0]) / MODEL


@cache
def _weights(folder: Path) -> Weights:
    arrays = read_checkpoint(folder / ".index", folder / ".data-00000-of-00001")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
