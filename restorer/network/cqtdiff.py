"""The paper's network: a U-Net on a rasterised constant-Q transform, and the reader of its public checkpoint.

Moliner, Lehtinen, Välimäki, "Solving audio inverse problems with a diffusion model" (CQT-Diff), 2022.
Convolutions are narrow in time and dilated in frequency, so that a block sees all octaves; time is halved from
level to level, rows are kept; the input reaches every level and every level reaches the output (progressive growing).
Modules carry the names of the public checkpoint, so that its tensors load as they are.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from restorer.dsp.cqt import ConstantQ
from restorer.dsp.frame import raster_frame
from restorer.dsp.stft import ShortTimeFourier
from restorer.errors import WeightsError
from restorer.network.cqtdiff_blocks import HALF_POWER, BandEncoding, Block, NoiseEmbedding, band_conv, named
from restorer.network.resample import Resample


@dataclass(frozen=True)
class CqtDiffConfig:
    """The paper's sizes. length: samples of a window; channels: of each level, two or more, finest first, frames halved
    between.

    layers: dilated convolutions of a block, dilations 1, 2, 4, ... bands; 2**layers stays below the number of bands.
    """

    length: int = 2**16
    bins_per_octave: int = 64
    octaves: int = 7
    channels: tuple[int, ...] = (32, 64, 64, 128, 128, 128)
    layers: int = 8
    fourier_features: int = 32
    condition: int = 512


PAPER = CqtDiffConfig()


def short_time_fourier(config: CqtDiffConfig = PAPER) -> ShortTimeFourier:
    """What the paper's network may be given in place of its constant-Q transform, to compare the two: 46 ms at 22.05
    kHz, 513 bands and about as many coefficients."""
    return ShortTimeFourier(config.length, size=config.length // 64, hop=config.length // 512)


class CqtDiff(nn.Module):
    """F(x, c_noise): x (batch, length), scaled to unit variance (c_in x), and c_noise (batch,) -> (batch, length).

    transform: another than the paper's.

    Not the denoiser itself: the skip connection and output scale around F are the preconditioning's. Works under
    autocast: the transform keeps the precision of x. A window does not depend on its neighbours in the batch.
    """

    def __init__(self, config: CqtDiffConfig = PAPER, transform: ShortTimeFourier | None = None) -> None:
        super().__init__()
        self.transform = _constant_q(config) if transform is None else transform
        self.embedding = NoiseEmbedding(config.fourier_features, config.condition)
        self.freq_encoding = BandEncoding(config.fourier_features, self.transform.bands)
        finest, coarsest = config.channels[0], config.channels[-1]
        self.init_conv = band_conv(2 + 2 * config.fourier_features, finest)
        levels = list(zip((finest, *config.channels), config.channels, strict=False))
        self.downs = nn.ModuleList(
            Encoder(inputs, outputs, config, halves=level + 1 < len(levels))
            for level, (inputs, outputs) in enumerate(levels)
        )
        self.middle = nn.ModuleList([nn.ModuleList([Block(coarsest, coarsest, config.condition, config.layers)])])
        self.ups = nn.ModuleList(
            Decoder(2 * inputs, outputs, config, doubles=level > 0)
            for level, (outputs, inputs) in reversed(list(enumerate(levels)))
        )

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        (coefficients,) = self.transform(x)
        planes = torch.view_as_real(coefficients).permute(0, 3, 1, 2)
        output = self.unet(planes, self.embedding(c_noise)).to(x.dtype)
        return self.transform.inverse([torch.view_as_complex(output.permute(0, 2, 3, 1).contiguous())])

    def unet(self, planes: Tensor, condition: Tensor) -> Tensor:
        """planes (batch, 2, bands, frames), real and imaginary parts; condition (batch, condition) -> like planes."""
        h, pyramid, skips = self.init_conv(self.freq_encoding(planes)), planes, []
        for encoder in self.downs:
            h, pyramid, skip = encoder(h, pyramid, condition)
            skips.append(skip)
        h = self.middle.get_submodule("0.0")(h, condition)
        output: Tensor | None = None
        for decoder, to_output, skip in zip(self.ups, self._ways_out(), reversed(skips), strict=True):
            h, output = decoder(h, output, skip, condition, to_output)
        assert output is not None
        return output

    def _ways_out(self) -> list[nn.Module]:
        """From each decoder to the two output planes. The finest has none of its own: as in the reference, it shares
        its neighbour's."""
        own = [stage.get_submodule("2") for stage in list(self.ups)[:-1]]
        return [*own, own[-1]]


def _constant_q(config: CqtDiffConfig) -> ConstantQ:
    return ConstantQ(raster_frame(config.length, config.bins_per_octave, config.octaves))


class Encoder(nn.ModuleList):
    """A block; then half the frames, where the input's pyramid joins. The coarsest level does not halve."""

    def __init__(self, inputs: int, outputs: int, config: CqtDiffConfig, halves: bool) -> None:
        super().__init__([Block(inputs, outputs, config.condition, config.layers)])
        if halves:
            self.append(named("resample", Resample(up=1, down=2)))
            self.append(named("conv1x1", nn.Conv2d(2, outputs, 1, bias=False)))

    def forward(self, x: Tensor, pyramid: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> what the next level gets, the pyramid at its rate, what the decoder of this level gets."""
        skip: Tensor = self[0](x, condition)
        if len(self) == 1:
            return skip, pyramid, skip
        halve, from_pyramid = self[1], self[2]
        pyramid = halve(pyramid)
        return HALF_POWER * (halve(skip) + from_pyramid(pyramid)), pyramid, skip


class Decoder(nn.ModuleList):
    """A block on what comes from below and from the encoder; its share of the output; then twice the frames.

    The finest level does not double. `to_output` is a 1x1 convolution to the two output planes.
    """

    def __init__(self, inputs: int, outputs: int, config: CqtDiffConfig, doubles: bool) -> None:
        super().__init__([Block(inputs, outputs, config.condition, config.layers)])
        if doubles:
            self.append(named("resample", Resample(up=2, down=1)))
            self.append(named("conv1x1", nn.Conv2d(outputs, 2, 1, bias=False)))

    def forward(
        self, x: Tensor, output: Tensor | None, skip: Tensor, condition: Tensor, to_output: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """-> what the next finer level gets, the output so far at its rate. An odd number of frames doubles to one more
        than the skip has: cut here."""
        frames = skip.shape[-1]
        x = self[0](torch.cat([x[..., :frames], skip], dim=1), condition)
        share = to_output(x)
        output = share if output is None else HALF_POWER * (output[..., :frames] + share)
        return (x, output) if len(self) == 1 else (self[1](x), self[1](output))


def read_reference_checkpoint(path: Path | str) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint in the layout of the paper's public `cqt_weights.pt`, float32.

    The file is a dict: `step`, `model` (a state dict) and `ema_weights`, the averages in the order of the network's
    parameters, the fixed ones included. The result suits `CqtDiff().load_state_dict`. Only tensors and plain containers
    are unpickled. Raises WeightsError where the file is not that.
    """
    stored, averages = _unpacked(path)
    network = _meta_network()
    expected = network.state_dict()
    names = [name for name, _ in network.named_parameters()]
    if len(averages) != len(names):
        raise _refusal(path, f"ema_weights has {len(averages)} tensors, CQT-Diff has {len(names)}")
    if odd := sorted(map(str, stored.keys() ^ expected.keys())):
        raise _refusal(path, f"{odd[0]} is {'not in' if odd[0] in expected else 'foreign to CQT-Diff but in'} `model`")
    merged = {**stored, **dict(zip(names, averages, strict=True))}
    return {name: _checked(path, name, merged[name], like.shape) for name, like in expected.items()}


def _checked(path: Path | str, name: str, value: object, shape: torch.Size) -> Tensor:
    if not isinstance(value, Tensor):
        raise _refusal(path, f"{name} is a {type(value).__name__}, not a tensor")
    if value.shape != shape:
        raise _refusal(path, f"{name} has shape {tuple(value.shape)}, CQT-Diff has {tuple(shape)}")
    return value.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _unpacked(path: Path | str) -> tuple[dict[str, object], list[object]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _refusal(path, f"it cannot be opened ({error.strerror or error})") from error
    except Exception as error:  # damaged or hostile bytes make the unpickler raise nearly anything
        raise _refusal(path, "it is no torch file, or holds more than tensors") from error
    if not isinstance(content, dict):
        raise _refusal(path, f"it holds a {type(content).__name__}, not a dict")
    stored, averages = content.get("model"), content.get("ema_weights")
    if not isinstance(stored, dict):
        raise _refusal(path, "it has no state dict under `model`")
    if not isinstance(averages, list | tuple):
        raise _refusal(path, "it has no list under `ema_weights`")
    return stored, list(averages)


def _refusal(path: Path | str, found: str) -> WeightsError:
    return WeightsError(f"{path}: {found}; give the public CQT-Diff checkpoint, cqt_weights.pt")


def _meta_network() -> CqtDiff:
    """The paper's network as names and shapes, without memory."""
    with torch.device("meta"):
        return CqtDiff()
