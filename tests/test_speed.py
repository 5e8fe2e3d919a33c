"""The stopwatch: what it times, and what it says."""

import json
import re

import pytest

from restorer import prior as priors
from restorer.bench import speed
from restorer.cli import app
from tests.tiny_network import TINY_PRESET


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(priors.PRESETS, "tiny", TINY_PRESET)
    return priors.new_prior("tiny").eval().requires_grad_(False)


def timed(prior, *tasks, guidances=("dc",), **options):
    return list(speed.timings(prior, tasks, guidances, **{"batch_sizes": [2], "repeats": 1, **options}))


def test_every_task_and_guidance_is_timed_once_beside_the_paper(tiny):
    rows = timed(tiny, "bwe", "inpaint", "declip", guidances=("dc", "rg", "dc+rg"), n_steps=2)
    pairs = [(row.task, row.guidance) for row in rows]
    assert pairs == [(t, g) for t in ("bwe", "inpaint", "declip") for g in ("dc", "rg", "dc+rg")]
    assert [row.paper_seconds for row in rows[:3]] == [17.0, 84.0, None]
    assert all(row.steps == 2 and row.peak_memory_mib > 0 for row in rows)


def test_a_window_takes_its_share_of_the_batch(tiny, monkeypatch):
    seconds = iter([0.0, 100.0, 10.0, 14.0, 20.0, 26.0, 30.0, 35.0])  # the warm-up, then 4, 6 and 5 s
    monkeypatch.setattr(speed, "perf_counter", lambda: next(seconds))
    (row,) = timed(tiny, "bwe", batch_sizes=[2], repeats=3, n_steps=2)
    assert row.seconds_a_window == 2.5  # the median, by two windows
    assert row.times_real_time == pytest.approx(TINY_PRESET.length / TINY_PRESET.sample_rate / 2.5, rel=1e-12)


@pytest.mark.parametrize("task", ["bwe", "inpaint", "declip"])
def test_the_evaluations_it_reports_are_those_that_happen(tiny, monkeypatch, task):
    calls, restore = [], speed.restore_windows

    def counted(windows, starts, damage, prior, *others, **options):
        calls.append(0)

        def evaluated(*_):
            calls[-1] += 1

        with prior.denoiser.register_forward_hook(evaluated):
            return restore(windows, starts, damage, prior, *others, **options)

    monkeypatch.setattr(speed, "restore_windows", counted)
    (row,) = timed(tiny, task, batch_sizes=[1])
    assert row.evaluations == calls[-1]


def test_the_command_says_it_in_a_table_and_in_json(tiny, capsys):
    words = ["bench", "--preset", "tiny", "--task", "bwe", "--guidance", "rg", "--steps", "2", "--repeat", "1"]
    words += ["--batch-size", "1", "--batch-size", "3", "--device", "cpu"]
    assert app.main(words) == 0
    place, headings, row, larger = capsys.readouterr().out.splitlines()
    assert re.match(r"tiny on \[.+\], \d+ threads, torch 2", place)
    assert headings.split()[:3] == ["task", "guidance", "sampler"]
    assert row.split()[:6] == ["bwe", "rg", "dpm2m-sde", "2", "2", "1"]
    assert larger.split()[:6] == ["bwe", "rg", "dpm2m-sde", "2", "2", "3"]
    assert app.main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["prior"] == "tiny"
    assert [(timing["task"], timing["batch_size"]) for timing in said["timings"]] == [("bwe", 1), ("bwe", 3)]


def test_an_unknown_preset_is_refused(capsys):
    assert app.main(["bench", "--preset", "organ"]) == 2
    assert "no preset 'organ'" in capsys.readouterr().err
