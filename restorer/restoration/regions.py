"""Which parts of a recording are synthetic: spans as they come, in memory that does not grow."""

from collections.abc import Iterable

from restorer.dsp.runs import Span

_MOST = 4096


class Regions:
    """Spans (first, stop) in the order of their beginnings; those nearer than `apart` frames become one.

    Where there are too many, `apart` doubles until there are half as many: the regions then hold frames that are not
    synthetic, never the other way round.
    """

    def __init__(self, apart: int, most: int = _MOST) -> None:
        self.apart, self._most = max(apart, 0), most
        self._spans: list[Span] = []

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(self._spans)

    def add(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self._append(span)
            while len(self._spans) > self._most:
                self.apart = max(2 * self.apart, 1)
                held, self._spans = self._spans, []
                for each in held:
                    self._append(each)

    def _append(self, span: Span) -> None:
        if self._spans and span[0] - self._spans[-1][1] <= self.apart:
            first, stop = self._spans[-1]
            self._spans[-1] = first, max(stop, span[1])
        else:
            self._spans.append(span)
