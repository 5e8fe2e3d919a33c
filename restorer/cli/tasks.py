"""The three tasks: bwe, declip, inpaint."""

from typing import Annotated

import typer

from restorer.cli.arguments import parse_frequency, parse_gaps, parse_threshold
from restorer.cli.options import (
    Album,
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
    JsonOption,
    Machine,
    OutOption,
    OverwriteOption,
    PriorOption,
    QuietOption,
    RateOption,
    RawOption,
    ResumeOption,
    SamplerOption,
    SeedOption,
    SidecarOption,
    SkipExistingOption,
    StepsOption,
    VerboseOption,
    VerifyOption,
    XiOption,
    chosen,
)
from restorer.cli.restoring import restore_all
from restorer.restore.settings import BWE, DECLIP, INPAINT
from restorer.restore.task import BandwidthExtension, Declipping, Inpainting
from restorer.restore.wanted import Wanted
from restorer.shipped import DEFAULT_PRIOR


def bwe(
    inputs: Inputs,
    cutoff: Annotated[
        str, typer.Option(metavar="FREQUENCY", show_default=False, help="Nothing is left above: 1k, 1.5kHz or 3000.")
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
    """Bandwidth extension: give dull recordings their highs back.

    restorer bwe album/ --cutoff 1k --out restored/
    """
    task = BandwidthExtension(parse_frequency(cutoff))
    settings = chosen(BWE, guidance, steps, sampler, xi)
    wanted = Wanted(format, bits, rate, clip_mode)
    album = Album(include, exclude, skip_existing, resume, dry_run, json)
    delivery = Delivery(out, overwrite, quiet, verbose, wanted, raw, sidecar, verify, album)
    restore_all(inputs, task, settings, seed, Machine(prior, device, batch_size), delivery)


def declip(
    inputs: Inputs,
    threshold: Annotated[
        str,
        typer.Option(metavar="LEVEL", show_default=False, help="Peaks were cut there: 0.3 of full scale, or -10dB."),
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
    """Declipping: rebuild peaks that were cut off.

    restorer declip take.flac --threshold 0.3
    """
    task = Declipping(parse_threshold(threshold))
    settings = chosen(DECLIP, guidance, steps, sampler, xi)
    wanted = Wanted(format, bits, rate, clip_mode)
    album = Album(include, exclude, skip_existing, resume, dry_run, json)
    delivery = Delivery(out, overwrite, quiet, verbose, wanted, raw, sidecar, verify, album)
    restore_all(inputs, task, settings, seed, Machine(prior, device, batch_size), delivery)


def inpaint(
    inputs: Inputs,
    gap: Annotated[
        list[str],
        typer.Option(metavar="FROM-TO", show_default=False, help="2.0-2.5 or 1:02.5-1:03; as often as there are gaps."),
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
    """Inpainting: fill gaps and dropouts.

    cat in.wav | restorer inpaint --gap 2.0-2.5 - > out.wav
    """
    task = Inpainting(parse_gaps(gap))
    settings = chosen(INPAINT, guidance, steps, sampler, xi)
    wanted = Wanted(format, bits, rate, clip_mode)
    album = Album(include, exclude, skip_existing, resume, dry_run, json)
    delivery = Delivery(out, overwrite, quiet, verbose, wanted, raw, sidecar, verify, album)
    restore_all(inputs, task, settings, seed, Machine(prior, device, batch_size), delivery)
