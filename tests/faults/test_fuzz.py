"""Files that were damaged by chance are restored, finite, or refused in one line; nothing hangs, swells or is left.

A failure names its seed: `trial.fails(case(SEED, corpus()))` does it again; the file lies where the message says.
"""

import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest

from restorer.audio import open_reader
from restorer.cli import app
from tests.faults.fuzz import case, corpus
from tests.shell import contents

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not here")
LIMIT_S = 20  # where the slowest takes one, on a machine that does nothing else
ROOM_MIB = 200  # a second of 64 channels at 768 kHz takes 400


class HungError(BaseException):
    pass


def _hung(number, frame):
    raise HungError


@contextmanager
def time_limit():
    """Raises HungError within what lasts too long."""
    before = signal.signal(signal.SIGALRM, _hung)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def said_below():
    """What C libraries say on the process's own standard error, which capsys does not see."""
    said = []
    kept = os.dup(2)
    with tempfile.TemporaryFile(dir=tempfile.gettempdir()) as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


class Trial:
    """Runs cases in folders of their own, and says what is wrong with what they did."""

    def __init__(self, run, folder, monkeypatch, capsys):
        self._run, self._folder, self._patch, self._capsys = run, folder, monkeypatch, capsys
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(self._temporary))
        monkeypatch.setattr(os, "fsync", lambda file: None)  # for a power cut, which is not tried here
        self.outcomes = Counter()

    def fails(self, it):
        """Lines of what is wrong, none where all holds."""
        here = self._folder / "here"
        here.mkdir()
        self._patch.chdir(here)
        (here / "in").write_bytes(it.raw)
        self._patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(it.raw), isatty=lambda: False))
        wrong = list(self._wrong(it, here))
        if wrong:
            (self._folder / f"seed-{it.seed}").write_bytes(it.raw)
            wrong = [it.told, f"  the file: {self._folder / f'seed-{it.seed}'}", *(f"  {line}" for line in wrong)]
        for left in [*here.iterdir(), *self._temporary.iterdir()]:
            left.unlink()
        here.rmdir()
        return wrong

    def _wrong(self, it, here):
        before, swollen = contents(here), peak_mib()
        try:
            with said_below() as below, time_limit(), warnings.catch_warnings():
                warnings.simplefilter("error")  # would be a line that nobody understands
                code = app.main(list(it.words)) if it.words[0] == "detect" else self._run(*it.words)
        except (Exception, HungError, SystemExit):
            self._capsys.readouterr()
            yield traceback.format_exc(limit=-2, chain=False)
            return
        out, err = self._capsys.readouterr()
        self.outcomes[code] += 1
        made = {name: raw for name, raw in contents(here).items() if name not in before}
        if below != [""]:
            yield f"a library said {below[0]!r}"
        if peak_mib() > swollen + ROOM_MIB:
            yield f"took {peak_mib() - swollen:.0f} MiB"
        if left := list(self._temporary.iterdir()):
            yield f"left {left}"
        if code == 0 and it.words[0] != "detect":
            yield from self._wrong_result(here, made)
        elif code not in (0, 1, 2):
            yield f"exit code {code}"
        elif made or (code and out):
            yield f"exit code {code} with {list(made)} and {out!r}"
        if code and (err.count("\n") != 1 or not err.startswith("restorer: ")):
            yield f"said {err!r}"

    def _wrong_result(self, here, made):
        if len(made) != 1:
            yield f"made {list(made)}"
            return
        with open_reader(here / next(iter(made))) as reader:
            while len(block := reader.read(10000)):
                if not np.isfinite(block).all():
                    yield "is not finite"


# What the search has found, each by itself


def refusal(path, capfd):
    assert app.main(["detect", str(path)]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


@pytest.mark.parametrize(
    ("at", "value", "reason"), [(22, 0xE802, "Too many channels"), (20, 0x7777, "a codec that ffmpeg does not know")]
)
@needs_ffmpeg
def test_a_wav_that_ffprobe_gives_up_on_is_refused(tmp_path, capfd, at, value, reason):
    raw = bytearray(corpus()["wav"])
    raw[at : at + 2] = value.to_bytes(2, "little")
    (tmp_path / "in.wav").write_bytes(raw)
    assert reason in refusal(tmp_path / "in.wav", capfd)


def test_the_mp3_decoder_does_not_speak_for_itself(tmp_path, capfd):
    raw = bytearray(corpus()["mp3"])
    (tmp_path / "cut.mp3").write_bytes(raw[:2000])
    raw[1000:1200] = bytes(range(200))
    (tmp_path / "damaged.mp3").write_bytes(raw)
    for name in ("cut.mp3", "damaged.mp3"):
        with open_reader(tmp_path / name) as reader:
            while len(reader.read(100)):
                pass
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


def test_a_signalling_nan_on_a_pipe_is_refused_without_a_warning(monkeypatch, capsys):
    raw = corpus()["wav of floats"]
    at = raw.index(b"data") + 8
    broken = raw[:at] + b"\x01\x00\x80\x7f" + raw[at + 4 :]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(broken), isatty=lambda: False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert app.main(["detect", "-"]) == 1
    assert "has a sample that is nan at 0.000000 s" in capsys.readouterr().err


@pytest.fixture
def trial(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "prior").mkdir()
    weights = tmp_path / "prior" / "tiny.safetensors"
    weights.write_bytes(b"a prior")

    def run(command, *words):
        return app.main([command, *words, "--prior", str(weights), "--device", "cpu"])

    return Trial(run, tmp_path, monkeypatch, capsys)


def judge(trial, seeds):
    files = corpus()
    return [line for seed in seeds for line in trial.fails(case(seed, files))]


def test_what_is_damaged_is_restored_or_refused(trial, monkeypatch):
    monkeypatch.setenv("PATH", "")  # without ffmpeg, whose starts take most of the time
    wrong = judge(trial, range(150))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_much_that_is_damaged_is_restored_or_refused(trial, capsys):
    begun = perf_counter()
    wrong = judge(trial, range(1000, 3200))
    with capsys.disabled():
        took = perf_counter() - begun
        print(f"\n{sum(trial.outcomes.values())} inputs, by exit code {dict(trial.outcomes)}, in {took:.0f} s")
    assert not wrong, "\n".join(wrong)
