"""Threads beside a loop: what it takes is fetched ahead of it, what it gives is stored behind it, a few items at most.

Neither end can leave the other waiting: whoever waits for an item or for room waits on a queue into which the other
puts a last word, whatever ends it. `queue.SimpleQueue` may be interrupted by a signal anywhere and stays whole, which
`Queue` and `Condition`, written in Python, do not promise.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def read_ahead(source: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """The items of `source` in their order, fetched by a thread that is at most `depth` (1 or more) of them ahead.

    What `source` raises is raised in place of its next item. Leaving the `with` block ends the thread, which takes as
    long as the item that it fetches: `source` must not wait for ever.
    """
    items: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()
    left = Event()
    for _ in range(depth - 1):  # and one that the thread holds until there is room for it
        room.put(None)

    def fetch() -> None:
        try:
            for item in source:
                room.get()
                if left.is_set():
                    return
                items.put((item,))
            items.put(None)
        except BaseException as error:  # raised by `received`
            items.put(error)

    def received() -> Iterator[T]:
        while True:
            room.put(None)
            found = items.get()
            if found is None:
                return
            if isinstance(found, BaseException):
                raise found
            yield found[0]

    thread = Thread(target=fetch, name="read ahead")
    try:
        thread.start()
        yield received()
    finally:
        left.set()
        room.put(None)
        wait_for(thread)


@contextmanager
def write_behind(sink: Callable[[T], object], depth: int) -> Iterator[Callable[[T], None]]:
    """`sink`, called in a thread and in order; a call returns at once unless `depth` (1 or more) items are unfinished.

    What `sink` raises is raised by the next call or, if there is none, on leaving the `with` block, which waits until
    all is stored. If an exception leaves the block, what was not begun is dropped. A call of `sink` must not wait for
    ever.
    """
    items: SimpleQueue[tuple[T] | None] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()
    failures: list[BaseException] = []
    left = Event()
    for _ in range(depth):
        room.put(None)

    def store() -> None:
        try:
            while (item := items.get()) is not None and not left.is_set():
                sink(item[0])
                room.put(None)
        except BaseException as error:  # raised by `put` or on leaving
            failures.append(error)
            room.put(None)

    def require_well() -> None:
        if failures:
            raise failures[0]

    def put(item: T) -> None:
        require_well()
        room.get()
        require_well()
        items.put((item,))

    thread = Thread(target=store, name="write behind")
    try:
        thread.start()
        yield put
        items.put(None)
        thread.join()
        require_well()
    finally:
        left.set()
        items.put(None)
        wait_for(thread)


def wait_for(thread: Thread) -> None:
    """Until it has ended, for what it works on is closed next; an interruption is raised after that."""
    try:
        thread.join()
    except BaseException:
        wait_for(thread)
        raise
