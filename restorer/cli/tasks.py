"""The three tasks: bwe, declip, inpaint."""

from pathlib import Path
from typing import Annotated

import typer

from restorer.cli.arguments import parse_frequency, parse_gaps, parse_threshold
from restorer.cli.labels import read_labels
from restorer.cli.options import (
    BatchOption,
    Delivery,
    DeviceOption,
    GuidanceOption,
    Inputs,
    Machine,
    OutOption,
    OverwriteOption,
    PriorOption,
    QuietOption,
    SamplerOption,
    SeedOption,
    StepsOption,
    XiOption,
    chosen,
)
from restorer.cli.restoring import restore_all
from restorer.errors import UsageError
from restorer.restore.settings import BWE, DECLIP, INPAINT
from restorer.restore.task import BandwidthExtension, Declipping, Inpainting, Search, merged_gaps
from restorer.shipped import DEFAULT_PRIOR

AUTO = "auto"


def bwe(
    inputs: Inputs,
    cutoff: Annotated[
        str,
        typer.Option(metavar="FREQUENCY", show_default=False, help="Nothing is left above: 1k, 1.5kHz, 3000 or auto."),
    ],
    guidance: GuidanceOption = None,
    steps: StepsOption = None,
    sampler: SamplerOption = None,
    xi: XiOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    prior: PriorOption = DEFAULT_PRIOR,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bandwidth extension: give dull recordings their highs back.

    restorer bwe album/ --cutoff 1k --out restored/
    """
    task = Search("cutoff") if cutoff == AUTO else BandwidthExtension(parse_frequency(cutoff))
    settings = chosen(BWE, guidance, steps, sampler, xi)
    restore_all(inputs, task, settings, seed, Machine(prior, device, batch_size), Delivery(out, overwrite, quiet))


def declip(
    inputs: Inputs,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="LEVEL", show_default=False, help="Peaks were cut there: 0.3 of full scale, -10dB, or auto."
        ),
    ],
    guidance: GuidanceOption = None,
    steps: StepsOption = None,
    sampler: SamplerOption = None,
    xi: XiOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    prior: PriorOption = DEFAULT_PRIOR,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Declipping: rebuild peaks that were cut off.

    restorer declip take.flac --threshold 0.3
    """
    task = Search("clipping") if threshold == AUTO else Declipping(parse_threshold(threshold))
    settings = chosen(DECLIP, guidance, steps, sampler, xi)
    restore_all(inputs, task, settings, seed, Machine(prior, device, batch_size), Delivery(out, overwrite, quiet))


def inpaint(
    inputs: Inputs,
    gap: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM-TO", show_default=False, help="2.0-2.5 or 1:02.5-1:03, repeatable; or auto."),
    ] = None,
    gaps: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Gaps as Audacity's labels, such as `detect` writes."),
    ] = None,
    guidance: GuidanceOption = None,
    steps: StepsOption = None,
    sampler: SamplerOption = None,
    xi: XiOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    prior: PriorOption = DEFAULT_PRIOR,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Inpainting: fill gaps and dropouts.

    cat in.wav | restorer inpaint --gap 2.0-2.5 - > out.wav
    """
    task = _missing(gap or [], gaps)
    settings = chosen(INPAINT, guidance, steps, sampler, xi)
    restore_all(inputs, task, settings, seed, Machine(prior, device, batch_size), Delivery(out, overwrite, quiet))


def _missing(words: list[str], labels: Path | None) -> Inpainting | Search:
    """The gaps that were given, in any way; UsageError where none were."""
    if not words and labels is None:
        raise UsageError("inpaint needs the gaps; give --gap 2.0-2.5, --gaps labels.txt, or --gap auto to find them")
    given = [word for word in words if word != AUTO]
    known = merged_gaps([*parse_gaps(given), *(read_labels(labels) if labels else ())])
    return Search("gaps", known) if AUTO in words else Inpainting(known)
