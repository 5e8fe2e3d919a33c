"""bench/quality.py: the command it names is the one that was run, and nothing is written for one that failed."""

import json
import subprocess
from pathlib import Path

import pytest
import quality

from restorer.bench.speed import Machine


def test_the_section_has_the_command_and_what_it_printed():
    text = quality.section(
        ["--seconds", "5", "--cache", "/here", "--method", "diffusion dc"], "bwe: mean\n1 kHz  none\n\n"
    )
    command, table = text.split("\n\n")
    assert command == "`restorer bench quality FOLDER --seconds 5 --method 'diffusion dc'`"
    assert table == "```\nbwe: mean\n1 kHz  none\n```"


def test_the_section_names_the_device_and_the_prior_that_the_command_used(monkeypatch):
    used, written = Machine("Some GPU", 3, "2.11", "archive"), []

    def run(command, **how):
        Path(command[command.index("--json") + 1]).write_text(json.dumps({**vars(used), "folder": "clean", "rows": []}))
        return subprocess.CompletedProcess(command, 0, "bwe: mean\n")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(quality, "write_section", lambda *given: written.append(given))
    assert quality.main(["dev", "clean", "--prior", "archive.safetensors", "--device", "cuda"]) == 0
    text = quality.section(["--prior", "archive.safetensors", "--device", "cuda"], "bwe: mean\n")
    assert written == [("Quality: dev", text, used)]


def test_a_command_that_fails_writes_nothing(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(quality, "write_section", lambda *given: pytest.fail("a section was written"))
    assert quality.main(["dev", str(tmp_path / "missing")]) == 2
    assert "not a folder" in capfd.readouterr().err
    assert quality.main(["dev"]) == 2
    assert quality.main(["dev", str(tmp_path), "--json", "figures.json"]) == 2
