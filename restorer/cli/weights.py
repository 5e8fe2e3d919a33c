"""Weights: which there are, what they say of themselves, and others' made ours."""

from pathlib import Path
from typing import Annotated, Any

import typer

from restorer.cli.options import OverwriteOption
from restorer.errors import UsageError, WeightsError
from restorer.shipped import DEFAULT_PRIOR, find_weights, shipped_weights

REFERENCE_PRESET = "cqtdiff-22k"

weights = typer.Typer(
    name="weights", help="List, describe and import priors.", rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@weights.command("list")
def list_() -> None:
    """The priors that come with the package."""
    for path in shipped_weights():
        mark = "  (default)" if path.stem == DEFAULT_PRIOR else ""
        typer.echo(f"{path.stem}  {path.stat().st_size / 1e6:.1f} MB{mark}")


@weights.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Shipped weights or a .safetensors file.")],
) -> None:
    """What a prior is, and how it was made."""
    path = find_weights(name)
    from restorer.prior import PRESETS, read_card

    card = read_card(name)
    preset = PRESETS[card.preset]
    typer.echo(f"name: {card.name}\npath: {path}\npreset: {card.preset}")
    typer.echo(f"sample_rate: {preset.sample_rate} Hz\nwindow: {preset.length / preset.sample_rate:.2f} s")
    for fact, value in card.facts.items():
        typer.echo(f"{fact}: {_limited(value)}")


def _limited(value: Any) -> Any:
    """A fact, or many, without budgets that had no limit."""
    from restorer.training.settings import NO_LIMIT

    if not isinstance(value, dict):
        return value
    return {name: each for name, each in value.items() if each not in ("inf", NO_LIMIT)}


@weights.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="A checkpoint of CQT-Diff, .pt.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", show_default=False, help="Else FILE with .safetensors for its suffix."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Read the public checkpoint of the paper, and store it as a prior."""
    if not file.is_file():
        raise WeightsError(f"{file} does not exist; give the path of a checkpoint, such as cqt_weights.pt")
    target = file.with_suffix(".safetensors") if out is None else out
    if target.suffix != ".safetensors":
        raise UsageError(f"--out {target} must end in .safetensors, by which weights are known; name it so")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; choose another name by --out, or replace it with --overwrite")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"--out {target}: there is no folder {target.parent}; make it, or choose another")
    from restorer.network.cqtdiff import read_reference_checkpoint
    from restorer.prior import new_prior

    prior = new_prior(REFERENCE_PRESET)
    prior.denoiser.network.load_state_dict(read_reference_checkpoint(file))
    prior.save(target, {"source": file.name, "method": "CQT-Diff (Moliner et al. 2022), imported"})
    typer.echo(f"{target}")
