"""How fast it is here."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from restorer.cli.options import DeviceOption, Machine, PriorOption, StepsOption
from restorer.cli.quality import quality
from restorer.restoration.settings import Guidance
from restorer.shipped import DEFAULT_PRIOR

if TYPE_CHECKING:
    from restorer.bench.speed import Timing

bench = typer.Typer(
    name="bench", help="Time each task and guidance, beside the paper; or measure quality.", rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
bench.command()(quality)

_COLUMNS = "{:8} {:8} {:8} {:>5} {:>6} {:>5} {:>10} {:>10} {:>9} {:>9}"
_HEADINGS = ("task", "guidance", "sampler", "steps", "evals", "batch", "s/window", "x realtime", "peak MiB", "paper s")


@bench.callback(invoke_without_command=True)
def speed(
    context: typer.Context,
    task: Annotated[
        Literal["bwe", "inpaint", "declip"] | None, typer.Option(show_default=False, help="Only this task.")
    ] = None,
    guidance: Annotated[Guidance | None, typer.Option(show_default=False, help="Only this guidance.")] = None,
    steps: StepsOption = None,
    repeat: Annotated[int, typer.Option(metavar="N", min=1, help="Runs of which the median counts.")] = 3,
    device: DeviceOption = "auto",
    batch_size: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, show_default="8", help="Windows at once on a GPU; repeatable, to compare."),
    ] = None,
    prior: PriorOption = DEFAULT_PRIOR,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Time a preset's untrained network instead: harmonic-44k, cqtdiff-22k or stft-22k.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, all at the end.")] = False,
) -> None:
    """Time each task and guidance, beside the paper; or, as `bench quality FOLDER`, measure quality.

    What is timed is the whole restoration of a window (2.97 s); the median of some runs after a warm-up.
    """
    if context.invoked_subcommand is not None:
        return
    machine = Machine(prior, device)
    machine.check(with_prior=preset is None)
    from restorer.bench.speed import describe, timings
    from restorer.cli.device import choose_device
    from restorer.prior import load_prior, new_prior

    where = choose_device(device)
    timed = load_prior(prior, where) if preset is None else new_prior(preset).to(where).eval().requires_grad_(False)
    place = describe(timed)
    rows = timings(
        timed,
        [task] if task else ("bwe", "inpaint", "declip"),
        [guidance] if guidance else ("dc", "rg", "dc+rg"),
        batch_sizes=batch_size or [machine.batch_size],
        repeats=repeat,
        n_steps=steps,
    )
    if as_json:
        typer.echo(json.dumps({**asdict(place), "timings": [asdict(row) for row in rows]}, indent=2))
        return
    typer.echo(f"{place.prior} on [{place.device}], {place.threads} threads, torch {place.torch}")
    typer.echo(_COLUMNS.format(*_HEADINGS))
    for row in rows:
        typer.echo(_line(row))


def _line(row: "Timing") -> str:
    paper = "" if row.paper_seconds is None else f"{row.paper_seconds:.0f}"
    speed, memory = f"{row.times_real_time:.2f}", f"{row.peak_memory_mib:.0f}"
    counts = row.steps, row.evaluations, row.batch_size
    return _COLUMNS.format(
        row.task, row.guidance, row.sampler, *counts, f"{row.seconds_a_window:.3f}", speed, memory, paper
    )
