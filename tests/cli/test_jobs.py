"""--jobs: how many are in work changes when, and nothing else; what befalls one is not the others'."""

import io
import json
import os
import signal
import time

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from restorer.audio.sndfile import SndfileReader
from restorer.audio.writer import FileWriter
from restorer.degradation.detect import Detector
from restorer.errors import AudioError
from restorer.restoration import batches
from tests.shell import contents, record

WORDS = ["--cutoff", "1k", "--steps", "2"]
NAMES = ("a.wav", "b.flac", "c.wav", "d.wav", "e.flac")


@pytest.fixture
def album(tmp_path):
    """Five recordings of one to four seconds, as dull as WORDS has them."""
    for i, name in enumerate(NAMES):
        path = record(tmp_path / "album" / name, seconds=1 + (3 * i) % 4, channels=1 + i % 2)
        noise, rate = soundfile.read(path)
        soundfile.write(path, sosfilt(butter(10, 900, fs=rate, output="sos"), noise, axis=0), rate)
    return tmp_path / "album"


def test_the_results_are_the_same_for_any_number(tiny, album, tmp_path):
    for jobs in ("1", "2", "8"):
        assert tiny("bwe", "album", *WORDS, "--out", jobs, "--jobs", jobs, "--sidecar") == 0
    whole = contents(tmp_path / "1")
    sounds = {name: data for name, data in whole.items() if not name.endswith(".json")}
    assert sorted(sounds) == list(NAMES)
    for jobs in ("2", "8"):
        found = contents(tmp_path / jobs)
        assert found.keys() == whole.keys()
        assert {name: found[name] for name in sounds} == sounds


def test_none_at_all_is_refused(tiny, album, capsys):
    assert tiny("bwe", "album", *WORDS, "--jobs", "0") == 2
    assert "'--jobs'" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_bad_ones_do_not_stop_the_others_and_each_has_its_line(tiny, album, tmp_path, capsys, monkeypatch, jobs):
    spoiled = 0.1 * np.ones((24000, 1))
    spoiled[20000] = np.nan
    soundfile.write(album / "nan.wav", spoiled, 8000, "FLOAT")
    write = FileWriter.write

    def full(self, block):
        if self._name.endswith("b.flac"):
            raise AudioError(f"{self._name} cannot be written (No space left on device); free some")
        return write(self, block)

    monkeypatch.setattr(FileWriter, "write", full)
    assert tiny("bwe", "album", *WORDS, "--out", "new", "--jobs", jobs, "--json") == 3
    said = capsys.readouterr()
    facts = {each["source"]: each["status"] for each in map(json.loads, said.out.splitlines())}
    fates = dict.fromkeys(NAMES, "restored") | {"b.flac": "failed", "nan.wav": "failed"}
    assert facts == {f"album/{name}": fate for name, fate in fates.items()}
    lines = said.err.splitlines()
    assert lines[-1] == "restorer: 6 recordings: 4 restored, 2 failed"
    assert sorted(line.split(":")[0] for line in lines[:-1]) == [
        "new/a.wav", "new/c.wav", "new/d.wav", "new/e.flac", "restorer", "restorer",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.wav", "c.wav", "d.wav", "e.flac"]


def test_what_auto_finds_is_said_for_each_and_changes_nothing(tiny, album, tmp_path, capsys):
    for jobs in ("1", "4"):
        assert tiny("repair", "album", "--out", jobs, "--jobs", jobs) == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "4")
    found = [line for line in capsys.readouterr().err.splitlines() if line.startswith("album/")]
    assert sorted(found[5:]) == sorted(found[:5])


@pytest.mark.parametrize("where", ["search", "engine", "no engine"])
def test_an_interruption_ends_all_that_are_open_at_once(tiny, album, tmp_path, capsys, monkeypatch, where):
    record(album / "0 long.wav", seconds=600, channels=2)  # the first
    begun = []

    def interrupting(function, pause_s):
        def wrapped(*given):
            begun.append(time.monotonic())
            if len(begun) == 40:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(pause_s)
            return function(*given)

        return wrapped

    words = ["bwe", "album", *WORDS]
    match where:
        case "search":
            monkeypatch.setattr(Detector, "push", interrupting(Detector.push, 0.1))
            words = ["repair", "album"]
        case "engine":
            monkeypatch.setattr(batches, "restore_windows", interrupting(batches.restore_windows, 0.02))
        case "no engine":
            monkeypatch.setattr(SndfileReader, "read", interrupting(SndfileReader.read, 0.05))
            words = ["inpaint", "album", "--gap", "0.1-0.11"]  # all but a window is passed on
    before = contents(tmp_path)
    assert tiny(*words, "--out", "new", "--jobs", "4") == 130
    assert time.monotonic() - begun[39] < 10  # the long one would take half a minute
    assert capsys.readouterr().err.splitlines()[-1] == "restorer: interrupted"
    assert not list(tmp_path.glob("new/.*"))
    for name in contents(tmp_path).keys() - before.keys() - {"new"}:
        assert soundfile.info(tmp_path / name).frames == soundfile.info(album / name.removeprefix("new/")).frames


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_and_the_bar_of_all_do_not_meet(tiny, album, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    assert tiny("bwe", "album", *WORDS, "--out", "new", "--jobs", "4") == 0
    text = screen.getvalue()
    assert "5 recordings" in text
    assert "s, " in text
    # What a terminal shows at the end of each line: that which was written after the last return to its beginning.
    shown = [line.split("\r")[-1] for line in text.splitlines()]
    said = sorted(line for line in shown if line.startswith("new/"))
    assert [line.split(":")[0] for line in said] == [f"new/{name}" for name in NAMES]
