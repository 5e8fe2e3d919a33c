"""The README's first screen, for real: the shipped prior, a real file, the real command line and real pipes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from restorer.dsp.filters import crossover_lowpass
from restorer.metrics.levels import band_level
from restorer.shipped import DEFAULT_PRIOR, find_weights

MUFFLED = Path(__file__).parent / "data" / "muffled.flac"


def run(*words: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "restorer", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, check=True)


def test_the_main_job_restores_highs_and_touches_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "clear.flac"
    run("bwe", MUFFLED, "--cutoff", "1k", "--out", target)
    before, rate = soundfile.read(MUFFLED)
    after, rate_after = soundfile.read(target)
    info, info_after = soundfile.info(MUFFLED), soundfile.info(target)
    assert (rate_after, after.shape) == (rate, before.shape)
    assert (info_after.format, info_after.subtype) == (info.format, info.subtype)
    change = (after - before)[:, 0]
    inner = slice(rate // 2, -rate // 2)
    lows = np.convolve(change, crossover_lowpass(900, rate), "same")[inner]
    assert lows.std() < 1e-3 * before.std()  # -60 dB below 0.9 of the cutoff
    for low_hz, high_hz in ((1200, 2400), (2400, 4800)):
        gained = band_level(after[:, 0], rate, low_hz, high_hz) - band_level(before[:, 0], rate, low_hz, high_hz)
        assert gained > 10  # dB; there was next to nothing


def test_the_users_pipe_fills_the_gap_and_passes_the_rest(tmp_path: Path) -> None:
    sound, rate = soundfile.read(MUFFLED, frames=4 * 44100)
    sound[2 * rate : 2 * rate + rate // 2] = 0
    soundfile.write(tmp_path / "in.wav", sound, rate, subtype="PCM_16")
    damaged, _ = soundfile.read(tmp_path / "in.wav")
    piped = run("inpaint", "--gap", "2.0-2.5", "--steps", "4", "-", stdin=(tmp_path / "in.wav").read_bytes()).stdout
    (tmp_path / "out.wav").write_bytes(piped)
    filled, _ = soundfile.read(tmp_path / "out.wav")
    first, stop = 2 * rate - 64, 2 * rate + rate // 2 + 64
    np.testing.assert_array_equal(filled[:first], damaged[:first])
    np.testing.assert_array_equal(filled[stop:], damaged[stop:])
    assert filled[first:stop].std() > 0.1 * damaged[:first].std()


def test_the_shipped_prior_has_a_card() -> None:
    card = find_weights(DEFAULT_PRIOR).with_suffix(".md").read_text()
    for word in ("Salamander", "CC BY", "GiantMIDI", "POP909", "steps", "hours"):
        assert word in card
