"""The bench of the classical methods: stand-ins whose marks are known, and the layout of the table."""

import classical
import numpy as np
import pytest
import soundfile
from dev_measures import Clip

from restorer.errors import UsageError

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    x = 0.5 * np.sin(0.3 * np.arange(RATE)) * np.linspace(1, 0.2, RATE)
    soundfile.write(tmp_path / "tone.wav", x, RATE)
    return tmp_path


def test_doing_nothing_gains_nothing_and_zeros_have_0_db(monkeypatch) -> None:
    clip = Clip("tone", 0.5 * np.sin(0.3 * np.arange(RATE)), RATE)
    monkeypatch.setitem(classical.DECLIPPERS, "nothing", lambda y, clip, rate: y)
    monkeypatch.setitem(classical.FILLERS, "nothing", lambda y, gaps, rate: gaps(y))
    declipped = classical.declipped([clip, clip], "nothing", 3.0, "cpu")
    assert (declipped.method, declipped.severity, declipped.value_db) == ("nothing", 3.0, 0.0)
    assert declipped.cost_s >= 0
    assert classical.filled([clip], "nothing", 20.0, "cpu").value_db == pytest.approx(0, abs=1e-3)  # float32


def test_silent_gaps_are_refused() -> None:
    with pytest.raises(UsageError, match="no recording sounds"):
        classical.filled([Clip("silence", np.zeros(RATE), RATE)], "extrapolation", 20.0, "cpu")


def test_the_table_has_the_surveys_means_beside_ours() -> None:
    means = [classical.Mean("SS-PEW", severity, value, 0.5) for severity, value in [(1.0, 12.34), (2.0, 7.0)]]
    assert classical.table(means, "dB", survey=True).splitlines() == [
        "| method | 1 dB | 2 dB |",
        "| --- | ---: | ---: |",
        "| SS-PEW | 12.3 (0.5) | 7.0 (0.5) |",
        "| SS-PEW, survey's mean | 12.2 | |",
    ]


def test_it_runs_and_reports(folder, capsys) -> None:
    words = ["--rate", str(RATE), "--sdr", "7", "--gaps", "10", "--methods", "weighted l1", "extrapolation"]
    assert classical.main([str(folder), *words]) == 0
    written = capsys.readouterr().out
    assert "| weighted l1 | " in written
    assert "| extrapolation | " in written
    assert classical.main([str(folder / "nowhere")]) == 2
