"""Never worse, measured: the measure finds what is there, and real restorations pass it."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from restorer.digest import file_hash
from restorer.dsp.filters import crossover_highpass
from restorer.dsp.runs import runs
from restorer.errors import AudioError
from restorer.restoration import job, sidecar
from restorer.restoration.job import restore_file
from restorer.restoration.regions import Regions
from restorer.restoration.settings import BWE, DECLIP, INPAINT
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, gaps_of
from restorer.restoration.verify import Verifier
from tests.tiny import WhitePrior

RATE = 8000
GAP = Inpainting(((0.5, 0.6),))
TASKS = [(BandwidthExtension(1000.0), BWE), (GAP, INPAINT), (Declipping(0.2), DECLIP)]
QUICK = [(task, replace(settings, n_steps=1)) for task, settings in TASKS]


def music(frames=RATE, channels=2, gain=0.1):
    return gain * np.random.default_rng(0).standard_normal((frames, channels))


def verified(task, before, after, sizes=(500, 333), step=0.0):
    verifier = Verifier(task, RATE, before.shape[1], step=step, in_file=True)
    for start in range(0, len(before), sizes[0]):
        verifier.heard(before[start : start + sizes[0]])
    for start in range(0, len(after), sizes[1]):
        verifier.compare(after[start : start + sizes[1]])
    return verifier.finish(), verifier.regions.spans


@pytest.mark.parametrize("frame", [0, round(0.5 * RATE) - 65, round(0.6 * RATE) + 64, RATE - 1])
def test_one_sample_outside_a_gap_is_found(frame):
    before = music()
    after = before.copy()
    after[round(0.5 * RATE) : round(0.6 * RATE)] = 0.3
    good, regions = verified(GAP, before, after)
    assert (good.deviation, good.is_kept) == (0, True)
    assert regions == ((round(0.5 * RATE) - 64, round(0.6 * RATE) + 64),)
    after[frame, 1] += 2.0**-20
    bad, _ = verified(GAP, before, after)
    assert bad.deviation == pytest.approx(2.0**-20)
    assert not bad.is_kept


def test_the_gap_of_one_channel_is_none_of_the_other():
    before, gaps = music(), gaps_of([GAP.gaps_s, ()])
    for channel, kept in ((0, True), (1, False)):
        after = before.copy()
        after[round(0.55 * RATE), channel] += 0.1
        found, regions = verified(gaps, before, after)
        assert found.is_kept is kept
        assert regions == ((round(0.5 * RATE) - 64, round(0.6 * RATE) + 64),)


def test_one_sample_that_was_not_clipped_is_found():
    before = np.clip(music(), -0.15, 0.15)
    after = np.where(np.abs(before) >= 0.15, 2 * before, before)
    good, regions = verified(Declipping(0.15), before, after)
    assert (good.deviation, good.is_kept) == (0, True)
    assert regions
    frame = int(np.flatnonzero(np.abs(before[:, 0]) < 0.1)[100])
    after[frame, 0] += 1e-6
    assert not verified(Declipping(0.15), before, after)[0].is_kept


@pytest.mark.parametrize(("tone_hz", "kept"), [(500, False), (890, False), (925, True), (2000, True)])
def test_a_tone_below_the_cutoff_is_found_and_one_above_is_none(tone_hz, kept):
    before = music()
    tone = 0.01 * np.sin(2 * np.pi * tone_hz * np.arange(RATE) / RATE)[:, None]
    found, regions = verified(BandwidthExtension(1000.0), before, before + tone)
    assert found.is_kept is kept
    if not kept:
        assert found.deviation == pytest.approx(0.01, rel=0.01)
    else:  # 80 dB down, to which the two ends of the tone are not counted
        assert found.deviation < 0.01 * 2e-4
    assert regions == ((0, RATE),)


def test_at_nine_tenths_of_the_cutoff_next_to_nothing_escapes_it():
    before = music()
    tone = 0.01 * np.sin(2 * np.pi * 900 * np.arange(RATE) / RATE)[:, None]
    found, _ = verified(BandwidthExtension(1000.0), before, before + tone)
    assert 20 * np.log10(found.deviation / 0.01) == pytest.approx(-1.8, abs=0.1)


@pytest.mark.parametrize("tone_hz", [901, 908, 915, 950, 999])
def test_highs_as_loud_as_the_recording_are_no_fault_once_they_went_through_the_crossover(tone_hz):
    tone = np.sin(2 * np.pi * tone_hz * np.arange(RATE) / RATE)
    high = np.convolve(tone, crossover_highpass(1000.0, RATE), "valid")[:, None]
    before = 0.5 * tone[: len(high), None]
    found, _ = verified(BandwidthExtension(1000.0), before, before + 0.5 * high)
    assert found.is_kept


@given(sizes=st.tuples(st.integers(50, 900), st.integers(50, 900)))
def test_the_measure_does_not_depend_on_the_blocks(sizes):
    before, change = music(2000, 1), 0.01 * music(2000, 1)
    for task, _ in TASKS:
        whole, regions = verified(task, before, before + change, (2000, 2000))
        parts, same = verified(task, before, before + change, sizes)
        assert parts.deviation == pytest.approx(whole.deviation, rel=1e-9)  # FFTs of other lengths round otherwise
        assert same == regions


def test_what_is_held_at_full_scale_is_counted_and_no_deviation():
    before = music(gain=0.6)
    loud = np.abs(before) > 1
    loud[round(0.5 * RATE) - 64 : round(0.6 * RATE) + 64] = False
    for holds in (True, False):
        verifier = Verifier(GAP, RATE, 2, step=0.0, in_file=True, holds=holds)
        verifier.heard(before)
        verifier.compare(np.clip(before, -1, 1))
        found = verifier.finish()
        assert (found.beyond, found.is_kept) == (np.sum(loud), holds)


def test_frames_that_never_came_back_are_a_fault():
    assert not verified(GAP, music(), music()[:-1])[0].is_kept


def test_frames_that_nobody_had_are_a_fault():
    found, _ = verified(GAP, music(), np.concatenate([music(), music()[:1]]))
    assert (found.deviation, found.is_kept) == (np.inf, False)
    assert "exactly" not in str(found)


@pytest.mark.parametrize("task", [task for task, _ in TASKS])
@pytest.mark.parametrize("frame", [5, round(0.55 * RATE), RATE - 1])  # the second of them in the gap
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_a_fault_wherever_it_is(task, frame, value):
    after = music()
    after[frame, 0] = value
    found, _ = verified(task, music(), after)
    assert (found.deviation, found.is_kept) == (np.inf, False)


# Regions


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 1000))
def test_runs_are_the_mask(mask, start):
    spans = runs(np.array(mask, dtype=bool), start)
    assert [i for first, stop in spans for i in range(first, stop)] == [start + i for i, on in enumerate(mask) if on]
    assert all(one[1] < two[0] for one, two in itertools.pairwise(spans))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=200), st.integers(0, 20))
def test_regions_hold_every_span_and_never_grow_in_number(steps, apart):
    regions, at, spans = Regions(apart, most=8), 0, []
    for gap, length in steps:
        spans.append((at + gap, at + gap + length))
        at += gap + length
        regions.add(spans[-1:])
        assert len(regions.spans) <= 8
    assert all(any(a <= first and stop <= b for a, b in regions.spans) for first, stop in spans)
    assert all(two[0] - one[1] > regions.apart for one, two in itertools.pairwise(regions.spans))


# From file to file


def restored(source, target, task, settings, **options):
    return restore_file(source, target, task, WhitePrior(), settings, **options)


@pytest.mark.parametrize(("task", "settings"), QUICK)
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_restoration_keeps_its_promise_in_the_file(tmp_path, task, settings, suffix):
    sound = np.clip(music(2 * RATE), -0.2, 0.2)
    soundfile.write(tmp_path / f"in.{suffix}", sound, RATE, "PCM_16")
    report = restored(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}", task, settings)
    found = report.verification
    assert found.is_kept and found.in_file and not report.faults  # noqa: PT018 (one promise)
    if not isinstance(task, BandwidthExtension):
        assert (found.deviation, found.allowed) == (0, 0)
    else:
        assert found.deviation_db < -60


def test_a_promise_that_is_broken_is_reported(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "in.wav", music(), RATE, "PCM_16")

    class Louder(job.RestoringStream):
        def push(self, block):
            return 1.001 * super().push(block)

    monkeypatch.setattr(job, "RestoringStream", Louder)
    report = restored(tmp_path / "in.wav", tmp_path / "out.wav", *QUICK[1])
    assert len(report.faults) == 1
    assert "what was sound has changed: " in report.faults[0]


def test_nobody_asked_nobody_told(tmp_path):
    soundfile.write(tmp_path / "in.wav", music(), RATE, "PCM_16")
    assert restored(tmp_path / "in.wav", tmp_path / "out.wav", *QUICK[1], verify=False).verification is None


def test_what_is_stored_is_read_back(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "in.wav", music(), RATE, "PCM_16")
    monkeypatch.setattr("restorer.audio.writer._make_last", lambda path: None)
    real = soundfile.SoundFile.write

    def careless(self, data):
        data = data.copy()
        if len(data) > 1:  # not the frame that shows whether the format is taken
            data[7] ^= 1 << 20
        real(self, data)

    monkeypatch.setattr(soundfile.SoundFile, "write", careless)
    with pytest.raises(AudioError, match="reads back otherwise"):
        restored(tmp_path / "in.wav", tmp_path / "out.wav", *QUICK[1])
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_nothing_to_do_is_a_copy_to_the_last_byte(tmp_path, subtype):
    soundfile.write(tmp_path / "in.wav", music(), RATE, subtype)
    raw = (tmp_path / "in.wav").read_bytes() + b"junk" + bytes(4)
    (tmp_path / "in.wav").write_bytes(raw)
    report = restored(tmp_path / "in.wav", tmp_path / "out.wav", Declipping(0.99), QUICK[2][1])
    assert (tmp_path / "out.wav").read_bytes() == raw
    assert report.copied
    done = "it was copied bit for bit"
    assert report.notes == (f"no sample reaches 0.99 of full scale, so nothing was to be restored: {done}",)


def test_nothing_to_do_in_another_format_is_no_copy(tmp_path):
    soundfile.write(tmp_path / "in.wav", music(), RATE, "PCM_16")
    report = restored(tmp_path / "in.wav", tmp_path / "out.flac", Declipping(0.99), QUICK[2][1])
    assert not report.copied
    assert "passed on as it is" in report.notes[-1]
    one, other = (soundfile.read(tmp_path / name)[0] for name in ("in.wav", "out.flac"))
    assert np.array_equal(one, other)


def test_the_sidecar_tells_it_all(tmp_path):
    soundfile.write(tmp_path / "in.wav", music(), RATE, "PCM_16")
    (tmp_path / "tiny.safetensors").write_bytes(b"weights")
    task, settings = QUICK[1]
    report = restored(tmp_path / "in.wav", tmp_path / "out.wav", task, settings, seed=3)
    path = sidecar.write_sidecar(
        report, task, settings, seed=3, prior=tmp_path / "tiny.safetensors", version="1", command=["restorer", "\udcff"]
    )
    assert path == tmp_path / "out.restorer.json"
    told = json.loads(path.read_text())
    assert told["input"]["sha256"] == file_hash(tmp_path / "in.wav")
    assert told["output"]["sha256"] == file_hash(tmp_path / "out.wav")
    assert told["prior"] == {"name": "tiny", "sha256": file_hash(tmp_path / "tiny.safetensors")}
    assert told["task"] == {"name": "inpaint", "gaps_s": [[0.5, 0.6]]}
    assert told["synthetic"]["regions_frames"] == [[round(0.5 * RATE) - 64, round(0.6 * RATE) + 64]]
    assert told["untouched"]["largest_deviation"] == 0
    assert (told["seed"], told["restorer"], told["settings"]["n_steps"]) == (3, "1", 1)
    before, after = soundfile.read(tmp_path / "in.wav")[0], soundfile.read(tmp_path / "out.wav")[0]
    (first, stop), = told["synthetic"]["regions_frames"]  # fmt: skip
    assert np.array_equal(before[:first], after[:first])
    assert np.array_equal(before[stop:], after[stop:])
    assert sorted(each.name for each in Path(tmp_path).iterdir()) == [
        "in.wav", "out.restorer.json", "out.wav", "tiny.safetensors",
    ]  # fmt: skip
