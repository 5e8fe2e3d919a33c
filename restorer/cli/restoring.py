"""Many recordings, one after the other: checked first, then restored; a bad one does not stop the others."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import typer

from restorer.cli.arguments import parse_raw
from restorer.cli.options import Asked, Delivery, Machine
from restorer.cli.parts import Parts
from restorer.cli.progress import Bar
from restorer.cli.speak import one_line, say
from restorer.cli.tally import Tally, require_possible
from restorer.errors import RestorerError, UsageError
from restorer.restore.settings import Settings, preset_of
from restorer.restore.task import Search, Task

if TYPE_CHECKING:
    from restorer.audio import AudioFormat
    from restorer.restore.job import Report
    from restorer.restore.plan import Job, Plan

SOME_FAILED = 3


def restore_all(
    inputs: Sequence[str],
    task: Task | Search,
    asked: Asked,
    seed: int,
    machine: Machine,
    delivery: Delivery,
) -> None:
    """Restores what was named; a Search finds out for each file what it needs, and a file that needs nothing is passed
    on as it is. Raises the error of a single file; of several, reports each and exits with 3."""
    from restorer.restore.named import Chosen
    from restorer.restore.plan import plan_jobs

    known = None if isinstance(task, Search) else task
    raw, album = None if delivery.raw is None else parse_raw(delivery.raw), delivery.album
    plan = plan_jobs(
        inputs, delivery.out, known, overwrite=delivery.overwrite, wanted=delivery.wanted, is_raw=raw is not None,
        sidecar=delivery.sidecar, chosen=Chosen(tuple(album.include or ()), tuple(album.exclude or ())),
        skip_existing=album.skip_existing or (album.resume and not delivery.overwrite),
    )  # fmt: skip
    if known is None and any(job.info is None for job in plan.jobs):
        raise UsageError("auto listens to the whole recording before it begins, which a stream is not; name a file")
    require_possible(plan, album)
    if plan.is_single and plan.refusals:
        raise plan.refusals[0].error
    machine.check()
    tally = Tally(album.as_json, quiet=delivery.quiet)
    for refusal in plan.refusals:
        tally.failed(refusal.source, None, refusal.error)
    if album.dry_run:
        from restorer.cli.dry_run import show

        if known is None:
            raise UsageError(
                "--dry-run does not listen, as auto has to; ask `restorer detect` first, or name the damage"
            )
        show(plan, known, asked.of(preset_of(known)), machine, delivery)
    else:
        parts = Parts(machine.prior, (task, asked, seed, delivery.wanted, delivery.raw), wanted=album.resume)
        for job in plan.skipped:
            parts.require_same(job, tally)
        if plan.jobs:
            _restore(plan, task, asked, seed, machine, delivery, tally, parts)
        if not plan.is_single and not tally.n_failed:
            parts.forget([*plan.jobs, *plan.skipped])
        if not plan.is_single or plan.skipped:
            tally.sum_up()
    if tally.n_failed:
        raise typer.Exit(SOME_FAILED)


def _restore(
    plan: "Plan", task: Task | Search, asked: Asked, seed: int, machine: Machine, delivery: Delivery, tally: Tally,
    parts: Parts,
) -> None:  # fmt: skip
    """Does the plan's jobs, and counts what became of them; raises where there is only one."""
    from restorer.cli.device import choose_device
    from restorer.prior import load_prior
    from restorer.restore.job import restore_file

    prior = load_prior(machine.prior, choose_device(machine.device))
    raw = None if delivery.raw is None else parse_raw(delivery.raw)
    for number, job in enumerate(plan.jobs, 1):
        begun = monotonic()
        try:
            here = _found(job, task, delivery) if isinstance(task, Search) else task
            settings = asked.of(preset_of(here))
            with parts.of(job) as kept, Bar(_title(job, number, len(plan.jobs)), quiet=delivery.quiet) as bar:
                if kept is not None and kept.is_done and Path(job.target).exists():
                    tally.skipped(job)
                    continue
                report = restore_file(
                    job.source, job.target, here, prior, settings, seed=seed, batch_size=machine.batch_size,
                    overwrite=delivery.overwrite, wanted=delivery.wanted, raw=raw, verify=delivery.verify,
                    progress=bar.update, kept=kept,
                )  # fmt: skip
            if delivery.sidecar:
                _write_sidecar(report, here, settings, seed, machine)
            parts.finish(job, kept, leave_mark=not plan.is_single)
        except BrokenPipeError:
            raise  # whoever listened has left
        except (RestorerError, OSError) as error:
            if plan.is_single:
                raise
            tally.failed(Path(job.source), job.target, error)
            continue
        _tell(report, monotonic() - begun, delivery)
        if kept is not None and kept.note is not None and not delivery.quiet:
            say(f"{one_line(str(job.target))}: {kept.note}")
        tally.restored(report, here, settings, seed, monotonic() - begun)


def _tell(report: "Report", took_s: float, delivery: Delivery) -> None:
    name = "standard output" if report.target == "-" else one_line(str(report.target))
    lines = [f"error: {fault}" for fault in report.faults]
    if not delivery.quiet:
        lines = [f"{report.seconds:.1f} s, {report.windows} windows, in {took_s:.1f} s", *report.notes, *lines]
    if delivery.verbose:
        heard, written = report.heard, report.written
        lines += [f"{_form(heard)} became {_form(written)}"] if not report.copied else []
        lines += [str(report.verification)] if report.verification is not None else []
    for line in lines:
        say(f"{name}: {one_line(line)}")


def _form(form: "AudioFormat") -> str:
    return f"{form.container} {form.subtype} {form.sample_rate} Hz {form.channels} ch"


def _write_sidecar(report: "Report", task: Task, settings: Settings, seed: int, machine: Machine) -> None:
    from restorer import __version__
    from restorer.restore.sidecar import write_sidecar
    from restorer.shipped import find_weights

    command = ["restorer", *sys.argv[1:]]
    weights = find_weights(machine.prior)
    write_sidecar(report, task, settings, seed=seed, prior=weights, version=__version__, command=command)


def _found(job: "Job", search: Search, delivery: Delivery) -> Task:
    """What the search finds in a job's source, and says."""
    from restorer.restore.find import find_task

    assert job.source != "-"
    task, said = find_task(job.source, search)
    if not delivery.quiet:
        say(f"{one_line(str(job.source))}: {said}")
    return task


def _title(job: "Job", number: int, total: int) -> str:
    name = "standard input" if job.source == "-" else one_line(Path(job.source).name)
    return name if total == 1 else f"{number}/{total} {name}"
