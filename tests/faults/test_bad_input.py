"""Bad input through the real command line: one line, the right code, nothing left behind, and no wait for torch."""

import os
import tempfile
from pathlib import Path

import pytest

from restorer.cli.app import main
from tests.shell import contents, record, restorer


@pytest.fixture
def folder(tmp_path):
    """A good recording, and files that look like one."""
    record(tmp_path / "good.wav", seconds=2)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("This is not a recording, whatever its name says.\n" * 50)
    (tmp_path / "prior.safetensors").touch()
    return tmp_path


BAD = {
    "a missing file": (("declip", "gone.wav", "--threshold", "0.3"), 1, "gone.wav does not exist"),
    "an empty file": (("declip", "empty.wav", "--threshold", "0.3"), 1, "empty.wav is empty"),
    "a text file named .wav": (("declip", "text.wav", "--threshold", "0.3"), 1, "text.wav is not"),
    "a cutoff above Nyquist": (("bwe", "good.wav", "--cutoff", "5k"), 2, "5000 Hz is not below 4000 Hz"),
    "a cutoff of 0": (("bwe", "good.wav", "--cutoff", "0"), 2, "--cutoff '0'"),
    "a cutoff that is none": (("bwe", "good.wav", "--cutoff", "high"), 2, "--cutoff 'high'"),
    "a gap beyond the end": (("inpaint", "good.wav", "--gap", "1.5-2.5"), 2, "1.5-2.5 reaches beyond the end"),
    "a gap written backwards": (("inpaint", "good.wav", "--gap", "1.5-1.0"), 2, "write 1.0-1.5"),
    "an empty gap": (("inpaint", "good.wav", "--gap", "1-1"), 2, "'1-1' is empty"),
    "a threshold of 0": (("declip", "good.wav", "--threshold", "0"), 2, "--threshold '0' must lie above 0"),
    "a negative threshold": (("declip", "good.wav", "--threshold", "-10"), 2, "write -10dB"),
    "an unknown prior": (("bwe", "good.wav", "--cutoff", "1k", "--prior", "organ"), 1, "no prior 'organ'"),
    "weights of another kind": (("bwe", "good.wav", "--cutoff", "1k", "--prior", "good.wav"), 1, "not a .safetensors"),
    "an unknown device": (("bwe", "good.wav", "--cutoff", "1k", "--device", "gpu"), 2, "--device 'gpu'"),
    "the input as output": (("bwe", "good.wav", "--cutoff", "1k", "-o", "good.wav", "--overwrite"), 2, "is an input"),
    "an output that exists": (("bwe", "good.wav", "--cutoff", "1k", "-o", "text.wav"), 2, "exists already"),
    "an output below a file": (("bwe", "good.wav", "--cutoff", "1k", "-o", "text.wav/a.wav"), 1, "Not a directory"),
    "no input": (("bwe", "--cutoff", "1k"), 2, "Missing argument 'INPUT'"),
    "no cutoff": (("bwe", "good.wav"), 2, "Missing option '--cutoff'"),
    "no gap": (("inpaint", "good.wav"), 2, "Missing option '--gap'"),
    "an unknown option": (("bwe", "good.wav", "--cutof", "1k"), 2, "No such option: --cutof"),
    "an unknown command": (("dehiss", "good.wav"), 2, "No such command 'dehiss'"),
    "no command": ((), 2, "Missing command"),
    "an unknown guidance": (("bwe", "good.wav", "--cutoff", "1k", "--guidance", "strong"), 2, "--guidance"),
    "steps below 1": (("bwe", "good.wav", "--cutoff", "1k", "--steps", "0"), 2, "--steps"),
    "generate: no time": (("generate", "0", "-o", "new.wav"), 2, "'0' is no time"),
    "generate: an unknown format": (("generate", "1", "-o", "new.xyz"), 2, "new.xyz does not say what to write"),
    "weights: unknown": (("weights", "info", "organ"), 1, "no prior 'organ'"),
    "weights: a missing checkpoint": (("weights", "import", "gone.pt"), 1, "gone.pt does not exist"),
    "weights: an output that exists": (("weights", "import", "prior.pt", "-o", "prior.safetensors"), 1, "prior.pt"),
    "train: without end": (("train", "-o", "new", "--recordings", "."), 2, "give --minutes, --steps or both"),
    "train: nothing to learn from": (("train", "-o", "new", "--steps", "1"), 2, "--recordings, or --piano"),
    "train: no bank": (("train", "-o", "new", "--steps", "1", "--piano", "."), 2, "give a sample bank by --bank"),
    "train: nothing to resume": (("train", "-o", "new", "--steps", "1", "--recordings", ".", "--resume"), 2, "to resume"),
    "bank: no folder": (("bank", "good.wav", "-o", "new", "--name", "a", "--licence", "b"), 2, "is not a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_a_code(folder, case):
    words, code, message = BAD[case]
    if words[:1] in (("bwe",), ("declip",), ("inpaint",)) and "--prior" not in words:
        words = (*words, "--prior", "prior.safetensors")
    before = contents(folder)
    outcome = restorer(*words, folder=folder, without_torch=True)
    assert outcome.err.startswith("restorer: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert outcome.code == code
    assert outcome.out == b""
    assert contents(folder) == before


@pytest.fixture
def sealed(monkeypatch):
    """A folder with a folder that we may not write in: the superuser may, so that one becomes nobody for a while."""
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.chdir(name)
        folder = Path(name)
        folder.chmod(0o755)
        record(folder / "good.wav")
        (folder / "prior.safetensors").touch()
        (folder / "sealed").mkdir(mode=0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.setresuid(65534, 65534, 0)
        yield folder / "sealed"
        if is_root:
            os.setresuid(0, 0, 0)


def test_a_read_only_output_folder_is_said_before_the_work(sealed, capsys):
    words = ["bwe", "good.wav", "--cutoff", "1k", "-o", "sealed/", "--prior", "prior.safetensors"]
    assert main(words) == 1
    said = "sealed/good.wav cannot be written: no permission to write in"
    assert capsys.readouterr().err == f"restorer: {said} {sealed.resolve()}; choose another output folder\n"
    assert list(sealed.iterdir()) == []


def test_several_bad_files_are_a_line_each_and_a_summary(folder):
    words = ("declip", "gone.wav", "empty.wav", "text.wav", "--threshold", "0.3", "--prior", "prior.safetensors")
    before = contents(folder)
    outcome = restorer(*words, folder=folder, without_torch=True)
    assert outcome.code == 3
    lines = outcome.err.splitlines()
    assert ["gone" in lines[0], "empty" in lines[1], "text" in lines[2]] == [True] * 3
    assert lines[3] == "restorer: 3 of 3 recordings failed"
    assert len(lines) == 4
    assert contents(folder) == before


def test_a_name_with_a_line_break_stays_on_one_line(folder):
    outcome = restorer("declip", "two\nlines.wav", "--threshold", "0.3", folder=folder, without_torch=True)
    assert outcome.err.count("\n") == 1
    assert r"two\nlines.wav does not exist" in outcome.err


def test_a_name_that_is_not_utf_8_can_be_said(folder):
    outcome = restorer("declip", b"\xff.wav".decode(errors="surrogateescape"), "--threshold", "0.3", folder=folder)
    assert outcome.code == 1
    assert r"\udcff.wav does not exist" in outcome.err
