"""One of the recordings that were named: searched, restored, its facts written beside it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from restorer.cli.arguments import parse_raw
from restorer.cli.options import Asked, Delivery, Machine
from restorer.cli.parts import Parts
from restorer.errors import RestorerError
from restorer.restoration.settings import Settings, preset_of
from restorer.restoration.task import Search, Task, for_channels, joined, parts_of

if TYPE_CHECKING:
    from restorer.prior import Prior
    from restorer.restoration.batches import Engine
    from restorer.restoration.job import Report
    from restorer.restoration.plan import Job
    from restorer.restoration.stream import Progress


@dataclass(frozen=True)
class Order:
    """What was asked for all recordings."""

    task: Task | Search
    asked: Asked
    seed: int
    machine: Machine
    delivery: Delivery


@dataclass(frozen=True)
class Done:
    """note: why windows could not be kept."""

    job: "Job"
    report: "Report"
    task: Task
    settings: Settings
    seed: int
    took_s: float
    note: str | None


@dataclass(frozen=True)
class Skipped:
    """An earlier run has finished it."""

    job: "Job"


@dataclass(frozen=True)
class Failed:
    job: "Job"
    error: RestorerError | OSError


Outcome = Done | Skipped | Failed


def restore_recording(
    job: "Job", order: Order, prior: "Prior", engine: "Engine", parts: Parts, *, is_single: bool,
    said: Callable[[str], None], progress: "Callable[[Progress], None]",
) -> Outcome:  # fmt: skip
    """What becomes of a job; the failure of a single one is raised. said: gets what a search finds, in one line."""
    from restorer.restoration.job import restore_file
    from restorer.restoration.plan import with_room

    machine, delivery = order.machine, order.delivery
    raw = None if delivery.raw is None else parse_raw(delivery.raw)
    begun = monotonic()
    try:
        task = _found(job, order.task, engine, said) if isinstance(order.task, Search) else order.task
        settings = order.asked.of(preset_of(task, order.asked.quality))
        wanted = with_room(job, task, delivery.wanted)
        if wanted != delivery.wanted:
            said(f"{job.target}: becomes RF64, for it would pass the 4 GiB that WAV can hold")
        seed = order.seed + job.take
        with parts.of(job) as kept:
            if kept is not None and kept.is_done and Path(job.target).exists():
                return Skipped(job)
            report = restore_file(
                job.source, job.target, task, prior, settings, seed=seed, batch_size=machine.batch_size,
                overwrite=delivery.overwrite, wanted=wanted, raw=raw, verify=delivery.verify,
                progress=progress, kept=kept, engine=engine,
            )  # fmt: skip
        if delivery.sidecar:
            _write_sidecar(report, task, settings, seed, order)
        parts.finish(job, kept, leave_mark=not is_single)
    except BrokenPipeError:
        raise  # whoever listened has left
    except (RestorerError, OSError) as error:
        if is_single:
            raise
        return Failed(job, error)
    return Done(job, report, task, settings, seed, monotonic() - begun, None if kept is None else kept.note)


def _found(job: "Job", search: Search, engine: "Engine", said: Callable[[str], None]) -> Task:
    """What the search finds in a job's source, and says."""
    from restorer.restoration.find import find_task

    assert job.source != "-"
    assert job.info is not None  # nothing is searched in streams
    known = parts_of(for_channels(joined(search.known), job.info.format.channels, str(job.source)))
    task, found = find_task(job.source, replace(search, known=known), engine.check)
    said(f"{job.source}: {found}")
    return task


def _write_sidecar(report: "Report", task: Task, settings: Settings, seed: int, order: Order) -> None:
    from restorer import __version__
    from restorer.restoration.sidecar import write_sidecar
    from restorer.shipped import find_weights

    command = ["restorer", *sys.argv[1:]]
    weights = find_weights(order.machine.prior)
    write_sidecar(report, task, settings, seed=seed, prior=weights, version=__version__, command=command)
