"""The dev evaluation: fake restorers whose marks are known."""

import json
import math
from dataclasses import replace

import dev_clips
import numpy as np
import pytest
import soundfile
from dev_measures import Restorers, evaluate, evaluate_bwe, evaluate_declip, evaluate_inpaint

from restorer.bench.degrade import low_passed
from restorer.bench.recordings import Clip
from restorer.errors import UsageError

RATE = 22050
SECONDS = 6


@pytest.fixture(scope="module")
def clip():
    """Decaying tones and a noise floor, with highs to lose and peaks to clip."""
    random = np.random.default_rng(0)
    time = np.arange(SECONDS * RATE) / RATE
    notes = [np.exp(-2 * (time % 0.7)) * np.sin(2 * np.pi * f * time) / f**0.5 for f in [110, 330, 880, 2500, 6000]]
    return Clip("tones", np.sum(notes, axis=0) * 3 + 1e-3 * random.standard_normal(time.size), RATE)


def returning(signal):
    return lambda damaged, rate, known: signal[:, None]


def unchanged(damaged, rate, known):
    return damaged


def test_the_oracle_is_perfect(clip):
    bwe = evaluate_bwe(clip, 1000, returning(clip.samples))
    inpaint = evaluate_inpaint(clip, 0.05, returning(clip.samples))
    declip = evaluate_declip(clip, 3, returning(clip.samples))
    assert (bwe.lsd_out, bwe.lsd_ratio, bwe.level_error_db, bwe.quiet_error_db) == (0, 0, 0, 0)
    assert bwe.likeness == pytest.approx(1)
    assert (inpaint.lsd_out, inpaint.octave_error_db, inpaint.changed_samples, inpaint.reach_ms) == (0, 0, 0, 0)
    assert inpaint.worst_click_ratio < 2
    assert (declip.sdr_out, declip.sdr_gain, declip.lsd_out, declip.changed_samples) == (math.inf, math.inf, 0, 0)


def test_doing_nothing_gains_nothing(clip):
    bwe, inpaint, declip = (
        evaluate_bwe(clip, 1000, unchanged),
        evaluate_inpaint(clip, 0.5, unchanged),
        evaluate_declip(clip, 7, unchanged),
    )
    assert bwe.lsd_ratio == 1
    assert bwe.level_error_db < -15  # the paper's FIR takes 21 dB and more
    assert bwe.in_band_change_db < -100
    assert inpaint.lsd_out == inpaint.lsd_in > 1
    assert inpaint.octave_error_db < -20
    assert declip.sdr_in == pytest.approx(7, abs=0.01)
    assert (declip.sdr_gain, declip.changed_samples) == (0, 0)


def test_a_change_below_the_cutoff_is_measured(clip):
    damaged = low_passed(clip.samples, RATE, 1000)
    assert evaluate_bwe(clip, 1000, returning(damaged * 1.01)).in_band_change_db == pytest.approx(-40, abs=0.01)
    # Between 0.9 of it and itself, and above, it is the restorer's to change.
    tone = 0.1 * np.sin(2 * np.pi * 950 * np.arange(damaged.size) / RATE) * np.hanning(damaged.size)
    assert evaluate_bwe(clip, 1000, returning(damaged + tone)).in_band_change_db < -90


def test_samples_changed_outside_a_gap_are_counted_beyond_the_fades(clip):
    start = round(0.4 * clip.samples.size)
    touched = clip.samples.copy()
    touched[start - 100] += 1e-12  # within the allowed 10 ms
    touched[start - 4000 : start - 3990] += 1e-12  # not
    result = evaluate_inpaint(clip, 0.05, returning(touched))
    assert result.changed_samples == 10
    assert result.reach_ms == pytest.approx(1000 * 4000 / RATE)
    after = clip.samples.copy()
    after[start + round(0.05 * RATE)] += 1e-12
    assert evaluate_inpaint(clip, 0.05, returning(after)).reach_ms == pytest.approx(1000 / RATE)


def test_a_click_and_a_wrong_level_in_one_gap_are_found(clip):
    start = round(0.6 * clip.samples.size)
    stop = start + round(0.5 * RATE)
    clicking, loud = clip.samples.copy(), clip.samples.copy()
    clicking[start] += 5
    loud[start:stop] *= 4
    assert evaluate_inpaint(clip, 0.5, returning(clicking)).worst_click_ratio > 2
    assert evaluate_inpaint(clip, 0.5, returning(loud)).octave_error_db == pytest.approx(20 * math.log10(4), abs=1e-6)


def test_a_changed_reliable_sample_is_counted(clip):
    touched = clip.samples.copy()
    touched[np.argmin(np.abs(touched))] += 1e-9
    assert evaluate_declip(clip, 3, returning(touched)).changed_samples == 1


def test_what_each_restorer_is_told(clip):
    told = {}

    def listen(task):
        def restore(damaged, rate, known):
            told.setdefault(task, []).append((damaged.shape, rate, known))
            return damaged

        return restore

    restorers = Restorers(listen("bwe"), listen("inpaint"), listen("declip"))
    names = [result.clip for task in dev_clips.TASKS for result in evaluate([clip], task, restorers)]
    assert names == ["tones"] * 6
    assert {call[:2] for calls in told.values() for call in calls} == {((clip.samples.size, 1), RATE)}
    assert [known for *_, known in told["bwe"]] == [1000, 3000]
    assert [round(stop - start, 3) for *_, spans in told["inpaint"] for start, stop in spans] == [0.05] * 4 + [0.5] * 4
    low, high = (threshold for *_, threshold in told["declip"])
    assert 0 < low < high


def test_a_restorer_that_loses_samples_is_refused(clip):
    with pytest.raises(UsageError, match="keeps the shape"):
        evaluate_bwe(clip, 1000, lambda damaged, rate, known: damaged[1:])


def test_folder_to_table_and_json(clip, tmp_path, capsys):
    folder = tmp_path / "clips"
    folder.mkdir()
    stereo = np.stack([clip.samples, clip.samples], axis=1) / 4
    soundfile.write(folder / "tones.wav", stereo, RATE, subtype="FLOAT")
    for name in ("worn cylinder.wav", "shellac.wav"):
        soundfile.write(folder / name, stereo, RATE)
    words = ["--exclude", "worn", "--exclude", "shell", "--json", str(tmp_path / "out.json"), "--seconds", "5"]
    given = dev_clips.arguments([str(folder), *words])
    dev_clips.run(given, Restorers(unchanged, unchanged, unchanged))
    printed = capsys.readouterr().out
    assert [printed.count(word) for word in ["bwe: clip", "inpaint: clip", "declip: clip"]] == [1, 1, 1]
    assert "worn" not in printed
    assert "shell" not in printed
    assert "1.00!" in printed  # the ratio of distances misses its target
    written = json.loads((tmp_path / "out.json").read_text())
    assert [result["task"] for result in written["results"]] == ["bwe"] * 2 + ["inpaint"] * 2 + ["declip"] * 2
    assert [mean["clips"] for mean in written["means"]] == [1] * 6
    assert written["means"][4]["sdr_in"] == pytest.approx(3, abs=0.01)


def test_a_folder_of_which_nothing_is_left_is_refused(tmp_path):
    (tmp_path / "shellac.wav").touch()
    with pytest.raises(UsageError, match="holds only what --exclude leaves out; exclude less"):
        dev_clips.clean_files(tmp_path, ["shell"])


def test_means_are_over_clips_and_of_magnitudes_for_errors(clip):
    one = evaluate_bwe(clip, 1000, unchanged)
    two = replace(one, lsd_out=one.lsd_out + 1, level_error_db=-one.level_error_db)
    (mean,) = dev_clips.means([one, two])
    assert mean["lsd_out"] == pytest.approx(one.lsd_out + 0.5)
    assert mean["level_error_db"] == pytest.approx(abs(one.level_error_db))
    assert "level_error_at_hz" not in mean


def test_json_has_no_infinity(clip):
    written = json.loads(dev_clips.report([evaluate_declip(clip, 3, returning(clip.samples))], {}))
    assert written["results"][0]["sdr_out"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [(["no/such/folder"], "is not a folder"), ([".", "--tasks", "bwe,dance"], "'bwe,dance'")],
)
def test_refusals(words, message):
    with pytest.raises(UsageError, match=message):
        dev_clips.run(dev_clips.arguments(words), Restorers(unchanged, unchanged, unchanged))
