"""The whole command line with a prior that is small enough for tests."""

import pytest

from restorer.cli import app
from tests.tiny import WhitePrior


@pytest.fixture
def tiny(tmp_path, monkeypatch, capsys):  # under capsys standard output is no terminal
    """Runs `restorer` with these words, in tmp_path; everything but the network is the real thing."""
    monkeypatch.setattr("restorer.prior.load_prior", lambda name, device: WhitePrior())
    monkeypatch.setattr("restorer.cli.dry_run.load_prior", lambda name, device: WhitePrior())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.safetensors").write_bytes(b"a prior")

    def run(command, *words):
        return app.main([command, "--prior", "tiny.safetensors", "--device", "cpu", *words])

    return run
