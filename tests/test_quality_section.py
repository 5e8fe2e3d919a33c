"""bench/quality.py: the command it names is the one that was run, and nothing is written for one that failed."""

import pytest
import quality


def test_the_section_has_the_command_and_what_it_printed():
    text = quality.section(
        ["--seconds", "5", "--cache", "/here", "--method", "diffusion dc"], "bwe: mean\n1 kHz  none\n\n"
    )
    command, table = text.split("\n\n")
    assert command == "`restorer bench quality FOLDER --seconds 5 --method 'diffusion dc'`"
    assert table == "```\nbwe: mean\n1 kHz  none\n```"


def test_a_command_that_fails_writes_nothing(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(quality, "write_section", lambda *given: pytest.fail("a section was written"))
    assert quality.main(["dev", str(tmp_path / "missing")]) == 2
    assert "not a folder" in capfd.readouterr().err
    assert quality.main(["dev"]) == 2
