"""Training a prior, from recordings or from a piano that plays while it learns."""

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorer.cli.options import QuietOption, SeedOption
from restorer.cli.speak import say
from restorer.errors import UsageError

if TYPE_CHECKING:
    from restorer.training.loop import Excerpts

    Data = Callable[[int], Excerpts]

_VALIDATION_SEED = 2**31  # excerpts that no training seed draws


def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Weights, state and log go there.")
    ],
    recordings: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", show_default=False, help="Learn from these folders; repeatable.")
    ] = None,
    piano: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default=False, help="Learn from MIDI performances, rendered.")
    ] = None,
    bank: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", show_default=False, help="Sample bank for --piano; repeatable.")
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="harmonic-44k, cqtdiff-22k or stft-22k.")
    ] = "harmonic-44k",
    minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0, show_default=False, help="The whole training's time.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default=False, help="The whole training's steps.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Begin with these weights.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu or cuda; CUDA_VISIBLE_DEVICES says which.")
    ] = "auto",
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Windows a step, over all processes.")] = 8,
    seed: SeedOption = 0,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that prepare the data.")] = 1,
    quiet: QuietOption = False,
) -> None:
    """Train a prior on recordings, or on a rendered piano.

    It takes --minutes or --steps, whichever is over first.

    restorer train --recordings ~/music --minutes 240 --out runs/mine

    On several GPUs: torchrun --nproc-per-node 4 -m restorer train ...
    """
    if minutes is None and steps is None:
        raise UsageError("the training has no end; give --minutes, --steps or both")
    if minutes == 0:
        raise UsageError("--minutes 0 is no time to learn; give more")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device} cannot train; choose auto, cpu or cuda (CUDA_VISIBLE_DEVICES says which)")
    _require_data(recordings, piano, bank)
    _require_start(out, init, resume=resume)
    from restorer.cli.device import choose_device
    from restorer.prior import PRESETS
    from restorer.training import loop

    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    settings = loop.TrainSettings(
        preset, batch_size=batch_size, seed=seed, workers=workers, device=choose_device(device)
    )
    settings = replace(settings, minutes=math.inf if minutes is None else minutes)
    settings = settings if steps is None else replace(settings, steps=steps)
    rate = PRESETS[preset].sample_rate
    if recordings:
        training, validation, facts = _recorded(recordings, rate, seed)
    else:
        assert piano is not None
        training, validation, facts = _played(piano, bank or [], rate, seed)
    report = _silent if quiet else _row
    made = loop.train(settings, training, validation, out, resume=resume, init=init, facts=facts, report=report)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first one speaks
        typer.echo(f"{made}")


def _require_data(recordings: list[Path] | None, piano: Path | None, bank: list[Path] | None) -> None:
    if bool(recordings) == (piano is not None):
        raise UsageError("the training needs one kind of data; give either --recordings, or --piano with --bank")
    for folder in recordings or []:
        if not folder.exists():
            raise UsageError(f"--recordings {folder} does not exist; name a folder of recordings")
    if piano is None:
        if bank:
            raise UsageError(f"--bank {bank[0]} is of no use without --piano; give the folder of performances by it")
        return
    if not piano.is_dir():
        raise UsageError(f"--piano {piano} is not a folder; name the one that holds the MIDI performances")
    if not bank:
        raise UsageError("--piano has no sound; give a sample bank by --bank, which `restorer bank` builds")
    for file in bank:
        if not file.is_file():
            raise UsageError(f"--bank {file} does not exist; build one by `restorer bank`")
    if importlib.util.find_spec("symusic") is None:
        raise UsageError(
            "--piano reads MIDI through symusic, which is missing; run `pip install -e '.[train]'` in the checkout"
        )


def _require_start(out: Path, init: Path | None, *, resume: bool) -> None:
    if resume and init is not None:
        raise UsageError(f"--resume goes on with its own weights; leave --init {init} out")
    if init is not None and not init.is_file():
        raise UsageError(f"--init {init} does not exist; give the path of a .safetensors file")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    if (out / "state.pt").exists() and not resume:
        raise UsageError(f"--out {out} holds a training; go on with --resume, or choose another folder")
    if resume and not (out / "state.pt").exists():
        raise UsageError(f"--out {out} holds no training to resume; start without --resume")


def _recorded(folders: list[Path], rate: int, seed: int) -> tuple["Data", "Data", dict[str, Any]]:
    from restorer.training.recordings import RecordingExcerpts, find_recordings, split_recordings

    training, validation = split_recordings(find_recordings(folders))
    hours = sum(recording.duration_s for recording in training) / 3600
    facts = {"data": f"{len(training)} recordings, {hours:.2f} hours"}
    return (
        lambda length: RecordingExcerpts(training, length, rate, seed),
        lambda length: RecordingExcerpts(validation, length, rate, _VALIDATION_SEED, detuning=0.0),
        facts,
    )


def _played(midi: Path, files: list[Path], rate: int, seed: int) -> tuple["Data", "Data", dict[str, Any]]:
    from restorer.training.bank import load_bank
    from restorer.training.piano import PianoExcerpts
    from restorer.training.score import performances

    banks = [load_bank(file) for file in files]
    training, validation = performances(midi, "train"), performances(midi, "validation")
    hours = sum(performance.duration_s for performance in training) / 3600
    facts = {
        "data": f"{len(training)} MIDI performances, {hours:.2f} hours",
        "banks": [f"{bank.name} ({bank.licence})" for bank in banks],
    }
    return (
        lambda length: PianoExcerpts(banks, training, length, rate, seed),
        lambda length: PianoExcerpts(banks, validation, length, rate, _VALIDATION_SEED),
        facts,
    )


def _row(row: dict[str, float]) -> None:
    say(
        "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )


def _silent(row: dict[str, float]) -> None:
    pass
