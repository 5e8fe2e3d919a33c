"""`restorer bench quality` on the command line: its words, its refusals, its output."""

import json
import os

import pytest

from restorer import prior as priors
from restorer.cli import app
from tests.shell import record, restorer
from tests.tiny import WhitePrior


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two recordings, one that is broken, and a prior that takes no time."""

    def white(name, device):
        prior = WhitePrior()
        prior.card = priors.Card("white", "harmonic-44k", {})
        return prior

    monkeypatch.setattr(priors, "load_prior", white)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    record(tmp_path / "music" / "a.wav")
    record(tmp_path / "music" / "b.flac", seconds=1.5)
    return tmp_path / "music"


def words(folder, *more):
    chosen = ["--method", "none", "--method", "diffusion dc", "--metric", "lsd", "--device", "cpu"]
    return ["bench", "quality", str(folder), "--severity", "1k", *chosen, *more]


def test_tables_json_and_cache(folder, tmp_path, capsys):
    assert app.main(words(folder, "--json", str(tmp_path / "out.json"))) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("bwe: mean")
    assert [line.split()[2] for line in printed.splitlines()[2:4]] == ["none", "diffusion"]
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["recordings"] for row in written["rows"]] == [2, 2]
    assert (written["prior"], written["seed"]) == ("white", 0)
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 4
    assert app.main(words(folder, "--json", "-")) == 0  # from the cache
    assert json.loads(capsys.readouterr().out) == written


def test_a_broken_file_does_not_stop_the_others(folder, capsys):
    (folder / "c.wav").write_bytes(b"RIFF and nothing more")
    assert app.main(words(folder)) == 3
    said = capsys.readouterr()
    assert "c.wav" in said.err
    assert "1 kHz" in said.out


def test_a_recording_too_short_to_measure_does_not_stop_the_others(folder, capsys):
    record(folder / "c.wav", seconds=0.05)
    assert app.main(words(folder, "--metric", "zimtohrli")) == 0
    said = capsys.readouterr()
    assert "c.wav: lsd:" in said.err
    assert "1 kHz" in said.out


def test_a_picture_of_nothing_is_left_out(folder, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for each in folder.iterdir():
        each.unlink()
    record(folder / "c.wav", seconds=0.05)
    assert app.main(words(folder, "--plot", str(tmp_path / "pictures"))) == 0
    assert not list((tmp_path / "pictures").iterdir())


def test_steps_and_churn_are_rows(folder, capsys):
    assert app.main(words(folder, "--steps", "2", "--steps", "3", "--churn", "5")) == 0
    printed = capsys.readouterr().out
    assert "diffusion dc, 2 steps, churn 5" in printed
    assert "diffusion dc, 3 steps, churn 5" in printed


def test_nothing_measured_is_a_failure(folder, capsys):
    assert app.main(["bench", "quality", str(folder), "--severity", "1.5s", "--method", "none"]) == 1
    assert "nothing of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--severity", "loud"], "'loud' is no severity"),
        (["--severity", "0dB"], "'0dB' is no severity"),
        (["--task", "dance"], "--task 'dance' is unknown"),
        (["--task", "bwe", "--severity", "3dB"], "belongs to --task declip"),
        (["--metric", "peaq"], "--metric 'peaq' is unknown"),
        (["--prior", "organ"], "organ"),
        (["--json", "no/such/folder/out.json"], "there is no folder for it"),
        (["--json", "."], "is a folder"),
        (["--plot", "a.wav"], "is a file, not a folder"),
        (["--plot", "a.wav/pictures"], "is a file, not a folder"),
        (["--cache", "a.wav"], "is a file, not a folder"),
        (["--seconds", "inf"], "is no length"),
    ],
)
def test_refusals_need_no_torch(tmp_path, more, message):
    record(tmp_path / "a.wav", seconds=0.1)
    outcome = restorer("bench", "quality", ".", *more, folder=tmp_path, without_torch=True)
    assert message in outcome.err
    assert outcome.code in (1, 2)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--json", "--plot", "--cache"])
def test_what_must_not_be_written_is_refused_first(folder, tmp_path, monkeypatch, capsys, option):
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)  # root may write anywhere
    assert app.main(words(folder, option, str(tmp_path / "new"))) == 2
    assert "no permission to write" in capsys.readouterr().err


def test_an_empty_folder_and_none(tmp_path, capsys):
    assert app.main(["bench", "quality", str(tmp_path)]) == 2
    assert "no sound files" in capsys.readouterr().err
    record(tmp_path / "album" / "cd 1" / "a.wav")
    assert app.main(["bench", "quality", str(tmp_path / "album")]) == 2
    assert "and folders below it are not searched here; name a folder that has" in capsys.readouterr().err
    assert app.main(["bench", "quality", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_an_unknown_method_is_refused_with_those_there_are(folder, capsys):
    assert app.main([*words(folder), "--method", "magic"]) == 2
    assert "diffusion dc+rg" in capsys.readouterr().err
