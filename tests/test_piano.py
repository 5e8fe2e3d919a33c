"""Rendered piano: pitch, time, level and release are the score's; excerpts are a function of seed and index."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import symusic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorer.errors import AudioError, UsageError
from restorer.training import loop
from restorer.training.bank import Bank
from restorer.training.piano import (
    PLAIN,
    PianoExcerpts,
    draw_augmentation,
    interpreted,
    render,
    strings,
)
from restorer.training.room import (
    DRY,
    Acoustics,
    Peak,
    draw_acoustics,
    equaliser,
    hiss,
    hum,
    impulse_response,
    lead_samples,
    recorded,
)
from restorer.training.score import Notes, Performance, performances, read_notes
from restorer.training.settings import TrainSettings
from tests.sines import one_note, sine_bank

RATE = 44100
LENGTH = RATE


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return sine_bank(tmp_path_factory.mktemp("bank") / "bank.safetensors", RATE)


def peak_hz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(audio.size), 32 * audio.size))
    return float(np.argmax(spectrum)) * RATE / (32 * audio.size)


def write_midi(path: Path, notes: list[tuple[float, float, int, int]], pedals: list[tuple[float, int]] = ()) -> None:
    """Notes are (onset_s, duration_s, pitch, velocity), pedals (time_s, value)."""
    score = symusic.Score(480)  # 120 quarters a minute: 960 ticks a second
    track = symusic.Track("piano")
    for onset, duration, pitch, velocity in notes:
        track.notes.append(symusic.Note(round(960 * onset), round(960 * duration), pitch, velocity))
    for time, value in pedals:
        track.controls.append(symusic.ControlChange(round(960 * time), 64, value))
    score.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    score.dump_midi(str(path))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for i in range(6):
        folder = ("giantmidi", "pop909/deeper")[i % 2]
        write_midi(tmp_path / folder / f"{i}.mid", [(0.3 * k, 0.25, 40 + i + 2 * k, 60 + k) for k in range(20)])
    (tmp_path / "validation.txt").write_text("giantmidi/0.mid\n\n")
    (tmp_path / "test.txt").write_text("pop909/deeper/1.mid\ngiantmidi/2.mid\n")
    return tmp_path


# The strings


@settings(max_examples=20)
@given(pitch=st.integers(40, 100), colour=st.integers(0, 5), cents=st.floats(-30, 30))
def test_pitch_is_the_notes(bank: Bank, pitch: int, colour: int, cents: float) -> None:
    audio = render(one_note(pitch), bank, 0.1, LENGTH, RATE, replace(PLAIN, colour=colour, tuning_cents=cents))
    expected = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
    assert abs(1200 * np.log2(peak_hz(audio) / expected)) < 3  # a decaying line is about a hertz wide


def test_a4_is_440_hz_at_any_sample_rate(bank: Bank) -> None:
    for rate in (22050, 48000):
        audio = render(one_note(), bank, 0.1, rate, rate)
        assert abs(1200 * np.log2(peak_hz(audio) * rate / RATE / 440)) < 3


@settings(max_examples=20)
@given(onset_s=st.floats(0.0, 0.9), pitch=st.integers(60, 100))
def test_onset_is_where_the_score_has_it(bank: Bank, onset_s: float, pitch: int) -> None:
    audio = render(one_note(pitch, onset_s), bank, 0.0, LENGTH, RATE)
    level = np.abs(audio)
    onset = np.argmax(level > 0.5 * level.max())  # the cosine jumps at its onset
    assert onset / RATE == pytest.approx(onset_s, abs=0.001)


@settings(max_examples=20)
@given(st.floats(1, 126), st.floats(0.5, 60))
def test_level_rises_with_velocity(bank: Bank, velocity: float, more: float) -> None:
    soft = strings(one_note(velocity=velocity), bank, 0.0, LENGTH, RATE)
    loud = strings(one_note(velocity=min(velocity + more, 127)), bank, 0.0, LENGTH, RATE)
    assert np.square(loud).sum() >= np.square(soft).sum() * (1 - 1e-4)  # equal beyond the outer layers, to 16 bits
    if velocity >= 32 and velocity + more <= 96:
        expected_db = 20 * more / 64  # straight between the layers
        assert 10 * np.log10(np.square(loud).sum() / np.square(soft).sum()) == pytest.approx(expected_db, abs=0.05)


def test_damper_stops_the_note_but_none_hangs_over_the_highest(bank: Bank) -> None:
    for pitch, falls in ((60, True), (99, False)):
        audio = render(one_note(pitch, 0.0, 0.3), bank, 0.0, LENGTH, RATE)
        before, after = (np.square(audio[round(t * RATE) :][:4410]).mean() for t in (0.2, 0.8))
        fall_db = 10 * np.log10(before / max(after, 1e-20))
        assert (fall_db > 60) if falls else (fall_db == pytest.approx(20 * 0.6 / np.log(10), abs=0.1))  # exp(-t) alone


def test_release_is_exponential(bank: Bank) -> None:
    long = strings(one_note(60, 0.0, 5.0), bank, 0.0, LENGTH, RATE)
    short = strings(one_note(60, 0.0, 0.3), bank, 0.0, LENGTH, RATE, replace(PLAIN, release_s=0.1))
    held, at = round(0.29 * RATE), round(0.5 * RATE)
    np.testing.assert_allclose(short[:held], long[:held], atol=1e-5)
    ratio = np.linalg.norm(short[at : at + 441]) / np.linalg.norm(long[at : at + 441])
    assert ratio == pytest.approx(np.exp(-0.205 / 0.1), rel=0.01)  # middle of 10 ms


@settings(max_examples=10)
@given(cents=st.floats(1, 6), seed=st.integers(0, 99))
def test_a_mistuned_key_is_flat_right_or_sharp_and_stays_so(bank: Bank, cents: float, seed: int) -> None:
    played = replace(PLAIN, mistuning_cents=cents, acoustics=Acoustics(seed=seed))
    off = []
    for pitch in range(60, 72):
        audio = strings(one_note(pitch), bank, 0.1, LENGTH, RATE, played)
        off.append(1200 * np.log2(peak_hz(audio) / (440 * 2 ** ((pitch - 69) / 12))) / cents)
        assert np.array_equal(audio, strings(one_note(pitch), bank, 0.1, LENGTH, RATE, played))
    np.testing.assert_allclose(off, np.round(off), atol=0.3)  # of a cent
    assert set(np.round(off)) <= {-1, 0, 1}
    assert np.ptp(np.round(off)) > 0  # twelve keys alike: once in 180 000


def test_the_strings_of_a_note_beat(bank: Bank) -> None:
    """Two lines c cents apart beat c ln(2) f / 1200 times a second: their sum is still after half a period."""
    alone = strings(one_note(81, 0.0), bank, 0.0, LENGTH, RATE)
    beating = strings(one_note(81, 0.0), bank, 0.0, LENGTH, RATE, replace(PLAIN, unison_cents=4.0))
    still = round(RATE / 2 / (880 * 4.0 * np.log(2) / 1200))
    around = slice(still - 441, still + 441)
    assert np.linalg.norm(beating[around]) < 0.1 * np.linalg.norm(alone[around])
    assert np.linalg.norm(beating[:882]) == pytest.approx(np.linalg.norm(alone[:882]), rel=0.01)


def test_keys_thump_when_they_go_down_and_come_up(bank: Bank) -> None:
    note = one_note(99, 0.2, 0.6, velocity=127)
    dry = render(note, bank, 0.0, LENGTH, RATE)
    thumps = render(note, bank, 0.0, LENGTH, RATE, replace(PLAIN, action_db=-40.0)) - dry
    level_db = 20 * np.log10(np.abs(thumps).max() / np.abs(dry).max())
    assert level_db == pytest.approx(-40, abs=0.1)
    begins, ends = round(0.2 * RATE), round(0.6 * RATE)
    down, up = np.abs(thumps[begins:ends]).max(), np.abs(thumps[ends:]).max()
    assert up == pytest.approx(0.3 * down, rel=0.01)
    assert np.abs(thumps[: begins - 1]).max() < 1e-3 * down  # float32 rounds the sum at the level of the strings
    power = np.square(np.abs(np.fft.rfft(thumps)))  # bins of one hertz
    assert power[2000:].sum() < 0.01 * power.sum()


@settings(max_examples=10)
@given(start_s=st.floats(0.2, 1.2))
def test_an_excerpt_is_a_part_of_the_whole(bank: Bank, start_s: float) -> None:
    notes = interpreted(read_together(), PLAIN)
    whole = strings(notes, bank, 0.0, 2 * LENGTH, RATE)
    start = round(start_s * RATE)
    part = strings(notes, bank, start / RATE, LENGTH // 2, RATE)
    inner = slice(500, LENGTH // 2 - 500)  # away from the resampler's edges
    # onsets are whole samples of the bank: two grids differ by up to one sample, 2 pi f / rate at the highest, 1 kHz
    assert np.linalg.norm((part - whole[start : start + LENGTH // 2])[inner]) < 0.15 * np.linalg.norm(part[inner])


def read_together() -> Notes:
    pitch = np.array([60, 64, 67, 71, 84], np.float32)
    onset = np.array([0.0, 0.11, 0.37, 0.8, 1.1])
    return Notes(onset, onset + 0.6, pitch, np.full(5, 70, np.float32))


def test_silence_where_nothing_sounds(bank: Bank) -> None:
    assert not render(one_note(onset_s=9.0, stop_s=10.0), bank, 0.0, LENGTH, RATE).any()


# Performances


def test_pedal_holds_and_a_new_stroke_ends(tmp_path: Path) -> None:
    notes = [(0.0, 0.5, 60, 64), (1.0, 0.5, 60, 64), (1.2, 0.1, 64, 64), (3.0, 0.5, 67, 64)]
    write_midi(tmp_path / "a.mid", notes, [(0.2, 127), (2.0, 0)])
    read = read_notes(tmp_path / "a.mid")
    assert read.onset_s.tolist() == pytest.approx([0.0, 1.0, 1.2, 3.0], abs=0.001)  # a tick
    assert read.stop_s.tolist() == pytest.approx([1.0, 2.0, 2.0, 3.5], abs=0.001)


def test_a_note_sounds_as_long_as_any_of_the_pedals_of_several_tracks_is_down(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    write_midi(path, [(4.0, 1.0, 60, 64), (10.5, 0.5, 62, 64)], [(0.0, 127), (10.0, 0)])
    score = symusic.Score(str(path))
    short = symusic.Track("left hand")
    for time, value in ((2.0, 127), (3.0, 0)):
        short.controls.append(symusic.ControlChange(round(960 * time), 64, value))
    short.notes.append(symusic.Note(round(960 * 2.1), 96, 64, 64))
    score.tracks.append(short)
    score.dump_midi(str(path))
    read = read_notes(path)
    assert dict(zip(read.pitch, read.stop_s, strict=True)) == pytest.approx({64: 10, 60: 10, 62: 11}, abs=0.001)


@pytest.mark.parametrize("content", [b"", b"no MIDI at all", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\1\0\0\x90\x40"])
def test_refuses_what_is_no_midi_file_by_its_name(corpus: Path, content: bytes) -> None:
    (corpus / "giantmidi" / "4.mid").write_bytes(content)
    with pytest.raises(AudioError, match=r"giantmidi/4\.mid is no MIDI file .*; take it out of the corpus$"):
        performances(corpus, "train")


def test_one_stroke_on_two_tracks_is_one_note(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", [(0.0, 0.5, 60, 64), (0.01, 0.5, 60, 90), (0.01, 0.5, 62, 90)])
    assert read_notes(tmp_path / "a.mid").pitch.tolist() == [60, 62]


@pytest.mark.parametrize("later_s", [0.0, 0.01, 0.02])
def test_a_stroke_that_two_tracks_share_sounds_as_long_as_the_longer_one(tmp_path: Path, later_s: float) -> None:
    write_midi(tmp_path / "a.mid", [(0.5, 1.0, 60, 64), (0.5 + later_s, 0.6, 60, 90), (2.0, 0.5, 60, 64)])
    np.testing.assert_allclose(read_notes(tmp_path / "a.mid").stop_s, [1.5, 2.5], atol=2e-3)


def test_splits_share_nothing_and_cover_all(corpus: Path) -> None:
    names = {split: {p.name for p in performances(corpus, split)} for split in ("train", "validation", "test")}
    assert names["validation"] == {"giantmidi/0.mid"}
    assert names["test"] == {"pop909/deeper/1.mid", "giantmidi/2.mid"}
    assert names["train"] == {"pop909/deeper/3.mid", "giantmidi/4.mid", "pop909/deeper/5.mid"}


def test_refuses_a_corpus_without_lists_or_performances(corpus: Path) -> None:
    (corpus / "validation.txt").write_text("")
    with pytest.raises(UsageError, match="no performance for validation"):
        performances(corpus, "validation")
    (corpus / "test.txt").unlink()
    with pytest.raises(UsageError, match=r"test\.txt is missing"):
        performances(corpus, "train")


@given(st.integers(-5, 5), st.floats(0.8, 1.25), st.integers(21, 108))
def test_interpretation_stays_on_the_keyboard(transposition: int, tempo: float, pitch: int) -> None:
    notes = interpreted(one_note(pitch, 1.0, 2.0), replace(PLAIN, transposition=transposition, tempo=tempo))
    assert 21 <= notes.pitch[0] <= 108
    assert (notes.pitch[0] - pitch - transposition) % 12 == 0
    assert notes.stop_s[0] - notes.onset_s[0] == pytest.approx(1 / tempo)


# Room and recording


def test_nothing_is_changed_without_room(bank: Bank) -> None:
    dry = strings(one_note(), bank, 0.0, LENGTH, RATE)
    lead = lead_samples(DRY, RATE)
    heard = recorded(dry, lead, RATE, DRY)
    np.testing.assert_allclose(heard, dry[lead:], atol=1e-6)  # float32


def test_reverberation_falls_by_60_db_in_rt60() -> None:
    acoustics = Acoustics(rt60_s=1.0, wet_db=0, bass=1, treble=1)
    response = impulse_response(acoustics, RATE, RATE, np.random.default_rng(3))
    early, late = (np.square(response[round(t * RATE) :][:4410]).mean() for t in (0.1, 0.6))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=1.5)  # chi-square of 4410 samples
    assert np.square(response).sum() == pytest.approx(1, abs=0.15)  # the direct sound meets the noise at random


def test_room_hears_what_came_before(bank: Bank) -> None:
    acoustics = Acoustics(rt60_s=1.5, wet_db=0, treble=1)
    gone = one_note(60, -0.6, -0.4)
    dry = render(gone, bank, 0.0, LENGTH, RATE, replace(PLAIN, release_s=0.03))
    wet = render(gone, bank, 0.0, LENGTH, RATE, replace(PLAIN, release_s=0.03, acoustics=acoustics))
    assert np.abs(wet).max() > 100 * np.abs(dry).max()


def test_equaliser_has_its_tilt_and_peak() -> None:
    gains_db = 20 * np.log10(equaliser(Acoustics(tilt_db=8.0), RATE, RATE))  # bins of one hertz
    assert gains_db[10000] - gains_db[100] == pytest.approx(8, abs=0.01)
    assert gains_db[1000] == pytest.approx(0, abs=0.01)
    peak_db = 20 * np.log10(equaliser(Acoustics(peaks=(Peak(2000, -6, 0.5),)), RATE, RATE))
    assert peak_db[2000] == pytest.approx(-6, abs=0.01)
    assert abs(peak_db[100]) < 0.01


def test_recordings_are_drawn_from_dark_ones_to_bright_ones() -> None:
    """Gains at 5 kHz re 500 Hz: of a piano in another room to one with hard hammers and a producer's equaliser."""
    random = np.random.default_rng(0)
    gains = (equaliser(draw_acoustics(random), RATE, RATE) for _ in range(1000))  # bins of one hertz
    brightness_db = 20 * np.log10([gain[5000] / gain[500] for gain in gains])
    dark, middle, bright = np.quantile(brightness_db, (0.02, 0.5, 0.98))
    assert dark < -12
    assert -6 < middle < 0
    assert bright > 14


def test_hiss_has_its_level_and_slope() -> None:
    spectrum = hiss(-40, -3, RATE, RATE, np.random.default_rng(0))
    level_db = 20 * np.log10(np.fft.irfft(spectrum, RATE).std())
    assert level_db == pytest.approx(-40, abs=0.5)  # chi-square, few low bins weigh most
    power = np.square(np.abs(spectrum))
    assert 10 * np.log10(power[1000:2000].mean() / power[4000:8000].mean()) == pytest.approx(6, abs=0.5)


def test_hum_has_its_level_and_nothing_but_harmonics() -> None:
    tones = hum(-40, 50.0, RATE, RATE, np.random.default_rng(1))
    assert 20 * np.log10(tones.std()) == pytest.approx(-40, abs=0.01)  # whole periods: only float32 rounds
    power = np.square(np.abs(np.fft.rfft(tones)))  # bins of one hertz
    assert power[50:651:50].sum() == pytest.approx(power.sum(), rel=1e-5)


def test_band_limit_leaves_what_lies_below_and_nothing_above() -> None:
    white = np.random.default_rng(2).standard_normal(2 * RATE).astype(np.float32)
    limited = recorded(white, RATE, RATE, Acoustics(band_hz=5000.0))
    power, original = (np.square(np.abs(np.fft.rfft(x * np.hanning(RATE)))) for x in (limited, white[RATE:]))
    np.testing.assert_allclose(power[:4700], original[:4700], rtol=1e-3, atol=1e-3 * original.mean())  # float32
    assert power[5010:].max() < 1e-8 * original.mean()


# Excerpts


@pytest.fixture
def excerpts(bank: Bank, corpus: Path) -> PianoExcerpts:
    return PianoExcerpts([bank], performances(corpus, "train"), 16384, RATE, 5)


def test_an_excerpt_is_a_function_of_seed_and_index(bank: Bank, corpus: Path, excerpts: PianoExcerpts) -> None:
    again = PianoExcerpts([bank], performances(corpus, "train"), 16384, RATE, 5)
    other = PianoExcerpts([bank], performances(corpus, "train"), 16384, RATE, 6)
    for index in (3, 0, 3):
        assert np.array_equal(excerpts.excerpt(index), again.excerpt(index))
    assert not np.array_equal(excerpts.excerpt(0), excerpts.excerpt(1))
    assert not np.array_equal(excerpts.excerpt(0), other.excerpt(0))


def test_excerpts_are_sound(excerpts: PianoExcerpts) -> None:
    for index in range(30):
        audio = excerpts.excerpt(index)
        assert audio.shape == (16384,)
        assert audio.dtype == np.float32
        assert np.isfinite(audio).all()
        assert 0 < np.abs(audio).max() < 1


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_those_of_their_step_for_any_number_of_workers(excerpts: PianoExcerpts, workers: int) -> None:
    """So a training that stopped before step 10 goes on as if it had not."""
    batches = loop._batches(excerpts, TrainSettings(batch_size=2, workers=workers), 10, 0, 1, torch.device("cpu"))
    for first in (20, 22, 24):
        expected = np.stack([excerpts.excerpt(first), excerpts.excerpt(first + 1)])
        assert np.array_equal(next(batches), expected)


def test_augmentations_differ(bank: Bank) -> None:
    drawn = [draw_augmentation(np.random.default_rng(i), bank.channels) for i in range(200)]
    assert {a.channel for a in drawn} == {0, 1}
    assert {a.transposition for a in drawn} == set(range(-5, 6))
    assert 0.1 < np.mean([a.acoustics.rt60_s == 0 for a in drawn]) < 0.3
    for share in ("mistuning_cents", "unison_cents", "action_db"):
        assert 0.2 < np.mean([bool(getattr(a, share)) for a in drawn]) < 0.5
    assert max(a.release_s for a in drawn) > 0.4  # half pedal


def test_refuses_nothing_to_play(bank: Bank) -> None:
    silent: list[Performance] = []
    with pytest.raises(UsageError, match="0 performances"):
        PianoExcerpts([bank], silent, 100, RATE, 0)
