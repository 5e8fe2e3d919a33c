"""The shipped network at a size for tests, and a preset of it: a window is half a second at 8 kHz."""

import torch
from torch import Tensor

from restorer.dsp.whiten import design_equaliser
from restorer.network.octave import OctaveConfig, OctaveNet
from restorer.prior import Preset

# Octaves of 512, 256, 128, 64 and 32 frames: the first two are folded, the third joins as it is, two join later.
TINY = OctaveConfig(
    length=2**12,
    bins_per_octave=8,
    octaves=4,
    base_frames=128,
    channels=(8, 8, 12),
    dilations=(1, 3, 8, 1),
    condition=16,
)

TINY_PRESET = Preset(
    "tiny", lambda: OctaveNet(TINY), sample_rate=8000, length=2**12, sigma_data=1.0, whitened=True, told=True
)


def tiny_taps() -> Tensor:
    """An equaliser of 255 taps that raises the highs by 20 dB."""
    return design_equaliser(torch.logspace(0, -2, 513, dtype=torch.float64), 1.0, 30.0, 255)
