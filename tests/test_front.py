"""From Python: what the README shows runs, every public name is there, and what makes no sense is refused."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import restorer
from restorer import (
    BWE,
    INPAINT,
    AudioError,
    BandwidthExtension,
    Declipping,
    Inpainting,
    Repair,
    UsageError,
    detect,
    detect_file,
    generate,
    preset_of,
    restore,
    restore_file,
    task_of,
)
from tests.tiny import WhitePrior

ROOT = Path(__file__).parents[1]
RATE = 8000
NOISE = 0.1 * np.random.default_rng(0).standard_normal((9000, 2))
GAP = Inpainting(((0.5, 0.65),))


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    soundfile.write(tmp_path / "in.flac", np.tile(NOISE, (2, 1)), RATE)
    monkeypatch.setattr("restorer.prior.load_prior", lambda name="", device="cpu": WhitePrior())
    monkeypatch.chdir(tmp_path)
    ran = {}
    exec(block, ran)
    assert ran["restored"].shape == (18000, 2)
    assert soundfile.info("out.flac").frames == 18000
    assert len(re.findall(r"^\d+ of \d+ windows$", capsys.readouterr().out, re.MULTILINE)) > 1


def test_every_public_name_is_there_and_importing_the_package_costs_nothing():
    for name in restorer.__all__:
        assert getattr(restorer, name) is not None
    homes = [name for names in restorer._HOMES.values() for name in names]
    assert sorted([*homes, "__version__"]) == sorted(restorer.__all__)
    code = "import sys, restorer; assert not {'numpy', 'torch', 'soundfile'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_one_channel_may_be_a_row():
    row = restore(NOISE[:, 0], RATE, GAP, WhitePrior(), seed=3)
    table = restore(NOISE[:, :1], RATE, GAP, WhitePrior(), seed=3)
    assert row.shape == (9000,)
    assert np.array_equal(row, table[:, 0])


def test_the_array_given_is_not_touched_and_single_precision_will_do():
    given = NOISE.astype(np.float32)
    kept = given.copy()
    restored = restore(given, RATE, GAP, WhitePrior())
    assert restored.dtype == np.float64
    assert np.array_equal(given, kept)
    assert np.array_equal(restored[:3900], kept[:3900])
    assert not np.array_equal(restored[4000:4800], kept[4000:4800])


@pytest.mark.parametrize(("task", "preset"), [(BandwidthExtension(1000.0), BWE), (GAP, INPAINT)])
def test_no_settings_are_the_preset_of_the_task(tmp_path, task, preset):
    assert preset_of(task) == preset
    default = restore(NOISE, RATE, task, WhitePrior())
    assert np.array_equal(default, restore(NOISE, RATE, task, WhitePrior(), preset))
    assert not np.array_equal(default, restore(NOISE, RATE, task, WhitePrior(), replace(preset, n_steps=1)))
    soundfile.write(tmp_path / "in.wav", NOISE, RATE, "DOUBLE")
    restore_file(str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), task, WhitePrior())
    assert np.array_equal(soundfile.read(tmp_path / "out.wav")[0], default)


def test_progress_ends_at_the_end():
    told = []
    restore(NOISE, RATE, BandwidthExtension(1000.0), WhitePrior(), replace(BWE, n_steps=1), progress=told.append)
    assert told[-1].windows_done == told[-1].windows_total > 1
    assert told[-1].seconds_done == told[-1].seconds_total == 9000 / RATE


@pytest.mark.parametrize("shape", [(0,), (0, 2), (1,), (1, 2)])
def test_next_to_nothing_keeps_its_shape(shape):
    given = np.full(shape, 0.25)
    assert np.array_equal(restore(given, RATE, Declipping(0.5), WhitePrior()), given)


SILENCE = np.zeros((100, 1))
REFUSED = {
    "integers": (SILENCE.astype(np.int16), RATE, UsageError, "int16; give floats"),
    "three axes": (SILENCE[None], RATE, UsageError, r"\(1, 100, 1\)"),
    "a number": (np.float64(0), RATE, UsageError, r"shape \(\)"),
    "no channels": (SILENCE[:, :0], RATE, AudioError, "0 channels"),
    "channels first": (np.zeros((2, 100)), RATE, AudioError, "100 channels"),
    "no rate": (SILENCE, 0, AudioError, "sample rate of 0 Hz"),
    "no number": (SILENCE * np.nan, RATE, AudioError, "a sample that is nan"),
}


@pytest.mark.parametrize(
    "wrong", [{"method": "foo"}, {"guidance": "foo"}, {"sampler": "euler"}, {"n_steps": -1}, {"churn": -1}]
)
def test_settings_that_no_one_knows_are_refused(wrong):
    with pytest.raises(UsageError, match=str(*wrong.values())):
        replace(BWE, **wrong)


@pytest.mark.parametrize("case", REFUSED)
def test_an_array_that_is_no_recording_is_refused(case):
    samples, rate, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        restore(samples, rate, Declipping(0.5), WhitePrior())
    with pytest.raises(error, match=message):
        detect(samples, rate)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (BandwidthExtension(4000.0), "not below 4000 Hz"),
        (BandwidthExtension(0.0), "cutoff"),
        (BandwidthExtension(1.0), "cutoff 1 Hz: must be at least 20 Hz"),
        (Inpainting(((1.0, 1.5),)), "beyond the end"),
        (Inpainting(((0.6, 0.5),)), "0.6-0.5 of the recording does not end after it begins"),
        (Inpainting(((-0.1, 0.5),)), "-0.1-0.5"),
        (Inpainting(((0.5, 0.7), (0.6, 0.8))), "sort the gaps"),
        (Declipping(0.0), "level"),
        (Repair((Declipping(0.5), Declipping(0.4))), "at most once"),
    ],
)
def test_a_task_that_does_not_fit_is_refused(task, message):
    with pytest.raises(UsageError, match=message):
        restore(NOISE, RATE, task, WhitePrior())


def test_samples_in_a_gap_may_be_anything():
    given = NOISE.copy()
    given[4000:4800] = np.nan
    assert np.isfinite(restore(given, RATE, GAP, WhitePrior())).all()


def test_an_array_and_a_file_have_the_same_findings(tmp_path):
    damaged = NOISE.copy()
    damaged[4000:4400] = 0
    soundfile.write(tmp_path / "in.wav", damaged, RATE, "DOUBLE")
    findings = detect(damaged, RATE)
    assert findings == detect_file(str(tmp_path / "in.wav"))
    task, said = task_of(findings)
    assert task == Inpainting(((0.5, 0.55),))
    assert "1 stretch of digital zero found" in said


def test_music_is_made_up_to_the_sample():
    blocks = [block.numpy() for block in generate(WhitePrior(), 0.75)]
    assert sum(map(len, blocks)) == 6000
    assert all(np.isfinite(block).all() for block in blocks)
