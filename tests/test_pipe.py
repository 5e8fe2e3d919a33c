"""FLAC and bare samples on pipes, and how soon a listener hears something."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from restorer.audio import AudioFormat
from restorer.audio.files import _open_stream
from restorer.audio.pipe import FlacStreamWriter
from restorer.audio.stream import WavStreamWriter
from restorer.errors import AudioError
from restorer.restoration.classical_stage import WINDOW_S as CLASSICAL_S
from restorer.restoration.job import restore_file
from restorer.restoration.settings import BWE, DECLIP, INPAINT
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting
from restorer.restoration.wanted import LIKE_INPUT, Wanted
from tests.tiny import WhitePrior

needs_tools = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("sox")), reason="no ffmpeg, or no sox")
RATE = 8000
WINDOW = 4096
STEPS = np.random.default_rng(0).integers(-9000, 9000, (44100, 2)).astype(np.int16)


def flac(steps=STEPS, rate=44100):
    file = io.BytesIO()
    soundfile.write(file, steps, rate, "PCM_16", format="FLAC")
    return file.getvalue()


def everything(reader, size=5000):
    blocks = []
    while len(block := reader.read(size)):
        blocks.append(block)
    return np.concatenate([np.zeros((0, reader.format.channels)), *blocks])


def opened(raw, form=None):
    return _open_stream(io.BytesIO(raw), "standard input", form)


# In


def test_flac_is_read_from_a_pipe():
    reader = opened(flac())
    assert reader.format == AudioFormat("FLAC", "PCM_16", 44100, 2)
    assert reader.frames == 44100
    assert np.array_equal(everything(reader) * 32768, STEPS)
    assert not reader.truncated


@needs_tools
def test_flac_of_unknown_length_is_read_from_a_pipe(tmp_path):
    soundfile.write(tmp_path / "a.wav", STEPS, 44100)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-f", "flac", "-"]
    reader = opened(subprocess.run(command, capture_output=True, check=True).stdout)
    assert np.array_equal(everything(reader) * 32768, STEPS)


def test_a_flac_that_is_cut_off_is_read_to_its_end():
    raw = flac()
    reader = opened(raw[: len(raw) // 2])
    got = everything(reader) * 32768
    assert 10000 < len(got) < 40000
    assert np.array_equal(got, STEPS[: len(got)])
    assert reader.truncated


@pytest.mark.parametrize("raw", [b"fLaC", b"fLaC" + bytes(100), flac()[:30]])
def test_what_only_begins_as_flac_is_refused(raw):
    with pytest.raises(AudioError, match="standard input is not a FLAC"):
        opened(raw)


def test_flac_is_decoded_while_it_arrives():
    raw = flac()
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as source, os.fdopen(theirs, "wb", buffering=0) as sink:
        sink.write(raw[:50000])  # of which a pipe holds 65536
        got = []
        thread = threading.Thread(target=lambda: got.append(_open_stream(source, "x", None).read(5000)), daemon=True)
        thread.start()
        thread.join(timeout=20)
        waits = thread.is_alive()
    assert not waits
    assert np.array_equal(got[0] * 32768, STEPS[:5000])


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_within_the_decoder_is_not_swallowed(error):
    raw = io.BytesIO(flac())

    class Interrupted:
        def read(self, count):
            if raw.tell() > 60000:
                raise error
            return raw.read(count)

    reader = _open_stream(Interrupted(), "standard input", None)
    with pytest.raises(error):
        everything(reader)


RAW = {
    "PCM_U8": lambda x: (x / 256 + 128).astype("u1"),
    "PCM_S8": lambda x: (x / 256).astype("i1"),
    "PCM_16": lambda x: x.astype("<i2"),
    "PCM_32": lambda x: x.astype("<i4") << 16,
    "FLOAT": lambda x: (x / 32768).astype("<f4"),
    "DOUBLE": lambda x: (x / 32768).astype("<f8"),
}


@pytest.mark.parametrize("subtype", RAW)
def test_bare_samples_are_read(subtype):
    steps = STEPS // 256 * 256
    reader = opened(RAW[subtype](steps).tobytes() + b"\1", AudioFormat("RAW", subtype, 44100, 2))
    assert np.array_equal(everything(reader) * 32768, steps)


def test_24_bare_bits_are_read():
    raw = b"".join(int(step).to_bytes(4, "little", signed=True)[:3] for step in STEPS[:100].ravel())
    reader = opened(raw, AudioFormat("RAW", "PCM_24", 44100, 2))
    assert np.array_equal(everything(reader) * 2**23, STEPS[:100])


# Out


def sent(writer, samples, size=777):
    with writer:
        for start in range(0, len(samples), size):
            writer.write(samples[start : start + size])


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_flac_is_written_to_a_pipe(subtype, channels):
    pipe = io.BytesIO()
    samples = np.random.default_rng(0).integers(-128, 128, (20000, channels)) / 128
    sent(FlacStreamWriter(pipe, AudioFormat("FLAC", subtype, 44100, channels)), samples)
    reader = opened(pipe.getvalue())
    assert reader.format == AudioFormat("FLAC", subtype, 44100, channels)
    assert np.array_equal(everything(reader), samples)


@needs_tools
@pytest.mark.parametrize("listener", ["ffmpeg", "sox"])
@pytest.mark.parametrize("container", ["FLAC", "WAV"])
def test_what_is_written_to_a_pipe_is_read_by_others(listener, container):
    pipe = io.BytesIO()
    kind = FlacStreamWriter if container == "FLAC" else WavStreamWriter
    sent(kind(pipe, AudioFormat(container, "PCM_16", 44100, 2)), STEPS / 32768)
    words = {
        "ffmpeg": ["ffmpeg", "-v", "error", "-i", "-", "-f", "s16le", "-"],
        "sox": ["sox", "-V1", "-t", container.lower(), "--ignore-length", "-", "-t", "raw", "-"],
    }[listener]
    got = subprocess.run(words, input=pipe.getvalue(), capture_output=True, check=True)
    assert got.stdout == STEPS.tobytes()


def test_no_samples_are_a_flac_too():
    pipe = io.BytesIO()
    sent(FlacStreamWriter(pipe, AudioFormat("FLAC", "PCM_16", 44100, 2)), np.zeros((0, 2)))
    assert soundfile.info(io.BytesIO(pipe.getvalue())).samplerate == 44100


def test_bare_samples_are_written():
    pipe = io.BytesIO()
    sent(WavStreamWriter(pipe, AudioFormat("RAW", "PCM_16", 44100, 2)), STEPS / 32768)
    assert pipe.getvalue() == STEPS.tobytes()


def test_a_listener_of_flac_that_leaves_is_a_broken_pipe():
    ours, theirs = os.pipe()
    os.close(ours)
    writer = FlacStreamWriter(os.fdopen(theirs, "wb", buffering=0), AudioFormat("FLAC", "PCM_16", 44100, 2))
    with pytest.raises(BrokenPipeError):
        sent(writer, STEPS / 32768)


@pytest.mark.parametrize(
    ("subtype", "channels", "rate"),
    [("FLOAT", 2, 44100), ("PCM_32", 2, 44100), ("PCM_16", 9, 44100), ("PCM_16", 1, 88201), ("PCM_16", 1, 700_000)],
)
def test_what_flac_lacks_is_refused(subtype, channels, rate):
    with pytest.raises(AudioError, match="leave out --format"):
        FlacStreamWriter(io.BytesIO(), AudioFormat("FLAC", subtype, rate, channels))


class Asked(BaseException):
    """What the handler of a signal raises."""


def test_a_request_to_end_is_heard_while_flac_is_written():
    def ask(number, frame):
        raise Asked

    before = signal.signal(signal.SIGALRM, ask)
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, (60 * 44100, 2))
    try:
        for delay in np.linspace(0.01, 0.05, 20):
            with Path(os.devnull).open("wb") as nowhere:
                writer = FlacStreamWriter(nowhere, AudioFormat("FLAC", "PCM_24", 44100, 2))
                signal.setitimer(signal.ITIMER_REAL, delay)
                with pytest.raises(Asked):
                    sent(writer, sound, size=44100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# How soon

TASKS = [
    (BandwidthExtension(1000.0), replace(BWE, n_steps=1)),
    (Declipping(0.1), replace(DECLIP, n_steps=1)),
    (Inpainting(((1.0, 1.15), (100.0, 100.1))), replace(INPAINT, n_steps=1)),
]


@pytest.mark.parametrize(("task", "settings"), TASKS)
@pytest.mark.parametrize("wanted", [LIKE_INPUT, Wanted("flac", clip_mode="clamp")])
def test_a_slow_producer_is_heard_after_a_few_windows(tmp_path, monkeypatch, task, settings, wanted):
    os.mkfifo(tmp_path / "in")
    ours, theirs = os.pipe()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=os.fdopen(theirs, "wb"), isatty=lambda: False))
    done = []

    def restore():
        done.append(restore_file(tmp_path / "in", "-", task, WhitePrior(), settings, wanted=wanted))
        sys.stdout.buffer.close()

    thread = threading.Thread(target=restore, daemon=True)
    thread.start()
    first = round(CLASSICAL_S * RATE) + 4 * WINDOW  # each stage waits for a window of its own
    steps = np.random.default_rng(0).integers(-3000, 3000, first + 4 * WINDOW).astype("<i2")
    header = io.BytesIO()
    with WavStreamWriter(header, AudioFormat("WAV", "PCM_16", RATE, 1)):
        pass
    with (tmp_path / "in").open("wb", buffering=0) as producer, os.fdopen(ours, "rb", buffering=0) as listener:
        producer.write(header.getvalue() + steps[:first].tobytes())
        early = b""
        while len(early) < WINDOW:  # hangs here if nothing comes before the end
            early += listener.read(65536)
        producer.write(steps[first:].tobytes())
        producer.close()
        whole = early + listener.read()
        while more := listener.read(65536):
            whole += more
    thread.join(timeout=20)
    assert done[0].seconds == len(steps) / RATE
    assert len(everything(opened(whole))) == len(steps)
