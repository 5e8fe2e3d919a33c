"""Several recordings around one engine: the same bytes, shared batches, and an end that is always reached."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from restorer.audio import AudioFormat
from restorer.audio.writer import FileWriter
from restorer.cli.speak import say
from restorer.errors import RestorerError
from restorer.hush import hushed
from restorer.restoration import batches
from restorer.restoration.album import Left, side_by_side
from restorer.restoration.batches import OwnEngine
from restorer.restoration.damage import damage_of
from restorer.restoration.job import restore_file
from restorer.restoration.settings import BWE, INPAINT, Settings
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair
from tests.tiny import WhitePrior

PATIENCE_S = 20  # until what should be long over counts as hanging
DULL = damage_of(BandwidthExtension(1000.0), 8000, 8000)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [each for each in threading.enumerate() if each.name in ("recording", "read ahead", "write behind")] == []


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Listening:
    """An engine with room for 8 rows that adds 1, and notes the rows and the thread of each call."""

    room, most = 8, None

    def __init__(self, before=lambda: None):
        self.calls, self.threads, self._before = [], set(), before

    def changes(self, rows, starts, floors, damage, settings, seed):
        self._before()
        self.calls.append(rows[:, 0].tolist())
        self.threads.add(threading.current_thread())
        assert len(starts) == len(rows)
        return rows + 1

    def classical(self, rows, starts, damage):
        return self.changes(rows, starts, None, damage, None, None) + 1

    def check(self):
        pass


def ask(number, engine, rows=1, damage=DULL, settings=BWE, seed=0):
    return engine.changes(np.full((rows, 3), number, np.float32), [0] * rows, None, damage, settings, seed)


# Who works where


@pytest.mark.parametrize("at_once", [1, 2, 4, 50])
def test_each_job_has_its_result_and_the_caller_alone_asks_the_engine_and_speaks(at_once):
    engine, told = Listening(), []

    def work(number, engine, tell):
        tell(lambda: told.append(threading.current_thread()))
        return number, ask(number, engine)[0, 0], ask(number, engine, 2)[1, 2]

    with side_by_side(range(20), work, engine, at_once=at_once) as outcomes:
        assert sorted(outcomes) == [(number, number + 1, number + 1) for number in range(20)]
    assert engine.threads == set(told) == {threading.current_thread()}
    assert len(told) == 20


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_than_that_are_in_work(at_once):
    inside, most = [], []

    def work(number, engine, tell):
        inside.append(number)
        most.append(len(inside))
        ask(number, engine)
        inside.remove(number)

    with side_by_side(range(12), work, Listening(), at_once=at_once) as outcomes:
        assert len(list(outcomes)) == 12
    assert max(most) <= at_once


def gathered(work, number):
    """The calls of the engine when all jobs but the first ask while it is at work for that."""
    at_work, asking = threading.Event(), []

    def compute():
        at_work.set()
        until(lambda: len(asking) == number)
        time.sleep(0.05)  # from the note to the question

    def noted(job, engine, tell):
        if job > 0:
            at_work.wait(PATIENCE_S)
        asking.append(job)
        return work(job, engine)

    engine = Listening(compute)
    with side_by_side(range(number), noted, engine, at_once=number) as outcomes:
        list(outcomes)
    assert engine.calls[0][0] == 0
    return engine.calls[1:]


def test_those_who_come_meanwhile_share_batches_in_the_order_of_the_recordings():
    assert gathered(lambda job, engine: ask(job, engine), 6) == [[1, 2, 3, 4, 5]]
    assert gathered(lambda job, engine: ask(job, engine, rows=3), 5) == [
        [1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"settings": Settings(n_steps=3)},
        {"damage": damage_of(BandwidthExtension(2000.0), 8000, 8000)},
        {"damage": damage_of(Inpainting(((1.0, 2.0),)), 8000, 8000)},
    ],
)
def test_only_the_same_share(other):
    calls = gathered(lambda job, engine: ask(job, engine, **(other if job % 2 else {})), 5)
    assert calls == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    "task",
    [
        BandwidthExtension(1000.0),
        Declipping(0.3),
        Inpainting(((0.1, 0.25),)),
        Repair((BandwidthExtension(1000.0), Declipping(0.3), Inpainting(((0.1, 0.25),)))),
    ],
)
def test_recordings_with_the_same_task_suffer_from_the_same(task):
    assert damage_of(task, 8000, 8000) == damage_of(task, 8000, 8000)


def test_lost_highs_are_the_same_whatever_the_rate():
    assert damage_of(BandwidthExtension(1000.0), 44100, 8000) == DULL
    assert damage_of(BandwidthExtension(1000.5), 44100, 8000) != DULL


def test_classical_windows_go_alone():
    calls = gathered(lambda job, engine: engine.classical(np.full((1, 3), job, np.float32), [0], DULL), 3)
    assert calls == [[1], [2]]


def test_a_device_that_turned_out_small_gets_no_more_than_it_holds():
    Listening.most = 2
    try:
        assert gathered(lambda job, engine: ask(job, engine), 5) == [[1, 2], [3, 4]]
    finally:
        Listening.most = None


# How it ends


def test_a_failure_of_the_engine_is_that_of_those_who_asked():
    def fail():
        raise RestorerError("too little memory")

    def work(number, engine, tell):
        with pytest.raises(RestorerError, match="too little memory"):
            ask(number, engine)
        return number

    with side_by_side(range(5), work, Listening(fail), at_once=3) as outcomes:
        assert sorted(outcomes) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_a_job_raises_ends_all(error):
    begun, left = [], []

    def work(number, engine, tell):
        begun.append(number)
        try:
            if number == 2:
                raise error
            while True:
                ask(number, engine)
        except Left:
            left.append(number)
            raise

    with pytest.raises(error), side_by_side(range(9), work, Listening(), at_once=3) as outcomes:
        list(outcomes)
    assert sorted(begun) == [0, 1, 2]  # as many as may be in work
    assert sorted(left) == [0, 1]


@pytest.mark.parametrize("how", ["asking", "checking", "telling"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_leaving_ends_whatever_they_do(how, error):
    ended, begun = [], []

    def work(number, engine, tell):
        if number == 0:
            return
        begun.append(number)
        try:
            while True:
                match how:
                    case "asking":
                        ask(number, engine)
                    case "checking":
                        engine.check()
                    case "telling":
                        tell(lambda: None)
                time.sleep(0.001)
        except Left:
            ended.append(number)
            raise

    def leave(outcomes):
        next(outcomes)
        until(lambda: len(begun) >= 2)
        raise error

    with pytest.raises(error), side_by_side(range(9), work, Listening(), at_once=3) as outcomes:
        leave(outcomes)
    assert sorted(ended) == sorted(begun)


def test_an_interruption_of_the_engine_is_nobodys_answer():
    answers = []

    def interrupted():
        raise KeyboardInterrupt

    def work(number, engine, tell):
        try:
            ask(number, engine)
        except BaseException as error:
            answers.append(type(error))
            raise

    with pytest.raises(KeyboardInterrupt), side_by_side(range(4), work, Listening(interrupted), at_once=4) as outcomes:
        list(outcomes)
    assert set(answers) == {Left}


# Real recordings


GAPS = (0.3, 0.31), (0.6, 1.4)  # one for autoregression, and one of four windows, each of which hears the one before
KINDS = {
    "bwe": (BandwidthExtension(1000.0), BWE),
    "inpaint": (Inpainting(GAPS), INPAINT),
}


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Short, long, mono, stereo, of other rates, of other containers."""
    folder = tmp_path_factory.mktemp("album")
    forms = [(1.5, 8000, 1, "wav"), (1.6, 8000, 2, "flac"), (5.0, 8000, 1, "flac"), (1.7, 11025, 1, "wav"),
             (1.5, 8000, 1, "flac"), (1.5, 16000, 2, "wav"), (1.8, 8000, 1, "wav"), (1.9, 44100, 1, "mp3")]  # fmt: skip
    for i, (seconds, rate, channels, suffix) in enumerate(forms):
        noise = np.random.default_rng(i).standard_normal((round(seconds * rate), channels))
        subtype = "MPEG_LAYER_III" if suffix == "mp3" else "PCM_16"
        soundfile.write(folder / f"{i}.{suffix}", 0.1 * noise, rate, subtype)
    return sorted(folder.iterdir())


def restored(paths, folder, kind="bwe", *, at_once, room=1):
    """The results as samples, and the windows of each."""
    task, settings = KINDS[kind]
    prior = WhitePrior()
    engine = OwnEngine(prior, 8)
    engine.room = room  # that of a GPU; here rows are restored one by one, to the bit the same in any company

    def work(numbered, engine, tell):
        number, source = numbered
        target = folder / f"{number}.wav"
        return number, restore_file(source, target, task, prior, replace(settings, n_steps=2), engine=engine)

    with side_by_side(list(enumerate(paths)), work, engine, at_once=at_once) as outcomes:
        reports = dict(outcomes)
    return [(soundfile.read(reports[i].target)[0], reports[i].windows) for i in range(len(paths))]


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_come_out_to_the_bit_as_one_by_one(album, tmp_path, kind):
    alone = restored(album, tmp_path / "1", kind, at_once=1)
    for at_once, room in ((2, 1), (4, 1), (4, 8)):
        together = restored(album, tmp_path / f"{at_once} {room}", kind, at_once=at_once, room=room)
        for (one, windows), (other, as_many) in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)
            assert as_many == windows


def test_short_recordings_fill_batches(album, tmp_path, monkeypatch):
    sizes = []
    restore = batches.restore_windows

    def slowly(rows, *rest):
        sizes.append(len(rows))
        time.sleep(0.05)  # a device that takes longer than reading and writing
        return restore(rows, *rest)

    monkeypatch.setattr(batches, "restore_windows", slowly)
    short = [path for path in album if soundfile.info(path).duration < 1.55] * 4
    restored(short, tmp_path / "1", at_once=1, room=8)
    alone, rows = len(sizes), sum(sizes)
    sizes.clear()
    restored(short, tmp_path / "8", at_once=8, room=8)
    assert sum(sizes) == rows
    assert max(sizes) <= 8
    assert len(sizes) < 0.8 * alone


def test_a_device_that_is_too_small_is_said_by_those_in_work(album, tmp_path, monkeypatch):
    restore = batches.restore_windows

    def small(rows, *rest):
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return restore(rows, *rest)

    alone = restored(album, tmp_path / "1", at_once=1)
    monkeypatch.setattr(batches, "restore_windows", small)
    for (one, _), (other, _) in zip(alone, restored(album, tmp_path / "4", at_once=4, room=8), strict=True):
        np.testing.assert_array_equal(one, other)


# What all share: folders, standard error


FORM = AudioFormat("WAV", "PCM_16", 8000, 1)
SOUND = np.zeros((100, 1))


def test_a_folder_stays_for_who_still_needs_it_and_goes_with_the_last(tmp_path):
    first, second = (FileWriter(tmp_path / "new" / "deep" / name, FORM) for name in ("a.wav", "b.wav"))
    first.__enter__().write(SOUND)
    second.__enter__().write(SOUND)
    first.__exit__(KeyboardInterrupt, None, None)
    assert len(list((tmp_path / "new" / "deep").iterdir())) == 1
    second.__exit__(KeyboardInterrupt, None, None)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_result_stays(tmp_path):
    first, second = (FileWriter(tmp_path / "new" / name, FORM) for name in ("a.wav", "b.wav"))
    first.__enter__().write(SOUND)
    second.__enter__().write(SOUND)
    second.__exit__(None, None, None)
    first.__exit__(KeyboardInterrupt, None, None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.wav"]


def test_a_file_that_is_read_back_for_nobody_leaves_nothing(tmp_path):
    def left():
        raise Left

    with pytest.raises(Left), FileWriter(tmp_path / "new" / "a.wav", FORM, check=left) as writer:
        writer.write(SOUND)
    assert not list(tmp_path.iterdir())


def test_what_is_said_while_a_decoder_is_silenced_is_heard(capfd, monkeypatch):
    monkeypatch.setattr("sys.stderr", os.fdopen(2, "w", closefd=False))
    stop = threading.Event()

    def silence():
        while not stop.is_set():
            with hushed():
                os.write(2, b"libmpg123 remarks\n")
                time.sleep(0.001)

    thread = threading.Thread(target=silence)
    thread.start()
    for i in range(50):
        say(f"line {i}")
    stop.set()
    thread.join()
    assert capfd.readouterr().err.splitlines() == [f"line {i}" for i in range(50)]
