"""What became of each recording: counted, said, and with --json a line of facts on standard output."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from restorer.cli.options import Album
from restorer.cli.speak import one_line, say
from restorer.errors import RestorerError, UsageError
from restorer.restoration.settings import Settings
from restorer.restoration.task import Task

if TYPE_CHECKING:
    from restorer.restoration.job import Report
    from restorer.restoration.place import Place
    from restorer.restoration.plan import Job, Plan


def require_possible(plan: "Plan", album: Album) -> None:
    """Raises UsageError for what cannot be done with streams."""
    streams = [job for job in plan.jobs if job.target == "-"]
    if album.as_json and streams and not album.dry_run:
        raise UsageError("--json writes to standard output, where the sound goes; name a file by --out")
    if album.resume and (streams or any(job.source == "-" or not job.source.is_file() for job in plan.jobs)):
        raise UsageError("--resume is for files, for a stream cannot be read again; leave it out")
    if album.dry_run and any(job.source == "-" for job in plan.jobs):
        raise UsageError("--dry-run looks into files, and standard input cannot be looked into; leave it out")


class Tally:
    """Counts what was restored, skipped and failed."""

    def __init__(self, as_json: bool, *, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet
        self.n_restored = self.n_skipped = self.n_failed = 0

    def restored(self, report: "Report", task: Task, settings: Settings, seed: int, took_s: float) -> None:
        """Counts a result; as failed, though it is there, where a promise was not kept."""
        if report.faults:
            self.n_failed += 1
        else:
            self.n_restored += 1
        if self._as_json:
            self._write(_facts(report, task, settings, seed, took_s))

    def skipped(self, job: "Job") -> None:
        self.n_skipped += 1
        self._write({"status": "skipped", "source": str(job.source), "target": str(job.target)})

    def failed(self, source: Path, target: "Place | None", error: RestorerError | OSError) -> None:
        self.n_failed += 1
        said = str(error) if isinstance(error, RestorerError) else _said(error)
        say(f"restorer: {one_line(said)}")
        to = None if target is None else str(target)
        self._write({"status": "failed", "source": str(source), "target": to, "error": said})

    def sum_up(self) -> None:
        """One line on standard error; where all went well, only if anything is said."""
        if self._quiet and not self.n_failed:
            return
        counts = {"restored": self.n_restored, "skipped": self.n_skipped, "failed": self.n_failed}
        total = sum(counts.values())
        parts = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        say(f"restorer: {total} recordings: {parts}")

    def _write(self, facts: dict[str, Any]) -> None:
        if self._as_json:
            write_json(facts)


def write_json(facts: dict[str, Any]) -> None:
    """A line on standard output. Of a name that is no UTF-8 the bytes are spelled as surrogates, \\udcNN."""
    typer.echo(json.dumps(facts))


def _said(error: OSError) -> str:
    return f"{error.filename or 'a file'}: {error.strerror or error}"


def _facts(report: "Report", task: Task, settings: Settings, seed: int, took_s: float) -> dict[str, Any]:
    """Times in seconds, regions in frames, the deviation in full scale."""
    from restorer.restoration.sidecar import known

    found = report.verification
    finite = found is not None and math.isfinite(found.deviation)
    fault = {"error": "; ".join(report.faults)} if report.faults else {}
    return {
        "status": "failed" if fault else "copied" if report.copied else "restored",
        **fault,
        "source": str(report.source),
        "target": str(report.target),
        "seconds": report.seconds,
        "windows": report.windows,
        "took_s": round(took_s, 3),
        "task": known(task),
        "settings": asdict(settings),
        "seed": seed,
        "deviation": found.deviation if found is not None and finite else None,
        "deviation_allowed": found.allowed if found is not None else None,
        "format": asdict(report.written),
        "notes": list(report.notes),
    }
