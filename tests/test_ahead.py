"""Threads beside a loop: the same items in the same order, a few of them at most, and an end that is always reached."""

import os
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from restorer.audio.sndfile import SndfileReader
from restorer.audio.stream import PcmStreamReader
from restorer.audio.writer import FileWriter
from restorer.errors import AudioError
from restorer.restoration import job
from restorer.restoration.ahead import read_ahead, write_behind
from restorer.restoration.job import restore_file
from restorer.restoration.settings import BWE, DECLIP, INPAINT
from restorer.restoration.stream import RestoringStream
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting
from tests.shell import record
from tests.tiny import WhitePrior

PATIENCE_S = 20  # until what should be long over counts as hanging
DEPTHS = st.integers(1, 4)
FEW = st.integers(0, 12)


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("read ahead", "write behind")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not ours()


def until(condition) -> bool:
    """Whether it comes true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


class BrokenError(Exception):
    pass


def failing(after: int) -> Iterator[int]:
    yield from range(after)
    raise BrokenError(after)


# What is read ahead


@given(st.lists(st.none() | st.integers() | st.just(BrokenError("an item, not an error"))), DEPTHS)
def test_the_same_items_come_in_the_same_order(items, depth):
    with read_ahead(items, depth) as ahead:
        assert list(ahead) == items


@given(DEPTHS, st.integers(1, 6))
def test_it_reads_as_far_ahead_as_it_may_and_no_further(depth, taken):
    asked = []
    with read_ahead((asked.append(i) or i for i in range(100)), depth) as ahead:
        assert until(lambda: len(asked) == depth)
        for i in range(taken):
            assert next(ahead) == i
            # what is in work here, and `depth` more
            assert until(lambda so_far=i + 1 + depth: len(asked) == so_far)
    assert len(asked) == taken + depth


@given(FEW, DEPTHS)
def test_what_the_source_raises_comes_after_its_last_item_with_its_trace(after, depth):
    got = []
    with pytest.raises(BrokenError) as caught, read_ahead(failing(after), depth) as ahead:
        got.extend(ahead)
    assert got == list(range(after))
    assert caught.value.args == (after,)
    assert any(frame.name == "failing" for frame in traceback.extract_tb(caught.value.__traceback__))


@given(FEW, DEPTHS)
def test_who_reads_no_further_ends_the_thread(taken, depth):
    """Also with the thread waiting for room, which it does most of the time."""
    with read_ahead(iter(int, 1), depth) as ahead:
        for _ in range(taken):
            next(ahead)
    assert not ours()


@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt])
def test_an_error_of_the_reader_ends_the_thread_and_is_raised(error):
    def fail(ahead: Iterator[int]) -> None:
        next(ahead)
        raise error

    with pytest.raises(error), read_ahead(iter(int, 1), 2) as ahead:
        fail(ahead)
    assert not ours()


def test_the_source_is_at_rest_when_the_block_is_left():
    """So that what it reads from may be closed."""
    at_work = []

    def slow() -> Iterator[int]:
        while True:
            at_work.append(True)
            time.sleep(0.05)
            at_work.clear()
            yield 0

    with read_ahead(slow(), 1) as ahead:
        next(ahead)
        assert until(lambda: not at_work)
        next(ahead)
    assert not at_work


def test_after_the_end_there_is_nothing():
    with read_ahead([1], 3) as ahead:
        assert list(ahead) == [1]
        assert list(ahead) == []


# What is written behind


@given(st.lists(st.none() | st.integers()), DEPTHS)
def test_all_is_stored_in_order_when_the_block_is_left(items, depth):
    stored = []
    with write_behind(stored.append, depth) as put:
        for item in items:
            put(item)
    assert stored == items


@given(DEPTHS)
def test_so_many_items_wait_and_no_more(depth):
    go, begun, handed_over = threading.Event(), threading.Event(), []

    def sink(item: int) -> None:
        begun.set()
        go.wait(PATIENCE_S)

    def watch() -> None:
        begun.wait(PATIENCE_S)
        until(lambda: len(handed_over) == depth)
        time.sleep(0.002)  # in which one too many might follow
        most.append(len(handed_over))
        go.set()

    most: list[int] = []
    watcher = threading.Thread(target=watch)
    watcher.start()
    with write_behind(sink, depth) as put:
        for i in range(depth + 3):
            put(i)
            handed_over.append(i)
    watcher.join()
    assert most == [depth]


def breaking(after: int, stored: list[int]):
    def break_off(item: int) -> None:
        if len(stored) == after:
            raise BrokenError(after)
        stored.append(item)

    return break_off


@given(FEW, DEPTHS)
def test_what_the_sink_raises_comes_soon_with_its_trace(after, depth):
    stored, handed_over = [], []

    def hand_over(put) -> None:
        for i in range(after + depth + 1):  # the last one finds no room but that of what broke
            put(i)
            handed_over.append(i)

    with pytest.raises(BrokenError) as caught, write_behind(breaking(after, stored), depth) as put:
        hand_over(put)
    assert stored == list(range(after))
    assert after <= len(handed_over) <= after + depth
    assert any(frame.name == "break_off" for frame in traceback.extract_tb(caught.value.__traceback__))


def test_a_failure_with_the_last_item_is_raised_on_leaving():
    stored = []
    with pytest.raises(BrokenError), write_behind(breaking(2, stored), 8) as put:
        any(map(put, range(3)))
    assert stored == [0, 1]


def test_a_sink_that_failed_refuses_every_further_item():
    refused = []

    def hand_over(put) -> None:
        put(0)
        assert until(lambda: not ours())
        for _ in range(5):
            with pytest.raises(BrokenError):
                put(0)
            refused.append(True)

    with pytest.raises(BrokenError), write_behind(breaking(0, []), 1) as put:
        hand_over(put)
    assert len(refused) == 5


@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt])
def test_after_an_error_what_waits_is_dropped(error):
    stored, go = [], threading.Event()

    def sink(item: int) -> None:
        go.wait(PATIENCE_S)
        stored.append(item)

    def fail(put) -> None:
        for i in range(5):
            put(i)
        threading.Timer(0.05, go.set).start()
        raise error

    with pytest.raises(error), write_behind(sink, 5) as put:
        fail(put)
    assert stored in ([], [0])  # no more than what was in work
    assert not ours()


# Both around a restoration


@contextmanager
def in_turn(monkeypatch) -> Iterator[None]:
    """No threads."""
    with monkeypatch.context() as patch:
        patch.setattr(job, "read_ahead", lambda source, depth: nullcontext(source))
        patch.setattr(job, "write_behind", lambda sink, depth: nullcontext(sink))
        yield


TASKS = [
    (BandwidthExtension(1000.0), replace(BWE, n_steps=1)),
    (Declipping(0.42), replace(DECLIP, n_steps=1)),
    (Inpainting(((0.5, 0.6), (2.0, 2.2))), replace(INPAINT, n_steps=1)),
]


def restored(source, target, task=TASKS[0][0], settings=TASKS[0][1], **options):
    return restore_file(source, target, task, WhitePrior(), settings, **options)


@pytest.mark.parametrize(("task", "settings"), TASKS)
@pytest.mark.parametrize(("suffix", "rate"), [(".flac", 8000), (".wav", 11025)])
def test_a_recording_comes_out_to_the_bit_as_without_threads(tmp_path, monkeypatch, task, settings, suffix, rate):
    source = record(tmp_path / f"in{suffix}", seconds=3.3, rate=rate, channels=2)
    threaded = restored(source, tmp_path / f"a{suffix}", task, settings)
    with in_turn(monkeypatch):
        plain = restored(source, tmp_path / f"b{suffix}", task, settings)
    # not the bytes: a WAV in floating point says in its PEAK chunk when it was written
    first, second = (soundfile.read(tmp_path / f"{name}{suffix}")[0] for name in "ab")
    np.testing.assert_array_equal(first, second)
    assert replace(threaded, target=plain.target) == plain


@pytest.fixture
def at_work(monkeypatch):
    """The names of the threads that read, restore and write."""
    names: dict[str, set[str]] = {}

    def watched(kind, name):
        original = getattr(kind, name)

        def method(*given):
            names.setdefault(name, set()).add(threading.current_thread().name)
            return original(*given)

        monkeypatch.setattr(kind, name, method)

    watched(SndfileReader, "read")
    watched(PcmStreamReader, "read")
    watched(RestoringStream, "push")
    watched(FileWriter, "write")
    return names


def test_reading_restoring_and_writing_each_have_a_thread(tmp_path, at_work):
    restored(record(tmp_path / "in.wav", seconds=3), tmp_path / "out.wav")
    assert at_work == {"read": {"read ahead"}, "push": {threading.current_thread().name}, "write": {"write behind"}}


def test_what_comes_through_a_pipe_is_waited_for_where_signals_arrive(tmp_path, at_work):
    """And what it becomes is written there: a full disk is said at once, not when the next sound arrives."""
    record(tmp_path / "in.wav", seconds=3)
    os.mkfifo(tmp_path / "pipe")
    feeder = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "in.wav").read_bytes()))
    feeder.start()
    restored(tmp_path / "pipe", tmp_path / "out.wav")
    feeder.join()
    here = {threading.current_thread().name}
    assert at_work == {"read": here, "push": here, "write": here}


def test_a_writer_that_fails_stops_the_work_at_once(tmp_path, monkeypatch):
    def full(self, block):
        raise AudioError("out.wav cannot be written (No space left on device)")

    monkeypatch.setattr(FileWriter, "write", full)
    record(tmp_path / "in.wav", seconds=60)
    seen = []
    with pytest.raises(AudioError, match="No space left"):
        restored(tmp_path / "in.wav", tmp_path / "out.wav", progress=seen.append)
    # of 156 windows of 0.4 s: those of the first block that leaves, and of the blocks that may wait for it
    assert len(seen) < 20
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_a_reader_that_fails_lets_go_of_the_writer(tmp_path):
    samples = 0.1 * np.ones((20 * 8000, 1))
    samples[15 * 8000] = np.nan
    soundfile.write(tmp_path / "in.wav", samples, 8000, "FLOAT")
    with pytest.raises(AudioError, match=r"in\.wav has a sample that is nan at 15"):
        restored(tmp_path / "in.wav", tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


@pytest.mark.parametrize("slow", [SndfileReader, FileWriter])
def test_an_interruption_ends_slow_ends_too(tmp_path, monkeypatch, slow):
    name = "read" if slow is SndfileReader else "write"
    original = getattr(slow, name)

    def dawdling(self, *given):
        time.sleep(0.05)
        return original(self, *given)

    monkeypatch.setattr(slow, name, dawdling)
    record(tmp_path / "in.wav", seconds=10)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restored(tmp_path / "in.wav", tmp_path / "out.wav", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]
