"""Music from nothing: what the prior makes up."""

import itertools
import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from restorer.cli.arguments import parse_duration
from restorer.cli.options import (
    DeviceOption,
    Machine,
    OverwriteOption,
    PriorOption,
    QuietOption,
    SamplerOption,
    SeedOption,
    StepsOption,
    chosen,
)
from restorer.cli.progress import Bar
from restorer.cli.speak import say
from restorer.errors import UsageError
from restorer.restore.settings import GENERATE, n_evaluations
from restorer.shipped import DEFAULT_PRIOR

_FORMATS = {".wav": ("WAV", "FLOAT"), ".flac": ("FLAC", "PCM_24"), ".aiff": ("AIFF", "FLOAT"), ".w64": ("W64", "FLOAT")}


def generate(
    seconds: Annotated[str, typer.Argument(metavar="SECONDS", show_default=False, help="How long: 10 or 1:30.")],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="FILE", show_default=False, help="A .wav, .flac, .aiff or .w64 file, or -."
        ),
    ],
    steps: StepsOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    prior: PriorOption = DEFAULT_PRIOR,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make up music, from the prior alone.

    restorer generate 10 --out dream.flac
    """
    from restorer.audio import AudioFormat, open_writer

    duration_s = parse_duration(seconds)
    container, subtype = _container(out)
    target: Path | Literal["-"] = "-" if out == "-" else Path(out)
    # Refuses now what it would refuse after the work.
    open_writer(target, AudioFormat(container, subtype, 44100, 1), overwrite=overwrite)
    machine = Machine(prior, device)
    machine.check()
    from restorer.cli.device import choose_device
    from restorer.prior import load_prior
    from restorer.restore import engine
    from restorer.restore.stream import Progress

    loaded = load_prior(prior, choose_device(device))
    settings = chosen(GENERATE, None, steps, sampler, None)
    form = AudioFormat(container, subtype, loaded.sample_rate, 1)
    windows = math.ceil(duration_s * loaded.sample_rate / loaded.length)
    total, asked = windows * n_evaluations(settings), itertools.count(1)
    with open_writer(target, form, overwrite=overwrite) as writer, Bar("generate", unit="steps", quiet=quiet) as bar:

        def evaluated() -> None:
            done = next(asked)
            bar.update(Progress(done, total, duration_s * done / total, duration_s))

        for wave in engine.generate(loaded, duration_s, settings, seed, evaluated):
            writer.write(wave[:, None].double().cpu().numpy())
    if writer.clipped and not quiet:
        say(f"{out}: {writer.clipped} samples above full scale were held at it; a .wav file would keep them")


def _container(out: str) -> tuple[str, str]:
    form = _FORMATS.get(".wav" if out == "-" else Path(out).suffix.lower())
    if form is None:
        raise UsageError(f"--out {out} does not say what to write; end its name in {', '.join(_FORMATS)}, or give -")
    return form
