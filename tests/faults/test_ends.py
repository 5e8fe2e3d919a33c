"""How a process ends that did not want to: killed, asked to end, without room. Few, for each costs a start of torch."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.shell import contents

ROOT = Path(__file__).parents[2]

# The command line with a small prior, of whose windows each takes a while.
TINY = """
import sys, time
import restorer.prior
from restorer.restoration import batches
from tests.tiny import WhitePrior

restorer.prior.load_prior = lambda name, device: WhitePrior()
restore = batches.restore_windows

def slowly(*args):
    time.sleep(0.05)
    return restore(*args)

batches.restore_windows = slowly
print("begun", flush=True)
from restorer.__main__ import main
main()
"""
ALBUM = ["bwe", "album", "--cutoff", "1k", "--steps", "2", "--prior", "tiny.safetensors", "--quiet", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny.safetensors").write_bytes(b"a prior")
    (tmp_path / "album").mkdir()
    for i, name in enumerate(("a.wav", "b.flac", "c.wav")):
        noise = 0.1 * np.random.default_rng(i).standard_normal((30000, 2))
        soundfile.write(tmp_path / "album" / name, noise, 8000, "PCM_16")
    return tmp_path


def begun(*words, folder, script=TINY, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip
    assert process.stdout.readline() == b"begun\n"
    return process


def finished(*words, folder, **options):
    with begun(*words, folder=folder, **options) as process:
        said = process.stderr.read().decode()
        return process.wait(120), said


def complete_files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]


def killed_and_resumed(folder, whole, out, moments):
    """Kills a run at each of these moments (s after it has begun), then lets it finish."""
    for moment in moments:
        with begun(*ALBUM, "--out", out, "--resume", folder=folder) as process:
            time.sleep(moment)
            process.kill()
        for path in complete_files(folder / out):  # whatever has its name is whole
            assert path.read_bytes() == whole[path.relative_to(folder / out).as_posix()]
    assert finished(*ALBUM, "--out", out, "--resume", folder=folder) == (0, "")
    assert contents(folder / out) == whole  # and nothing else was left


def test_a_killed_run_goes_on_and_leaves_nothing(folder):
    assert finished(*ALBUM, "--out", "whole", folder=folder) == (0, "")
    killed_and_resumed(folder, contents(folder / "whole"), "new", [0.7])


@pytest.mark.slow
def test_ten_random_kills_change_nothing(folder):
    chance = random.Random(0)
    assert finished(*ALBUM, "--out", "whole", folder=folder) == (0, "")
    whole = contents(folder / "whole")
    for round_ in range(10):
        killed_and_resumed(folder, whole, f"new {round_}", [chance.uniform(0.0, 3.0)])
    killed_and_resumed(folder, whole, "often", [chance.uniform(0.2, 1.5) for _ in range(10)])


def test_what_a_killed_run_left_goes_with_the_next_one_also_without_resuming(folder):
    with begun(*ALBUM, "--out", "new", folder=folder) as process:
        time.sleep(0.9)
        process.kill()
    assert finished(*ALBUM, "--out", "new", "--overwrite", folder=folder)[0] == 0
    assert sorted(path.name for path in (folder / "new").iterdir()) == ["a.wav", "b.flac", "c.wav"]


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, 143, "asked to end"), (signal.SIGHUP, 129, "asked to end"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_run_that_is_asked_to_end_cleans_up(folder, number, code, said):
    with begun(*ALBUM, "--out", "new/deep", folder=folder) as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob("new/deep/.*.partial")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        assert process.stderr.read().decode() == f"restorer: {said}\n"
        assert process.wait(60) == code
    assert not list(folder.glob("new/**/.*"))


# A training of a small network, that does not end.
TRAINING = """
import pytest
from restorer.training import loop
from tests.test_training import shrink

shrink(pytest.MonkeyPatch())
step = loop._step

def announced(*args):
    print("begun", flush=True)
    return step(*args)

loop._step = announced
from restorer.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, 143, "asked to end"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_training_whose_workers_are_asked_to_end_too_ends_as_alone(folder, number, code, said):
    words = ["--recordings", "album", "--preset", "tiny", "--minutes", "9", "--workers", "2", "--device", "cpu"]
    with begun("train", *words, "--out", "new", folder=folder, script=TRAINING, start_new_session=True) as process:
        os.killpg(process.pid, number)
        assert process.stderr.read().decode() == f"restorer: {said}\n"
        assert process.wait(60) == code


def limited_to(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [20_000, 120_000 - 40])
def test_a_full_disk_is_said_and_leaves_nothing(folder, size):
    """In the middle of the data, and with the last bytes: a.wav takes 120,044."""
    words = [*ALBUM[:1], "album/a.wav", *ALBUM[2:], "--out", "new/a.wav"]
    code, said = finished(*words, folder=folder, preexec_fn=limited_to(size))
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith("restorer: new/a.wav cannot be written (File too large)")
    assert said.endswith("check the free space and the permissions of its folder; nothing was kept\n")
    assert not (folder / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser mounts a disk")
def test_a_disk_that_fills_up_during_an_album_keeps_what_is_whole(folder):
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        code, said = finished(*ALBUM, "--out", "disk", "--resume", folder=folder)
        assert code == 3
        assert "No space left on device" in said or "cannot be written" in said
        assert all(line.startswith("restorer: ") or "could not be kept" in line for line in said.splitlines())
        assert not list(disk.glob(".*.partial"))
        for path in complete_files(disk):
            assert soundfile.info(path).frames == 30000
    finally:
        subprocess.run(["umount", disk], check=True)
