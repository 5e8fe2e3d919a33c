"""Noise in the colours of a recording: what a sampler may take for the music that stands in a gap."""

import torch
from torch import Tensor

_OCTAVES = 1 / 3  # over which a spectrum is smoothed: the colour of the music, not its notes
_NOTHING = 1e-30  # power that no noise has: what is divided by it is 0, or multiplied by 0


def coloured(noise: Tensor, like: Tensor, weight: Tensor) -> Tensor:
    """Noise (batch, time) with the spectrum, to third octaves, and the level that `like` (batch, time) has.

    weight: (batch, time), 0 to 1, where `like` is to be listened to; smooth, for an edge would be heard in the highs.
    Where all weights are 0, or all of `like` is, the outcome is silence.
    """
    wanted = _smooth(torch.fft.rfft(like * weight).abs().square())
    given = _smooth(torch.fft.rfft(noise).abs().square())
    heard = weight.double().square().mean(-1, keepdim=True)
    gain = (wanted / given.clamp(min=_NOTHING) / heard.clamp(min=_NOTHING)).sqrt()
    return torch.fft.irfft(torch.fft.rfft(noise) * gain.to(noise), n=noise.shape[-1])


def _smooth(power: Tensor) -> Tensor:
    """Means of (batch, bins) over a third octave about each bin, float64."""
    total = torch.nn.functional.pad(power.double().cumsum(-1), (1, 0))
    bins = torch.arange(power.shape[-1], device=power.device)
    first = (bins * 2 ** (-_OCTAVES / 2)).ceil().long()
    stop = (bins * 2 ** (_OCTAVES / 2)).floor().long().clamp(max=power.shape[-1] - 1) + 1
    return (total[:, stop] - total[:, first]) / (stop - first)
