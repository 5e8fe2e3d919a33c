"""The bar: on a terminal only, and what it says."""

import io
from time import sleep
from types import SimpleNamespace

import pytest

from restorer.cli import progress as module
from restorer.cli.progress import Bar, Together
from restorer.cli.speak import one_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def at(done, total):
    total_s = None if total is None else 3.0 * total
    return SimpleNamespace(windows_done=done, windows_total=total, seconds_done=3.0 * done, seconds_total=total_s)


def shown(monkeypatch, screen, steps, **options):
    clock = iter(range(1000))
    monkeypatch.setattr(module, "monotonic", lambda: float(next(clock)))  # a second passes at every look
    monkeypatch.setattr("sys.stderr", screen)
    with Bar("take.wav", **options) as bar:
        for step in steps:
            sleep(0.11)  # tqdm draws ten times a second at most
            bar.update(step)
    return screen.getvalue()


def test_it_shows_windows_speed_and_time_left(monkeypatch):
    text = shown(monkeypatch, Terminal(), [at(1, 4), at(2, 4)])
    assert "take.wav  50%|" in text
    assert "| 2/4 windows, 3x real time, " in text
    assert " left" in text


def test_without_a_total_it_shows_what_is_done(monkeypatch):
    text = shown(monkeypatch, Terminal(), [at(1, None), at(2, None)])
    assert "take.wav 2 windows, 3x real time, " in text


def test_recordings_together_have_one_bar_of_seconds(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    for lengths_s, said in (((10.0, 30.0), "| 15/40 s, "), ((10.0, None), "two 15 s, ")):
        with Bar("two", unit="s") as bar:
            together = Together(bar, lengths_s)
            together.update(1, 2.0)
            sleep(0.11)
            together.update(1, 5.0)
            sleep(0.11)
            together.finish(0)  # whether it was restored or not
        assert said in screen.getvalue()


@pytest.mark.parametrize(("screen", "options"), [(io.StringIO(), {}), (Terminal(), {"quiet": True})])
def test_off_a_terminal_or_quiet_it_shows_nothing(monkeypatch, screen, options):
    assert shown(monkeypatch, screen, [at(1, 2), at(2, 2)], **options) == ""


def test_one_line_spells_out_what_cannot_be_printed():
    assert one_line("a\nb\tc\x1b d\udcff é") == r"a\nb\tc\x1b d\udcff é"
