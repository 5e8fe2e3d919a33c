"""The options that every restoration has, written once."""

import functools
import inspect
from collections.abc import Callable

from restorer.cli.arguments import parse_rate
from restorer.cli.options import (
    Album,
    Asked,
    BatchOption,
    BitsOption,
    ClipModeOption,
    Delivery,
    DeviceOption,
    DryRunOption,
    ExcludeOption,
    FormatOption,
    GuidanceOption,
    IncludeOption,
    Inputs,
    JobsOption,
    JsonOption,
    Machine,
    MethodOption,
    OutOption,
    OverwriteOption,
    PriorOption,
    QualityOption,
    QuietOption,
    RateOption,
    RawOption,
    ResumeOption,
    SamplerOption,
    SeedOption,
    SidecarOption,
    SkipExistingOption,
    StepsOption,
    TakesOption,
    VerboseOption,
    VerifyOption,
    XiOption,
)
from restorer.cli.restoring import restore_all
from restorer.restoration.task import Search, Task
from restorer.restoration.wanted import Wanted
from restorer.shipped import DEFAULT_PRIOR


def restoring(damage: Callable[..., Task | Search]) -> Callable[..., None]:
    """The command whose own options `damage` turns into a task; the shared ones stand behind them.

    Typer reads a command's options from its signature, which is put together here.
    """
    own = inspect.signature(damage).parameters
    inputs, *shared = [each for name, each in inspect.signature(_restore).parameters.items() if name != "task"]

    @functools.wraps(damage)
    def command(**given: object) -> None:
        task = damage(**{name: given.pop(name) for name in own})
        _restore(task, **given)  # type: ignore[arg-type]

    parameters = [inputs, *own.values(), *shared]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return command


def _restore(
    task: Task | Search,
    inputs: Inputs,
    quality: QualityOption = "standard",
    method: MethodOption = "auto",
    guidance: GuidanceOption = None,
    steps: StepsOption = None,
    sampler: SamplerOption = None,
    xi: XiOption = None,
    seed: SeedOption = 0,
    takes: TakesOption = 1,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    jobs: JobsOption = 8,
    prior: PriorOption = DEFAULT_PRIOR,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    format: FormatOption = None,
    bits: BitsOption = None,
    rate: RateOption = None,
    clip_mode: ClipModeOption = None,
    raw: RawOption = None,
    sidecar: SidecarOption = False,
    verify: VerifyOption = True,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    skip_existing: SkipExistingOption = False,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    asked = Asked(quality, method, guidance, steps, sampler, xi)
    wanted = Wanted(format, bits, None if rate is None else parse_rate(rate), clip_mode)
    album = Album(include, exclude, skip_existing, resume, dry_run, json, takes)
    delivery = Delivery(out, overwrite, quiet, verbose, wanted, raw, sidecar, verify, album)
    restore_all(inputs, task, asked, seed, Machine(prior, device, batch_size, jobs), delivery)
