"""The shipped network: a multi-resolution U-Net on the octave-wise constant-Q transform.

The paper's network (CQT-Diff, Moliner et al. 2022) gives every band the time resolution of the highest and pays for
it. Here every octave keeps its own. Frames of the high octaves are folded into channels at a common base rate; each
time the U-Net halves the frames, the octave that has just that rate joins. Bands stay apart through all levels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from restorer.dsp.cqt import ConstantQ
from restorer.dsp.frame import octave_frame
from restorer.dsp.known import Known
from restorer.network.layers import Block, Conv, Double, Halve, NoiseEmbedding, fold, unfold


@dataclass(frozen=True)
class OctaveConfig:
    """length: samples of a window. base_frames: frames of the finest level, a power of two.

    channels: of each level, finest first; level l has base_frames / 2**l frames.
    dilations: in bands, of the four convolutions of a level: two on the way down, two on the way up. With 48 bands an
    octave 20 are a fourth, 48 an octave and their difference a fifth: so partials of a note hear each other on every
    level, at its own resolution in time.
    """

    length: int = 2**17
    bins_per_octave: int = 48
    octaves: int = 7
    base_frames: int = 128
    channels: tuple[int, ...] = (64, 64, 96, 128, 160)
    dilations: tuple[int, int, int, int] = (1, 20, 48, 1)
    condition: int = 256


class OctaveNet(nn.Module):
    """F(c_in x, c_noise) of the preconditioned denoiser: (batch, length), (batch,) -> (batch, length).

    It may be told what of x is known, and carries no noise. The transform runs in float32, the convolutions in
    `compute_dtype`.
    """

    centres: Tensor

    def __init__(self, config: OctaveConfig) -> None:
        super().__init__()
        frame = octave_frame(config.length, config.bins_per_octave, config.octaves)
        self.config = config
        self.compute_dtype = torch.float32
        self.transform = ConstantQ(frame)
        self.embedding = NoiseEmbedding(config.condition)
        shapes = [(group.bands, group.frames) for group in frame.groups]
        centres = [group.bins[:, 0] / (config.length / 2) for group in frame.groups]
        self.register_buffer("centres", torch.from_numpy(np.concatenate(centres)).float(), persistent=False)
        self.levels = [_level(frames, config) for _, frames in shapes]
        self.factors = [max(1, frames // config.base_frames) for _, frames in shapes]
        widths = [config.channels[level] for level in self.levels]
        self.entries = nn.ModuleList(Conv(3 * f, w) for f, w in zip(self.factors, widths, strict=True))
        self.exits = nn.ModuleList(Conv(w, 2 * f) for f, w in zip(self.factors, widths, strict=True))
        # Convolutions see every band alike; what a band is, its place says.
        self.places = nn.ParameterList(
            nn.Parameter(0.2 * torch.randn(1, width, bands, 1))
            for width, (bands, _) in zip(widths, shapes, strict=True)
        )
        pairs = list(zip(config.channels, config.channels[1:], strict=False))
        self.halves = nn.ModuleList(Halve(fine, coarse) for fine, coarse in pairs)
        self.doubles = nn.ModuleList(Double(coarse, fine, scale=2**-0.5) for fine, coarse in pairs)
        down, up = config.dilations[:2], config.dilations[2:]
        self.downs = nn.ModuleList(Block(width, down, config.condition) for width in config.channels)
        self.ups = nn.ModuleList(Block(width, up, config.condition) for width in config.channels)
        # An untrained network whispers: what it says at first is wrong, but from silence nothing else would learn.
        self.loudness = nn.Parameter(torch.full((len(shapes),), 0.3))

    def forward(self, x: Tensor, c_noise: Tensor, known: Known | None = None) -> Tensor:
        groups = self.transform(x.float())
        centres = self.centres.split([group.shape[-2] for group in groups])
        planes = [
            torch.stack([group.real, group.imag, _cells(group, at, known)], dim=-1)
            for group, at in zip(groups, centres, strict=True)
        ]
        outputs = self._convolved(planes, self.embedding(c_noise.float()))
        return self.transform.inverse([torch.view_as_complex(output) for output in outputs])

    def compile(self) -> None:
        """From now on the convolutions, and all between them, run as fused kernels, which the first call takes a minute
        to make. The transform stays: compilers have no complex numbers."""
        self._convolved = torch.compile(self._convolved, dynamic=False)  # type: ignore[method-assign]

    def _convolved(self, planes: list[Tensor], condition: Tensor) -> list[Tensor]:
        """planes: (batch, bands, frames, 3) of each group, real, imaginary and known -> (batch, bands, frames, 2)."""
        groups = [self._enter(i, group) for i, group in enumerate(planes)]
        return [self._leave(i, output) for i, output in enumerate(self._unet(groups, condition))]

    def _unet(self, groups: list[Tensor], condition: Tensor) -> list[Tensor]:
        """Down and up; a group joins below (in frequency) what came before, and leaves at its level on the way up."""
        skips, joined = [], []
        h: Tensor | None = None
        for level, block in enumerate(self.downs):
            here = [i for i, at in enumerate(self.levels) if at == level]
            parts = [groups[i] for i in reversed(here)] + ([] if h is None else [self.halves[level - 1](h)])
            h = block(torch.cat(parts, dim=2), condition)
            skips.append(h)
            joined.append(here)
        outputs: dict[int, Tensor] = {}
        for level in reversed(range(len(self.downs))):
            assert h is not None
            h = self.ups[level](h, condition)
            here = list(reversed(joined[level]))
            rows = [groups[i].shape[2] for i in here]
            *leaving, h = h.split([*rows, h.shape[2] - sum(rows)], dim=2)
            outputs.update(zip(here, leaving, strict=True))
            if level > 0:
                h = torch.add(self.doubles[level - 1](h), skips[level - 1], alpha=2**-0.5)
        return [outputs[i] for i in range(len(groups))]

    def _enter(self, i: int, planes: Tensor) -> Tensor:
        """-> (batch, channels, bands, frames of the level), channels_last."""
        planes = planes.permute(0, 3, 1, 2).to(self.compute_dtype)
        return self.entries[i](fold(planes, self.factors[i])) + self.places[i].to(self.compute_dtype)

    def _leave(self, i: int, h: Tensor) -> Tensor:
        planes = unfold(self.exits[i](h), self.factors[i]).permute(0, 2, 3, 1).float()
        return planes.contiguous() * self.loudness[i]


def _cells(group: Tensor, centres: Tensor, known: Known | None) -> Tensor:
    return torch.zeros_like(group.real) if known is None else known.cells(centres, group.shape[-1])


def _level(frames: int, config: OctaveConfig) -> int:
    """The level at which a group of `frames` frames joins: 0 for the base rate and above."""
    level = max(0, (config.base_frames // frames).bit_length() - 1)
    if level >= len(config.channels):
        raise ValueError(
            f"an octave of {frames} frames needs {level + 1} levels, this network has {len(config.channels)}"
        )
    return level
