"""Quality on clean recordings, degraded here and restored: bandwidth extension, gaps, clipping.

    python bench/dev_clips.py FOLDER [--exclude PREFIX ...] [--prior NAME] [--tasks bwe,inpaint,declip] [--rate HZ]
        [--seconds N] [--steps N] [--device NAME] [--seed N] [--json OUT] [--results]

Every recording of FOLDER is mixed to one channel and resampled to --rate; those whose names begin with a PREFIX are
left out, such as those that are no clean originals. Log-spectral distances are taken at 22.05 kHz whatever the rate. A
value that misses its target is marked with "!". --results writes a section of RESULTS.md for each task.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from dev_measures import TASKS, Restorers, Result, evaluate
from outcome import exit_code
from results import write_section

from restorer.bench.recordings import Clip, load_clip, sound_files
from restorer.bench.speed import describe
from restorer.errors import UsageError
from restorer.metrics.signals import Signal
from restorer.prior import Prior, load_prior
from restorer.restoration.settings import BWE, DECLIP, INPAINT, Settings
from restorer.restoration.stream import restore
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Task
from restorer.shipped import DEFAULT_PRIOR

# Bandwidth extension by cutoff in Hz: the ratio of distances that counts as half, and as clearly below.
LSD_RATIO = {1000.0: 0.5, 3000.0: 0.8}


@dataclass(frozen=True)
class Column:
    """A field of a result in the table; `meets` (value, setting) is the target; `mean` "no", "plain" or "magnitude"."""

    title: str
    field: str
    digits: int = 2
    mean: str = "plain"
    meets: Callable[[float, float], bool] | None = None

    def cell(self, value: float, setting: float) -> str:
        missed = self.meets is not None and not self.meets(value, setting)
        return f"{value:.{self.digits}f}" + ("!" if missed else " ")


def within_6_db(value: float, setting: float) -> bool:
    return abs(value) <= 6


def is_none(value: float, setting: float) -> bool:
    return value == 0


@dataclass(frozen=True)
class Table:
    """`setting`: the field by which results are averaged."""

    setting: str
    columns: tuple[Column, ...]


SECONDS = Column("seconds", "seconds", 1)
TABLES = {
    "bwe": Table(
        "cutoff_hz",
        (
            Column("LSD in", "lsd_in"),
            Column("out", "lsd_out"),
            Column("ratio", "lsd_ratio", meets=lambda value, cutoff_hz: value <= LSD_RATIO.get(cutoff_hz, 1)),
            Column("above in", "lsd_above_in"),
            Column("out", "lsd_above_out"),
            Column("likeness", "likeness", 3),
            Column("level dB", "level_error_db", 1, "magnitude", within_6_db),
            Column("at Hz", "level_error_at_hz", 0, "no"),
            Column("quiet dB", "quiet_error_db", 1, "magnitude", within_6_db),
            Column("at Hz", "quiet_error_at_hz", 0, "no"),
            Column("below dB", "in_band_change_db", 1, meets=lambda value, _: value <= -60),
            SECONDS,
        ),
    ),
    "inpaint": Table(
        "gap_s",
        (
            Column("LSD in", "lsd_in"),
            Column("out", "lsd_out"),
            Column("octave dB", "octave_error_db", 1, "magnitude", within_6_db),
            Column("at Hz", "octave_error_at_hz", 0, "no"),
            Column("mean dB", "mean_octave_error_db", 1),
            Column("click", "worst_click_ratio", meets=lambda value, _: value <= 2),
            Column("changed", "changed_samples", 0, meets=is_none),
            Column("reach ms", "reach_ms", 1),
            SECONDS,
        ),
    ),
    "declip": Table(
        "input_sdr_db",
        (
            Column("threshold", "threshold", 3),
            Column("clipped %", "clipped_percent", 1),
            Column("SDR in", "sdr_in"),
            Column("out", "sdr_out"),
            Column("gain", "sdr_gain", meets=lambda value, _: value >= 5),
            Column("LSD in", "lsd_in"),
            Column("out", "lsd_out"),
            Column("changed", "changed_samples", 0, meets=is_none),
            SECONDS,
        ),
    ),
}


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The arguments of `clean_files`."""
    parser.add_argument("folder", type=Path)
    leaves_out = "leave out recordings whose names begin so; repeatable"
    parser.add_argument("--exclude", metavar="PREFIX", action="append", default=[], help=leaves_out)


def clean_files(folder: Path, exclude: Sequence[str]) -> list[Path]:
    """The clean recordings of a folder: all but those whose names begin with one of `exclude`.

    Raises UsageError if the folder is missing or has none.
    """
    files = [file for file in sound_files(folder) if not file.name.startswith(tuple(exclude))]
    if not files:
        raise UsageError(f"{folder} holds only what --exclude leaves out; exclude less, or name another folder")
    return files


def load_clips(files: Sequence[Path], sample_rate: int, seconds: float | None = None) -> list[Clip]:
    """Clean recordings, the mean of their channels, at `sample_rate`; `seconds`: only their middle.

    Raises AudioError if one cannot be read.
    """
    return [load_clip(file, seconds, sample_rate) for file in files]


def engine_restorers(prior: Prior, seed: int, n_steps: int | None = None) -> Restorers:
    """The engine behind the three commands, with its presets; n_steps: instead of theirs."""

    def restored(x: Signal, rate: int, task: Task, preset: Settings) -> Signal:
        settings = preset if n_steps is None else replace(preset, n_steps=n_steps)
        return restore(x, rate, task, prior, settings, seed=seed)

    return Restorers(
        bwe=lambda x, rate, cutoff_hz: restored(x, rate, BandwidthExtension(cutoff_hz), BWE),
        inpaint=lambda x, rate, spans_s: restored(x, rate, Inpainting(tuple(spans_s)), INPAINT),
        declip=lambda x, rate, threshold: restored(x, rate, Declipping(threshold), DECLIP),
    )


def means(results: Sequence[Result]) -> list[dict[str, float | str]]:
    """For each task and setting, in the order of the results: the mean of each column over the clips."""
    groups: dict[tuple[str, float], list[Result]] = {}
    for result in results:
        groups.setdefault((result.task, setting_of(result)), []).append(result)
    rows: list[dict[str, float | str]] = []
    for (task, setting), members in groups.items():
        row: dict[str, float | str] = {"task": task, TABLES[task].setting: setting, "clips": len(members)}
        for column in TABLES[task].columns:
            values = np.array([getattr(member, column.field) for member in members], dtype=np.float64)
            if column.mean != "no":
                row[column.field] = float(np.mean(np.abs(values) if column.mean == "magnitude" else values))
        rows.append(row)
    return rows


def setting_of(result: Result) -> float:
    return float(getattr(result, TABLES[result.task].setting))


def header(task: str) -> str:
    table = TABLES[task]
    return _line(f"{task}: clip", table.setting, [column.title + " " for column in table.columns])


def row(result: Result) -> str:
    setting = setting_of(result)
    cells = [column.cell(float(getattr(result, column.field)), setting) for column in TABLES[result.task].columns]
    return _line(result.clip, f"{setting:g}", cells)


def mean_row(task: str, mean: dict[str, float | str]) -> str:
    table = TABLES[task]
    cells = [f"{mean[column.field]:.{column.digits}f} " if column.field in mean else "" for column in table.columns]
    return _line(f"mean of {mean['clips']}", f"{mean[table.setting]:g}", cells)


def mean_rows(task: str, results: Sequence[Result]) -> list[str]:
    return [mean_row(task, mean) for mean in means(results)]


def _line(name: str, setting: str, cells: Sequence[str]) -> str:
    return f"{name[:26]:26}{setting:>13}" + "".join(f"{cell:>11}" for cell in cells)


def _finite(value: object) -> object:
    """JSON has no infinity (an SDR without distortion): null instead."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report(results: Sequence[Result], settings: dict[str, object]) -> str:
    """All results and their means as JSON text."""
    everything = [{"task": result.task, **asdict(result)} for result in results]
    return json.dumps(_finite({"settings": settings, "results": everything, "means": means(results)}), indent=1) + "\n"


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder(parser)
    parser.add_argument("--prior", default=DEFAULT_PRIOR, help="name or path (default: %(default)s)")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--rate", type=int, default=44100, help="sample rate of the clips in Hz (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="only the middle of each clip")
    parser.add_argument("--steps", type=int, help="instead of the presets'")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--results", action="store_true", help="write the sections of RESULTS.md")
    return parser.parse_args(words)


def run(
    given: argparse.Namespace, restorers: Restorers, record: Callable[[str, Sequence[Result]], None] | None = None
) -> None:
    """Prints the table of each task as it grows; `record` gets a task and its results when they are all there."""
    tasks = given.tasks.split(",")
    if not set(tasks) <= set(TASKS):
        raise UsageError(f"tasks {given.tasks!r}: give some of {','.join(TASKS)}")
    clips = load_clips(clean_files(given.folder, given.exclude), given.rate, given.seconds)
    results: list[Result] = []
    for task in tasks:
        print(header(task), flush=True)
        mine: list[Result] = []
        for result in evaluate(clips, task, restorers):
            print(row(result), flush=True)
            mine.append(result)
        print(*mean_rows(task, mine), "", sep="\n", flush=True)
        results += mine
        if given.json is not None:
            names = ("prior", "rate", "seconds", "steps", "seed")
            given.json.write_text(report(results, {name: getattr(given, name) for name in names}))
        if record is not None:
            record(task, mine)


def section(task: str, results: Sequence[Result], given: argparse.Namespace) -> str:
    """The table of one task in Markdown, with what was measured."""
    extent = "whole" if given.seconds is None else f"the middle {given.seconds:g} s"
    steps = "the preset's steps" if given.steps is None else f"{given.steps} steps"
    what = f"Clean recordings ({extent}), one channel at {given.rate} Hz, {steps}, seed {given.seed}; !: target missed."
    lines = [header(task), *map(row, results), *mean_rows(task, results)]
    return "\n".join([what, "", "```", *(line.rstrip() for line in lines), "```"])


def measure(given: argparse.Namespace) -> None:
    """`run` with the prior that is asked for."""
    prior = load_prior(given.prior, given.device)

    def record(task: str, results: Sequence[Result]) -> None:
        write_section(f"Dev clips: {task}", section(task, results, given), describe(prior))

    run(given, engine_restorers(prior, given.seed, given.steps), record if given.results else None)


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: measure(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
