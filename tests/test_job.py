"""One recording from file to file: the format is kept, named otherwise, or refused; what could go wrong is noted."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from restorer.audio import AudioFormat
from restorer.errors import AudioError, UsageError
from restorer.restoration.job import restore_file
from restorer.restoration.settings import BWE, DECLIP, INPAINT
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting
from restorer.restoration.wanted import Wanted
from tests.tiny import WhitePrior

RATE = 8000
QUICK = replace(BWE, n_steps=2)
DULL = BandwidthExtension(1000.0)


def record(path: Path, seconds: float = 1.0, subtype: str = "PCM_16", channels: int = 2, gain: float = 0.1) -> Path:
    soundfile.write(
        path, gain * np.random.default_rng(0).standard_normal((round(seconds * RATE), channels)), RATE, subtype
    )
    return path


def restored(source, target, task=DULL, settings=QUICK, **options):
    return restore_file(source, target, task, WhitePrior(), settings, **options)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [(".wav", "PCM_24"), (".flac", "PCM_16"), (".aiff", "PCM_16"), (".wav", "FLOAT")]
)
def test_the_format_is_kept(tmp_path, suffix, subtype):
    source = record(tmp_path / f"in{suffix}", subtype=subtype)
    restored(source, tmp_path / f"out{suffix}")
    before, after = soundfile.info(source), soundfile.info(tmp_path / f"out{suffix}")
    assert (after.format, after.subtype, after.samplerate, after.channels, after.frames) == (
        before.format, before.subtype, before.samplerate, before.channels, before.frames,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "form"),
    [("in.flac", "out.wav", "WAV"), ("in.wav", "out.flac", "FLAC"), ("in.wav", "out.wave", "WAV")],
)
def test_the_targets_name_is_heard(tmp_path, source, target, form):
    restored(record(tmp_path / source), tmp_path / target)
    assert soundfile.info(tmp_path / target).format == form


def test_a_name_that_lies_is_refused(tmp_path):
    source = record(tmp_path / "in.wav")
    with pytest.raises(UsageError, match=r"out\.mp3 would hold WAV"):
        restored(source, tmp_path / "out.mp3")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", ["in.wav", "other.wav"])
def test_a_recording_is_never_its_own_result(tmp_path, name):
    source = record(tmp_path / "in.wav")
    (tmp_path / "other.wav").hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(UsageError, match=f"{name} is the recording itself"):
        restored(source, tmp_path / name, overwrite=True)
    assert source.read_bytes() == before


def test_words_that_no_format_has_are_refused():
    for words in ({"format": "xyz"}, {"bits": 16}, {"clip_mode": "soft"}):
        with pytest.raises(UsageError, match=r"is unknown; choose of: '"):
            Wanted(**words)


def test_peaks_above_full_scale_get_room(tmp_path):
    source = record(tmp_path / "in.wav", gain=0.5)
    report = restored(source, tmp_path / "out.wav", Declipping(0.9))
    assert soundfile.info(tmp_path / "out.wav").subtype == "FLOAT"
    assert any("floating point" in note for note in report.notes)


def test_a_gap_outside_the_inpainted_file_is_bit_identical(tmp_path):
    source = record(tmp_path / "in.flac", seconds=2)
    restored(source, tmp_path / "out.flac", Inpainting(((1.0, 1.1),)), replace(INPAINT, n_steps=2))
    before, after = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("in.flac", "out.flac"))
    np.testing.assert_array_equal(before[: RATE - 64], after[: RATE - 64])
    np.testing.assert_array_equal(before[round(1.1 * RATE) + 64 :], after[round(1.1 * RATE) + 64 :])
    assert (before[RATE : round(1.1 * RATE)] != after[RATE : round(1.1 * RATE)]).any()


def test_a_failure_midway_leaves_nothing(tmp_path):
    samples = 0.1 * np.ones((4 * RATE, 1))
    samples[3 * RATE] = np.nan
    soundfile.write(tmp_path / "in.wav", samples, RATE, "FLOAT")
    with pytest.raises(AudioError, match=r"in\.wav"):
        restored(tmp_path / "in.wav", tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_an_interruption_leaves_nothing(tmp_path):
    source = record(tmp_path / "in.wav", seconds=5)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restored(source, tmp_path / "out.wav", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_an_empty_recording_gives_an_empty_recording(tmp_path):
    soundfile.write(tmp_path / "in.wav", np.zeros((0, 1)), RATE)
    report = restored(tmp_path / "in.wav", tmp_path / "out.wav")
    assert (report.seconds, soundfile.info(tmp_path / "out.wav").frames) == (0, 0)


def test_who_restored_what_is_said(tmp_path):
    source = record(tmp_path / "in.wav", seconds=3)
    gaps = [(0.2 + 0.1 * i, 0.21 + 0.1 * i) for i in range(6)]
    report = restored(source, tmp_path / "a.wav", Inpainting((*gaps, (2.0, 2.2))), replace(INPAINT, n_steps=2))
    listed = "0.200-0.210, 0.300-0.310, 0.400-0.410, 0.500-0.510 and 2 more"
    assert report.notes == (f"filled by autoregression: {listed}; by the prior: 2.000-2.200",)
    by_prior = replace(INPAINT, n_steps=2, method="diffusion")
    assert restored(source, tmp_path / "b.wav", Inpainting(((2.0, 2.01),)), by_prior).notes == ()
    notes = restored(source, tmp_path / "c.wav", Declipping(0.2), replace(DECLIP, method="diffusion")).notes
    assert notes[0] == "peaks rebuilt by social sparsity in 2 windows, after it by the prior in 8"
    notes = restored(source, tmp_path / "d.wav", DULL, replace(QUICK, method="classical")).notes
    assert notes[0] == "highs by band replication"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Declipping(0.2), "samples reach 0.3"),
        (DULL, "what lies above the cutoff of 1000 Hz is as loud as what lies below"),
    ],
)
def test_a_value_that_the_recording_contradicts_is_noted(tmp_path, task, said):
    settings = QUICK if task == DULL else DECLIP
    notes = restored(record(tmp_path / "in.wav", seconds=3), tmp_path / "out.wav", task, settings).notes
    assert sum(note.startswith(said) for note in notes) == 1


def sent(monkeypatch, raw):
    """Puts these bytes on standard input."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw), isatty=lambda: False))


@pytest.mark.parametrize(
    ("gap", "said"),
    [((1.9, 2.0005), []), ((1.9, 3.0), ["within the gap 1.9-3"]), ((2.0, 2.1), ["before the gap 2-2.1"])],
)
def test_a_gap_that_a_stream_does_not_have_or_not_all_of_is_noted(tmp_path, monkeypatch, gap, said):
    sent(monkeypatch, record(tmp_path / "in.wav", seconds=2).read_bytes())
    notes = restored("-", tmp_path / "out.wav", Inpainting((gap,)), replace(INPAINT, n_steps=1)).notes
    assert [note for note in notes if note.startswith("it ends")] == [f"it ends at 2.000 s, {each}" for each in said]


def test_a_wav_that_does_not_count_its_sound_is_restored_from_a_pipe_too(tmp_path, monkeypatch):
    raw = bytearray(record(tmp_path / "in.wav").read_bytes())
    raw[40:44] = bytes(4)  # the size of the sound; that of all is right
    sent(monkeypatch, bytes(raw))
    assert restored("-", tmp_path / "out.wav", Inpainting(((0.5, 0.51),))).seconds == 1


def test_bare_samples_in_a_file_have_a_length_and_an_end(tmp_path):
    steps = np.random.default_rng(0).integers(-3000, 3000, (2 * RATE, 2)).astype("<i2")
    (tmp_path / "in.raw").write_bytes(steps.tobytes() + b"\1\2\3")
    form = AudioFormat("RAW", "PCM_16", RATE, 2)
    with pytest.raises(UsageError, match=r"9-10 reaches beyond the end of .*in\.raw; give gaps within its 2\.000 s"):
        restored(tmp_path / "in.raw", tmp_path / "out.wav", Inpainting(((9.0, 10.0),)), raw=form)
    seen = []
    report = restored(
        tmp_path / "in.raw", tmp_path / "out.wav", Inpainting(((1.0, 1.01),)), raw=form, progress=seen.append
    )
    assert {each.seconds_total for each in seen} == {2.0}
    assert report.notes[0] == "it ends amid a frame, with 3 of 4 bytes, which are left out; is --raw what it is?"


def test_a_file_that_was_cut_off_is_noted(tmp_path):
    source = record(tmp_path / "in.wav", seconds=2)
    source.write_bytes(source.read_bytes()[: 3 * RATE])
    report = restored(source, tmp_path / "out.wav", Inpainting(((0.5, 0.51),)))
    assert report.notes[0] == "the recording ends before its header says; what is there was restored"
