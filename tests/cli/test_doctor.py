"""`restorer doctor` tries what it calls well: the prior is asked, and what it does wrong is found."""

import os
import sys

import pytest
import torch

from restorer.restoration.engine import n_evaluations
from restorer.restoration.settings import INPAINT
from tests.tiny import WhitePrior


class Watched(WhitePrior):
    """Counts its evaluations; answer: what it makes of the right one."""

    evaluations = 0
    answer = staticmethod(lambda denoised: denoised)

    def __call__(self, x, sigma, known=None):
        type(self).evaluations += 1
        return self.answer(super().__call__(x, sigma, known))


@pytest.fixture
def watched(tiny, monkeypatch):
    monkeypatch.setattr(Watched, "evaluations", 0)
    monkeypatch.setattr("restorer.prior.load_prior", lambda name, device: Watched())
    return tiny


def test_the_self_test_asks_the_prior(watched, capsys):
    assert watched("doctor") == 0
    assert Watched.evaluations == n_evaluations(INPAINT)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert "self-test" in lines[-1]


def broken(denoised):
    raise RuntimeError("no kernel image is available")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(broken, "RuntimeError: no kernel image"), (lambda denoised: denoised * torch.nan, "gave no sound for a gap")],
)
def test_a_device_that_computes_nonsense_is_called_broken(watched, monkeypatch, capsys, answer, said):
    monkeypatch.setattr(Watched, "answer", staticmethod(answer))
    assert watched("doctor") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("BROKEN")
    assert said in last


def test_a_prior_that_is_no_file_is_called_broken(tiny, capsys):
    from restorer.cli import app

    assert app.main(["doctor", "--prior", "nobody", "--device", "cpu"]) == 1
    assert "BROKEN  weights" in capsys.readouterr().out


def test_a_prior_that_breaks_off_is_called_broken_at_once(tmp_path, capsys):
    from restorer.cli import app
    from restorer.shipped import DEFAULT_PRIOR, find_weights

    whole = find_weights(DEFAULT_PRIOR).read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    assert app.main(["doctor", "--prior", str(tmp_path / "half.safetensors"), "--device", "cpu"]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("BROKEN  weights     ")
    assert "half.safetensors is not a readable safetensors file" in last


def test_a_program_that_does_not_start_is_called_broken(watched, tmp_path, monkeypatch, capsys):
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'ffmpeg: cannot open libavdevice.so.58' >&2\nexit 127\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert watched("doctor") == 1
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("BROKEN")]
    assert line.split()[1] == "ffmpeg"
    assert "cannot open libavdevice.so.58" in line


def test_without_ffmpeg_a_line_says_so_and_no_package_besides(watched, tmp_path, monkeypatch, capsys, recwarn):
    for name in [each for each in sys.modules if each.partition(".")[0] == "pydub"]:
        monkeypatch.delitem(sys.modules, name)  # it warns when it is imported
    monkeypatch.setenv("PATH", str(tmp_path))
    assert watched("doctor") == 0
    assert "ffmpeg      not on the PATH" in capsys.readouterr().out
    assert not [each for each in recwarn if "ffmpeg" in str(each.message)]


def test_broken_packages_are_installed_from_the_checkout(watched, capsys, monkeypatch):
    monkeypatch.setattr("restorer.cli.doctor._PACKAGES", ("restorer.no_such_package",))
    assert watched("doctor") == 1
    assert "install them again: `pip install -e .` in the checkout" in capsys.readouterr().out
