"""A sample bank, from which training renders a piano."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from restorer.cli.options import OverwriteOption
from restorer.errors import UsageError


def bank(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FONT.sf2", show_default=False, help="Notes such as F#2v12.ogg, or .tgz; or a SoundFont."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", show_default=False, help="The bank to write.")],
    name: Annotated[str, typer.Option(metavar="TEXT", show_default=False, help="What the instrument is called.")],
    licence: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="On what terms, and whom to credit.")
    ],
    rate: Annotated[int, typer.Option(metavar="HZ", min=8000, max=192000, help="Sample rate of the bank.")] = 44100,
    overwrite: OverwriteOption = False,
) -> None:
    """Build a sample bank, for `train --piano`.

    From recorded notes named by note and layer of loudness, such as F#2v12.ogg, or from a SoundFont's grand piano.
    """
    if not source.is_dir() and not (source.is_file() and source.suffix.lower() in (".sf2", ".sf3")):
        raise UsageError(f"{source} is neither a folder nor a SoundFont; name one that holds recorded notes")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already; choose another name, or replace it with --overwrite")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it, or choose another")
    from restorer.training.bank import build_bank

    with TemporaryDirectory() as notes:
        if source.is_file():
            from restorer.training.soundfont import record_notes

            record_notes(source, Path(notes), rate)
        folder = source if source.is_dir() else Path(notes)
        built = build_bank(folder, out, name=name, licence=licence, sample_rate=rate)
    typer.echo(
        f"{out}: {len(built.pitch)} notes, {built.samples.shape[1] / rate:.0f} s, {out.stat().st_size / 1e6:.0f} MB"
    )
