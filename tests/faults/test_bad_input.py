"""Bad input through the real command line: one line, the right code, nothing left behind, and no wait for torch."""

import os
import sys
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
    (tmp_path / "right.txt").write_text("0.5\t0.6\tzero in channel 2, confidence 0.98\n")
    (tmp_path / "late.txt").write_text("1.5\t2.5\tzero\n")
    (tmp_path / "point.txt").write_text("0.5\t0.6\tzero\n\\\t100.0\t200.0\n1.0\t1.0\t\n")
    return tmp_path


BAD = {
    "a missing file": (("declip", "gone.wav", "--threshold", "0.3"), 1, "gone.wav does not exist"),
    "an empty file": (("declip", "empty.wav", "--threshold", "0.3"), 1, "empty.wav is empty"),
    "a text file named .wav": (("declip", "text.wav", "--threshold", "0.3"), 1, "text.wav is not"),
    "a cutoff above Nyquist": (("bwe", "good.wav", "--cutoff", "5k"), 2, "5000 Hz is not below 4000 Hz"),
    "a cutoff of 0": (("bwe", "good.wav", "--cutoff", "0"), 2, "--cutoff '0'"),
    "a cutoff of 1, meant 1k": (("bwe", "good.wav", "--cutoff", "1"), 2, "such as 1k for 1000 Hz"),
    "a cutoff that is none": (("bwe", "good.wav", "--cutoff", "high"), 2, "--cutoff 'high'"),
    "a gap beyond the end": (("inpaint", "good.wav", "--gap", "1.5-2.5"), 2, "1.5-2.5 reaches beyond the end"),
    "a gap written backwards": (("inpaint", "good.wav", "--gap", "1.5-1.0"), 2, "write 1.0-1.5"),
    "an empty gap": (("inpaint", "good.wav", "--gap", "1-1"), 2, "'1-1' is empty"),
    "a threshold of 0": (("declip", "good.wav", "--threshold", "0"), 2, "--threshold '0' must lie above 0"),
    "a negative threshold": (("declip", "good.wav", "--threshold", "-10"), 2, "write -10dB"),
    "an unknown prior": (("bwe", "good.wav", "--cutoff", "1k", "--prior", "organ"), 1, "no prior 'organ'"),
    "weights of another kind": (("bwe", "good.wav", "--cutoff", "1k", "--prior", "good.wav"), 1, "not a .safetensors"),
    "an empty input": (("bwe", "", "--cutoff", "1k"), 2, "the argument behind bwe is empty; is a variable unset?"),
    "an empty output": (("bwe", "good.wav", "--cutoff", "1k", "-o", ""), 2, "behind -o is empty"),
    "an empty folder of labels": (("detect", "good.wav", "--labels="), 2, "behind --labels is empty"),
    "detect: an empty input": (("detect", "good.wav", ""), 2, "behind good.wav is empty"),
    "train: an empty folder": (("train", "-o", "new", "--steps", "1", "--recordings", ""), 2, "--recordings is empty"),
    "bench: an empty folder": (("bench", "quality", ""), 2, "behind quality is empty"),
    "an unknown device": (("bwe", "good.wav", "--cutoff", "1k", "--device", "gpu"), 2, "--device 'gpu'"),
    "the input as output": (("bwe", "good.wav", "--cutoff", "1k", "-o", "good.wav", "--overwrite"), 2, "is an input"),
    "an output that exists": (("bwe", "good.wav", "--cutoff", "1k", "-o", "text.wav"), 2, "exists already"),
    "an output below a file": (("bwe", "good.wav", "--cutoff", "1k", "-o", "text.wav/a.wav"), 1, "Not a directory"),
    "a threshold of nothing": (("declip", "good.wav", "--threshold=-200dB"), 2, "less than a step of 16 bits"),
    "bits that are none": (("bwe", "good.wav", "--cutoff", "1k", "--bits", "20"), 2, "'--bits': '20' is not one of"),
    "steps that are no number": (("bwe", "good.wav", "--steps", "a"), 2, "'--steps': 'a' must be a whole number; see"),
    "a rate that is none": (("bwe", "good.wav", "--cutoff", "1k", "--rate", "CD"), 2, "--rate 'CD' is not a sample"),
    "a rate beyond all": (("bwe", "good.wav", "--cutoff", "1k", "--rate", "10"), 2, "--rate 10 lies outside"),
    "a format for no pipe": (("bwe", "good.wav", "--cutoff", "1k", "-o", "-", "--format", "mp3"), 2, "to a pipe"),
    "bare samples in a file": (("bwe", "good.wav", "--cutoff", "1k", "--format", "raw"), 2, "for standard output"),
    "a name that denies": (("bwe", "good.wav", "--cutoff", "1k", "-o", "a.mp3"), 2, "a.mp3 would hold WAV"),
    "bits of what is lossy": (("bwe", "good.wav", "--cutoff", "1k", "--format", "ogg", "--bits", "16"), 2, "no sense"),
    "raw that is none": (("bwe", "-", "--cutoff", "1k", "--raw", "s16:44100:2"), 2, "does not say what it is"),
    "raw of no channels": (("bwe", "-", "--cutoff", "1k", "--raw", "s16le:44100:0"), 2, "lies outside"),
    "a folder of raw": (("bwe", ".", "--cutoff", "1k", "--raw", "s16le:44100:2"), 2, "--raw is for one stream"),
    "facts of a stream": (("bwe", "good.wav", "--cutoff", "1k", "-o", "-", "--sidecar"), 2, "--sidecar stands beside"),
    "no input": (("bwe", "--cutoff", "1k"), 2, "Missing argument 'INPUT'"),
    "no cutoff": (("bwe", "good.wav"), 2, "give --cutoff 1k"),
    "no gap": (("inpaint", "good.wav"), 2, "give --gap 2.0-2.5"),
    "labels from a pipe": (("inpaint", "good.wav", "--gaps", "-"), 2, "--gaps - is no file"),
    "labels of channel 2": (("inpaint", "good.wav", "--gaps", "right.txt"), 2, "in channel 2, and good.wav has 1"),
    "missing labels": (("inpaint", "good.wav", "--gaps", "gone.txt"), 1, "gone.txt does not exist"),
    "no labels": (("inpaint", "good.wav", "--gaps", "empty.wav"), 2, "empty.wav holds no labels"),
    "labels of another kind": (("inpaint", "good.wav", "--gaps", "text.wav"), 2, "text.wav, line 1: 'This is"),
    "a label beyond the end": (("inpaint", "good.wav", "--gaps", "late.txt"), 2, "1.5-2.5 reaches beyond the end"),
    "a label of no length": (("inpaint", "good.wav", "--gaps", "point.txt"), 2, "point.txt, line 3: the label at 1 s"),
    "auto of a pipe": (("bwe", "-", "--cutoff", "auto"), 2, "name a file"),
    "auto of bare samples": (("bwe", "good.wav", "--cutoff", "auto", "--raw", "s16le:8000:1"), 2, "convert it to WAV"),
    "detect: a missing file": (("detect", "gone.wav"), 1, "gone.wav does not exist"),
    "detect: a text file": (("detect", "text.wav"), 1, "text.wav is not"),
    "detect: a pipe and a file": (("detect", "-", "good.wav"), 2, "goes alone"),
    "detect: labels over a file": (("detect", "good.wav", "--labels", "text.wav"), 2, "text.wav exists already"),
    "detect: labels over the input": (("detect", "good.wav", "--labels", "./good.wav", "--overwrite"), 2, "an input"),
    "one that is not meant": (("bwe", "good.wav", "--cutoff", "1k", "--exclude", "*.wav"), 1, "let through"),
    "an odd rate of Opus": (("bwe", "good.wav", "--cutoff", "1k", "--format", "opus", "--rate", "9000"), 1, "add --r"),
    "an odd rate of FLAC": (("bwe", "good.wav", "--cutoff", "1k", "--format", "flac", "--rate", "88201"), 1, "or rate"),
    "an unknown option": (("bwe", "good.wav", "--cutof", "1k"), 2, "No such option: --cutof"),
    "an unknown command": (("dehiss", "good.wav"), 2, "No such command 'dehiss'"),
    "no command": ((), 2, "Missing command"),
    "an unknown guidance": (("bwe", "good.wav", "--cutoff", "1k", "--guidance", "strong"), 2, "--guidance"),
    "steps below 1": (("bwe", "good.wav", "--cutoff", "1k", "--steps", "0"), 2, "--steps"),
    "generate: no time": (("generate", "0", "-o", "new.wav"), 2, "'0' is no time"),
    "generate: an unknown format": (("generate", "1", "-o", "new.xyz"), 2, "new.xyz does not say what to write"),
    "generate: a name that denies": (("generate", "1", "-o", "a.wav", "--format", "flac"), 2, "end it in .flac\n"),
    "weights: unknown": (("weights", "info", "organ"), 1, "no prior 'organ'"),
    "weights: a missing checkpoint": (("weights", "import", "gone.pt"), 1, "gone.pt does not exist"),
    "weights: an output that exists": (("weights", "import", "text.wav", "-o", "prior.safetensors"), 2, "exists"),
    "weights: an output of no kind": (("weights", "import", "text.wav", "-o", "new"), 2, "must end in .safetensors"),
    "train: without end": (("train", "-o", "new", "--recordings", "."), 2, "give --minutes, --steps or both"),
    "train: nothing to learn from": (("train", "-o", "new", "--steps", "1"), 2, "--recordings, or --piano"),
    "train: no bank": (("train", "-o", "new", "--steps", "1", "--piano", "."), 2, "give a sample bank by --bank"),
    "train: no resuming": (("train", "-o", "x", "--steps", "1", "--recordings", ".", "--resume"), 2, "x holds no"),
    "train: a certain GPU": (("train", "-o", "x", "--steps", "1", "--device", "cuda:1"), 2, "CUDA_VISIBLE_DEVICES"),
    "train: no time": (("train", "-o", "new", "--minutes", "0", "--recordings", "."), 2, "--minutes 0"),
    "bank: no folder": (("bank", "good.wav", "-o", "new", "--name", "a", "--licence", "b"), 2, "neither a folder"),
}  # fmt: skip


@pytest.fixture
def _no_torch(monkeypatch):
    """Whatever needs torch cannot be imported, as if each command were refused in the first tenths of a second."""
    for name in (
        "torch",
        "restorer.prior",
        "restorer.restoration.job",
        "restorer.restoration.engine",
        "restorer.cli.device",
    ):
        monkeypatch.setitem(sys.modules, name, None)


def with_prior(words):
    needs_one = words[:1] in (("bwe",), ("declip",), ("inpaint",)) and "--prior" not in words
    return (*words, "--prior", "prior.safetensors") if needs_one else words


@pytest.mark.usefixtures("_no_torch")
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_a_code(folder, monkeypatch, capsys, case):
    words, code, message = BAD[case]
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert main(with_prior(words)) == code
    said = capsys.readouterr()
    assert said.err.startswith("restorer: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert said.out == ""
    assert contents(folder) == before


@pytest.mark.parametrize("case", ["a missing file", "a gap written backwards", "no command"])
def test_bad_input_ends_the_process_so_too(folder, case):
    words, code, message = BAD[case]
    before = contents(folder)
    outcome = restorer(*with_prior(words), folder=folder, without_torch=True)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (code, b"", 1)
    assert message in outcome.err
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
        main(["bwe", "gone.wav", "--cutoff", "1k"])  # imports what nobody could not
        if is_root:
            os.setresuid(65534, 65534, 0)
        yield folder / "sealed"
        if is_root:
            os.setresuid(0, 0, 0)


def test_a_read_only_output_folder_is_said_before_the_work(sealed, capsys):
    words = ["bwe", "good.wav", "--cutoff", "1k", "-o", "sealed/", "--prior", "prior.safetensors"]
    capsys.readouterr()
    assert main(words) == 1
    said = "sealed/good.wav cannot be written: no permission to write in"
    assert capsys.readouterr().err == f"restorer: {said} {sealed.resolve()}; choose another output folder\n"
    assert list(sealed.iterdir()) == []


@pytest.mark.usefixtures("_no_torch")
def test_sound_is_not_sent_to_a_terminal(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["bwe", "good.wav", "--cutoff", "1k", "-o", "-"]) == 2
    assert capsys.readouterr().err.startswith("restorer: standard output is a terminal")


@pytest.mark.usefixtures("_no_torch")
def test_several_bad_files_are_a_line_each_and_a_summary(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = contents(folder)
    words = ["declip", "gone.wav", "empty.wav", "text.wav", "--threshold", "0.3", "--prior", "prior.safetensors"]
    assert main(words) == 3
    lines = capsys.readouterr().err.splitlines()
    assert ["gone" in lines[0], "empty" in lines[1], "text" in lines[2]] == [True] * 3
    assert lines[3:] == ["restorer: 3 recordings: 3 failed"]
    assert contents(folder) == before


@pytest.mark.usefixtures("_no_torch")
@pytest.mark.parametrize(
    ("name", "said"), [("two\nlines", r"two\nlines"), ("\udcff", r"\udcff"), ("\x1b[31m", r"\x1b[31m")]
)
def test_a_name_that_cannot_be_printed_is_spelled_out_on_one_line(tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    assert main(["declip", f"{name}.wav", "--threshold", "0.3"]) == 1
    assert capsys.readouterr().err == f"restorer: {said}.wav does not exist; check the name\n"
