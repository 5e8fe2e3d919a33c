"""--resume: what is kept of recordings that are not finished, and the key by which a run knows its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from restorer.cli.tally import Tally
from restorer.errors import RestorerError, UsageError

if TYPE_CHECKING:
    from restorer.restoration.kept import Kept
    from restorer.restoration.plan import Job


class Parts:
    """facts: all but recording and prior that decides the results. wanted: whether anything is kept at all."""

    def __init__(self, prior: str, facts: Sequence[object], *, wanted: bool) -> None:
        self._prior, self._facts, self._wanted = prior, tuple(facts), wanted

    @contextmanager
    def of(self, job: "Job") -> "Iterator[Kept | None]":
        """What is kept of a job's recording; None where nothing is."""
        if not self._wanted or job.source == "-":
            yield None
            return
        from restorer.restoration.kept import Kept

        with Kept(Path(job.target), self._key(job.source, job.take)) as kept:
            yield kept

    def require_same(self, job: "Job", tally: Tally) -> None:
        """Counts a recording with a result as skipped, or as failed if its result was made in another way."""
        from restorer.restoration.kept import kept_key

        left = kept_key(Path(job.target)) if self._wanted and job.target != "-" else None
        try:
            if left is not None and job.source != "-" and left != self._key(job.source, job.take):
                raise UsageError(
                    f"{job.target} is the result of an interrupted run with other parameters, another prior or another "
                    f"{job.source}; repeat its command to go on, or replace the results with --overwrite"
                )
        except RestorerError as error:
            tally.failed(Path(job.source), job.target, error)
        else:
            tally.skipped(job)

    def finish(self, job: "Job", kept: "Kept | None", *, leave_mark: bool) -> None:
        """A job is done: its windows go, those that another run left too."""
        if kept is not None:
            kept.finish(leave_mark=leave_mark)
        elif job.target != "-":
            self.forget([job])

    def forget(self, jobs: "Sequence[Job]") -> None:
        from restorer.restoration.kept import forget

        for job in jobs:
            if job.target != "-":
                forget(Path(job.target))

    def _key(self, source: Path, take: int) -> str:
        from restorer import __version__
        from restorer.restoration.kept import run_key
        from restorer.shipped import find_weights

        return run_key([source, find_weights(self._prior)], [__version__, *self._facts, take])
