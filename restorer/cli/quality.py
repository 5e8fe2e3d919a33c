"""`restorer bench quality`: clean recordings, degraded, restored by every method, and measured."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorer.bench.severity import SEVERITIES, TASKS, Severity
from restorer.cli.arguments import parse_severity
from restorer.cli.options import BatchOption, DeviceOption, Machine, PriorOption, QuietOption, SeedOption
from restorer.cli.progress import Bar
from restorer.cli.speak import SOME_FAILED, one_line, say
from restorer.errors import RestorerError, UsageError
from restorer.shipped import DEFAULT_PRIOR, find_weights

if TYPE_CHECKING:
    from restorer.bench.cache import Cache
    from restorer.bench.measures import Measure
    from restorer.bench.methods import Method
    from restorer.bench.quality import Result, Row


def quality(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False, help="Clean recordings.")],
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="bwe|inpaint|declip", show_default=False, help="Only this task; repeatable."),
    ] = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            show_default=False,
            help="Only this: a cutoff (1k, 3kHz), gaps (50ms, 1.5s) or an input SDR (10dB); repeatable.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default=False, help="Only this row, such as 'diffusion dc'; repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", show_default=False, help="Only this column; visqol, 2f, fad_vggish, onset_f1_midi only so."
        ),
    ] = None,
    steps: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", show_default=False, help="Steps instead of the preset's; each a row."),
    ] = None,
    churn: Annotated[
        list[float] | None,
        typer.Option(min=0, metavar="X", show_default=False, help="S_churn of the Heun sampler; each a row."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, metavar="N", show_default=False, help="Only the middle of each file.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(min=8000, metavar="HZ", show_default=False, help="Resample first; the paper's is 22050."),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", show_default=False, help="A file, or - instead of tables.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", show_default=False, help="A picture for each task.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", show_default=False, help="Where measured cases are kept.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: BatchOption = 8,
    prior: PriorOption = DEFAULT_PRIOR,
    quiet: QuietOption = False,
) -> None:
    """Degrade clean recordings as the paper does, restore them by every method, and measure.

    restorer bench quality clean/ --task declip --severity 3dB --seconds 10
    """
    severities = _severities(task or [], severity or [])
    Machine(prior, device, batch_size).check()
    if seconds is not None and not math.isfinite(seconds):
        raise UsageError(f"--seconds {seconds} is no length; leave it out for all of each file")
    if json_file not in (None, "-"):
        _require_file(Path(str(json_file)))
    _require_folder("--plot", plot)
    _require_folder("--cache", cache)
    from restorer.bench.recordings import sound_files

    files = sound_files(folder)
    measures = _measures(metric or [], plotted=plot is not None)
    from restorer.bench.cache import Cache, default_folder
    from restorer.bench.methods import Sweep, methods_of, require_known
    from restorer.bench.quality import rows
    from restorer.bench.speed import describe
    from restorer.cli.device import choose_device
    from restorer.digest import file_hash
    from restorer.prior import load_prior

    tasks = list(dict.fromkeys(each.task for each in severities))
    require_known(method or [], tasks)
    where = choose_device(device)
    loaded, weights = load_prior(prior, where), file_hash(find_weights(prior))
    sweep = Sweep(tuple(steps or ()), tuple(churn or ()))
    methods = [
        each
        for name in tasks
        for each in methods_of(
            name, loaded, weights, chosen=method or (), sweep=sweep, seed=seed, batch_size=batch_size
        )
    ]
    kept = Cache(cache or default_folder())
    results, failed = _measured(files, seconds, rate, severities, methods, measures, kept, where, quiet)
    if not results:
        raise RestorerError(f"nothing of {folder} could be measured, for the reasons above; name another folder")
    table = rows(results, measures)
    facts = {**asdict(describe(loaded)), "folder": str(folder), "excerpt_s": seconds, "rate": rate, "seed": seed}
    _deliver(table, results, measures, json_file, facts)
    if plot is not None:
        from restorer.bench.plot import plot_tables

        for path in plot_tables(table, measures, plot):
            say(str(path))
    if failed:
        say(f"restorer: {failed} recordings or cases could not be measured")
        raise typer.Exit(SOME_FAILED)


def _severities(tasks: Sequence[str], words: Sequence[str]) -> list[Severity]:
    """Of the tasks named, all or those that words select; without tasks those to which the words belong."""
    for task in tasks:
        if task not in TASKS:
            raise UsageError(f"--task {task!r} is unknown; choose of: {', '.join(TASKS)}")
    selected = [parse_severity(word) for word in words]
    if not selected:
        return [each for each in SEVERITIES if each.task in (tasks or TASKS)]
    for each, word in zip(selected, words, strict=True):
        if tasks and each.task not in tasks:
            raise UsageError(f"--severity {word!r} belongs to --task {each.task}, which is not asked for; name it too")
    return sorted(dict.fromkeys(selected), key=lambda each: (TASKS.index(each.task), each.value))


def _require_file(path: Path) -> None:
    """Now rather than after hours of measuring; raises UsageError if figures cannot be written there."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--json {path}: there is no folder for it; make it, or choose another")
    if path.is_dir():
        raise UsageError(f"--json {path} is a folder; name a file in it, or another")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"--json {path}: no permission to write it; choose another file")


def _require_folder(option: str, folder: Path | None) -> None:
    """Raises UsageError if it can be neither written nor made."""
    if folder is None:
        return
    nearest = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise UsageError(f"{option} {folder}: {nearest} is a file, not a folder; name another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {folder}: no permission to write in {nearest}; name another folder")


def _measures(names: Sequence[str], *, plotted: bool) -> "list[Measure]":
    """What can be measured here; says which packages would bring the others."""
    from importlib.util import find_spec

    from restorer.bench.measures import QUALITY_COMMAND, measures_named

    if plotted and find_spec("matplotlib") is None:
        raise UsageError(f"--plot needs matplotlib; {QUALITY_COMMAND}, or leave it out")
    wanted = measures_named(tuple(names))
    for measure in wanted:
        if measure.missing:
            say(f"restorer: {measure.missing}")
    return [measure for measure in wanted if not measure.missing]


def _measured(
    files: Sequence[Path],
    seconds: float | None,
    rate: int | None,
    severities: Sequence[Severity],
    methods: "Sequence[Method]",
    measures: "Sequence[Measure]",
    cache: "Cache",
    device: str,
    quiet: bool,
) -> "tuple[list[Result], int]":
    """All results, and how many recordings or cases failed: a bad one, of which it tells, does not stop the others."""
    from restorer.bench.quality import Failure, evaluate
    from restorer.bench.recordings import load_clip
    from restorer.restoration.stream import Progress

    results: list[Result] = []
    failed, sounding_s = 0, 0.0
    cases = sum(severity.task == method.task for severity in severities for method in methods)
    with Bar("quality", unit="cases", quiet=quiet) as bar:
        for number, file in enumerate(files):
            try:
                clip = load_clip(file, seconds, rate)
            except RestorerError as error:
                failed += 1
                say(f"restorer: {one_line(str(error))}")
                continue
            told: set[str] = set()
            for done, outcome in enumerate(evaluate(clip, severities, methods, measures, cache, device), 1):
                if isinstance(outcome, Failure):
                    failed += 1
                    what = f"{outcome.severity}, {outcome.method}" if outcome.method else str(outcome.severity)
                    say(f"restorer: {one_line(file.name)}, {what}: {one_line(str(outcome.error))}")
                    continue
                results.append(outcome)
                for note in outcome.notes:
                    if note not in told:
                        say(f"restorer: {one_line(file.name)}: {one_line(note)}")
                    told.add(note)
                sounding_s += clip.seconds
                bar.update(Progress(number * cases + done, len(files) * cases, sounding_s, None))
    return results, failed


def _deliver(
    table: "Sequence[Row]",
    results: "Sequence[Result]",
    measures: "Sequence[Measure]",
    json_file: str | None,
    facts: dict[str, Any],
) -> None:
    """The tables on standard output, unless JSON goes there."""
    from restorer.bench.report import CAPTION, as_json, table_lines

    text = json.dumps({**facts, **as_json(table, results)}, indent=1)
    if json_file == "-":
        typer.echo(text)
        return
    for task in dict.fromkeys(row.task for row in table):
        lines = table_lines([row for row in table if row.task == task], measures)
        typer.echo("\n".join([f"{task}: {CAPTION}", *lines, ""]))
    if json_file is not None:
        Path(json_file).write_text(text + "\n")
