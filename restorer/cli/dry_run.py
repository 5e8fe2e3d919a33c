"""--dry-run: what would be done, how long one measured window says it takes, and how much disk. Imports torch."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
import typer

from restorer.audio import AudioFormat, resampled_length
from restorer.cli.device import choose_device
from restorer.cli.options import Delivery, Machine
from restorer.cli.speak import one_line
from restorer.cli.tally import write_json
from restorer.prior import Prior, load_prior
from restorer.restoration.classical_stage import WINDOW_S
from restorer.restoration.damage import Damage, stages_of
from restorer.restoration.engine import restore_classically, restore_windows
from restorer.restoration.result import result_format
from restorer.restoration.settings import Settings
from restorer.restoration.stream import RestoringStream
from restorer.restoration.task import Inpainting, Task, joined, parts_of

if TYPE_CHECKING:
    from restorer.restoration.plan import Job, Plan

_LEVEL = 0.5  # of the noise that is restored for the measurement: above most thresholds, so that peaks are clipped


@dataclass(frozen=True)
class Estimate:
    """Of one recording, at most, as silence and what is undamaged cost nothing; None where its length is unknown.

    windows: each channel's counted by itself. disk: bytes of the result, by its samples; kept: those of the windows
    that --resume keeps.
    """

    seconds: float | None = None
    windows: int | None = None
    takes_s: float | None = None
    disk: int | None = None
    kept: int | None = None


def show(plan: "Plan", task: Task, settings: Settings, machine: Machine, delivery: Delivery) -> None:
    """Prints the plan on standard output; with --json a line for each file and one for all."""
    prior = load_prior(machine.prior, choose_device(machine.device))
    window_s = seconds_a_window(task, prior, settings, machine.batch_size) if plan.jobs else (0.0, 0.0)
    estimates = [(job, estimate(job, task, prior, settings, delivery, window_s)) for job in plan.jobs]
    for job, each in estimates:
        if delivery.album.as_json:
            write_json({"status": "planned", "source": str(job.source), "target": str(job.target), **vars(each)})
        else:
            typer.echo(one_line(f"{job.source} -> {job.target}: {_line(each)}"))
    for job in plan.skipped:
        if delivery.album.as_json:
            write_json({"status": "skipped", "source": str(job.source), "target": str(job.target)})
        else:
            typer.echo(one_line(f"{job.source}: skipped"))
    windows = sum(each.windows or 0 for _, each in estimates)
    seconds = sum(each.seconds or 0.0 for _, each in estimates)
    takes_s = sum(each.takes_s or 0.0 for _, each in estimates)
    disk = sum(each.disk or 0 for _, each in estimates)
    kept = _kept_at_once(estimates, machine.jobs) if delivery.album.resume else 0
    free = min((_free(job.target) for job, _ in estimates if job.target != "-"), default=None)
    if delivery.album.as_json:
        write_json({
            "status": "plan", "recordings": len(estimates), "skipped": len(plan.skipped), "seconds": seconds,
            "windows": windows, "takes_s": takes_s, "disk": disk + kept,
            "disk_free": free, "device": str(prior.device),
        })  # fmt: skip
        return
    typer.echo(
        f"{len(estimates)} recordings, {len(plan.skipped)} skipped: {seconds:.1f} s, at most {windows} windows, "
        f"{_duration(takes_s)} on {prior.device} ({takes_s / max(windows, 1):.2g} s a window, measured)"
    )
    if free is not None:
        enough = "" if disk + kept <= free else ", WHICH IS TOO LITTLE"
        typer.echo(f"disk: at most {_megabytes(disk + kept)} needed, {_megabytes(free)} free{enough}")


def estimate(
    job: "Job", task: Task, prior: Prior, settings: Settings, delivery: Delivery, window_s: tuple[float, float]
) -> Estimate:
    """window_s: as `seconds_a_window` has it."""
    info = job.info
    if info is None or info.frames is None:
        return Estimate()
    rate, channels = info.format.sample_rate, info.format.channels
    classical, modelled = RestoringStream(task, prior, settings, rate, channels).count(info.frames)
    takes_s = channels * (classical * window_s[0] * rate / prior.sample_rate + modelled * window_s[1])
    disk = _size(info.frames, rate, result_format(info.format, delivery.wanted, task, job.target))
    kept = 4 * channels * (classical * round(WINDOW_S * rate) + modelled * prior.length)
    return Estimate(info.frames / rate, channels * (classical + modelled), takes_s, disk, kept)


def seconds_a_window(task: Task, prior: Prior, settings: Settings, batch_size: int) -> tuple[float, float]:
    """Of a classical method, at the prior's rate, and of the prior; on noise, measured; 0 where there is nothing to do.

    On a GPU of a whole batch, the second time, when all is compiled and allocated.
    """
    rate, margin = prior.sample_rate, prior.whitening.margin
    # Of one channel, which has the gaps of all.
    parts = (Inpainting(part.gaps_s) if isinstance(part, Inpainting) else part for part in parts_of(task))
    damage = stages_of(joined(parts), settings.method, rate, rate)
    classical_s = prior_s = 0.0
    for _ in range(1 if prior.device.type == "cpu" else 2):
        if (first := damage.classical) is not None:
            noise, starts = _noise(first, round(WINDOW_S * rate), 0, 1)
            begun = perf_counter()
            restore_classically(noise.to(prior.device), starts, first).cpu()
            classical_s = perf_counter() - begun
        if (then := damage.prior) is not None:
            noise, starts = _noise(then, prior.length, margin, 1 if prior.device.type == "cpu" else batch_size)
            begun = perf_counter()
            restore_windows(noise, starts, then, prior, settings, 0).cpu()
            prior_s = (perf_counter() - begun) / len(starts)
    return classical_s, prior_s


def _noise(damage: Damage, length: int, margin: int, rows: int) -> tuple[torch.Tensor, list[int]]:
    """(rows, length + 2 margin), and where they begin: at the first window that hurts."""
    start = next(iter(damage.windows(length))).start
    random = torch.Generator().manual_seed(0)
    return _LEVEL * torch.randn(rows, length + 2 * margin, generator=random), [start] * rows


def _size(frames: int, rate: int, form: AudioFormat) -> int:
    """Bytes; of a lossy format as if it were 16 bits."""
    return resampled_length(frames, rate, form.sample_rate) * form.channels * (form.bits or 16) // 8


def _kept_at_once(estimates: "list[tuple[Job, Estimate]]", jobs: int) -> int:
    """Bytes that --resume keeps of the longest recordings, as many as are in work at once."""
    return sum(sorted((each.kept or 0 for _, each in estimates), reverse=True)[:jobs])


def _free(target: Path) -> int:
    path = Path(os.path.realpath(target))
    return shutil.disk_usage(next(each for each in path.parents if each.exists())).free


def _line(each: Estimate) -> str:
    if each.seconds is None or each.disk is None:
        return "of unknown length"
    return f"{each.seconds:.1f} s, at most {each.windows} windows, {_megabytes(each.disk)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
