"""How far it is, on a terminal: windows done, how many times faster than the music, time left."""

import sys
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tqdm import tqdm

    from restorer.restore.stream import Progress

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
        """Shows it; what tqdm shows too often, it leaves out."""
        if not self._shown:
            return
        total = progress.windows_total
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
        speed = progress.seconds_done / max(monotonic() - self._begun, 1e-3)  # a clock may stand still for as long
        self._bar.total = total
        self._bar.set_postfix_str(f"{speed:.2g}x real time", refresh=False)
        self._bar.update(progress.windows_done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
