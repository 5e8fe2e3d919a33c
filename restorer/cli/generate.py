"""Music from nothing: what the prior makes up."""

import itertools
import math
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from restorer.cli.arguments import parse_duration, parse_rate
from restorer.cli.options import (
    Asked,
    DeviceOption,
    Machine,
    OverwriteOption,
    PriorOption,
    QuietOption,
    SamplerOption,
    SeedOption,
    StepsOption,
)
from restorer.cli.progress import Bar
from restorer.cli.speak import say
from restorer.errors import UsageError
from restorer.restoration.place import Place, place_of
from restorer.restoration.settings import GENERATE
from restorer.restoration.wanted import Depth, FormatName, Wanted
from restorer.shipped import DEFAULT_PRIOR

if TYPE_CHECKING:
    from restorer.audio import AudioFormat

_NAMES = (".wav", ".flac", ".aiff", ".aif", ".caf", ".w64")


def generate(
    seconds: Annotated[str, typer.Argument(metavar="SECONDS", show_default=False, help="How long: 10 or 1:30.")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            show_default=False,
            help="A .wav, .flac, .aiff, .caf or .w64 file; or -; more by --format.",
        ),
    ],
    steps: StepsOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    prior: PriorOption = DEFAULT_PRIOR,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    format: Annotated[
        FormatName | None, typer.Option(show_default=False, help="Container; else what the name ends in, WAV for -.")
    ] = None,
    bits: Annotated[
        Depth | None, typer.Option(show_default=False, help="Depth. Else floating point, 24 in FLAC.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="HZ", show_default=False, help="Resample it, to 48k. Else the prior's, 44100.")
    ] = None,
) -> None:
    """Make up music, from the prior alone.

    restorer generate 10 --out dream.flac
    """
    from restorer.audio import AudioFormat, open_writer
    from restorer.audio.chain import chained
    from restorer.restoration.result import require_sensible, result_format

    duration_s = parse_duration(seconds)
    wanted = Wanted(format, bits, None if rate is None else parse_rate(rate))
    target = place_of(out)
    # Refuses now what it would refuse after the work.
    made = AudioFormat("WAV", "FLOAT", 44100, 1)
    _require_telling(target, wanted, result_format(made, wanted, None, None))
    require_sensible(wanted, to_stream=target == "-")
    open_writer(target, result_format(made, wanted, None, target), overwrite=overwrite)
    machine = Machine(prior, device)
    machine.check()
    from restorer.cli.device import choose_device
    from restorer.prior import load_prior
    from restorer.restoration import engine
    from restorer.restoration.stream import Progress

    loaded = load_prior(prior, choose_device(device))
    settings = Asked(n_steps=steps, sampler=sampler).of(GENERATE)
    made = replace(made, sample_rate=loaded.sample_rate)
    form = result_format(made, wanted, None, target)
    windows = math.ceil(duration_s * loaded.sample_rate / loaded.length)
    total, asked = windows * engine.n_evaluations(settings), itertools.count(1)
    chain = chained(open_writer(target, form, overwrite=overwrite), made, rescales=False, seed=seed)
    with ExitStack() as stack, Bar("generate", unit="steps", quiet=quiet) as bar:
        for each in chain:
            stack.enter_context(each)

        def evaluated() -> None:
            done = next(asked)
            bar.update(Progress(done, total, duration_s * done / total, duration_s))

        for wave in engine.generate(loaded, duration_s, settings, seed, evaluated):
            chain[-1].write(wave[:, None].double().cpu().numpy())
    if chain[0].clipped and not quiet:
        say(f"{out}: {chain[0].clipped} samples above full scale were held at it; a .wav file would keep them")


def _require_telling(target: Place, wanted: Wanted, asked: "AudioFormat") -> None:
    """Raises UsageError for a name that does not say what is written. asked: the format, if names said nothing."""
    from restorer.restoration.result import keeps_suffix

    if target == "-":
        return
    if wanted.format is None and target.suffix.lower() not in _NAMES:
        raise UsageError(f"--out {target} does not say what to write; end its name in {', '.join(_NAMES)}, or give -")
    if wanted.format is not None and not keeps_suffix(asked, target.suffix):
        raise UsageError(
            f"--out {target} would hold {asked.container}, which its name denies; end it in {asked.suffix}"
        )
