"""Sound that no prior was trained on: it is restored and finite, or refused in one line that says where it is bad."""

import warnings

import numpy as np
import pytest
import soundfile

from restorer.audio import open_reader
from tests.shell import contents

N = 6000
NOISE = 0.1 * np.random.default_rng(0).standard_normal(N)
TASKS = {
    "bwe": ["--cutoff", "1k", "--steps", "2"],
    "declip": ["--threshold", "0.4", "--steps", "1"],
    "inpaint": ["--gap", "0-0.0001", "--gap", "0.4-0.45", "--steps", "2"],
}
ODD = {
    "silence": np.zeros(N),
    "below float32": np.sign(NOISE) * 1e-310,
    "denormal in float32": 1e-40 * NOISE,
    "nearly nothing": 1e-30 * NOISE,
    "an offset": 0.7 + 0.01 * NOISE,
    "nothing but an offset": np.full(N, 0.35),
    "an impulse": np.eye(1, N, N // 2)[0],
    "never scaled down": 1e5 * NOISE,
}


def said_once(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("command", TASKS)
@pytest.mark.parametrize("sound", ODD)
def test_odd_sound_comes_back_finite_and_complete(tiny, tmp_path, command, sound):
    if command == "declip" and sound == "never scaled down":
        pytest.skip("every sample of it is clipped, which takes its time")
    soundfile.write(tmp_path / "in.wav", ODD[sound], 8000, "DOUBLE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which would be a line that nobody understands
        assert tiny(command, "in.wav", *TASKS[command], "-o", "out.wav") == 0
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert out.shape == (N,)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 10 * np.abs(ODD[sound]).max()


@pytest.mark.parametrize("command", TASKS)
@pytest.mark.parametrize("frames", [0, 1])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_next_to_no_sound_comes_back_as_long_as_it_was(tiny, tmp_path, command, frames, suffix):
    soundfile.write(tmp_path / "in.wav", np.full((frames, 2), 0.25), 8000, "PCM_16")
    words = ["--gap", "0-0.0001"] if command == "inpaint" else TASKS[command][:2]
    assert tiny(command, "in.wav", *words, "--steps", "2", "-o", f"out{suffix}") == 0
    with open_reader(tmp_path / f"out{suffix}") as reader:  # a FLAC of no samples does not know its length
        assert (reader.format.channels, reader.format.sample_rate) == (2, 8000)
        assert len(reader.read(10)) == frames


def test_settings_that_lead_nowhere_are_at_fault_not_the_recording(tiny, tmp_path, capsys):
    soundfile.write(tmp_path / "in.wav", NOISE, 8000)
    before = contents(tmp_path)
    assert tiny("bwe", "in.wav", *TASKS["bwe"], "--guidance", "rg", "--xi", "1e300") == 1
    said = said_once(capsys)
    assert said.startswith("restorer: the result for in.restored.wav has a sample that is nan at ")
    assert said.endswith("leave out --xi, --steps and --sampler, or choose another --prior\n")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e10, -1e300])
def test_what_is_no_sample_is_refused_with_its_place(tiny, tmp_path, capsys, value):
    sound = NOISE.copy()
    sound[4000] = value
    soundfile.write(tmp_path / "in.wav", sound, 8000, "DOUBLE")
    before = contents(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tiny("bwe", "in.wav", *TASKS["bwe"]) == 1
    said = said_once(capsys)
    assert f"in.wav has a sample that is {value} at 0.500000 s (sample 4000, channel 1)" in said
    assert contents(tmp_path) == before
