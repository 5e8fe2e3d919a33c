"""`restorer detect`, and `auto`: what is said, what is written, and that nothing is changed where nothing is wrong."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from restorer.cli import app
from restorer.cli.labels import read_labels
from restorer.errors import UsageError
from restorer.restoration.task import UNDAMAGED, BandwidthExtension, Declipping
from tests.shell import contents, restorer
from tests.test_detect import RATE, filled, low_passed, music

GAPS = [(1.0, 1.05), (2.5, 2.502)]


def damaged(kind):
    sound = music(seconds=5)
    match kind:
        case "dull":
            return low_passed(sound, 2000, "fir")
        case "clipped":
            return np.clip(sound, -0.2, 0.2)
        case "gaps":
            for first, stop in GAPS:
                sound = filled(sound, round(first * RATE), round(stop * RATE), "zero")
    return sound


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """clean.wav, dull.wav, clipped.wav and gaps.wav: 5 s of 16 bits, one channel."""
    folder = tmp_path_factory.mktemp("originals")
    for kind in ("clean", "dull", "clipped", "gaps"):
        soundfile.write(folder / f"{kind}.wav", damaged(kind), RATE, "PCM_16")
    return folder


@pytest.fixture
def folder(originals, tmp_path, monkeypatch):
    """A folder with the recordings in `album`, and us in it."""
    (tmp_path / "album").mkdir()
    for path in originals.iterdir():
        (tmp_path / "album" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tiny.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Report:
    target: object
    seconds: float = 5.0
    windows: int = 1
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@pytest.fixture
def tasks(monkeypatch):
    """What the engine was asked for, by source."""
    asked = {}

    def restore_file(source, target, task, prior, settings, **options):
        asked[str(source)] = task
        return Report(target)

    monkeypatch.setitem(sys.modules, "restorer.prior", SimpleNamespace(load_prior=lambda name, device: "a prior"))
    own = SimpleNamespace(room=1, most=None, check=lambda: None)
    own_engine = SimpleNamespace(OwnEngine=lambda prior, batch_size: own)
    monkeypatch.setitem(sys.modules, "restorer.restoration.batches", own_engine)
    monkeypatch.setitem(sys.modules, "restorer.restoration.job", SimpleNamespace(restore_file=restore_file))
    monkeypatch.setitem(sys.modules, "restorer.cli.device", SimpleNamespace(choose_device=lambda word: word))
    return asked


def run(*words):
    return app.main([*words, "--prior", "tiny.safetensors"])


def test_each_file_is_a_block_with_what_repairs_it(folder, capsys):
    before = contents(folder)
    assert app.main(["detect", "album"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    blocks = dict(block.split("\n", 1) for block in ("\n" + said.out).split("\nalbum/")[1:])
    assert [name.split(":")[0] for name in blocks] == ["clean.wav", "clipped.wav", "dull.wav", "gaps.wav"]
    clean, clipped, dull, gaps = blocks.values()
    assert clean.strip() == "nothing found"
    assert "peaks were cut at 0.2 " in clipped
    assert re.search(r"nothing is left above (19|20)\d\d Hz", dull)
    assert "2 stretches of digital zero found, 0.052 s in all" in gaps
    assert contents(folder) == before


def test_the_commands_that_are_suggested_are_understood(folder, tasks, capsys):
    assert app.main(["detect", "album/clipped.wav", "album/dull.wav", "album/gaps.wav"]) == 0
    commands = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("    restorer ")]
    assert [words[1] for words in commands] == ["declip", "bwe", "inpaint"]
    for words in commands:
        assert run(*shlex.split(" ".join(words[1:]))) == 0
    assert tasks["album/clipped.wav"].threshold == pytest.approx(0.2, rel=5e-3)
    assert tasks["album/dull.wav"].cutoff_hz == pytest.approx(2000, rel=0.05)
    found = tasks["album/gaps.wav"].gaps_s
    np.testing.assert_allclose(found, GAPS, atol=1e-4)  # 5 samples


def test_json_is_one_object_a_line(folder, capsys):
    assert app.main(["detect", "album", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["file"] for each in found] == [f"album/{name}.wav" for name in ("clean", "clipped", "dull", "gaps")]
    clean, clipped, dull, gaps = found
    assert all(clean[kind] == [] for kind in ("cutoffs", "clip_levels", "gaps"))
    assert {round(each["level"], 3) for each in clipped["clip_levels"]} == {-0.2, 0.2}
    assert [each["is_codec"] for each in dull["cutoffs"]] == [False]
    assert [each["kind"] for each in gaps["gaps"]] == ["zero", "zero"]
    assert gaps["seconds"] == 5


def test_labels_go_out_and_come_back_as_the_same_gaps(folder, tasks, capsys):
    assert app.main(["detect", "album/gaps.wav", "--labels", "labels.txt"]) == 0
    np.testing.assert_allclose(read_labels(folder / "labels.txt").gaps_s, GAPS, atol=1e-4)
    assert run("inpaint", "album/gaps.wav", "--gaps", "labels.txt", "--gap", "3-3.5") == 0
    assert run("inpaint", "album/gaps.wav", "--gap", "auto", "--gap", "3-3.5", "--overwrite") == 0
    (automatic,) = tasks.values()
    labels = (*read_labels(folder / "labels.txt").gaps_s, (3.0, 3.5))
    np.testing.assert_allclose(automatic.gaps_s, labels, atol=1e-9)  # the digits of a label
    assert app.main(["detect", "album/gaps.wav", "--labels", "labels.txt"]) == 2
    assert "labels.txt exists already" in capsys.readouterr().err


def three_channels(folder):
    """A gap in the first, one in the first and the third, one in all."""
    sound = np.stack([music(seconds=5, seed=seed) for seed in range(3)], axis=1)
    for first, channels in ((1.0, [0]), (2.0, [0, 2]), (3.0, [0, 1, 2])):
        sound[round(first * RATE) : round((first + 0.05) * RATE), channels] = 0
    soundfile.write(folder / "three.wav", sound, RATE, "PCM_16")


def test_labels_keep_gaps_in_the_channels_that_have_them(folder, tasks, capsys):
    three_channels(folder)
    assert app.main(["detect", "three.wav", "--labels", "labels.txt"]) == 0
    texts = [line.split("\t")[2] for line in (folder / "labels.txt").read_text().splitlines()]
    assert [text.partition(", conf")[0] for text in texts] == ["zero in channel 1", "zero in channels 1, 3", "zero"]
    assert run("inpaint", "three.wav", "--gaps", "labels.txt", "--gap", "4-4.1") == 0
    labelled = tasks.pop("three.wav")
    assert [len(labelled.of(channel)) for channel in range(3)] == [4, 2, 3]
    assert run("inpaint", "three.wav", "--gap", "auto", "--gap", "4-4.1", "--overwrite") == 0
    for one, other in zip(labelled.for_channels(3).by_channel_s, tasks["three.wav"].by_channel_s, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert run("inpaint", "album/gaps.wav", "--gaps", "labels.txt") == 2
    assert "in channel 3, and album/gaps.wav has 1; give the gaps of this recording\n" in capsys.readouterr().err


def test_a_channel_without_the_gap_comes_back_bit_for_bit(tiny, tmp_path):
    sound = 0.1 * np.random.default_rng(0).standard_normal((8000, 2))
    soundfile.write("two.wav", sound, 8000, "PCM_16")
    (tmp_path / "labels.txt").write_text("0.5\t0.52\tzero in channel 2, confidence 0.98\n")
    assert tiny("inpaint", "two.wav", "--gaps", "labels.txt", "--quiet") == 0
    before, after = (soundfile.read(name, dtype="int16")[0] for name in ("two.wav", "two.restored.wav"))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert (before[4000:4160, 1] != after[4000:4160, 1]).any()


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("zero in channel 2, confidence 0.98", [1]),
        ("dropout in channel 1, 3, confidence 1.00", [0, 2]),
        ("my own words in channels 1, 3", [0, 2]),
        ("", None),
        ("a gap in channel 2 of the mixer", None),
        ("in channel two", None),
    ],
)
def test_the_channels_that_a_label_ends_with_are_its_own(tmp_path, text, channels):
    (tmp_path / "labels.txt").write_text(f"1.0\t2.0\t{text}\n")
    gaps = read_labels(tmp_path / "labels.txt")
    assert [channel for channel in range(4) if gaps.of(channel)] == (list(range(4)) if channels is None else channels)


@pytest.mark.parametrize("channel", ["0", "65", "999999999"])
def test_a_channel_that_no_recording_has_is_refused_with_its_line(tmp_path, channel):
    (tmp_path / "labels.txt").write_text(f"1.0\t2.0\n3.0\t4.0\tzero in channel {channel}, confidence 0.98\n")
    with pytest.raises(UsageError, match=f"line 2: there is no channel {channel}; they are counted from 1, to 64"):
        read_labels(tmp_path / "labels.txt")


def test_detect_takes_patterns_and_lists_and_each_recording_once(folder, capsys):
    (folder / "list.txt").write_text("album/clean.wav\n")
    (folder / "link").symlink_to("album")
    named = ["album/c*.wav", "@list.txt", "album/clipped.wav", "./album/clean.wav", "link/clean.wav"]
    assert app.main(["detect", *named, "--json"]) == 0
    found = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["album/clean.wav", "album/clipped.wav"]
    os.mkfifo(folder / "album" / "pipe.wav")
    assert app.main(["detect", "album/gap*.wav", "--labels", "labels"]) == 0  # a pattern stands for several
    assert [path.name for path in (folder / "labels").rglob("*")] == ["gaps.wav.txt"]


def test_labels_of_a_folder_mirror_it_for_the_files_that_have_any(folder):
    assert app.main(["detect", "album", "--labels", "labels"]) == 0
    assert [path.name for path in (folder / "labels").rglob("*")] == ["gaps.wav.txt"]


def test_labels_that_cannot_be_written_do_not_keep_the_others_from_being_heard(folder, capsys):
    (folder / "labels").write_text("a file, where a folder was meant")
    before = contents(folder)
    words = ["album/gaps.wav", "album/clipped.wav", "--labels", "labels"]
    assert app.main(["detect", *words]) == 3
    said = capsys.readouterr()
    assert "album/clipped.wav: 5.0 s" in said.out
    reason = "labels/gaps.wav.txt cannot be written (Not a directory); choose another place by --labels"
    assert said.err == f"restorer: {reason}\nrestorer: 1 of 2 recordings failed\n"
    assert contents(folder) == before


def test_labels_are_written_whole_or_not_at_all(folder, monkeypatch, capsys):
    (folder / "labels.txt").write_text("1.0\t2.0\tzero\n")
    before = contents(folder)

    def full(path, text, encoding):
        path.write_bytes(b"1.0")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert app.main(["detect", "album/gaps.wav", "--labels", "labels.txt", "--overwrite"]) == 1
    assert "labels.txt cannot be written (No space left on device)" in capsys.readouterr().err
    assert contents(folder) == before


def test_auto_is_found_for_each_file_and_said(folder, tasks, capsys):
    assert run("declip", "album", "--threshold", "auto", "--out", "out") == 0
    assert tasks == {f"album/{name}.wav": UNDAMAGED for name in ("clean", "dull", "gaps")} | {
        "album/clipped.wav": Declipping(pytest.approx(0.2, rel=5e-3))
    }
    said = capsys.readouterr()
    assert said.out == ""
    assert "album/clean.wav: no clipping found; nothing is changed\n" in said.err
    assert "album/clipped.wav: peaks were cut at 0.2 (confidence " in said.err


@pytest.mark.parametrize(
    ("command", "option", "name", "task"),
    [
        ("bwe", "--cutoff", "dull", BandwidthExtension(pytest.approx(2000, rel=0.05))),
        ("bwe", "--cutoff", "clean", UNDAMAGED),
        ("inpaint", "--gap", "clean", UNDAMAGED),
    ],
)
def test_auto_of_the_other_tasks(folder, tasks, command, option, name, task):
    assert run(command, f"album/{name}.wav", option, "auto", "--quiet") == 0
    assert tasks == {f"album/{name}.wav": task}


def test_a_recording_that_needs_nothing_is_passed_on_bit_for_bit(folder):
    """With the real engine and prior."""
    assert app.main(["declip", "album/clean.wav", "--threshold", "auto", "--out", "same.wav", "--quiet"]) == 0
    before, after = (soundfile.read(name, dtype="int16")[0] for name in ("album/clean.wav", "same.wav"))
    np.testing.assert_array_equal(before, after)
    assert soundfile.info("same.wav").subtype == "PCM_16"


@pytest.mark.parametrize("levels", [(0.2, 0.4), (0.2, 2.0)])
def test_one_threshold_is_not_forced_upon_channels_that_differ(folder, tasks, capsys, levels):
    sound = music(seconds=5)
    soundfile.write("two.wav", np.stack([np.clip(sound, -at, at) for at in levels], 1), RATE, "PCM_16")
    assert run("declip", "two.wav", "--threshold", "auto") == 0
    assert tasks == {"two.wav": UNDAMAGED}
    said = "which one threshold cannot say: restore the clipped channels or stretches by themselves; nothing is changed"
    assert said in capsys.readouterr().err


def test_detection_is_quick_to_start_and_reads_a_pipe(folder):
    sound = (folder / "album" / "clipped.wav").read_bytes()
    done = restorer("detect", "-", "--json", folder=folder, without_torch=True, feed=sound)
    assert (done.code, done.err) == (0, "")
    assert len(json.loads(done.out)["clip_levels"]) == 2


@pytest.mark.parametrize("labels", ["album/../album/gaps.wav", "symlink", "hardlink", "folder"])
def test_labels_never_replace_a_recording(folder, capsys, labels):
    (folder / "folder").mkdir()
    for alias in (folder / "hardlink", folder / "folder" / "gaps.wav.txt"):
        alias.hardlink_to(folder / "album" / "gaps.wav")
    (folder / "symlink").symlink_to("album/gaps.wav")
    before = contents(folder)
    for words in (["album/gaps.wav", "--labels", labels], ["album", "--labels", "folder"]):
        assert app.main(["detect", *words, "--overwrite"]) == 2
        assert "is an input, which is never overwritten" in capsys.readouterr().err
        assert contents(folder) == before


def test_labels_of_an_earlier_run_do_not_outlive_their_gaps(folder):
    (folder / "labels.txt").write_text("1.0\t2.0\tzero\n")
    assert app.main(["detect", "album/clean.wav", "--labels", "labels.txt"]) == 2
    assert app.main(["detect", "album/clean.wav", "--labels", "labels.txt", "--overwrite"]) == 0
    assert (folder / "labels.txt").read_text() == ""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("bash") is None, reason="no such names, or no bash")
@pytest.mark.parametrize(
    "name", ["-d.wav", os.fsdecode(b"caf\xe9.wav"), "two\nlines.wav", "it's (1) $x.wav", "\x1b'.wav"]
)
def test_the_command_for_an_odd_name_names_it(folder, tasks, capsys, monkeypatch, name):
    (folder / "album" / "clipped.wav").rename(folder / name)
    strict = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
    monkeypatch.setattr(sys, "stdout", strict)
    assert app.main(["detect", f"./{name}"]) == 0
    *_, suggested = strict.buffer.getvalue().decode().splitlines()
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {suggested.strip()}"], capture_output=True, check=True)
    words = [os.fsdecode(word) for word in done.stdout.split(b"\0")[1:-1]]
    assert run(*words) == 0
    assert list(tasks) == [name]
