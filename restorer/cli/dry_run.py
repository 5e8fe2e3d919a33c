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
from restorer.restore.damage import Damage, damage_of
from restorer.restore.engine import restore_windows
from restorer.restore.result import result_format
from restorer.restore.settings import Settings
from restorer.restore.task import Task

if TYPE_CHECKING:
    from restorer.restore.plan import Job, Plan

_LEVEL = 0.5  # of the noise that is restored for the measurement: above most thresholds, so that peaks are clipped


@dataclass(frozen=True)
class Estimate:
    """Of one recording, at most, as silence and what is undamaged cost nothing; None where its length is unknown.

    windows: each channel's counted by itself. disk: bytes of the result, by its samples.
    """

    seconds: float | None
    windows: int | None
    disk: int | None


def show(plan: "Plan", task: Task, settings: Settings, machine: Machine, delivery: Delivery) -> None:
    """Prints the plan on standard output; with --json a line for each file and one for all."""
    prior = load_prior(machine.prior, choose_device(machine.device))
    estimates = [(job, estimate(job, task, prior, delivery)) for job in plan.jobs]
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
    window_s = seconds_a_window(task, prior, settings, machine.batch_size) if estimates else 0.0
    windows = sum(each.windows or 0 for _, each in estimates)
    seconds = sum(each.seconds or 0.0 for _, each in estimates)
    disk = sum(each.disk or 0 for _, each in estimates)
    kept = _largest_parts(estimates, prior, machine.jobs) if delivery.album.resume else 0
    free = min((_free(job.target) for job, _ in estimates if job.target != "-"), default=None)
    if delivery.album.as_json:
        write_json({
            "status": "plan", "recordings": len(estimates), "skipped": len(plan.skipped), "seconds": seconds,
            "windows": windows, "seconds_a_window": window_s, "takes_s": window_s * windows, "disk": disk + kept,
            "disk_free": free, "device": str(prior.device),
        })  # fmt: skip
        return
    typer.echo(
        f"{len(estimates)} recordings, {len(plan.skipped)} skipped: {seconds:.1f} s, at most {windows} windows, "
        f"{_duration(window_s * windows)} on {prior.device} ({window_s:.2g} s a window, measured)"
    )
    if free is not None:
        enough = "" if disk + kept <= free else ", WHICH IS TOO LITTLE"
        typer.echo(f"disk: at most {_megabytes(disk + kept)} needed, {_megabytes(free)} free{enough}")


def estimate(job: "Job", task: Task, prior: Prior, delivery: Delivery) -> Estimate:
    info = job.info
    if info is None or info.frames is None:
        return Estimate(None, None, None)
    rate, channels = info.format.sample_rate, info.format.channels
    damage: Damage = damage_of(task, rate, prior.sample_rate)
    windows = channels * damage.count(prior.length, resampled_length(info.frames, rate, prior.sample_rate))
    form = result_format(info.format, delivery.wanted, task, job.target)
    return Estimate(info.frames / rate, windows, _size(info.frames, rate, form))


def seconds_a_window(task: Task, prior: Prior, settings: Settings, batch_size: int) -> float:
    """Of noise, measured; on a GPU of a whole batch, the second time, when all is compiled and allocated."""
    alone = prior.device.type == "cpu"
    rows = 1 if alone else batch_size
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    start = next(iter(damage.windows(prior.length))).start
    random = torch.Generator().manual_seed(0)
    noise = _LEVEL * torch.randn(rows, prior.length + 2 * prior.whitening.margin, generator=random)
    took = 0.0
    for _ in range(1 if alone else 2):
        begun = perf_counter()
        restore_windows(noise, [start] * rows, damage, prior, settings, 0).cpu()
        took = perf_counter() - begun
    return took / rows


def _size(frames: int, rate: int, form: AudioFormat) -> int:
    """Bytes; of a lossy format as if it were 16 bits."""
    return resampled_length(frames, rate, form.sample_rate) * form.channels * (form.bits or 16) // 8


def _largest_parts(estimates: "list[tuple[Job, Estimate]]", prior: Prior, jobs: int) -> int:
    """Bytes that --resume keeps of the longest recordings, as many as are in work at once."""
    sizes = (4 * prior.length * (each.windows or 0) for _, each in estimates)
    return sum(sorted(sizes, reverse=True)[:jobs])


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
