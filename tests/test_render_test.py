"""Excerpts of test pieces for the quality benchmark: which, which notes, and what is said where a tool is missing."""

import shutil

import numpy as np
import pytest
import render_test

from restorer.errors import UsageError
from restorer.training.score import Notes, Performance


def piece(name="giantmidi/a.mid", seconds=20.0):
    onset = np.arange(0, seconds, 0.5)
    ones = np.ones(onset.size, np.float32)
    return Performance(name, Notes(onset, onset + 0.75, (60 + np.arange(onset.size) % 12) * ones, 80 * ones))


def test_the_middle_of_a_piece_begins_at_zero_and_ends_with_the_excerpt():
    score = render_test.excerpt(piece(), 4.0)  # 20.25 s long: 8.125 to 12.125 s
    begins = [note.time / 960 for note in score.tracks[0].notes]
    assert begins == pytest.approx(np.arange(8.5, 12.125, 0.5) - 8.125, abs=1 / 960)  # a tick
    assert max(note.time + note.duration for note in score.tracks[0].notes) <= 4 * 960 + 1
    assert [note.pitch for note in score.tracks[0].notes] == [60 + index % 12 for index in range(17, 25)]


def test_pieces_are_picked_evenly_of_those_that_are_long_enough():
    pieces = [piece(f"pop909/{index}.mid", 20.0 if index % 2 else 2.0) for index in range(20)]
    assert [each.name for each in render_test.evenly(pieces, 2, 10.0)] == ["pop909/5.mid", "pop909/15.mid"]
    assert len({each.name for each in render_test.evenly(pieces, 10, 10.0)}) == 10
    with pytest.raises(UsageError, match="only 10"):
        render_test.evenly(pieces, 11, 10.0)


def test_what_is_missing_is_named(monkeypatch, tmp_path, capsys):
    words = [str(tmp_path), "--soundfont", str(tmp_path / "no.sf2"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/fluidsynth")
    assert render_test.main(words) == 2
    assert "fluid-soundfont-gm" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert render_test.main(words) == 2
    assert "apt-get install fluidsynth" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
