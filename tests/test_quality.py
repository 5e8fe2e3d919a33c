"""The quality benchmark: what it does to recordings, what it keeps, and what it says."""

import importlib.util
import json

import numpy as np
import pytest
import soundfile

from restorer.bench import measures as columns
from restorer.bench.cache import Cache, clip_hash, default_folder, key_of
from restorer.bench.degrade import damaged, low_passed, regular_gaps
from restorer.bench.measures import MEASURES, Measure, measures_named
from restorer.bench.methods import Method, Sweep, degradation_of, methods_of, names, require_known
from restorer.bench.quality import Failure, evaluate, rows
from restorer.bench.recordings import Clip, load_clip, sound_files
from restorer.bench.report import as_json, table_lines
from restorer.bench.severity import SEVERITIES, Severity
from restorer.errors import AudioError, UsageError
from restorer.metrics.sdr import sdr
from tests.tiny import WhitePrior

RATE = 8000
PLAIN = measures_named(("lsd", "lsd_region", "sdr", "delta_sdr"))
BWE, GAP, CLIP = Severity("bwe", 1000.0), Severity("inpaint", 0.05), Severity("declip", 3.0)


def clip_of(seconds=2.5, seed=0, name="a"):
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * time) / f**0.5 for f in (110, 440, 1800))
    return Clip(name, 0.1 * tones + 0.003 * random.standard_normal(time.size), RATE)


def methods(chosen=("none", "SS-PEW", "diffusion dc"), **options):
    found = [methods_of(task, WhitePrior(), "tiny", chosen=chosen, **options) for task in ("bwe", "inpaint", "declip")]
    return [method for each in found for method in each]


def run(clips, cache, chosen=None, severities=(BWE, GAP, CLIP), measures=PLAIN):
    chosen = methods() if chosen is None else chosen
    return [each for clip in clips for each in evaluate(clip, severities, chosen, measures, cache)]


def test_each_damage_is_what_it_says():
    clip = clip_of()
    assert sdr(clip.samples, damaged(clip, CLIP).samples) == pytest.approx(3, abs=1e-6)  # bisected to float64
    gaps = damaged(clip, GAP)
    for start, stop in gaps.spans:
        assert stop - start == 0.05 * RATE
        assert not gaps.samples[start:stop].any()
    assert np.count_nonzero(gaps.samples != clip.samples) <= 0.05 * RATE * len(gaps.spans)
    assert gaps.task.gaps_s == tuple((start / RATE, stop / RATE) for start, stop in gaps.spans)
    np.testing.assert_array_equal(damaged(clip, BWE).samples, low_passed(clip.samples, RATE, 1000))


@pytest.mark.parametrize("gap_s", [each.value for each in SEVERITIES if each.task == "inpaint"])
def test_gaps_are_regular_and_have_context(gap_s):
    length = 20 * RATE
    spans = regular_gaps(length, RATE, gap_s)
    context = max(1.0, gap_s) * RATE
    edges = [0, *(edge for span in spans for edge in span), length]
    around = np.diff(edges)[::2]
    assert around.min() >= context - 1  # rounding to samples
    assert around[1:-1] == pytest.approx(around[1], abs=1)
    assert len(spans) == int(20 / (gap_s + 2 * max(1.0, gap_s)))


@pytest.mark.parametrize(
    ("clip", "severity", "message"),
    [
        (clip_of(2.0), GAP, "context"),
        (clip_of(2.0), Severity("bwe", 4000.0), "below half"),
        (Clip("silence", np.zeros(RATE), RATE), CLIP, "all zero"),
    ],
)
def test_damage_that_cannot_be_is_refused(clip, severity, message):
    with pytest.raises(UsageError, match=message):
        damaged(clip, severity)


@pytest.mark.parametrize("severity", [GAP, CLIP])
def test_the_classical_methods_are_told_what_happened(severity):
    import torch

    hurt = damaged(clip_of(), severity)
    clean, y = (torch.from_numpy(each)[None] for each in (hurt.clip.samples, hurt.samples))
    assert torch.equal(degradation_of(hurt)(clean), y)


def test_every_task_has_its_rows():
    assert names("bwe") == ["none", "replication", "auto", "diffusion dc", "diffusion rg", "diffusion dc+rg"]
    assert names("declip")[:5] == ["none", "SS-EW", "SS-PEW", "mean SS-PEW", "A-SPADE"]
    swept = methods(("diffusion dc",), sweep=Sweep((2, 3), (0.0, 5.0)))
    assert [each.name for each in swept if each.task == "bwe"] == [
        f"diffusion dc, {n} steps, churn {churn}" for n in (2, 3) for churn in (0, 5)
    ]
    assert len({(each.task, each.identity) for each in swept}) == len(swept)
    with pytest.raises(UsageError, match="'SS-PEW' is unknown for bwe"):
        require_known(["SS-PEW"], ["bwe"])


def test_marks_of_the_oracle_of_nothing_and_of_a_method(tmp_path):
    oracle = [Method("oracle", task, "", lambda hurt: hurt.clip.samples) for task in ("bwe", "inpaint", "declip")]
    results = run([clip_of()], Cache(tmp_path), [*methods(), *oracle])
    table = {(row.task, row.method): row for row in rows(results, PLAIN)}
    for task in ("bwe", "inpaint", "declip"):
        assert table[task, "oracle"].values["lsd"].mean == 0
        assert table[task, "none"].values["lsd"].mean > 0
        assert table[task, "none"].speed is None
    assert table["declip", "none"].values["sdr"].mean == pytest.approx(3, abs=1e-6)
    assert table["declip", "none"].values["delta_sdr"].mean == 0
    assert table["declip", "SS-PEW"].values["delta_sdr"].mean > 3
    assert "lsd_region" not in table["declip", "none"].values
    assert table["bwe", "none"].values["lsd_region"].mean > table["bwe", "none"].values["lsd"].mean
    written = json.dumps(as_json(list(table.values()), results), allow_nan=False)  # the oracle's SDR is infinite
    assert '"oracle"' in written


def test_a_run_that_was_cut_off_goes_on_and_ends_with_the_same_table(tmp_path):
    quick = methods(("none", "diffusion dc"))
    whole = run([clip_of()], Cache(tmp_path / "whole"), quick, (BWE, GAP))
    calls = []

    def interrupting(method, at):
        def restore(hurt):
            if len(calls) == at:
                raise KeyboardInterrupt
            calls.append(method.name)
            return method.restore(hurt)

        return Method(method.name, method.task, method.identity, restore)

    cache = Cache(tmp_path / "part")
    with pytest.raises(KeyboardInterrupt):
        run([clip_of()], cache, [interrupting(each, 3) for each in quick], (BWE, GAP))
    again = run([clip_of()], cache, [interrupting(each, None) for each in quick], (BWE, GAP))
    assert len(calls) == len(whole) == 4  # none was restored twice
    assert [each.values for each in again] == [each.values for each in whole]
    assert run([clip_of(name="renamed")], cache, [interrupting(each, 4) for each in quick], (BWE, GAP))


def test_a_new_column_is_measured_beside_those_that_are_kept(tmp_path):
    cache = Cache(tmp_path)
    first = run([clip_of()], cache, methods(("none",)), measures=PLAIN[:1])
    both = run([clip_of()], cache, methods(("none",)), measures=PLAIN[:2])
    assert [each.computing_s for each in both] == [each.computing_s for each in first]
    assert all("lsd_region" in each.values for each in both if each.severity.task != "declip")


def test_the_key_knows_all_that_decides_a_result():
    clip = clip_of()
    others = [clip_of(seed=1), Clip("a", clip.samples, RATE + 1), Clip("a", clip.samples[1:], RATE)]
    assert len({clip_hash(each) for each in [clip, *others]}) == 4
    assert clip_hash(Clip("b", clip.samples, RATE, 3.0)) == clip_hash(clip)
    assert key_of("a", "b") != key_of("ab", "") != key_of("b", "a")
    seeds = {(each.task, each.identity) for seed in (0, 1) for each in methods(("diffusion dc",), seed=seed)}
    assert len(seeds) == 6


def test_a_broken_entry_is_measured_again(tmp_path):
    cache = Cache(tmp_path)
    cache.put("abc", {"x": 1.0})
    assert cache.get("abc") == {"x": 1.0}
    (tmp_path / "ab" / "abc.json").write_text('{"x": ')
    assert cache.get("abc") == {} == cache.get("nothing")
    assert [path.name for path in tmp_path.rglob("*.*")] == ["abc.json"]  # no partial file is left


def test_the_cache_lies_where_the_platform_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "restorer" / "quality"


def test_a_method_that_fails_does_not_stop_the_others(tmp_path):
    def failing(hurt):
        raise UsageError("no way")

    found = run([clip_of()], Cache(tmp_path), [Method("bad", "declip", "", failing), *methods(("none",))])
    assert [(each.severity, each.method) for each in found if isinstance(each, Failure)] == [(CLIP, "bad")]
    assert len(found) == 4


def test_a_package_that_fails_costs_one_value_and_is_asked_again(tmp_path):
    asked = []

    def failing(case):
        asked.append(case)
        raise ValueError("a package's own")

    columns = [Measure("bad", "bad", 1, failing), PLAIN[0]]
    for times in (1, 2):
        (result,) = run([clip_of()], Cache(tmp_path), methods(("none",)), (CLIP,), columns)
        assert (result.values["bad"], result.notes) == (None, ("bad: ValueError: a package's own",))
        assert result.values["lsd"] > 0
        assert len(asked) == times


def test_what_is_no_number_is_not_in_the_mean(tmp_path):
    columns = [Measure("odd", "odd", 1, lambda case: np.nan if case.damaged.clip.name == "a" else 2.0)]
    found = run([clip_of(), clip_of(seed=1, name="b")], Cache(tmp_path), methods(("none",)), (CLIP,), columns)
    assert found[0].notes
    assert rows(found, columns)[0].values["odd"].mean == 2


def test_a_package_that_is_missing_leaves_a_column_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(columns, "find_spec", lambda name: None if name in ("zimtohrli", "musicnn") else find(name))
    told = {measure.name: measure.missing for measure in MEASURES}
    assert told["zimtohrli"] == "zimtohrli is left out: it needs zimtohrli; pip install -e '.[quality]' in the checkout"
    assert "pip install --no-deps musicnn==0.1.0" in told["fad_musicnn"]
    assert told["lsd"] is None


def test_distances_of_sets_pool_all_recordings(tmp_path, monkeypatch):
    def embedding(x, rate, model):
        return np.asarray(x[: len(x) // 10 * 10]).reshape(-1, 10)[:40]

    monkeypatch.setattr(columns, "embed", embedding)
    fad = measures_named(("fad_musicnn",))
    found = run([clip_of(seed=0), clip_of(seed=1, name="b")], Cache(tmp_path), methods(("none",)), (CLIP,), fad)
    (row,) = rows(found, fad)
    assert row.recordings == row.values["fad_musicnn"].count == 2
    assert found[0].values["fad_musicnn"].nbytes == 40 * 10 * 4  # packed: of twenty hours all are held at once
    assert row.values["fad_musicnn"].mean > 0
    assert row.values["fad_musicnn"].half_width is None
    assert not any("fad_musicnn" in each["values"] for each in as_json([row], found)["results"])


def test_a_table_has_a_line_for_each_row(tmp_path):
    results = run([clip_of(), clip_of(seed=1, name="b")], Cache(tmp_path), methods(("none",)), (CLIP,))
    lines = table_lines(rows(results, PLAIN), PLAIN)
    assert lines[0].split() == ["severity", "method", "n", "LSD", "SDR", "delta", "SDR", "s/s"]
    assert lines[1].split()[:4] == ["3", "dB", "none", "2"]
    assert len({len(line) for line in lines}) == 1


def test_a_recording_of_which_no_sample_is_left_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1), 96000)
    with pytest.raises(AudioError, match="too short for 8000 Hz"):
        load_clip(tmp_path / "a.wav", sample_rate=8000)


def test_recordings_are_one_channel_and_may_be_excerpts(tmp_path):
    stereo = np.stack([np.linspace(0, 0.5, RATE), np.zeros(RATE)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    whole, middle = load_clip(tmp_path / "a.wav"), load_clip(tmp_path / "a.wav", seconds=0.5)
    assert whole.samples == pytest.approx(np.linspace(0, 0.25, RATE), abs=1e-7)  # float32 on disk
    np.testing.assert_array_equal(middle.samples, whole.samples[RATE // 4 : 3 * RATE // 4])
    assert (middle.start_s, middle.score) == (0.25, None)
    (tmp_path / "a.mid").touch()
    resampled = load_clip(tmp_path / "a.wav", sample_rate=2 * RATE)
    assert (resampled.samples.size, resampled.score) == (2 * RATE, tmp_path / "a.mid")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert [path.name for path in sound_files(tmp_path)] == ["a.wav", "broken.wav"]
    with pytest.raises(AudioError):
        load_clip(tmp_path / "broken.wav")


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    from restorer.bench.plot import plot_tables

    results = run([clip_of()], Cache(tmp_path), methods(("none",)))
    written = plot_tables(rows(results, PLAIN), PLAIN, tmp_path / "new")
    assert [path.name for path in written] == ["bwe.png", "inpaint.png", "declip.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_method_is_left_out_where_the_gaps_are_too_long_for_it(tmp_path):
    gaps = [Severity("inpaint", 0.02), Severity("inpaint", 0.375)]
    results = run([clip_of()], Cache(tmp_path), methods(("none", "extrapolation")), gaps)
    assert [(each.method, each.severity.value) for each in results] == [
        ("none", 0.02),
        ("extrapolation", 0.02),
        ("none", 0.375),
    ]
