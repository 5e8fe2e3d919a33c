"""The options that commands share, and what they become."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from restorer.cli.arguments import parse_device
from restorer.restore.settings import Guidance, SamplerName, Settings
from restorer.shipped import DEFAULT_PRIOR, find_weights

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", show_default=False, help="Sound files, folders, or - for standard input (WAV)."),
]
GuidanceOption = Annotated[
    Guidance | None,
    typer.Option(
        "--guidance", show_default=False, help="How the measurement is heard: dc data consistency, rg gradient."
    ),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, metavar="N", show_default=False, help="Noise levels to go through.")
]
SamplerOption = Annotated[
    SamplerName | None, typer.Option("--sampler", show_default=False, help="dpm2m is fast, heun the paper's.")
]
XiOption = Annotated[
    float | None, typer.Option("--xi", min=0, metavar="XI", show_default=False, help="Strength of rg guidance.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Another seed, another result.")]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:1.")]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, metavar="N", help="Windows restored at once.")]
PriorOption = Annotated[
    str, typer.Option("--prior", metavar="NAME|PATH", help="Shipped weights or a .safetensors file.")
]
OutOption = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="PATH", show_default=False,
        help="A file, - for standard output, or a folder. Else NAME.restored.EXT beside the input; for -, -.",
    ),
]  # fmt: skip
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


@dataclass(frozen=True)
class Machine:
    """What restores: the weights, where they run, how many windows at once."""

    prior: str = DEFAULT_PRIOR
    device: str = "auto"
    batch_size: int = 8

    def check(self, *, with_prior: bool = True) -> None:
        """Raises UsageError for a device that is none, WeightsError for weights that are not there."""
        parse_device(self.device)
        if with_prior:
            find_weights(self.prior)


@dataclass(frozen=True)
class Delivery:
    """Where results go, and what is said on the way."""

    out: str | None = None
    overwrite: bool = False
    quiet: bool = False


def chosen(
    preset: Settings, guidance: Guidance | None, steps: int | None, sampler: SamplerName | None, xi: float | None
) -> Settings:
    """The preset with what the user asked for in its place."""
    asked: dict[str, Any] = {"guidance": guidance, "n_steps": steps, "sampler": sampler, "xi": xi}
    return replace(preset, **{name: value for name, value in asked.items() if value is not None})
