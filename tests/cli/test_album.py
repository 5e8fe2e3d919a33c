"""Many recordings: which are meant, what is left out, what is said of them, and how an album goes on."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from restorer.audio.lock import lock
from restorer.restoration import batches
from restorer.restoration.kept import kept_path
from restorer.restoration.settings import DECLIP
from tests.shell import contents, record

WORDS = ["--cutoff", "1k", "--steps", "2"]


@pytest.fixture
def album(tmp_path):
    """Three recordings of about four windows each."""
    for i, name in enumerate(("a.wav", "cd 2/b.flac", "c.wav")):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(i).standard_normal((9000, 2))
        soundfile.write(path, noise, 8000, "PCM_16")
    return tmp_path / "album"


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_lists_and_patterns_in_quotes_name_recordings(tiny, album, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_bytes(b"album/a.wav\r\n\nalbum/cd 2\n")
    assert tiny("bwe", "@list.txt", *WORDS, "--out", "one") == 0
    assert names(tmp_path / "one") == ["a.wav", "cd 2/b.flac"]
    assert tiny("bwe", "album/**/[bc].*", *WORDS, "--out", "two") == 0
    assert names(tmp_path / "two") == ["b.flac", "c.wav"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"album/c.wav\0album/a.wav\0")))
    assert tiny("bwe", "@-", *WORDS, "--out", "three") == 0
    assert names(tmp_path / "three") == ["a.wav", "c.wav"]


def test_a_name_that_looks_like_a_pattern_is_a_name(tiny, tmp_path):
    for name in ("take[1].wav", "@list.wav", "take1.wav", "-dash.wav"):
        record(tmp_path / name, 0.1)
    assert tiny("bwe", "take[1].wav", "@list.wav", *WORDS, "--out", "new", "--", "-dash.wav") == 0
    assert names(tmp_path / "new") == ["-dash.wav", "@list.wav", "take[1].wav"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--include", "*.flac"], ["cd 2/b.flac"]),
        (["--exclude", "cd*"], ["a.wav", "c.wav"]),
        (["--include", "a*", "--include", "c.wav", "--exclude", "a.wav"], ["c.wav"]),
        (["--include", "cd 2/*"], ["cd 2/b.flac"]),
    ],
)
def test_patterns_choose_below_the_folder(tiny, album, tmp_path, words, found):
    assert tiny("bwe", "album", *WORDS, "--out", "new", *words) == 0
    assert names(tmp_path / "new") == found


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["@gone.txt"], 1, "the list gone.txt cannot be read (No such file or directory)"),
        (["@blank.txt"], 1, "the list blank.txt holds no paths"),
        (["@"], 2, "@ names no list"),
        (["@dash.txt"], 2, "holds -, which is standard input"),
        (["*.gone"], 1, "*.gone does not exist"),
        (["album", "--include", "*.mp3"], 1, "that --include and --exclude let through"),
        (["album/a.wav", "--json", "-o", "-"], 2, "--json writes to standard output, where the sound goes"),
        (["-", "--resume", "-o", "new.wav"], 2, "--resume is for files"),
        (["album/a.wav", "--resume", "-o", "-"], 2, "--resume is for files"),
        (["-", "--dry-run"], 2, "--dry-run looks into files"),
    ],
)
def test_what_cannot_be_done_is_refused(tiny, album, tmp_path, capsys, words, code, said):
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "dash.txt").write_text("album/a.wav\n-\n")
    before = contents(tmp_path)
    assert tiny("bwe", *WORDS, *words) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert contents(tmp_path) == before


def test_what_exists_is_skipped_and_a_result_is_no_input(tiny, album, tmp_path, capsys):
    assert tiny("bwe", "album/a.wav", *WORDS) == 0
    made = (album / "a.restored.wav").stat().st_mtime_ns
    capsys.readouterr()
    assert tiny("bwe", "album/*.wav", *WORDS, "--skip-existing") == 0
    assert names(album) == ["a.restored.wav", "a.wav", "c.restored.wav", "c.wav", "cd 2/b.flac"]
    assert (album / "a.restored.wav").stat().st_mtime_ns == made
    assert capsys.readouterr().err.splitlines()[-1] == "restorer: 3 recordings: 1 restored, 2 skipped"


def test_an_input_is_not_skipped_but_refused_where_it_would_be_its_own_result(tiny, album, capsys):
    assert tiny("bwe", "album", *WORDS, "--skip-existing", "--out", "album") == 2
    assert "is an input, which is never overwritten" in capsys.readouterr().err


def test_a_result_that_is_worse_stays_and_is_a_failure(tiny, album, tmp_path, capsys):
    """Above full scale, where 16 bits end."""
    loud = np.random.default_rng(0).standard_normal((8000, 1))
    soundfile.write(album / "loud.wav", loud, 8000, "FLOAT")
    words = ["--gap", "0.2-0.22", "--bits", "16", "--json", "--quiet"]
    assert tiny("inpaint", "album/loud.wav", *words, "--out", "new.wav") == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["status"], told["target"]) == ("failed", "new.wav")
    assert said.err == f"new.wav: error: {told['error']}\n"
    assert " sound samples above full scale, the highest at +" in said.err
    assert "keep the input, and choose --clip-mode rescale or a floating-point format" in said.err
    assert soundfile.info("new.wav").frames == 8000
    assert tiny("inpaint", "album", *words, "--out", "new") == 3
    said = capsys.readouterr()
    statuses = {each["source"]: each["status"] for each in map(json.loads, said.out.splitlines())}
    assert statuses == {f"album/{name}": "restored" for name in ("a.wav", "c.wav", "cd 2/b.flac")} | {
        "album/loud.wav": "failed"
    }
    assert said.err.splitlines()[-1] == "restorer: 4 recordings: 3 restored, 1 failed"


def test_bare_samples_in_a_file_can_be_resumed(tiny, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).standard_normal(9000)
    (tmp_path / "take.raw").write_bytes((3000 * noise).astype("<i2").tobytes())
    words = ["bwe", "take.raw", "--raw", "s16le:8000:1", *WORDS, "--quiet"]
    assert tiny(*words, "--out", "straight.wav") == 0
    power = Power(monkeypatch)
    power.left = 1
    assert tiny(*words, "--out", "new.wav", "--resume") == 130
    power.left = 100
    assert tiny(*words, "--out", "new.wav", "--resume") == 0
    assert power.computed == 3
    assert Path("new.wav").read_bytes() == Path("straight.wav").read_bytes()


def test_json_is_a_line_for_each_file_and_nothing_else(tiny, album, tmp_path, capsys):
    (album / "bad.wav").write_bytes(b"no sound")
    (album / os.fsdecode(b"\xff\n.wav")).write_bytes((album / "a.wav").read_bytes())
    assert tiny("bwe", "album", *WORDS, "--out", "new", "--json", "--quiet") == 3
    said = capsys.readouterr()
    facts = {each["source"]: each for each in map(json.loads, said.out.splitlines())}
    assert [each["status"] for each in facts.values()].count("restored") == 4
    assert facts["album/bad.wav"]["status"] == "failed"
    assert "not an audio file" in facts["album/bad.wav"]["error"]
    one = facts["album/a.wav"]
    assert (one["target"], one["seconds"], one["windows"], one["seed"]) == ("new/a.wav", 1.125, 3, 0)
    assert one["task"] == {"name": "bwe", "cutoff_hz": 1000.0}
    assert one["settings"]["n_steps"] == 2
    assert 0 <= one["deviation"] <= one["deviation_allowed"]
    assert said.err.splitlines()[1:] == ["restorer: 5 recordings: 4 restored, 1 failed"]


def test_a_dry_run_says_what_would_be_and_does_nothing(tiny, album, tmp_path, capsys):
    before = contents(tmp_path)
    assert tiny("bwe", "album", *WORDS, "--out", "new", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "album/a.wav -> new/a.wav: 1.1 s, at most 6 windows, 0.0 MB"
    assert lines[3].startswith("3 recordings, 0 skipped: 3.4 s, at most 18 windows, ")
    assert lines[3].endswith(" s a window, measured)")
    assert lines[4].startswith("disk: at most 0.1 MB needed, ")
    assert tiny("bwe", "album", *WORDS, "--out", "new", "--dry-run", "--json", "--resume") == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (plan["recordings"], plan["windows"], plan["seconds"]) == (3, 18, 3.375)
    assert plan["disk"] == 3 * 9000 * 2 * 2 + 3 * 6 * 4 * 4096  # the results, and the windows kept
    assert plan["takes_s"] > 0
    assert contents(tmp_path) == before


class Power:
    """Fails after so many windows, as if somebody had interrupted; counts them."""

    def __init__(self, monkeypatch):
        self.left = self.computed = 0
        self._restore = batches.restore_windows
        monkeypatch.setattr(batches, "restore_windows", self._restored)

    def _restored(self, rows, *rest):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.computed += 1
        return self._restore(rows, *rest)


LONG_GAP = ["inpaint", "--gap", "0.1-0.8", "--steps", "2"]  # windows that hear what the one before has filled


@pytest.mark.parametrize(
    ("words", "stops"),
    [
        (["bwe", *WORDS], [0, 4, 8]),
        (LONG_GAP, [3]),
        pytest.param(["bwe", *WORDS], range(9), marks=pytest.mark.slow),
        pytest.param(LONG_GAP, range(9), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_album_goes_on_where_it_stopped(tiny, album, tmp_path, monkeypatch, words, stops):
    """After any number of windows: the same bytes as without interruption, and no window computed twice."""
    command = [words[0], "album", *words[1:], "--quiet"]
    assert tiny(*command, "--out", "whole") == 0
    whole = contents(tmp_path / "whole")
    power = Power(monkeypatch)
    power.left = 1000
    assert tiny(*command, "--out", "counted") == 0
    total = power.computed
    assert total > max(stops)
    for stop in stops:
        out = f"from {stop}"
        power.left, power.computed = stop, 0
        assert tiny(*command, "--out", out, "--resume") == 130
        assert not list(tmp_path.glob(f"{out}/**/*.partial"))
        power.left = 1000
        assert tiny(*command, "--out", out, "--resume") == 0
        assert power.computed == total
        assert contents(tmp_path / out) == whole  # and nothing else lies there


def test_without_resume_nothing_is_kept_and_what_was_kept_goes(tiny, album, tmp_path, monkeypatch):
    power = Power(monkeypatch)
    power.left = 2
    assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav") == 130
    assert names(tmp_path) == names_before_and(album, tmp_path)
    power.left = 2
    assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav", "--resume") == 130
    assert kept_path(tmp_path / "new.wav").exists()
    power.left = 100
    assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav") == 0
    assert names(tmp_path) == names_before_and(album, tmp_path, "new.wav")


def names_before_and(album, folder, *more):
    return sorted([*(f"album/{name}" for name in names(album)), "tiny.safetensors", *more])


def test_what_was_kept_of_other_parameters_is_not_used(tiny, album, tmp_path, monkeypatch, capsys):
    power = Power(monkeypatch)
    power.left = 4  # a.wav and a window of the next
    assert tiny("bwe", "album", *WORDS, "--out", "new", "--resume", "--jobs", "1") == 130
    capsys.readouterr()
    power.left, power.computed = 1000, 0
    assert tiny("bwe", "album", "--cutoff", "2k", "--steps", "2", "--out", "new", "--resume") == 3
    assert "new/a.wav is the result of an interrupted run with other parameters" in capsys.readouterr().err
    assert tiny("bwe", "album", "--cutoff", "2k", "--steps", "2", "--out", "new", "--resume", "--overwrite") == 0
    assert power.computed >= 9  # those of the second and third recording were finished by the run before
    assert tiny("bwe", "album", "--cutoff", "2k", "--steps", "2", "--out", "straight") == 0
    assert contents(tmp_path / "new") == contents(tmp_path / "straight")


def test_what_was_kept_of_one_version_is_not_used_for_another(tiny, album, tmp_path, monkeypatch):
    power = Power(monkeypatch)
    power.left = 100
    assert tiny("bwe", "album/c.wav", *WORDS, "--out", "straight.wav") == 0
    whole = power.computed
    power.left = 2 * whole - 1  # all of the first, not all of the second
    assert tiny("bwe", "album/c.wav", *WORDS, "--takes", "2", "--jobs", "1", "--resume", "--out", "new/") == 130
    assert kept_path(tmp_path / "new/c.2.wav").exists()
    power.left = 100
    assert tiny("bwe", "album/c.wav", *WORDS, "--resume", "--out", "new/c.2.wav") == 0
    assert (tmp_path / "new/c.2.wav").read_bytes() == (tmp_path / "straight.wav").read_bytes()


def test_two_runs_on_one_result_are_told_apart_by_its_name(tiny, album, tmp_path, capsys):
    kept_path(tmp_path / "new.wav").touch()
    with kept_path(tmp_path / "new.wav").open("rb+") as file:
        assert lock(file.fileno())
        assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav", "--resume") == 1
    assert capsys.readouterr().err == "restorer: another run works on new.wav; wait for it, or write elsewhere\n"


def test_another_recording_of_the_same_name_begins_anew(tiny, album, tmp_path, monkeypatch):
    power = Power(monkeypatch)
    power.left = 2
    assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav", "--resume") == 130
    Path("album/a.wav").write_bytes((album / "c.wav").read_bytes())
    power.left, power.computed = 1000, 0
    assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav", "--resume") == 0
    assert power.computed == 3
    assert tiny("bwe", "album/c.wav", *WORDS, "--out", "straight.wav") == 0
    assert (tmp_path / "new.wav").read_bytes() == (tmp_path / "straight.wav").read_bytes()


def test_a_bad_disk_for_what_is_kept_costs_nothing_but_the_resuming(tiny, album, tmp_path, monkeypatch, capsys):
    def full(self, stage, start, known_until, change):
        self._give_up(OSError(28, "No space left on device"))

    monkeypatch.setattr("restorer.restoration.kept.Kept.keep", full)
    assert tiny("bwe", "album/a.wav", *WORDS, "--out", "new.wav", "--resume") == 0
    assert "new.wav: finished windows could not be kept (No space left on device)" in capsys.readouterr().err


def test_windows_that_begin_before_the_recording_are_kept_apart(tiny, tmp_path):
    """Classical ones, around two gaps near its start: either's change is of another length."""
    soundfile.write("in.wav", 0.1 * np.random.default_rng(0).standard_normal(32000), 8000, "PCM_16")
    gaps = ["--gap", "0-0.05", "--gap", "1.42-1.505"]
    assert tiny("inpaint", "in.wav", *gaps, "--out", "straight.wav") == 0
    assert tiny("inpaint", "in.wav", *gaps, "--out", "kept.wav", "--resume") == 0
    assert Path("kept.wav").read_bytes() == Path("straight.wav").read_bytes()


def test_takes_are_versions_by_seeds_that_follow(tiny, album, capsys):
    words = ["album/a.wav", *WORDS, "--seed", "3"]
    assert tiny("bwe", *words, "--takes", "3", "--out", "new/", "--json") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    takes = {each["target"]: each["seed"] for each in said}
    assert takes == {"new/a.1.wav": 3, "new/a.2.wav": 4, "new/a.3.wav": 5}
    assert tiny("bwe", "album/a.wav", *WORDS, "--seed", "4", "--out", "alone.wav") == 0
    sounds = [soundfile.read(name)[0] for name in ("new/a.1.wav", "new/a.2.wav", "alone.wav")]
    np.testing.assert_array_equal(sounds[1], sounds[2])
    assert np.abs(sounds[0] - sounds[1]).max() > 0.01


@pytest.mark.parametrize("words", [["-", "--out", "a.wav"], ["album/a.wav", "--out", "-"]])
def test_takes_of_a_stream_are_refused(tiny, album, capsys, words):
    assert tiny("bwe", *words, "--cutoff", "1k", "--takes", "2") == 2
    assert "--takes is for files" in capsys.readouterr().err


@pytest.mark.parametrize(("quality", "steps"), [("draft", 5), ("standard", 10), ("best", 20)])
def test_quality_is_steps_of_highs(tiny, album, capsys, quality, steps):
    assert tiny("bwe", "album/a.wav", "--cutoff", "1k", "--quality", quality, "--json", "--out", "new.wav") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["n_steps"] == steps


@pytest.mark.parametrize(("quality", "steps"), [("draft", 5), ("best", 18)])
def test_quality_is_steps_of_the_prior_and_leaves_the_method(tiny, album, capsys, quality, steps):
    words = ["album/a.wav", "--quality", quality, "--json", "--overwrite", "--out", "new.wav"]
    assert tiny("inpaint", "--gap", "0.2-0.21", *words) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["n_steps"], settings["method"]) == (steps, "auto")
    assert tiny("declip", "--threshold", "0.5", *words) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["n_steps"] == DECLIP.n_steps


@pytest.mark.parametrize("threshold", ["0.3", "auto"])
def test_what_wav_cannot_hold_becomes_rf64_which_is_said_and_read_back(tiny, tmp_path, monkeypatch, capsys, threshold):
    """A WAV ends at 4 GiB, of which a test cannot wait for the end."""
    noise = np.clip(np.random.default_rng(0).standard_normal((20000, 2)), -0.5, 0.5)
    soundfile.write(tmp_path / "take.wav", noise, 8000, "PCM_16")
    monkeypatch.setattr("restorer.audio.writer._LARGEST_32_BIT", 100_000)
    assert tiny("declip", "take.wav", "--threshold", threshold) == 0
    made = soundfile.info(tmp_path / "take.restored.wav")
    assert (made.format, made.subtype, made.frames) == ("RF64", "FLOAT", 20000)
    assert "take.restored.wav: becomes RF64, for it would pass the 4 GiB" in capsys.readouterr().err
    assert tiny("declip", "take.wav", "--threshold", "0.3", "--format", "wav", "--overwrite") == 1
    assert "ask for --format rf64" in capsys.readouterr().err
