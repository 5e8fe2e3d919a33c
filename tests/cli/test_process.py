"""The process as a whole: how fast it answers, what its streams carry, how it ends. Few, for each costs a start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shell import record, restorer

ROOT = Path(__file__).parents[2]

# An engine that copies blocks through the real readers and writers.
COPYING = """
import sys
from types import SimpleNamespace as Names
from restorer.audio import open_reader, open_writer

def restore_file(source, target, task, prior, settings, *, overwrite, **options):
    with open_reader(source) as reader, open_writer(target, reader.format, overwrite=overwrite) as writer:
        while len(block := reader.read(1000)):
            writer.write(block)
    return Names(source=source, target=target, seconds=writer.frames / 8000, windows=1, notes=(), faults=())

sys.modules["restorer.prior"] = Names(load_prior=lambda name, device: None)
engine = Names(room=1, most=None, check=lambda: None)
sys.modules["restorer.restoration.batches"] = Names(OwnEngine=lambda prior, batch_size: engine)
sys.modules["restorer.restoration.job"] = Names(restore_file=restore_file)
sys.modules["restorer.cli.device"] = Names(choose_device=lambda word: word)
from restorer.__main__ import main
main()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny.safetensors").touch()
    record(tmp_path / "in.wav", seconds=4)
    return tmp_path


def command(*words):
    return [sys.executable, "-c", COPYING, *words, "--prior", "tiny.safetensors"]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_help_comes_without_torch_or_numpy(tmp_path):
    code = "import sys; from restorer.cli.app import main; code = main(['--help']); "
    code += "sys.exit(code or any(name in sys.modules for name in ('torch', 'numpy', 'rich', 'tqdm')))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_help_costs_less_than_seven_tenths_of_a_second(tmp_path):
    """Of processor time, which does not grow when the machine is busy with something else."""
    before = os.times()
    assert restorer("--help", folder=tmp_path).code == 0
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.7


def test_a_pipe_carries_the_sound_and_nothing_else(folder):
    sent = (folder / "in.wav").read_bytes()
    done = subprocess.run(
        command("inpaint", "--gap", "2.0-2.5", "-"), input=sent, capture_output=True, cwd=folder, env=environment()
    )
    assert done.returncode == 0
    assert done.stdout[:4] == b"RIFF"
    assert done.stdout.endswith(sent[44:])
    assert done.stderr.startswith(b"standard output: 4.0 s, 1 windows, in ")


def test_a_listener_who_leaves_ends_it_quietly(folder):
    record(folder / "long.wav", seconds=60)  # more than a pipe holds
    with subprocess.Popen(
        command("bwe", "long.wav", "--cutoff", "1k", "-o", "-"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_an_interruption_leaves_one_line_and_no_file(folder):
    os.mkfifo(folder / "slow.wav")
    with subprocess.Popen(
        command("declip", "slow.wav", "--threshold", "0.3", "-o", "new.wav"),
        stderr=subprocess.PIPE, cwd=folder, env=environment(),
    ) as process:  # fmt: skip
        with (folder / "slow.wav").open("wb") as pipe:  # opens when the command has begun to listen
            pipe.write((folder / "in.wav").read_bytes()[:20000])
            pipe.flush()
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b"restorer: interrupted\n"
        assert process.wait(60) == 130
    assert not [name for name in os.listdir(folder) if "new" in name]


def test_an_interruption_while_it_starts_is_silent(tmp_path):
    code = "import sys; from types import SimpleNamespace as Names\n"
    code += "def find_spec(name, path, target):\n    if name == 'restorer.cli.app': raise KeyboardInterrupt\n"
    code += "sys.meta_path.insert(0, Names(find_spec=find_spec)); from restorer.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="nothing here is always full")
def test_standard_output_that_is_full_is_called_so(folder):
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    words = [sys.executable, "-m", "restorer", "detect", "in.wav", "--json"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, cwd=folder, env=buffered)
    assert (done.returncode, done.stderr) == (1, b"restorer: standard output: No space left on device\n")


def test_the_systems_names_of_the_streams_are_the_streams(folder):
    sent = (folder / "in.wav").read_bytes()
    words = ["inpaint", "/dev/stdin", "--gap", "2.0-2.5", "--out", "/dev/stdout"]
    done = subprocess.run(command(*words), input=sent, capture_output=True, cwd=folder, env=environment())
    assert done.returncode == 0
    assert done.stdout.endswith(sent[44:])
    assert not [name for name in os.listdir("/dev") if "restored" in name]


def test_no_progress_bar_off_a_terminal(folder):
    done = subprocess.run(
        command("bwe", "in.wav", "--cutoff", "1k"), capture_output=True, cwd=folder, env=environment()
    )
    assert done.returncode == 0
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"\r" not in done.stderr
    assert (folder / "in.restored.wav").read_bytes()[44:] == (folder / "in.wav").read_bytes()[44:]


@pytest.mark.parametrize(("given", "found"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_that_wait_leave_the_processor_to_others_unless_told_otherwise(given, found):
    code = (
        "import atexit, os, sys; from restorer.__main__ import main; sys.argv = ['restorer', '--help']\n"
        "atexit.register(lambda: print('spins', os.environ['GOMP_SPINCOUNT'])); main()"
    )
    clean = {name: value for name, value in environment().items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**clean, **given})
    assert done.stdout.splitlines()[-1] == f"spins {found}"


def closed(number, *words, folder):
    """What becomes of a command whose shell has closed this descriptor: code, standard output and standard error."""
    done = subprocess.run(
        command(*words), capture_output=True, cwd=folder, env=environment(), preexec_fn=lambda: os.close(number)
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_stream_that_is_closed_and_not_needed_does_not_matter(folder, number):
    code, out, said = closed(number, "declip", "in.wav", "--threshold", "0.3", "--out", "new.wav", folder=folder)
    assert (code, out) == (0, b"")
    assert said.startswith("" if number == 2 else "new.wav: 4.0 s, 1 windows, in ")
    assert (folder / "new.wav").read_bytes()[44:] == (folder / "in.wav").read_bytes()[44:]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ["declip", "-", "--threshold", "0.3", "--out", "new.wav"]),
        (0, ["declip", "-", "--threshold", "0.3", "--out", "new.wav", "--raw", "s16le:8000:1"]),
        (0, ["declip", "@-", "--threshold", "0.3"]),
        (1, ["declip", "in.wav", "--threshold", "0.3", "--out", "-"]),
        (1, ["bwe", "--help"]),
    ],
)
def test_a_stream_that_is_closed_and_needed_is_said(folder, number, words):
    code, out, said = closed(number, *words, folder=folder)
    assert (code, out, said.count("\n")) == (1, b"", 1)
    assert said.startswith("restorer: ")
    assert "closed" in said or "Bad file descriptor" in said
    assert not (folder / "new.wav").exists()


def test_a_name_that_standard_output_cannot_say_is_spelled_out(folder):
    (folder / "in.wav").rename(folder / "第一.wav")
    done = subprocess.run(
        [sys.executable, "-c", "from restorer.__main__ import main; main()", "detect", "第一.wav"],
        capture_output=True, cwd=folder, env={**environment(), "PYTHONIOENCODING": "latin-1:strict"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(rb"\u7b2c\u4e00.wav: ")
