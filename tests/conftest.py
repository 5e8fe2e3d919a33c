"""What holds for all tests."""

import os
import signal

import pytest
from hypothesis import settings

# Tests run side by side: with threads besides, processes would wait for each other's. Before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background ignores interruptions, one of nohup hang-ups, and so would the commands that the tests end.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A machine that is busy with something else makes a test slow, not wrong.
# The same examples every time, for what may fail by chance is no gate; `--hypothesis-profile explore` looks further.
settings.register_profile("restorer", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("restorer")


@pytest.fixture
def tiny(tmp_path, monkeypatch, capsys):  # under capsys standard output is no terminal
    """Runs `restorer` with these words, in tmp_path, with a small prior; all but the network is the real thing."""
    from restorer.cli import app
    from tests.tiny import WhitePrior

    monkeypatch.setattr("restorer.prior.load_prior", lambda name, device: WhitePrior())
    monkeypatch.setattr("restorer.cli.dry_run.load_prior", lambda name, device: WhitePrior())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.safetensors").write_bytes(b"a prior")

    def run(command, *words):
        return app.main([command, "--prior", "tiny.safetensors", "--device", "cpu", *map(str, words)])

    return run
