"""How far it is, on a terminal: windows done, how many times faster than the music, time left."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from restorer.hush import audible

if TYPE_CHECKING:
    from tqdm import tqdm

    from restorer.restoration.stream import Progress

_KNOWN = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit}{postfix}, {remaining} left"
_UNKNOWN = "{desc} {n_fmt} {unit}{postfix}, {elapsed} gone"


class Bar:
    """A context manager that shows Progress on standard error if that is a terminal, and then leaves no trace."""

    def __init__(self, title: str, *, unit: str = "windows", quiet: bool = False) -> None:
        self._title, self._unit = title, unit
        self._shown = not quiet and sys.stderr.isatty()
        self._begun = monotonic()
        self._bar: tqdm[None] | None = None

    def update(self, progress: "Progress") -> None:
        """Shows how far a recording is, or what else is counted as windows."""
        self.show(progress.windows_done, progress.windows_total, progress.seconds_done)

    def show(self, done: int, total: int | None, seconds_done: float) -> None:
        """Shows it; what tqdm shows too often, it leaves out. seconds_done: of the music."""
        if self._shown:
            with audible:
                self._show(done, total, seconds_done)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While it lasts, there is no bar in the way of what is said."""
        if self._bar is not None:
            with audible:
                self._bar.clear()
        yield
        if self._bar is not None:
            with audible:
                self._bar.refresh()

    def _show(self, done: int, total: int | None, seconds_done: float) -> None:
        from tqdm import tqdm

        if self._bar is None:
            form = _UNKNOWN if total is None else _KNOWN
            self._bar = tqdm(
                desc=self._title,
                unit=self._unit,
                total=total,
                bar_format=form,
                leave=False,
                miniters=1,
                dynamic_ncols=True,
                file=sys.stderr,
            )
        speed = seconds_done / max(monotonic() - self._begun, 1e-3)  # a clock may stand still for as long
        self._bar.total = total
        self._bar.set_postfix_str(f"{speed:.2g}x real time", refresh=False)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with audible:
                self._bar.close()


class Together:
    """One bar for recordings that are in work at the same time: it counts seconds of music.

    lengths_s: how long each is; None: nobody knows.
    """

    def __init__(self, bar: Bar, lengths_s: Sequence[float | None]) -> None:
        self._bar, self._lengths_s = bar, lengths_s
        self._done_s = [0.0] * len(lengths_s)

    def update(self, number: int, seconds_done: float) -> None:
        self._done_s[number] = seconds_done
        known = [each for each in self._lengths_s if each is not None]
        done, total = sum(self._done_s), sum(known) if len(known) == len(self._lengths_s) else None
        self._bar.show(round(done), None if total is None else round(total), done)

    def finish(self, number: int) -> None:
        """Whatever became of it."""
        self.update(number, self._lengths_s[number] or self._done_s[number])
