"""Formats out: like the input, as asked, as named; each is written and read back by libsndfile and ffprobe."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from restorer.audio import AudioFormat
from restorer.errors import UsageError
from restorer.restoration.job import restore_file
from restorer.restoration.plan import plan_jobs
from restorer.restoration.result import require_sensible, result_format
from restorer.restoration.settings import DECLIP, INPAINT
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting
from restorer.restoration.wanted import LIKE_INPUT, Wanted
from tests.tiny import WhitePrior

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not here")
RATE = 8000
GAP = Inpainting(((0.2, 0.22),))
QUICK = replace(INPAINT, n_steps=1)
DULL = BandwidthExtension(1000.0)


def form(container, subtype, rate=44100, channels=2):
    return AudioFormat(container, subtype, rate, channels)


@pytest.mark.parametrize(
    ("source", "wanted", "name", "expected"),
    [
        (("WAV", "PCM_24"), LIKE_INPUT, "a.wav", ("WAV", "PCM_24")),
        (("RF64", "PCM_24"), LIKE_INPUT, "a.wav", ("RF64", "PCM_24")),
        (("WAVEX", "PCM_16"), LIKE_INPUT, "a.wav", ("WAVEX", "PCM_16")),
        (("MP3", "MPEG_LAYER_III"), LIKE_INPUT, None, ("FLAC", "PCM_24")),
        (("MP3", "MPEG_LAYER_III"), LIKE_INPUT, "a.wav", ("WAV", "PCM_24")),
        (("MP3", "MPEG_LAYER_III"), Wanted("ogg"), None, ("OGG", "VORBIS")),
        (("FLAC", "PCM_24"), Wanted(bits="16"), None, ("FLAC", "PCM_16")),
        (("FLAC", "PCM_16"), Wanted(bits="float"), None, ("WAV", "FLOAT")),
        (("FLAC", "PCM_16"), Wanted(clip_mode="float"), None, ("WAV", "FLOAT")),
        (("WAV", "PCM_32"), Wanted(clip_mode="float"), None, ("WAV", "DOUBLE")),
        (("WAV", "FLOAT"), Wanted("flac"), None, ("FLAC", "PCM_24")),
        (("WAV", "PCM_U8"), Wanted("flac"), None, ("FLAC", "PCM_S8")),
        (("FLAC", "PCM_S8"), Wanted("wav"), None, ("WAV", "PCM_U8")),
        (("CAF", "ALAC_16"), LIKE_INPUT, "a.caf", ("CAF", "ALAC_16")),
        (("CAF", "ALAC_24"), Wanted("aiff"), None, ("AIFF", "PCM_24")),
        (("FLAC", "PCM_16"), LIKE_INPUT, "-", ("WAV", "PCM_16")),
        (("FLAC", "PCM_16"), Wanted("flac"), "-", ("FLAC", "PCM_16")),
        (("FLAC", "PCM_16"), Wanted("raw", bits="float"), "-", ("RAW", "FLOAT")),
        (("RAW", "PCM_16"), LIKE_INPUT, "-", ("WAV", "PCM_16")),
        (("RAW", "PCM_S8"), LIKE_INPUT, None, ("WAV", "PCM_U8")),
        (("WAV", "PCM_16"), LIKE_INPUT, "a.aif", ("AIFF", "PCM_16")),
        (("WAV", "PCM_16"), LIKE_INPUT, "a.rf64", ("RF64", "PCM_16")),
        (("WAV", "PCM_16"), LIKE_INPUT, "a.dat", ("WAV", "PCM_16")),
    ],
)
def test_the_format_of_a_result(source, wanted, name, expected):
    target = Path(name) if name not in (None, "-") else name
    assert result_format(form(*source), wanted, DULL, target) == form(*expected)


@pytest.mark.parametrize(
    ("source", "wanted", "name", "message"),
    [
        (("WAV", "PCM_16"), LIKE_INPUT, "a.mp3", "would hold WAV"),
        (("WAV", "PCM_16"), Wanted("flac"), "a.wav", "would hold FLAC"),
        (("FLAC", "PCM_16"), Wanted(bits="float"), "a.flac", "FLAC cannot hold FLOAT"),
        (("FLAC", "PCM_16"), Wanted("flac", bits="32"), None, "FLAC cannot hold PCM_32"),
        (("WAV", "PCM_16"), Wanted("mp3", bits="24"), None, "--bits 24 makes no sense"),
        (("WAV", "PCM_16"), Wanted(bits="24", clip_mode="float"), None, "contradicts --bits 24"),
    ],
)
def test_what_contradicts_itself_is_refused(source, wanted, name, message):
    with pytest.raises(UsageError, match=message):
        result_format(form(*source), wanted, DULL, None if name is None else Path(name))


@pytest.mark.parametrize(
    ("wanted", "to_stream", "message"),
    [
        (Wanted("aiff"), True, "cannot be written to a pipe"),
        (Wanted("raw"), False, "for standard output"),
        (Wanted(sample_rate=10), False, "--rate 10 lies outside"),
    ],
)
def test_what_nobody_could_have_is_refused(wanted, to_stream, message):
    with pytest.raises(UsageError, match=message):
        require_sensible(wanted, to_stream=to_stream)


def test_peaks_of_declipping_get_room_where_there_is_some():
    loud, soft = Declipping(0.9), Declipping(0.2)
    assert result_format(form("WAV", "PCM_16"), LIKE_INPUT, loud, None).subtype == "FLOAT"
    assert result_format(form("WAV", "PCM_16"), LIKE_INPUT, soft, None).subtype == "PCM_16"
    assert result_format(form("FLAC", "PCM_16"), LIKE_INPUT, loud, None) == form("FLAC", "PCM_16")
    assert result_format(form("WAV", "PCM_16"), Wanted(clip_mode="clamp"), loud, None).subtype == "PCM_16"
    assert result_format(form("WAV", "PCM_16"), Wanted(bits="24"), loud, None).subtype == "PCM_24"


def music(seconds=0.5, channels=2, rate=RATE, gain=0.1):
    return gain * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))


def restored(source, target, task=GAP, settings=QUICK, **options):
    return restore_file(source, target, task, WhitePrior(), settings, **options)


def probed(path):
    what = "stream=codec_name,sample_rate,channels,bits_per_raw_sample,sample_fmt:format=format_name"
    words = ["ffprobe", "-v", "error", "-show_entries", what, "-of", "json", path]
    found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return found["format"]["format_name"], found["streams"][0]


OUT = [
    ("wav", "16", "wav", "pcm_s16le"), ("wav", "24", "wav", "pcm_s24le"), ("wav", "32", "wav", "pcm_s32le"),
    ("wav", "float", "wav", "pcm_f32le"), ("flac", "16", "flac", "flac"), ("flac", "24", "flac", "flac"),
    ("aiff", "24", "aiff", "pcm_s24be"), ("aiff", "float", "aiff", "pcm_f32be"), ("caf", "16", "caf", "pcm_s16be"),
    ("w64", "24", "w64", "pcm_s24le"), ("rf64", "16", "wav", "pcm_s16le"), ("au", "16", "au", "pcm_s16be"),
]  # fmt: skip
IN = [
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_24"), ("AIFF", "PCM_16"), ("CAF", "PCM_24"),
    ("FLAC", "PCM_S8"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("AU", "PCM_16"), ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip


@needs_ffmpeg
@pytest.mark.parametrize(("name", "bits", "container", "codec"), OUT)
def test_ffprobe_sees_what_was_asked_for(tmp_path, name, bits, container, codec):
    soundfile.write(tmp_path / "in.flac", music(), RATE, "PCM_16")
    target = tmp_path / f"out.{'wav' if name == 'rf64' else name}"
    report = restored(tmp_path / "in.flac", target, wanted=Wanted(name, bits))
    said, stream = probed(target)
    assert said == container
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == (codec, str(RATE), 2)
    if name == "flac":
        assert stream["bits_per_raw_sample"] == bits
    assert (target.read_bytes()[:4] == b"RF64") == (name == "rf64")
    assert report.verification.deviation == 0  # from 16 bits nothing is lost in any of them


@pytest.mark.parametrize(("container", "subtype"), IN)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("to", ["like", "flac", "wav"])
def test_every_format_in_comes_out(tmp_path, container, subtype, channels, to):
    rate = 8000 if container != "MP3" else 16000
    soundfile.write(tmp_path / "in", music(channels=channels, rate=rate), rate, subtype, format=container)
    wanted = LIKE_INPUT if to == "like" else Wanted(to)
    report = restored(tmp_path / "in", tmp_path / "out", wanted=wanted)
    before, after = soundfile.info(tmp_path / "in"), soundfile.info(tmp_path / "out")
    lossy = subtype in ("VORBIS", "MPEG_LAYER_III")
    if to == "like" and not lossy:
        assert (after.format, after.subtype) == (container, subtype)
    else:
        assert after.format == {"like": "FLAC", "flac": "FLAC", "wav": "WAV"}[to]
    assert (after.samplerate, after.channels) == (rate, channels)
    if container != "MP3":  # the header of an MP3 estimates
        assert after.frames == before.frames
    assert report.verification.is_kept
    loses = lossy or (to == "flac" and subtype in ("PCM_32", "FLOAT", "DOUBLE"))
    assert (report.verification.deviation == 0) == (not loses)


@pytest.mark.parametrize("channels", range(1, 9))
def test_up_to_eight_channels(tmp_path, channels):
    soundfile.write(tmp_path / "in.flac", music(channels=channels), RATE, "PCM_24")
    restored(tmp_path / "in.flac", tmp_path / "out.flac")
    assert soundfile.info(tmp_path / "out.flac").channels == channels


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
def test_rates_from_8_to_192_khz(tmp_path, rate):
    soundfile.write(tmp_path / "in.wav", music(rate=rate), rate, "PCM_24")
    report = restored(tmp_path / "in.wav", tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").samplerate == rate
    assert report.verification.deviation == 0


@pytest.mark.parametrize("rate", [6000, 11025, 44100])
def test_another_rate_is_the_same_sound(tmp_path, rate):
    sound = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)[:, None] * 0.5
    soundfile.write(tmp_path / "in.wav", sound, RATE, "FLOAT")
    restored(tmp_path / "in.wav", tmp_path / "out.wav", wanted=Wanted(sample_rate=rate))
    out, got = soundfile.read(tmp_path / "out.wav")
    assert (got, len(out)) == (rate, rate)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    # Away from the gap and the ends; the error of soxr's filters at a tenth of Nyquist, and that of 32-bit samples.
    np.testing.assert_allclose(out[rate // 2 : -rate // 8], expected[rate // 2 : -rate // 8], atol=1e-5)


def test_content_is_believed_and_the_name_follows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("take.wav", music(), RATE, "PCM_16", format="FLAC")
    soundfile.write("song", music(), 16000, format="MP3")
    soundfile.write("tape", music(), RATE, format="WAV")
    plan = plan_jobs(["take.wav", "song", "tape"], None, GAP)
    assert [str(job.target) for job in plan.jobs] == ["take.restored.flac", "song.restored.flac", "tape.restored"]


def test_what_was_asked_for_changes_the_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("take.flac", music(), RATE)
    for wanted, name in [(Wanted("aiff"), "take.restored.aiff"), (Wanted(bits="float"), "take.restored.wav")]:
        assert [str(job.target) for job in plan_jobs(["take.flac"], None, GAP, wanted=wanted).jobs] == [name]


# Peaks


@pytest.fixture
def clipped(tmp_path):
    """A take that was clipped at 0.9, and what is left of it."""
    sound = np.clip(music(gain=0.6), -0.9, 0.9)
    for suffix in ("wav", "flac"):
        soundfile.write(tmp_path / f"in.{suffix}", sound, RATE, "PCM_16")
    return tmp_path


def declipped(folder, name, mode, **options):
    settings = replace(DECLIP, n_steps=1)
    wanted = Wanted(clip_mode=mode, **options)
    return restored(folder / name, folder / f"out.{name[3:]}", Declipping(0.9), settings, wanted=wanted)


def test_flac_holds_peaks_and_says_how_many_and_how_high(clipped):
    report = declipped(clipped, "in.flac", None)
    assert soundfile.info(clipped / "out.flac").subtype == "PCM_16"
    assert any("samples above full scale, the highest at +" in note and "--clip-mode" in note for note in report.notes)
    assert report.verification.deviation == 0


def test_turned_down_by_one_gain_that_is_said(clipped):
    report = declipped(clipped, "in.flac", "rescale")
    before, after = (soundfile.read(clipped / f"{name}.flac")[0] for name in ("in", "out"))
    said = next(note for note in report.notes if "turned down" in note)
    gain = 10 ** (-float(said.split(" by ")[1].split(" dB")[0]) / 20)
    assert gain < 1
    assert not any("above full scale" in note for note in report.notes)
    sound = np.abs(before) < 0.89
    # Rounding and dither are two steps of 16 bits, and the note gives hundredths of a decibel.
    np.testing.assert_allclose(after[sound], gain * before[sound], atol=2 / 32768 + 0.0012)
    assert 0.99 < np.abs(after).max() < 1


def test_without_peaks_nothing_is_turned_down(tmp_path):
    soundfile.write(tmp_path / "in.wav", music(), RATE, "PCM_16")
    report = restored(tmp_path / "in.wav", tmp_path / "out.wav", wanted=Wanted(clip_mode="rescale"))
    before, after = (soundfile.read(tmp_path / f"{name}.wav", dtype="int16")[0] for name in ("in", "out"))
    sound = slice(round(0.22 * RATE) + 64, None)
    np.testing.assert_array_equal(before[sound], after[sound])
    assert not any("turned down" in note for note in report.notes)


def test_floating_point_keeps_peaks(clipped):
    report = declipped(clipped, "in.wav", "float")
    assert soundfile.info(clipped / "out.wav").subtype == "FLOAT"
    assert np.abs(soundfile.read(clipped / "out.wav")[0]).max() > 1
    assert not any("floating point" in note for note in report.notes)  # which was asked for


def test_floating_point_is_said_where_nobody_asked_for_it(clipped):
    assert any("floating point" in note for note in declipped(clipped, "in.wav", None).notes)
    asked = restored(clipped / "in.wav", clipped / "out.aiff", wanted=Wanted("aiff", "float"))
    assert not any("floating point" in note for note in asked.notes)


@pytest.mark.parametrize("rate", [None, 11025])
def test_restored_peaks_are_held_in_floating_point_where_that_was_asked(clipped, rate):
    soundfile.write(clipped / "in.wav", soundfile.read(clipped / "in.wav")[0], RATE, "FLOAT")
    report = declipped(clipped, "in.wav", "clamp", sample_rate=rate)
    after = soundfile.read(clipped / "out.wav")[0]
    assert soundfile.info(clipped / "out.wav").subtype == "FLOAT"
    assert np.abs(after).max() == 1
    assert f"{np.sum(np.abs(after) == 1)} samples above full scale" in report.notes[-1]
    assert report.notes[-1].endswith(" dB, were held at it, as was asked")
    assert report.faults == ()
    assert rate or report.verification.deviation == 0


# Sound above full scale, which floating point holds


@pytest.fixture
def loud(tmp_path):
    soundfile.write(tmp_path / "in.wav", music(gain=0.9), RATE, "FLOAT")
    return tmp_path / "in.wav"


@pytest.mark.parametrize("task", [GAP, DULL])
@pytest.mark.parametrize("wanted", [Wanted(bits="16"), Wanted("flac"), Wanted(bits="16", sample_rate=11025)])
def test_sound_that_a_format_has_to_hold_is_a_fault(loud, task, wanted):
    report = restored(loud, loud.with_name("out"), task, wanted=wanted)
    told = next(fault for fault in report.faults if "sound samples above full scale" in fault)
    assert told.endswith("keep the input, and choose --clip-mode rescale or a floating-point format")
    if task == GAP and wanted.sample_rate is None:
        gap = slice(round(0.2 * RATE) - 64, round(0.22 * RATE) + 64)
        sound = np.delete(soundfile.read(loud)[0], gap, axis=0)
        assert told.startswith(f"{np.sum(np.abs(sound) > 1)} sound samples")
        assert len(report.faults) == 1


@pytest.mark.parametrize("wanted", [Wanted(bits="16", clip_mode="rescale"), Wanted(bits="float"), LIKE_INPUT])
def test_sound_that_a_format_need_not_hold_is_none(loud, wanted):
    assert restored(loud, loud.with_name("out.wav"), wanted=wanted).faults == ()


@pytest.mark.parametrize("bits", [None, "16"])
def test_sound_is_held_without_a_fault_where_that_was_asked(loud, bits):
    report = restored(loud, loud.with_name("out.wav"), wanted=Wanted(bits=bits, clip_mode="clamp"))
    assert report.faults == ()
    assert "held at it, as was asked" in report.notes[-1]
    assert np.abs(soundfile.read(loud.with_name("out.wav"))[0]).max() <= 1


@pytest.mark.parametrize("mode", ["clamp", "rescale"])
def test_a_recording_with_nothing_to_restore_is_no_copy_where_its_peaks_may_not_stay(loud, mode):
    report = restored(loud, loud.with_name("out.wav"), Declipping(9.0), DECLIP, wanted=Wanted(clip_mode=mode))
    assert not report.copied
    assert np.abs(soundfile.read(loud.with_name("out.wav"))[0]).max() == pytest.approx(1)


def test_the_overshoot_of_a_lossy_recording_is_held_and_no_fault(tmp_path):
    soundfile.write(tmp_path / "in.ogg", np.clip(music(gain=0.9), -1, 1), RATE)
    assert np.abs(soundfile.read(tmp_path / "in.ogg")[0]).max() > 1.05
    report = restored(tmp_path / "in.ogg", tmp_path / "out.flac")
    assert report.faults == ()
    assert "samples above full scale" in report.notes[-1]
