"""WAV on pipes: headers of every kind, good and bad, and ffmpeg and sox at the other end."""

import io
import os
import pty
import shutil
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from restorer.audio import AudioFormat, open_reader, open_writer
from restorer.audio.samples import from_bytes, to_bytes, to_fixed
from restorer.audio.stream import WavStreamReader, WavStreamWriter, is_other_audio
from restorer.errors import AudioError, UsageError

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not here")
needs_sox = pytest.mark.skipif(not shutil.which("sox"), reason="sox is not here")
SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]
UNKNOWN = 0xFFFFFFFF
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
PASS = """
from restorer.audio import open_reader, open_writer
with open_reader("-") as reader, open_writer("-", reader.format) as writer:
    while len(block := reader.read(1000)):
        writer.write(block)
"""
SOUND = np.arange(-10, 10, dtype="<i2").reshape(-1, 2)


def chunk(kind, body, size=None):
    return kind + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)


def fmt(code=1, channels=2, rate=44100, width=4, bits=16, rest=b""):
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * width, width, bits) + rest)


def wav(*chunks, kind=b"RIFF", size=None):
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def reader_of(raw):
    return WavStreamReader(io.BytesIO(raw), "standard input")


def everything(reader, size=7):
    blocks = []
    while len(block := reader.read(size)):
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, reader.format.channels))


def steps(reader):
    """The samples of a 16-bit stream as integers."""
    return (everything(reader) * 32768).astype(int).tolist()


def in_process(script, stdin, **options):
    return subprocess.run([sys.executable, "-c", script], input=stdin, capture_output=True, timeout=60, **options)


# Samples


@given(st.binary(max_size=480), st.sampled_from([8, 16, 24, 32]))
def test_fixed_point_comes_back_bit_for_bit(raw, bits):
    raw = raw[: len(raw) // 12 * 12]
    fixed, clipped = to_fixed(from_bytes(raw, bits), bits)
    assert to_bytes(fixed, bits) == raw
    assert clipped == 0


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_is_written_is_read_by_us_and_by_libsndfile(subtype, channels):
    samples = np.random.default_rng(0).integers(-128, 128, (500, channels)) / 128  # every subtype holds these
    pipe = io.BytesIO()
    with WavStreamWriter(pipe, AudioFormat("WAV", subtype, 22050, channels)) as writer:
        for start in range(0, 500, 77):
            writer.write(samples[start : start + 77])
    assert writer.frames == 500
    reader = reader_of(pipe.getvalue())
    assert reader.format == AudioFormat("WAV", subtype, 22050, channels)
    assert np.array_equal(everything(reader), samples)
    assert not reader.truncated
    theirs, rate = soundfile.read(io.BytesIO(pipe.getvalue()), always_2d=True)
    assert rate == 22050
    assert np.array_equal(theirs, samples)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_what_libsndfile_writes_is_read(container, subtype):
    samples = np.random.default_rng(0).integers(-128, 128, (500, 2)) / 128
    file = io.BytesIO()
    soundfile.write(file, samples, 48000, subtype, format=container)
    reader = reader_of(file.getvalue())
    assert reader.format == AudioFormat("RF64" if container == "RF64" else "WAV", subtype, 48000, 2)
    assert np.array_equal(everything(reader), samples)


def test_peaks_are_held_and_counted():
    pipe = io.BytesIO()
    with WavStreamWriter(pipe, AudioFormat("WAV", "PCM_16", 44100, 1)) as writer:
        writer.write(np.array([[1.0], [-1.0], [7.0], [-7.0]]))
    assert writer.clipped == 3
    assert steps(reader_of(pipe.getvalue())) == [[32767], [-32768], [32767], [-32768]]


@pytest.mark.parametrize(("subtype", "becomes"), [("PCM_S8", "PCM_U8"), ("ALAC_20", "PCM_24"), ("ALAC_16", "PCM_16")])
def test_a_subtype_that_wav_lacks_becomes_its_equal(subtype, becomes):
    assert WavStreamWriter(io.BytesIO(), AudioFormat("CAF", subtype, 44100, 1)).format.subtype == becomes


def test_no_samples_are_a_wav_too():
    pipe = io.BytesIO()
    with WavStreamWriter(pipe, AudioFormat("WAV", "PCM_16", 44100, 2)):
        pass
    assert steps(reader_of(pipe.getvalue())) == []


# Headers


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("plain", wav(fmt(), chunk(b"data", SOUND.tobytes()))),
        ("both sizes unknown", wav(fmt(), chunk(b"data", SOUND.tobytes(), UNKNOWN), size=UNKNOWN)),
        ("both sizes zero", wav(fmt(), chunk(b"data", SOUND.tobytes(), 0), size=0)),
        ("never mended after opening", wav(fmt(), chunk(b"data", SOUND.tobytes(), 0), size=36)),
        ("only the size of the sound is zero", wav(fmt(), chunk(b"data", SOUND.tobytes(), 0))),
        ("RF64 of which only the sound's is zero", wav(chunk(b"ds64", struct.pack("<QQQI", 200, 0, 0, 0)), fmt(),
                                                       chunk(b"data", SOUND.tobytes(), UNKNOWN), kind=b"RF64")),
        ("libsndfile's on pipes", wav(fmt(), chunk(b"data", SOUND.tobytes(), 0), size=8)),
        ("sox's 2 GiB", wav(fmt(), chunk(b"data", SOUND.tobytes(), 0x7FFFF000), size=0x7FFFF024)),
        ("odd chunks ahead", wav(chunk(b"JUNK", b"abc"), chunk(b"bext", bytes(602)), fmt(), chunk(b"fact", bytes(4)),
                                 chunk(b"LIST", b"INFOISFT\5\0\0\0hello\0"), chunk(b"data", SOUND.tobytes()))),
        ("chunks behind", wav(fmt(), chunk(b"data", SOUND.tobytes()), chunk(b"LIST", b"INFO" * 100))),
        ("extensible", wav(fmt(0xFFFE, rest=struct.pack("<HHIH", 22, 16, 3, 1) + GUID_TAIL),
                           chunk(b"data", SOUND.tobytes()))),
        ("a longer fmt", wav(fmt(rest=bytes(24)), chunk(b"data", SOUND.tobytes()))),
        ("RF64", wav(chunk(b"ds64", struct.pack("<QQQI", 200, SOUND.nbytes, 10, 0)), fmt(),
                     chunk(b"data", SOUND.tobytes(), UNKNOWN), chunk(b"LIST", b"INFO"), kind=b"RF64", size=UNKNOWN)),
        ("RF64 of unknown size", wav(chunk(b"ds64", struct.pack("<QQQI", 0, 0, 0, 0)), fmt(),
                                     chunk(b"data", SOUND.tobytes(), UNKNOWN), kind=b"RF64", size=UNKNOWN)),
        ("a part of a frame behind", wav(fmt(), chunk(b"data", SOUND.tobytes() + b"\1\2\3", UNKNOWN))[:-1]),
    ],
)  # fmt: skip
def test_headers(name, raw):
    reader = reader_of(raw)
    assert (reader.format.subtype, reader.format.sample_rate, reader.format.channels) == ("PCM_16", 44100, 2)
    assert reader.frames is None
    assert steps(reader) == SOUND.tolist()
    assert not reader.truncated


def test_empty_sound_with_a_chunk_behind_stays_empty():
    assert steps(reader_of(wav(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO" * 100)))) == []


def test_a_promise_not_kept_is_read_and_told():
    reader = reader_of(wav(fmt(), chunk(b"data", SOUND.tobytes(), 4000)))
    assert steps(reader) == SOUND.tolist()
    assert reader.truncated


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"RIFF", "is not a WAV"),
        (b"hello world, this is text", "is not a WAV"),
        (b"RIFF\0\0\0\0AVI LIST", "is not a WAV"),
        (wav(fmt())[:30], "ends within its WAV header"),
        (wav(fmt()), "ends within its WAV header"),
        (wav(chunk(b"JUNK", b"", 0xFFFFFFF0)), "ends within its WAV header"),
        (wav(chunk(b"data", SOUND.tobytes())), "has samples before its format"),
        (wav(chunk(b"fmt ", b"\1\0\2\0")), "a WAV format of 4 bytes"),
        (wav(fmt(channels=0, width=0)), "claims 0 channels"),
        (wav(fmt(channels=65535, width=65534)), "claims 65535 channels"),
        (wav(fmt(rate=0)), "sample rate of 0 Hz"),
        (wav(fmt(rate=900_000)), "sample rate of 900000 Hz"),
        (wav(fmt(width=6)), "claims frames of 6 bytes"),
        (wav(fmt(bits=0)), "codec 0x0001 with 0 bits"),
        (wav(fmt(bits=48, width=12)), "codec 0x0001 with 48 bits"),
        (wav(fmt(code=2, bits=4)), "codec 0x0002"),
        (wav(fmt(code=7, bits=8, width=2)), "codec 0x0007"),
        (wav(fmt(code=3, bits=16)), "codec 0x0003 with 16 bits"),
        (wav(fmt(0xFFFE, rest=bytes(24))), "codec 0xfffe"),
    ],
)
def test_bad_headers_are_refused(raw, message):
    with pytest.raises(AudioError, match=message) as caught:
        reader_of(raw)
    assert str(caught.value).startswith("standard input ")
    assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 44))
def test_no_header_does_worse_than_an_audio_error(noise, where):
    raw = bytearray(wav(fmt(), chunk(b"data", SOUND.tobytes())))
    raw[where : where + len(noise)] = noise
    try:
        blocks = everything(reader_of(bytes(raw)))
    except AudioError:
        return
    assert len(blocks) <= len(raw)


def test_floats_that_are_not_finite_are_refused():
    samples = np.zeros(100, "<f4")
    samples[50] = np.nan
    with pytest.raises(AudioError, match=r"is nan at .* \(sample 50, channel 1\)"):
        everything(reader_of(wav(fmt(3, 1, 44100, 4, 32), chunk(b"data", samples.tobytes()))))


# Pipes


def test_what_has_arrived_is_read_at_once():
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as source, os.fdopen(theirs, "wb", buffering=0) as sink:
        sink.write(wav(fmt(), chunk(b"data", SOUND.tobytes(), UNKNOWN), size=UNKNOWN))
        reader = WavStreamReader(source, "standard input")
        got = []
        thread = threading.Thread(target=lambda: got.append(reader.read(100_000)))
        thread.start()
        thread.join(timeout=5)
        waits = thread.is_alive()
        sink.close()  # lets the thread go, should it wait
        thread.join()
    assert not waits
    assert (got[0] * 32768).astype(int).tolist() == SOUND.tolist()


def test_every_block_leaves_at_once():
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb", buffering=0) as source, os.fdopen(theirs, "wb") as sink:
        writer = WavStreamWriter(sink, AudioFormat("WAV", "PCM_16", 44100, 1))
        writer.write(np.zeros((10, 1)))
        os.set_blocking(ours, False)
        assert len(source.read(1000) or b"") == 44 + 20


def test_a_listener_that_leaves_is_a_broken_pipe():
    ours, theirs = os.pipe()
    os.close(ours)
    sink = os.fdopen(theirs, "wb")
    with pytest.raises(BrokenPipeError), WavStreamWriter(sink, AudioFormat("WAV", "PCM_16", 44100, 1)) as writer:
        writer.write(np.zeros((10, 1)))
    with pytest.raises(BrokenPipeError):
        sink.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_behind_standard_output():
    sink = open("/dev/full", "wb")  # noqa: SIM115 (closing it fails, too)
    with (
        pytest.raises(AudioError, match="No space left"),
        WavStreamWriter(sink, AudioFormat("WAV", "PCM_16", 44100, 1)) as out,
    ):
        out.write(np.zeros((10, 1)))
    with pytest.raises(OSError, match="No space left"):
        sink.close()


def test_terminals_are_refused(monkeypatch):
    _, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as end:
        monkeypatch.setattr(sys, "stdout", end)
        monkeypatch.setattr(sys, "stdin", end)
        with pytest.raises(UsageError, match="standard output is a terminal"):
            open_writer("-", AudioFormat("WAV", "PCM_16", 44100, 1))
        with pytest.raises(UsageError, match="standard input is a terminal"):
            open_reader("-")


def test_lossy_subtypes_are_refused():
    with pytest.raises(AudioError, match="cannot hold VORBIS"):
        WavStreamWriter(io.BytesIO(), AudioFormat("OGG", "VORBIS", 44100, 1))


@pytest.fixture
def take(tmp_path):
    path = tmp_path / "take.wav"
    soundfile.write(path, np.random.default_rng(1).integers(-9000, 9000, (44100, 2)).astype(np.int16), 44100, "PCM_16")
    return path


@pytest.mark.parametrize("container", ["AIFF", "CAF", "W64", "AU"])
def test_other_formats_on_standard_input_are_spooled(take, container):
    samples, rate = soundfile.read(take, dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_16", format=container)
    done = in_process(PASS, file.getvalue(), env={**os.environ, "TMPDIR": str(take.parent)})
    assert done.stderr == b""
    assert np.array_equal(soundfile.read(io.BytesIO(done.stdout), dtype="int16")[0], samples)
    assert list(take.parent.iterdir()) == [take]  # the copy is gone


def test_openings():
    assert is_other_audio(b"\xff\xfb\x90\x00")  # MP3 without ID3
    assert is_other_audio(b"ID3\x04")
    assert is_other_audio(b"\0\0\0\x20ftypM4A ")
    assert not is_other_audio(b"RIFF")
    assert not is_other_audio(b"")


def test_a_broken_flac_on_standard_input_names_standard_input():
    done = in_process(PASS, b"fLaC" + bytes(100))
    assert b"AudioError: standard input is not a" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_a_stream(take, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(take.read_bytes()))
    thread.start()
    with open_reader(pipe) as reader:
        assert reader.frames is None
        assert np.array_equal(everything(reader, 1000), soundfile.read(take, always_2d=True)[0])
    thread.join()


CODECS = [
    ("u8", "PCM_U8"),
    ("s16le", "PCM_16"),
    ("s24le", "PCM_24"),
    ("s32le", "PCM_32"),
    ("f32le", "FLOAT"),
    ("f64le", "DOUBLE"),
]


@needs_ffmpeg
@pytest.mark.parametrize(("codec", "subtype"), CODECS)
def test_between_two_ffmpegs(take, codec, subtype):
    script = f"ffmpeg -v error -i {take} -c:a pcm_{codec} -f wav - | {sys.executable} -c '{PASS}'"
    script += f" | ffmpeg -v error -i - -f {codec} -c:a pcm_{codec} -"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, timeout=60, check=True)
    direct = ["ffmpeg", "-v", "error", "-i", take, "-f", codec, "-c:a", f"pcm_{codec}", "-"]
    assert done.stdout == subprocess.run(direct, capture_output=True, check=True).stdout
    assert done.stderr == b""


@needs_sox
@pytest.mark.parametrize(
    "options", [["-b", "16"], ["-b", "24"], ["-b", "32"], ["-b", "32", "-e", "float"], ["-b", "8"]]
)
def test_between_two_soxes(take, options):
    made = subprocess.run(
        ["sox", "-D", "-V1", take, *options, "-t", "wav", "-"], capture_output=True, check=True
    ).stdout
    passed = in_process(PASS, made)
    assert passed.stderr == b""
    raw = ["sox", "-D", "-V1", "--ignore-length", "-t", "wav", "-", "-b", "32", "-e", "signed", "-t", "raw", "-"]
    got, meant = (subprocess.run(raw, input=each, capture_output=True, check=True) for each in (passed.stdout, made))
    assert got.stdout == meant.stdout
    assert len(got.stdout) == 44100 * 2 * 4


def test_ours_into_ours_without_any_other_program(take):
    done = in_process(PASS, in_process(PASS, take.read_bytes()).stdout)
    assert done.stdout[44:] == take.read_bytes()[44:]
