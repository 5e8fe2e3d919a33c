"""Several recordings at once around one engine.

Each recording has a thread of its own, in which it is read, searched, resampled and written. What only one can do is
done by the caller's thread: it alone asks the engine, hears signals and speaks. Whenever the engine is free it takes
what the earliest recording asks for and, where the device gains by it, whatever else was asked meanwhile that may share
its batch. It never waits for company: batches fill by themselves while it is at work, as those who are early wait for
it. So nothing can wait for itself, and recordings become complete about in their order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from restorer.restoration.ahead import wait_for
from restorer.restoration.settings import Settings

if TYPE_CHECKING:
    from restorer.restoration.batches import Engine, Rows
    from restorer.restoration.damage import Damage

J = TypeVar("J")
R = TypeVar("R")

Tell = Callable[[Callable[[], None]], None]
"""Has something said or shown by the caller's thread, soon."""


class Left(BaseException):
    """Raised in a recording's thread where nobody waits for its result any more."""


@contextmanager
def side_by_side(
    jobs: Sequence[J], work: "Callable[[J, Engine, Tell], R]", engine: "Engine", *, at_once: int
) -> Iterator[Iterator[R]]:
    """What `work` makes of each job, as it is finished, up to `at_once` of them in work.

    With at_once 1 all happens in the caller's thread, one job after the other. What `work` raises is raised in place of
    its result. Leaving the `with` block ends what is in work: it is raised `Left`, and waited for.
    """
    if at_once == 1:
        yield (work(job, engine, _now) for job in jobs)
        return
    album = _Album[R](engine)
    seats = [_Seat(album.arrived, album.left, engine) for _ in range(min(at_once, len(jobs)))]
    todo: SimpleQueue[tuple[int, J] | None] = SimpleQueue()
    for item in (*enumerate(jobs), *(None for _ in seats)):
        todo.put(item)

    def go_through(seat: _Seat) -> None:
        try:
            while (item := todo.get()) is not None and not album.left.is_set():
                seat.turn, job = item
                album.arrived.put(_Finished(work(job, seat, seat.tell)))
        except BaseException as error:  # raised by `outcome`, if anybody asks for it
            album.arrived.put(_Broken(error))

    threads = [Thread(target=go_through, args=(seat,), name="recording") for seat in seats]
    try:
        for thread in threads:
            thread.start()
        yield (album.outcome() for _ in jobs)
    finally:
        album.left.set()
        for seat in seats:
            seat.answers.put(None)
        for thread in threads:
            if thread.is_alive():
                wait_for(thread)


def _now(what: Callable[[], None]) -> None:
    what()


@dataclass(frozen=True, eq=False)
class _Request:
    """Windows that wait for the engine. settings: None asks for the classical method."""

    turn: int
    rows: "Rows"
    starts: Sequence[int]
    floors: "Rows | None"
    damage: "Damage"
    settings: Settings | None
    seed: int
    answers: "SimpleQueue[Rows | Exception | None]"

    def may_join(self, other: "_Request") -> bool:
        """Whether both suffer from the same and are restored in the same way, by the prior."""
        mine, its = ((each.settings, each.seed, each.damage, each.rows.shape[1]) for each in (self, other))
        return self.settings is not None and mine == its


@dataclass(frozen=True)
class _Finished(Generic[R]):
    result: R


@dataclass(frozen=True)
class _Broken:
    error: BaseException


class _Seat:
    """The Engine of a recording's thread: asks, and waits for the answer. Its queue of answers gets a last word, None,
    whatever ends the album."""

    def __init__(self, arrived: "SimpleQueue[object]", left: Event, engine: "Engine") -> None:
        self.turn = 0
        self.answers: SimpleQueue[Rows | Exception | None] = SimpleQueue()
        self._arrived, self._left, self._engine = arrived, left, engine

    @property
    def room(self) -> int:
        return self._engine.room

    @property
    def most(self) -> int | None:
        return self._engine.most

    def changes(
        self,
        rows: "Rows",
        starts: Sequence[int],
        floors: "Rows | None",
        damage: "Damage",
        settings: Settings,
        seed: int,
    ) -> "Rows":
        return self._answer(_Request(self.turn, rows, starts, floors, damage, settings, seed, self.answers))

    def classical(self, rows: "Rows", starts: Sequence[int], damage: "Damage") -> "Rows":
        return self._answer(_Request(self.turn, rows, starts, None, damage, None, 0, self.answers))

    def check(self) -> None:
        if self._left.is_set():
            raise Left

    def tell(self, what: Callable[[], None]) -> None:
        self.check()
        self._arrived.put(what)

    def _answer(self, request: _Request) -> "Rows":
        self.check()
        self._arrived.put(request)
        answer = self.answers.get()
        if answer is None:
            raise Left
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Album(Generic[R]):
    """The caller's side."""

    def __init__(self, engine: "Engine") -> None:
        self.left = Event()
        self.arrived: SimpleQueue[object] = SimpleQueue()
        self._engine = engine
        self._waiting: list[_Request] = []

    def outcome(self) -> R:
        """The next result; until there is one the engine is at work."""
        while True:
            # First all that has come: it may share a batch, or come before what waits.
            while not self._waiting or not self.arrived.empty():
                match self.arrived.get():
                    case _Request() as request:
                        self._waiting.append(request)
                    case _Finished(result):
                        return result
                    case _Broken(error):
                        raise error
                    case what:
                        what()  # type: ignore[operator]
            self._serve()

    def _serve(self) -> None:
        """Answers the earliest recording that waits, and those that may join it."""
        self._waiting.sort(key=lambda request: request.turn)
        batch = self._batch()
        self._waiting = [request for request in self._waiting if request not in batch]
        try:
            changes = self._computed(batch)
        except Exception as error:
            changes = [error] * len(batch)
        for request, change in zip(batch, changes, strict=True):
            request.answers.put(change)

    def _batch(self) -> list[_Request]:
        first, *others = self._waiting
        batch, free = [first], min(self._engine.room, self._engine.most or self._engine.room) - len(first.rows)
        for request in others:
            if len(request.rows) <= free and request.may_join(first):
                batch.append(request)
                free -= len(request.rows)
        return batch

    def _computed(self, batch: Sequence[_Request]) -> "list[Rows | Exception]":
        first = batch[0]
        if first.settings is None:
            return [self._engine.classical(first.rows, first.starts, first.damage)]
        rows = first.rows if len(batch) == 1 else np.concatenate([each.rows for each in batch])
        starts = [start for each in batch for start in each.starts]
        floors = [each.floors for each in batch if each.floors is not None]  # the same damage: of all or of none
        expected = np.concatenate(floors) if floors else None
        changes = self._engine.changes(rows, starts, expected, first.damage, first.settings, first.seed)
        return list(np.split(changes, np.cumsum([len(each.rows) for each in batch[:-1]])))
