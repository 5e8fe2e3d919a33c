"""Many recordings: checked first, then restored, some of them at once; a bad one does not stop the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from restorer.cli.arguments import parse_raw
from restorer.cli.options import Asked, Delivery, Machine
from restorer.cli.parts import Parts
from restorer.cli.progress import Bar, Together
from restorer.cli.recording import Done, Failed, Order, Outcome, Skipped, restore_recording
from restorer.cli.speak import SOME_FAILED, one_line, say
from restorer.cli.tally import Tally, require_possible
from restorer.errors import RestorerError, UsageError
from restorer.restoration.settings import preset_of
from restorer.restoration.task import Search, Task

if TYPE_CHECKING:
    from restorer.audio import AudioFormat
    from restorer.restoration.album import Tell
    from restorer.restoration.batches import Engine
    from restorer.restoration.plan import Job, Plan
    from restorer.restoration.stream import Progress


def restore_all(
    inputs: Sequence[str],
    task: Task | Search,
    asked: Asked,
    seed: int,
    machine: Machine,
    delivery: Delivery,
) -> None:
    """Restores what was named; a Search finds out for each file what it needs, and a file that needs nothing is passed
    on as it is. Raises the error of a single file; of several, reports each and exits with 3. A result in which what
    was sound has changed is a failure, too, though it stays."""
    from restorer.restoration.named import Chosen
    from restorer.restoration.plan import plan_jobs

    known = None if isinstance(task, Search) else task
    raw, album = None if delivery.raw is None else parse_raw(delivery.raw), delivery.album
    plan = plan_jobs(
        inputs, delivery.out, known, overwrite=delivery.overwrite, wanted=delivery.wanted, is_raw=raw is not None,
        sidecar=delivery.sidecar, chosen=Chosen(tuple(album.include or ()), tuple(album.exclude or ())),
        skip_existing=album.skip_existing or (album.resume and not delivery.overwrite), takes=album.takes,
    )  # fmt: skip
    if known is None and any(job.info is None for job in plan.jobs):
        raise UsageError(_unheard(is_raw=raw is not None))
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
        show(plan, known, asked.of(preset_of(known, asked.quality)), machine, delivery)
    else:
        parts = Parts(machine.prior, (task, asked, seed, delivery.wanted, delivery.raw), wanted=album.resume)
        for job in plan.skipped:
            parts.require_same(job, tally)
        if plan.jobs:
            _restore(plan, Order(task, asked, seed, machine, delivery), tally, parts)
        if not plan.is_single and not tally.n_failed:
            parts.forget([*plan.jobs, *plan.skipped])
        if not plan.is_single or plan.skipped:
            tally.sum_up()
    if tally.n_failed:
        raise typer.Exit(RestorerError.exit_code if plan.is_single else SOME_FAILED)


def _unheard(*, is_raw: bool) -> str:
    """Why nothing can be found in a recording."""
    if is_raw:
        return "auto listens to recordings that say what they are, which --raw denies; convert it to WAV first"
    return "auto listens to the whole recording before it begins, which a stream is not; name a file"


def _restore(plan: "Plan", order: Order, tally: Tally, parts: Parts) -> None:
    """Does the plan's jobs, and counts what became of them; raises where there is only one."""
    from restorer.cli.device import choose_device
    from restorer.prior import load_prior
    from restorer.restoration.album import side_by_side
    from restorer.restoration.batches import OwnEngine

    machine, quiet = order.machine, order.delivery.quiet
    prior = load_prior(machine.prior, choose_device(machine.device))
    # A stream may keep us waiting, which only the main thread can be called away from.
    are_files = all(job.info is not None for job in plan.jobs)
    at_once = min(machine.jobs, len(plan.jobs)) if are_files else 1
    with Bar(_title(plan), unit="windows" if plan.is_single else "s", quiet=quiet) as bar:
        together = Together(bar, [None if job.info is None else job.info.duration_s for job in plan.jobs])

        def work(numbered: "tuple[int, Job]", engine: "Engine", tell: "Tell") -> tuple[int, Outcome]:
            number, job = numbered

            def progress(here: "Progress") -> None:
                tell(lambda: bar.update(here) if plan.is_single else together.update(number, here.seconds_done))

            def said(line: str) -> None:
                if not quiet:
                    tell(lambda: _say_beside(bar, line))

            return number, restore_recording(
                job, order, prior, engine, parts, is_single=plan.is_single, said=said, progress=progress
            )

        own = OwnEngine(prior, machine.batch_size)
        with side_by_side(list(enumerate(plan.jobs)), work, own, at_once=at_once) as outcomes:
            for number, outcome in outcomes:
                if not plan.is_single:
                    together.finish(number)
                with bar.aside():
                    _count(outcome, order, tally)


def _say_beside(bar: Bar, line: str) -> None:
    with bar.aside():
        say(one_line(line))


def _count(outcome: Outcome, order: Order, tally: Tally) -> None:
    match outcome:
        case Skipped(job):
            tally.skipped(job)
        case Failed(job, error):
            tally.failed(Path(job.source), job.target, error)
        case Done() as done:
            _tell(done, order.delivery)
            tally.restored(done.report, done.task, done.settings, done.seed, done.took_s)


def _tell(done: Done, delivery: Delivery) -> None:
    report = done.report
    name = "standard output" if report.target == "-" else one_line(str(report.target))
    lines = [f"error: {fault}" for fault in report.faults]
    if not delivery.quiet:
        lines = [f"{report.seconds:.1f} s, {report.windows} windows, in {done.took_s:.1f} s", *report.notes, *lines]
    if delivery.verbose:
        heard, written = report.heard, report.written
        lines += [f"{_form(heard)} became {_form(written)}"] if not report.copied else []
        lines += [str(report.verification)] if report.verification is not None else []
    if done.note is not None and not delivery.quiet:
        lines += [done.note]
    for line in lines:
        say(f"{name}: {one_line(line)}")


def _form(form: "AudioFormat") -> str:
    return f"{form.container} {form.subtype} {form.sample_rate} Hz {form.channels} ch"


def _title(plan: "Plan") -> str:
    if not plan.is_single:
        return f"{len(plan.jobs)} recordings"
    source = plan.jobs[0].source
    return "standard input" if source == "-" else one_line(Path(source).name)
