"""The options that commands share, and what they become."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import typer

from restorer.cli.arguments import parse_device
from restorer.restoration.settings import Guidance, Method, Quality, SamplerName, Settings
from restorer.restoration.wanted import LIKE_INPUT, ClipMode, Depth, FormatName, Wanted
from restorer.shipped import DEFAULT_PRIOR, find_weights

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        show_default=False,
        help="Sound files, folders, 'cd*/*.wav', @list.txt, or - for standard input.",
    ),
]
QualityOption = Annotated[
    Quality,
    typer.Option(
        "--quality", help="Steps of the prior: draft half, best twice as many as standard; declip alone has 3."
    ),
]
TakesOption = Annotated[
    int,
    typer.Option(
        "--takes",
        min=1,
        metavar="N",
        help="Versions of each by as many seeds, to choose from: NAME.1.EXT, NAME.2.EXT.",
    ),
]
MethodOption = Annotated[
    Method,
    typer.Option("--method", show_default=False, help="Who restores; auto: in each window the better, by measurement."),
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
    SamplerName | None,
    typer.Option("--sampler", show_default=False, help="dpm2m-sde mends what it began, dpm2m not; heun: the paper's."),
]
XiOption = Annotated[
    float | None, typer.Option("--xi", min=0, metavar="XI", show_default=False, help="Strength of rg guidance.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Another seed, another result.")]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:1.")]
BatchOption = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="N", help="Windows at once on a GPU; a CPU takes one.")
]
JobsOption = Annotated[
    int,
    typer.Option("--jobs", "-j", min=1, metavar="N", help="Files in work at once; on a GPU they share batches."),
]
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
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say also what was verified and what it became.")]
FormatOption = Annotated[
    FormatName | None, typer.Option("--format", show_default=False, help="Container; else the input's, FLAC for lossy.")
]
BitsOption = Annotated[
    Depth | None,
    typer.Option("--bits", show_default=False, help="Depth, with dither below the input's. Else as that."),
]
RateOption = Annotated[
    str | None,
    typer.Option(
        "--rate", metavar="HZ", show_default=False,
        help="Resample the result, to 44.1k or 44100; no sample is then the input's bit for bit. Else the input's.",
    ),
]  # fmt: skip
ClipModeOption = Annotated[
    ClipMode | None,
    typer.Option(
        "--clip-mode", show_default=False,
        help="Peaks above full scale: kept in floating point, kept by turning all down (from a temporary copy), held.",
    ),
]  # fmt: skip
RawOption = Annotated[
    str | None,
    typer.Option("--raw", metavar="KIND:HZ:CHANNELS", show_default=False, help="No header: s16le:44100:2, f32le:..."),
]
SidecarOption = Annotated[bool, typer.Option("--sidecar", help="Write NAME.restorer.json: what was done, and where.")]
VerifyOption = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Measure that what was sound stayed so; read the result back.")
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--include", metavar="PATTERN", show_default=False,
        help="Only what matches, below its folder: '*.flac', 'cd2/*'; as often as there are patterns.",
    ),
]  # fmt: skip
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", show_default=False, help="Not what matches, as above."),
]
SkipExistingOption = Annotated[bool, typer.Option("--skip-existing", help="Leave out what has its result already.")]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on where an interrupted run with this option stopped; keeps finished windows on disk."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done, and how long it takes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="A line of JSON for each file, on standard output.")]


@dataclass(frozen=True)
class Machine:
    """What restores: the weights, where they run, how many windows at once, of how many recordings at once."""

    prior: str = DEFAULT_PRIOR
    device: str = "auto"
    batch_size: int = 8
    jobs: int = 8

    def check(self, *, with_prior: bool = True) -> None:
        """Raises UsageError for a device that is none, WeightsError for weights that are not there."""
        parse_device(self.device)
        if with_prior:
            find_weights(self.prior)


@dataclass(frozen=True)
class Album:
    """How many recordings are gone through, and how often."""

    include: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    skip_existing: bool = False
    resume: bool = False
    dry_run: bool = False
    as_json: bool = False
    takes: int = 1


@dataclass(frozen=True)
class Delivery:
    """Where results go and as what, and what is said on the way. raw: what the input is, where it does not say."""

    out: str | None = None
    overwrite: bool = False
    quiet: bool = False
    verbose: bool = False
    wanted: Wanted = LIKE_INPUT
    raw: str | None = None
    sidecar: bool = False
    verify: bool = True
    album: Album = Album()


@dataclass(frozen=True)
class Asked:
    """What was asked of the sampling; None: as the preset has it."""

    quality: Quality = "standard"
    method: Method = "auto"
    guidance: Guidance | None = None
    n_steps: int | None = None
    sampler: SamplerName | None = None
    xi: float | None = None

    def of(self, preset: Settings) -> Settings:
        """The preset with what was asked for in its place.

        Who says how to sample wants the prior: then the method is not left to choose.
        """
        asked: dict[str, Any] = {name: value for name, value in asdict(self).items() if value is not None}
        del asked["quality"]  # which says which preset
        if self.method == "auto" and len(asked) > 1:
            asked["method"] = "diffusion"
        return replace(preset, **asked)
