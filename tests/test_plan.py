"""What was named and what will be done: names, trees, collisions."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restorer.errors import AudioError, UsageError
from restorer.restoration.fit import require_fit
from restorer.restoration.named import Chosen, sound_files, spelled_out
from restorer.restoration.place import place_of
from restorer.restoration.plan import plan_jobs, with_room
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, gaps_of
from restorer.restoration.wanted import LIKE_INPUT, Wanted
from tests.shell import contents, record

TASK = Declipping(0.5)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, capsys):  # under capsys standard output is no terminal
    monkeypatch.chdir(tmp_path)


def planned(*inputs, out=None, task=TASK, **options):
    plan = plan_jobs(inputs, out, task, **options)
    assert not plan.refusals
    return {str(job.source): str(job.target) for job in plan.jobs}


def refused(*inputs, out=None, task=TASK, **options):
    return [(str(each.source), str(each.error)) for each in plan_jobs(inputs, out, task, **options).refusals]


def test_a_file_gets_its_result_beside_it(tmp_path):
    record(tmp_path / "cd" / "take.flac")
    assert planned("cd/take.flac") == {"cd/take.flac": "cd/take.restored.flac"}


def test_a_file_goes_where_it_is_sent(tmp_path):
    record(tmp_path / "take.wav")
    (tmp_path / "there").mkdir()
    assert planned("take.wav", out="new.wav") == {"take.wav": "new.wav"}
    assert planned("take.wav", out="there") == {"take.wav": "there/take.wav"}
    assert planned("take.wav", out="not/yet/") == {"take.wav": "not/yet/take.wav"}
    assert planned("take.wav", out="-") == {"take.wav": "-"}


def test_standard_input_goes_to_standard_output_or_to_a_named_file():
    assert planned("-") == {"-": "-"}
    assert planned("-", out="-") == {"-": "-"}
    assert planned("-", out="new.flac") == {"-": "new.flac"}
    with pytest.raises(UsageError, match="has no name"):
        plan_jobs(["-"], "folder/", TASK)


def test_a_named_pipe_goes_to_standard_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert planned("pipe") == {"pipe": "-"}


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_the_systems_names_of_standard_input_and_output_are_the_dash(tmp_path, folder):
    record(tmp_path / "take.wav")
    for name in ("/dev/stdin", f"{folder}/0"):
        assert planned(name) == {"-": "-"}
        assert planned(name, out="new.wav") == {"-": "new.wav"}
    for name in ("/dev/stdout", f"{folder}/1"):
        assert planned("take.wav", out=name) == {"take.wav": "-"}
        assert place_of(name) == "-"
    with pytest.raises(UsageError, match="which goes alone"):
        plan_jobs(["take.wav", "/dev/stdin"], "new/", TASK)


def test_several_pipes_need_a_folder(tmp_path):
    for name in ("one", "two"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=r"one and two would both go to standard output, .* as --out FOLDER/"):
        plan_jobs(["one", "two"], None, TASK)
    assert planned("one", "two", out="new/") == {"one": "new/one", "two": "new/two"}


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    record(tmp_path / "album" / "a.wav")
    record(tmp_path / "elsewhere.wav")
    os.symlink("../elsewhere.wav", tmp_path / "album" / "link.wav")
    os.symlink("gone.wav", tmp_path / "album" / "loose.wav")
    os.mkfifo(tmp_path / "album" / "pipe.wav")
    assert {str(path) for path in sound_files(Path("album"), Path("new"))} == {
        "album/a.wav", "album/link.wav", "album/loose.wav",  # of which planning says that it is gone
    }  # fmt: skip
    assert spelled_out(["album/[ap]*.wav"]) == (["album/a.wav"], True)
    assert spelled_out(["album/pipe.wav"]) == (["album/pipe.wav"], False)


def test_gaps_of_a_channel_that_a_recording_does_not_have_are_refused_for_it_alone(tmp_path):
    record(tmp_path / "album" / "one.wav")
    record(tmp_path / "album" / "two.wav", channels=2)
    ((name, said),) = refused("album", task=gaps_of([[], [(0.1, 0.2)]], []))
    assert name == "album/one.wav"
    assert said == "gaps are said to be in channel 2, and album/one.wav has 1; give the gaps of this recording"


def test_a_tree_is_mirrored_and_what_is_no_sound_is_skipped(tmp_path):
    for name in ("b.wav", "cd 1/a.flac", "cd 1/deeper/c.WAV", ".trash/d.wav", "._b.wav"):
        record(tmp_path / "album" / name)
    (tmp_path / "album" / "cover.jpg").write_bytes(b"no sound")
    assert planned("album/", out="restored/") == {
        "album/b.wav": "restored/b.wav",
        "album/cd 1/a.flac": "restored/cd 1/a.flac",
        "album/cd 1/deeper/c.WAV": "restored/cd 1/deeper/c.WAV",
    }
    here = str(tmp_path / "album.restored")
    assert set(planned("album").values()) == {f"{here}/b.wav", f"{here}/cd 1/a.flac", f"{here}/cd 1/deeper/c.WAV"}


def test_several_folders_keep_their_names_apart(tmp_path):
    for name in ("cd1/01.wav", "cd2/01.wav", "bonus.wav"):
        record(tmp_path / name)
    assert planned("cd1", "cd2/", "bonus.wav", out="all") == {
        "cd1/01.wav": "all/cd1/01.wav",
        "cd2/01.wav": "all/cd2/01.wav",
        "bonus.wav": "all/bonus.wav",
    }


def test_the_results_of_the_last_time_are_not_taken_for_recordings(tmp_path):
    record(tmp_path / "album" / "a.wav")
    record(tmp_path / "album" / "restored" / "a.wav")
    assert planned("album", out="album/restored", overwrite=True) == {"album/a.wav": "album/restored/a.wav"}


def test_a_lossy_recording_becomes_flac(tmp_path):
    record(tmp_path / "old tape.v2.ogg", rate=44100, subtype="VORBIS")
    record(tmp_path / "album" / "a.mp3", rate=44100, subtype="MPEG_LAYER_III")
    assert planned("old tape.v2.ogg") == {"old tape.v2.ogg": "old tape.v2.restored.flac"}
    assert planned("album", out="new") == {"album/a.mp3": "new/a.flac"}
    assert planned("album/a.mp3", out="as.wav") == {"album/a.mp3": "as.wav"}


def test_a_name_without_a_suffix_stays_whole(tmp_path):
    record(tmp_path / "take", container="WAV")
    record(tmp_path / "lossy", rate=44100, subtype="VORBIS", container="OGG")
    assert planned("take", "lossy") == {"take": "take.restored", "lossy": "lossy.restored.flac"}


def test_planning_touches_nothing(tmp_path):
    record(tmp_path / "album" / "a.wav")
    before = contents(tmp_path)
    planned("album", out="new/deep")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("alias", ["same", "dot", "symlink", "hardlink"])
def test_an_input_is_never_an_output(tmp_path, alias):
    record(tmp_path / "take.wav")
    (tmp_path / "sub").mkdir()
    names = {"same": "take.wav", "dot": "sub/../take.wav", "symlink": "soft.wav", "hardlink": "hard.wav"}
    os.symlink("take.wav", tmp_path / "soft.wav")
    os.link(tmp_path / "take.wav", tmp_path / "hard.wav")
    with pytest.raises(UsageError, match="never overwritten"):
        plan_jobs(["take.wav"], names[alias], TASK, overwrite=True)


def test_a_folder_is_never_its_own_target(tmp_path):
    record(tmp_path / "album" / "a.wav")
    with pytest.raises(UsageError, match="never overwritten"):
        plan_jobs(["album"], "album", TASK, overwrite=True)


def test_an_input_is_not_the_output_of_another(tmp_path):
    record(tmp_path / "a.wav")
    record(tmp_path / "a.restored.wav")
    with pytest.raises(UsageError, match=r"a\.restored\.wav is an input"):
        plan_jobs(["a.wav", "a.restored.wav"], None, TASK, overwrite=True)


@pytest.mark.parametrize("order", [("a.wav", "a.restored.wav"), ("a.restored.wav", "a.wav")])
def test_an_input_that_cannot_be_read_is_not_an_output_either(tmp_path, order):
    record(tmp_path / "a.wav")
    (tmp_path / "a.restored.wav").write_bytes(b"RIFF, and all that is left of a recording")
    with pytest.raises(UsageError, match=r"a\.restored\.wav is an input"):
        plan_jobs(order, None, TASK, overwrite=True)


def test_two_inputs_with_one_output_are_refused_before_work_starts(tmp_path):
    for name in ("one/a.wav", "two/a.wav"):
        record(tmp_path / name)
    with pytest.raises(UsageError, match=r"one/a\.wav and two/a\.wav would both become new/a\.wav"):
        plan_jobs(["one/a.wav", "two/a.wav"], "new", TASK)


def test_the_same_input_twice_is_one_job(tmp_path):
    record(tmp_path / "a.wav")
    assert planned("a.wav", "a.wav") == {"a.wav": "a.restored.wav"}


def test_one_input_by_two_names_is_one_job_where_it_has_one_output(tmp_path):
    record(tmp_path / "cd" / "a.wav")
    os.symlink("cd", tmp_path / "link")
    os.symlink("cd/a.wav", tmp_path / "b.wav")
    assert planned("cd/a.wav", "./cd/a.wav", "link/a.wav", out="new/") == {"cd/a.wav": "new/a.wav"}
    assert planned("cd", "./cd", out="new") == {"cd/a.wav": "new/cd/a.wav"}
    assert planned("cd/a.wav", "b.wav", out="new/") == {"cd/a.wav": "new/a.wav", "b.wav": "new/b.wav"}
    assert [source for source, _ in refused("one/gone.wav", "two/gone.wav", out="new/")] == [
        "one/gone.wav", "two/gone.wav",
    ]  # fmt: skip


def test_a_single_file_is_chosen_as_several_are(tmp_path):
    record(tmp_path / "cd" / "a.wav")
    assert planned("cd/a.wav", chosen=Chosen(include=("cd/*",))) == {"cd/a.wav": "cd/a.restored.wav"}
    for chosen in (Chosen(include=("*.flac",)), Chosen(exclude=("a.*",))):
        with pytest.raises(AudioError, match=r"cd/a\.wav has nothing that --include and --exclude let through"):
            plan_jobs(["cd/a.wav"], None, TASK, chosen=chosen)


def endless(path, gib, bits=16):
    """A WAV of silence, which takes no room."""
    size = int(gib * 2**30) // bits * bits
    form = struct.pack("<HHIIHH", 1, 2, 44100, 44100 * bits // 4, bits // 4, bits)
    header = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    path.write_bytes(header + b"data" + struct.pack("<I", size))
    os.truncate(path, 44 + size)


@pytest.mark.parametrize(("gib", "bits", "form"), [(2.1, 16, "rf64"), (1.9, 16, None), (3.1, 24, "rf64")])
def test_a_wav_that_floating_point_makes_too_long_becomes_rf64(tmp_path, gib, bits, form):
    endless(tmp_path / "a.wav", gib, bits)
    for out in (None, "new.wav", "new/"):
        (job,) = plan_jobs(["a.wav"], out, TASK).jobs
        assert with_room(job, TASK, LIKE_INPUT) == Wanted(form)
    assert with_room(job, Inpainting(((1.0, 1.1),)), LIKE_INPUT) == LIKE_INPUT


@pytest.mark.parametrize(("out", "wanted"), [(None, Wanted("wav")), (None, Wanted("aiff")), ("new.aiff", LIKE_INPUT)])
def test_what_4_gib_cannot_hold_is_refused_before_the_work(tmp_path, out, wanted):
    endless(tmp_path / "a.wav", 2.1)
    ((_, said),) = refused("a.wav", out=out, wanted=wanted)
    assert "would pass 4 GiB" in said
    assert "ask for --format rf64" in said
    ((_, said),) = refused("a.wav", task=Inpainting(((1.0, 1.1),)), wanted=Wanted("wav", sample_rate=96000))
    assert "would pass 4 GiB" in said


def test_several_inputs_need_a_folder_and_no_stream(tmp_path):
    record(tmp_path / "a.wav")
    record(tmp_path / "b.wav")
    with pytest.raises(UsageError, match="is a file"):
        plan_jobs(["a.wav", "b.wav"], "a.wav", TASK)
    with pytest.raises(UsageError, match="one stream"):
        plan_jobs(["a.wav", "b.wav"], "-", TASK)
    with pytest.raises(UsageError, match="goes alone"):
        plan_jobs(["a.wav", "-"], None, TASK)


def test_a_folder_without_sound_is_said_to_be_one(tmp_path):
    (tmp_path / "album").mkdir()
    with pytest.raises(AudioError, match="no sound files"):
        plan_jobs(["album"], None, TASK)


def test_one_bad_file_is_refused_and_the_others_are_planned(tmp_path):
    record(tmp_path / "album" / "good.wav")
    record(tmp_path / "album" / "done.wav")
    record(tmp_path / "new" / "done.wav")
    (tmp_path / "album" / "empty.wav").touch()
    plan = plan_jobs(["album", "gone.wav"], "new", TASK)
    assert not plan.is_single
    assert [str(job.source) for job in plan.jobs] == ["album/done.wav", "album/good.wav"]  # new/album/, not new/
    plan = plan_jobs(["album"], "new", TASK)
    assert [str(job.source) for job in plan.jobs] == ["album/good.wav"]
    assert {str(each.source) for each in plan.refusals} == {"album/done.wav", "album/empty.wav"}


def test_what_exists_is_replaced_only_when_asked(tmp_path):
    record(tmp_path / "a.wav")
    record(tmp_path / "a.restored.wav")
    assert "exists already" in refused("a.wav")[0][1]
    assert planned("a.wav", overwrite=True) == {"a.wav": "a.restored.wav"}


def test_a_target_below_a_file_is_refused(tmp_path):
    record(tmp_path / "a.wav")
    assert "Not a directory" in refused("a.wav", out="a.wav/b.wav")[0][1]


def test_a_task_that_does_not_fit_is_refused_for_its_file_alone(tmp_path):
    record(tmp_path / "album" / "long.wav", seconds=3)
    record(tmp_path / "album" / "short.wav", seconds=1)
    assert [source for source, _ in refused("album", task=Inpainting(((1.5, 2.0),)))] == ["album/short.wav"]


@example(4000.0, 8000)
@given(st.floats(1, 1e5), st.sampled_from([8000, 22050, 44100, 96000]))
def test_a_cutoff_fits_below_nyquist(cutoff_hz, rate):
    if cutoff_hz < rate / 2:
        require_fit(BandwidthExtension(cutoff_hz), rate, 1.0, "a.wav")
    else:
        with pytest.raises(UsageError, match=rf"{cutoff_hz:g} Hz is not below {rate / 2:g} Hz".replace("+", r"\+")):
            require_fit(BandwidthExtension(cutoff_hz), rate, 1.0, "a.wav")


def test_a_gap_may_reach_to_the_end_as_players_show_it():
    duration_s = 10.00004
    require_fit(Inpainting(((9.0, 10.0005),)), 8000, duration_s, "a.wav")
    require_fit(Inpainting(((9.0, 99.0),)), 8000, None, "a pipe, whose end is not known")
    with pytest.raises(UsageError, match=r"9-10\.1 reaches beyond the end of a\.wav"):
        require_fit(Inpainting(((1.0, 2.0), (9.0, 10.1))), 8000, duration_s, "a.wav")


def test_links_to_folders_are_not_followed(tmp_path):
    record(tmp_path / "album" / "a.wav")
    os.symlink(tmp_path / "album", tmp_path / "album" / "round")
    assert list(planned("album", out="new")) == ["album/a.wav"]
    assert Path("album/round/a.wav").exists()
