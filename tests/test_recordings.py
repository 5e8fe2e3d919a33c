"""Excerpts of recordings: the files' own samples, at their own pitch, the same for the same index."""

import logging
import pickle
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from restorer.errors import AudioError, UsageError
from restorer.training.recordings import SILENT, Recording, RecordingExcerpts, find_recordings, split_recordings

RATE = 8000
LENGTH = 1000
needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not here")


def noise(frames: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """(frames, channels) on the steps of 16 bits; the mean of two channels is exact in float32 as well."""
    return np.random.default_rng(seed).integers(-16000, 16000, (frames, channels)) / 2.0**15


def sine(frequency_hz: float, frames: int, rate: int = RATE, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / rate)


def recorded(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Recording:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype)
    return find_recordings([path])[0]


def imagined(name: str) -> Recording:
    return Recording(Path("/music") / name, name, RATE, 1, 0, 10 * RATE, True)


def place_in(excerpt: np.ndarray, samples: np.ndarray) -> int | None:
    """Where `excerpt`, whatever its polarity, lies in a channel or the mean of the channels of `samples`."""
    for row in [*samples.T, samples.mean(axis=1)]:
        for sign in (1, -1):
            for at in np.flatnonzero(row[: len(row) - len(excerpt) + 1] == sign * excerpt[0]):
                if np.array_equal(row[at : at + len(excerpt)], sign * excerpt):
                    return int(at)
    return None


def peak_hz(wave: np.ndarray, rate: int) -> float:
    """The frequency of a sine, to about a hundredth of a hertz: the phase between two windows half a second apart."""
    half = rate // 2
    window = np.hanning(len(wave) - half)
    first, second = (np.fft.rfft(part * window) for part in (wave[:-half], wave[half:]))
    at = int(np.argmax(np.abs(first)))
    turns = np.angle(second[at] / first[at]) / (2 * np.pi)
    coarse = at * rate / len(window)
    return float((turns + round(coarse * half / rate - turns)) * rate / half)


def test_an_excerpt_is_a_function_of_seed_and_index(tmp_path: Path) -> None:
    files = [recorded(tmp_path / f"{i}.flac", noise(3 * RATE, seed=i), rate) for i, rate in enumerate((RATE, 11025))]
    one, other = (RecordingExcerpts(files, LENGTH, RATE, seed=3) for _ in range(2))
    copy = pickle.loads(pickle.dumps(one))
    forwards = [one.excerpt(i) for i in range(8)]
    backwards = [other.excerpt(i) for i in reversed(range(8))][::-1]
    for i in range(8):
        assert forwards[i].dtype == np.float32
        assert forwards[i].shape == (LENGTH,)
        assert np.array_equal(forwards[i], backwards[i])
        assert np.array_equal(forwards[i], copy.excerpt(i))
    assert not any(np.array_equal(a, b) for a, b in pairwise(forwards))
    assert not np.array_equal(forwards[0], RecordingExcerpts(files, LENGTH, RATE, seed=4).excerpt(0))


@pytest.mark.parametrize("name", ["take.wav", "take.flac", "take.aiff"])
@pytest.mark.parametrize("channels", [1, 2])
def test_at_its_own_rate_an_excerpt_is_the_files_samples(tmp_path: Path, name: str, channels: int) -> None:
    samples = noise(4 * RATE, channels)
    excerpts = RecordingExcerpts([recorded(tmp_path / name, samples)], LENGTH, RATE, seed=0, detuning=0)
    places = [place_in(excerpts.excerpt(i), samples) for i in range(10)]
    assert None not in places
    assert len(set(places)) > 5


@needs_ffmpeg
@pytest.mark.parametrize("piped", [False, True])
def test_what_cannot_be_sought_gives_the_same_excerpts(tmp_path: Path, piped: bool) -> None:
    """As a WAV. ALAC in MP4, which only ffmpeg reads, and a FLAC from a pipe, which does not know its length."""
    samples = noise(20 * RATE)  # more than one block of the decoding
    sought = recorded(tmp_path / "source.wav", samples)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "source.wav", "-c:a", "flac" if piped else "alac"]
    path = tmp_path / ("take.flac" if piped else "take.m4a")
    if piped:
        path.write_bytes(subprocess.run([*command, "-f", "flac", "-"], check=True, capture_output=True).stdout)
    else:
        subprocess.run([*command, path], check=True)
    (recording,) = find_recordings([path])
    assert (recording.seekable, recording.frames) == (False, len(samples))
    for i in range(3):
        expected = RecordingExcerpts([sought], LENGTH, RATE, seed=0).excerpt(i)
        assert np.array_equal(RecordingExcerpts([recording], LENGTH, RATE, seed=0).excerpt(i), expected)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([6000, 8000, 11025, 12000, 48000]), st.floats(100, 2000), st.integers(0, 100))
def test_a_resampled_sine_keeps_its_frequency(
    tmp_path_factory: pytest.TempPathFactory, rate: int, frequency_hz: float, index: int
) -> None:
    """And is that sine from its first to its last sample: what resampling does to ends stays outside."""
    path = tmp_path_factory.mktemp("sine") / "sine.wav"
    recording = recorded(path, sine(frequency_hz, 2 * rate, rate), rate, "FLOAT")
    wave = RecordingExcerpts([recording], 3000, RATE, index, detuning=0).excerpt(index).astype(np.float64)
    phase = 2 * np.pi * frequency_hz * np.arange(3000) / RATE
    basis = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, wave, rcond=None)[0]
    assert np.abs(wave - fitted).max() < 2e-5  # soxr's HQ is good to 20 bits, float32 to 24; an end's ripple is 1e-1


@pytest.mark.parametrize("rate", [RATE, 11025])
def test_detuning_stays_within_its_range_and_leaves_half_of_the_excerpts(tmp_path: Path, rate: int) -> None:
    recording = recorded(tmp_path / "sine.wav", sine(1000, 6 * rate, rate), rate)
    excerpts = RecordingExcerpts([recording], 2 * RATE, RATE, seed=0, detuning=0.02)
    ratios = np.array([peak_hz(excerpts.excerpt(i), RATE) / 1000 for i in range(40)])
    untouched = np.abs(ratios - 1) < 1e-5
    assert np.abs(ratios - 1).max() < 0.02 + 1e-5
    assert 8 <= untouched.sum() <= 32  # 20 expected; 3.8 standard deviations to either side
    assert ratios.min() < 0.99
    assert ratios.max() > 1.01


def test_both_polarities_each_channel_and_their_mean_come(tmp_path: Path) -> None:
    samples = np.tile([0.25, 0.75], (2 * RATE, 1))
    excerpts = RecordingExcerpts([recorded(tmp_path / "levels.wav", samples)], LENGTH, RATE, seed=0, detuning=0)
    heard = {float(excerpts.excerpt(i)[0]) for i in range(60)}
    assert heard == {-0.75, -0.5, -0.25, 0.25, 0.5, 0.75}


def test_recordings_come_by_their_duration(tmp_path: Path) -> None:
    """Duration, not frames: the long one has the lower rate."""
    long = recorded(tmp_path / "long.wav", np.full(6 * RATE, 0.1), RATE)
    short = recorded(tmp_path / "short.wav", np.full(2 * 4 * RATE, 0.5), 4 * RATE)
    excerpts = RecordingExcerpts([short, long], 200, RATE, seed=0, detuning=0)
    share = np.mean([np.abs(excerpts.excerpt(i)).max() < 0.3 for i in range(300)])
    assert share == pytest.approx(0.75, abs=0.1)  # 4 standard deviations of 300 draws


def test_a_short_recording_lies_whole_among_zeros(tmp_path: Path) -> None:
    samples = noise(300, 1)
    samples[samples == 0] = 0.5
    excerpts = RecordingExcerpts([recorded(tmp_path / "short.wav", samples)], LENGTH, RATE, seed=0, detuning=0)
    places = set()
    for i in range(8):
        wave = excerpts.excerpt(i)
        sounding = np.flatnonzero(wave)
        places.add(int(sounding[0]))
        assert place_in(wave[sounding[0] : sounding[-1] + 1], samples) == 0
        assert sounding.size == 300
    assert len(places) > 4


def test_a_short_recording_at_another_rate_keeps_its_duration(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "short.wav", np.full(480, 0.5), 2 * RATE)
    wave = RecordingExcerpts([recording], LENGTH, RATE, seed=0, detuning=0).excerpt(0)
    assert abs(wave.sum()) == pytest.approx(0.5 * 240, rel=0.01)  # a filter of unit gain at 0 Hz, cut at its ends


def test_pauses_are_drawn_again(tmp_path: Path) -> None:
    samples = noise(4 * RATE, 1) * (np.arange(4 * RATE) >= 2 * RATE)[:, None]
    excerpts = RecordingExcerpts([recorded(tmp_path / "half.wav", samples)], LENGTH, RATE, seed=0)
    assert all(np.sqrt(np.mean(excerpts.excerpt(i) ** 2)) > SILENT for i in range(60))  # by chance 1 of 2**8 is silent


def test_silence_alone_is_still_an_excerpt(tmp_path: Path) -> None:
    excerpts = RecordingExcerpts([recorded(tmp_path / "silence.wav", np.zeros(2 * RATE))], LENGTH, RATE, seed=0)
    assert not excerpts.excerpt(0).any()


def test_found_by_name_once_each_and_what_is_unreadable_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b/2.flac", "b/1.WAV", "a.aiff", "b/.hidden.wav"):
        recorded(tmp_path / name, noise(RATE))
    flac = (tmp_path / "b/2.flac").read_bytes()
    (tmp_path / "b/torn.flac").write_bytes(flac[: len(flac) // 2])
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "no frames.wav", np.zeros(0), RATE)
    with caplog.at_level(logging.WARNING):
        found = find_recordings([tmp_path, tmp_path / "b"])
    assert [recording.name for recording in found] == ["a.aiff", "b/1.WAV", "b/2.flac"]
    assert found[2] == Recording(tmp_path / "b/2.flac", "b/2.flac", RATE, 2, 0, RATE, True)
    for name in ("torn.flac", "empty.wav", "no frames.wav"):
        assert sum(name in message for message in caplog.messages) == 1
    assert len(caplog.messages) == 3


def test_a_torn_mp3_is_as_long_as_what_is_left_of_it(tmp_path: Path) -> None:
    whole = recorded(tmp_path / "whole.mp3", noise(10 * 16000) / 4, 16000, "MPEG_LAYER_III")
    content = whole.path.read_bytes()
    (tmp_path / "torn.mp3").write_bytes(content[: len(content) // 2])
    (torn,) = find_recordings([tmp_path / "torn.mp3"])
    assert torn.frames / whole.frames == pytest.approx(0.5, abs=0.05)  # packets are of unequal size


def test_nothing_to_read_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    for folders, what in [([tmp_path], str(tmp_path)), ([tmp_path / "gone"], "does not exist"), ([], "no folder")]:
        with pytest.raises(UsageError, match=what) as caught:
            find_recordings(folders)
        assert "\n" not in str(caught.value)


NAMES = st.lists(st.text("abcdefgh/", min_size=1, max_size=8), min_size=2, max_size=60, unique=True)


@given(NAMES, st.floats(0.01, 0.99))
def test_a_split_parts_all_recordings_and_leaves_neither_side_empty(names: list[str], share: float) -> None:
    recordings = [imagined(name) for name in names]
    training, validation = split_recordings(recordings, share)
    assert training
    assert validation
    assert sorted(r.name for r in training + validation) == sorted(names)
    again = split_recordings(recordings[::-1], share)
    assert (again[0][::-1], again[1][::-1]) == (training, validation)


@given(NAMES)
def test_a_split_moves_nothing_when_recordings_are_added(names: list[str]) -> None:
    many = [imagined(f"{i}.wav") for i in range(40)]  # enough for neither side to be empty by chance
    before, after = split_recordings(many, 0.5)[1], split_recordings([*many, *map(imagined, names)], 0.5)[1]
    assert set(before) == set(after) & set(many)


def test_a_split_takes_its_share() -> None:
    validation = split_recordings([imagined(f"{i}.wav") for i in range(2000)], 0.1)[1]
    assert len(validation) == pytest.approx(200, abs=54)  # 4 standard deviations


def test_a_split_goes_by_names_not_by_where_the_folder_lies() -> None:
    here = [imagined(f"{i}.wav") for i in range(50)]
    there = [replace(recording, path=Path("/elsewhere") / recording.name) for recording in here]
    assert [r.name for r in split_recordings(here)[1]] == [r.name for r in split_recordings(there)[1]]


@given(st.integers(2, 10**9), st.integers(0, 1000))
def test_a_single_recording_validates_with_its_end(frames: int, start: int) -> None:
    whole = replace(imagined("a.wav"), start=start, stop=start + frames)
    (training,), (validation,) = split_recordings([whole])
    assert (training.start, validation.stop) == (start, start + frames)
    assert training.stop == validation.start
    assert training.frames > 0
    assert abs(validation.frames - 0.1 * frames) <= 1  # a whole number of frames, one at least


@pytest.mark.parametrize("rate", [RATE, 11025])
@pytest.mark.parametrize("length", [LENGTH, 6 * RATE])
def test_excerpts_stay_within_their_part_of_a_file(tmp_path: Path, rate: int, length: int) -> None:
    """Silence in the middle of noise gives nothing but zeros: not a sample of the rest, nor its echo in a filter."""
    samples = noise(12 * rate, 1)
    samples[4 * rate : 8 * rate] = 0
    whole = recorded(tmp_path / "middle.wav", samples, rate)
    silent = RecordingExcerpts([replace(whole, start=4 * rate, stop=8 * rate)], length, RATE, seed=0)
    assert not any(silent.excerpt(i).any() for i in range(10))
    for start in (0, 8 * rate):
        sounding = RecordingExcerpts([replace(whole, start=start, stop=start + 4 * rate)], length, RATE, seed=0)
        fewest = min(np.count_nonzero(sounding.excerpt(i)) for i in range(10))
        assert fewest > 0.95 * min(length, 4 * RATE)  # detuned by 2 % at most


def test_damage_found_later_names_the_file(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "take.flac", noise(4 * RATE))
    excerpts = RecordingExcerpts([recording], LENGTH, RATE, seed=0)
    content = bytearray(recording.path.read_bytes())
    content[len(content) // 8 :] = bytes(len(content) - len(content) // 8)
    recording.path.write_bytes(content)
    with pytest.raises(AudioError, match=r"take\.flac cannot be decoded") as caught:
        [excerpts.excerpt(i) for i in range(20)]
    assert "\n" not in str(caught.value)
    recording.path.unlink()
    with pytest.raises(AudioError, match=r"take\.flac"):
        excerpts.excerpt(0)


def test_samples_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    samples = noise(RATE, 1)
    samples[RATE // 2] = np.nan
    recording = recorded(tmp_path / "take.wav", samples, RATE, "FLOAT")
    with pytest.raises(AudioError, match=r"take\.wav has a sample that is nan"):
        RecordingExcerpts([recording], RATE, RATE, seed=0, detuning=0).excerpt(0)


def test_a_band_below_the_priors_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        RecordingExcerpts([imagined("dull.wav")], LENGTH, 2 * RATE, seed=0)
    assert f"1 of 1 recordings are below {2 * RATE} Hz" in caplog.text


def test_what_makes_no_excerpts_is_refused() -> None:
    with pytest.raises(UsageError, match="0 recordings"):
        RecordingExcerpts([], LENGTH, RATE, seed=0)
    with pytest.raises(UsageError, match="0 recordings"):
        split_recordings([])
    with pytest.raises(UsageError, match="without sound"):
        RecordingExcerpts([replace(imagined("a.wav"), stop=0)], LENGTH, RATE, seed=0)
    with pytest.raises(UsageError, match=r"detuning of 0\.6"):
        RecordingExcerpts([imagined("a.wav")], LENGTH, RATE, seed=0, detuning=0.6)
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(UsageError, match="share between 0 and 1"):
            split_recordings([imagined("a.wav"), imagined("b.wav")], share)
