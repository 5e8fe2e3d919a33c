"""Onsets and perceptual models, where their packages are installed."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from restorer.errors import UsageError
from restorer.metrics import onsets, perceptual
from restorer.metrics.onsets import Notes, onset_f1

RATE = 48000


def notes(*pairs):
    onset, pitch = zip(*pairs, strict=True) if pairs else ((), ())
    return Notes(np.array(onset, float), np.array(pitch, float))


def test_notes_are_found_within_50_ms_at_their_pitch_and_once():
    pytest.importorskip("mir_eval")
    played = notes((0.0, 60), (1.0, 64), (2.0, 67), (3.0, 72))
    assert onset_f1(played, played) == 1
    assert onset_f1(played, notes()) == 0
    assert onset_f1(played, notes((0.04, 60), (1.06, 64), (2.0, 68), (3.0, 72))) == pytest.approx(2 / 4)
    # Found twice counts once: precision 1/2, recall 1/4.
    assert onset_f1(played, notes((0.0, 60), (0.01, 60))) == pytest.approx(1 / 3)
    with pytest.raises(UsageError, match="no notes"):
        onset_f1(notes(), played)


def test_an_excerpt_counts_from_its_own_beginning():
    part = notes((0.5, 60), (1.0, 64), (2.0, 67)).between(1.0, 2.0)
    assert (part.onset_s.tolist(), part.pitch.tolist()) == ([0.0], [64.0])


def test_midi_is_read_without_its_drums(tmp_path):
    pretty_midi = pytest.importorskip("pretty_midi")
    score = pretty_midi.PrettyMIDI()
    for drums in (False, True):
        track = pretty_midi.Instrument(0, is_drum=drums)
        track.notes = [pretty_midi.Note(80, 60 + drums, 1.0, 1.5), pretty_midi.Note(80, 40, 0.25, 0.5)]
        score.instruments.append(track)
    score.write(str(tmp_path / "a.mid"))
    read = onsets.read_midi(tmp_path / "a.mid")
    assert read.pitch.tolist() == [40, 60]
    assert read.onset_s == pytest.approx([0.25, 1.0], abs=0.003)  # a tick of 220 a quarter at 120 quarters a minute
    (tmp_path / "b.mid").write_bytes(b"no MIDI")
    with pytest.raises(UsageError, match="no readable MIDI"):
        onsets.read_midi(tmp_path / "b.mid")


@pytest.mark.slow
def test_the_transcriber_hears_struck_notes():
    pytest.importorskip("transkun")
    pytest.importorskip("pretty_midi")
    from tests.test_fad import decaying_chords

    heard = onsets.transcribe(decaying_chords(44100, 2.0), 44100)
    struck = [onset for onset in (0.0, 0.5, 1.0, 1.5) if np.abs(heard.onset_s - onset).min(initial=9) < 0.05]
    assert len(struck) >= 3


@pytest.fixture(scope="module")
def music():
    time = np.arange(2 * RATE) / RATE
    sound = sum(np.exp(-3 * (time % 0.5)) * np.sin(2 * np.pi * f * time) / f**0.5 for f in (220, 660, 1900, 5200))
    return 0.5 * np.asarray(sound) / np.max(np.abs(sound))


def check_order(measure, music):
    """Equal signals get the best mark, and harder clipping a worse one; what is measured stays as it was."""
    heard = music.copy()  # harder clipping than by these is all the same to the 2f-model
    equal, mild, hard = (measure(music, music.clip(-c, c), RATE) for c in (1, 0.4, 0.2))
    assert equal > mild > hard
    np.testing.assert_array_equal(music, heard)


@pytest.mark.parametrize(
    ("measure", "seconds"),
    [(perceptual.zimtohrli_mos, 0.1), (perceptual.two_f_mms, 0.55), (perceptual.visqol_mos, 0.95)],
)
def test_what_is_too_short_for_a_model_is_refused(measure, seconds):
    short = np.full(round(seconds * 22050) - 20, 0.1)
    with pytest.raises(UsageError, match=f"too short for it: give at least {seconds:.2f}"[:-1]):
        measure(short, short, 22050)


def failing(first, second):
    raise ValueError("no sound")


@pytest.mark.parametrize(
    ("model", "message"), [(lambda *_: math.nan, "has no number"), (failing, "cannot judge it .no sound")]
)
def test_what_a_model_cannot_judge_is_refused(monkeypatch, music, model, message):
    monkeypatch.setitem(sys.modules, "zimtohrli", SimpleNamespace(mos_from_signals=model))
    with pytest.raises(UsageError, match=message):
        perceptual.zimtohrli_mos(music, music, RATE)


def test_zimtohrli_orders_clipping(music):
    pytest.importorskip("zimtohrli")
    check_order(perceptual.zimtohrli_mos, music)
    assert perceptual.zimtohrli_mos(music, music, RATE) == pytest.approx(5)


@pytest.mark.slow
def test_visqol_orders_clipping(music):
    pytest.importorskip("visqol")
    check_order(perceptual.visqol_mos, music)


@pytest.mark.slow
def test_the_2f_model_orders_clipping(music):
    pytest.importorskip("seabass")
    check_order(perceptual.two_f_mms, music)
