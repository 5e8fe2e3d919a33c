"""What classical methods repair before the prior: as if they had had the whole recording at its own rate."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from restorer.classical.janssen import janssen_gaps
from restorer.classical.replication import replicate
from restorer.classical.social import social_mean
from restorer.degradation import Gaps, HardClip, LowPass
from restorer.errors import UsageError
from restorer.restoration.batches import Batches, OwnEngine
from restorer.restoration.classical_stage import WINDOW_S, ClassicalStage
from restorer.restoration.damage import Damage, damage_of, stages_of
from restorer.restoration.damage.light import split_gaps
from restorer.restoration.settings import DECLIP, INPAINT
from restorer.restoration.stream import RestoringStream, restore
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair, Task, gaps_of, joined
from tests.tiny import WhitePrior

RATE = 2000
THRESHOLD = 0.2


def music(seconds: float, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """Partials that come and go, over a little noise."""
    time = np.arange(round(seconds * rate))[:, None] / rate
    pitches = 110 * np.arange(1, 8) + 3.7 * np.arange(channels)[:, None]
    tones = np.sin(2 * np.pi * time[..., None] * pitches) * np.sin(np.pi * time[..., None] * pitches / 150) ** 2
    return 0.1 * tones.sum(-1) + 1e-3 * np.random.default_rng(0).standard_normal((len(time), channels))


def staged(signal: np.ndarray, damage: Damage, sizes: Sequence[int], rate: int = RATE) -> tuple[np.ndarray, list[int]]:
    """What the stage makes of a signal in blocks of these sizes, and the windows that it reported."""
    done: list[int] = []
    batches = Batches(OwnEngine(WhitePrior(), 8), DECLIP, seed=0)  # type: ignore[arg-type]
    stage = ClassicalStage(damage, rate, signal.shape[1], batches, done.append)
    out, at = [], 0
    while at < len(signal):
        size = sizes[len(out) % len(sizes)]
        out.append(stage.push(signal[at : at + size]))
        at += size
    out.append(stage.finish())
    assert sum(done) == stage.count(len(signal))
    return np.concatenate(out), done


def rows(signal: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(signal.T.astype(np.float32))


LENGTHS = [0.001, 1.0, WINDOW_S, WINDOW_S + 1 / RATE, 1.7 * WINDOW_S, 3 * WINDOW_S]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_blocks_do_not_matter_and_what_was_reliable_stays(seconds: float) -> None:
    signal = np.clip(music(seconds, 2), -THRESHOLD, THRESHOLD)
    damage = damage_of(Declipping(THRESHOLD), RATE, RATE)
    whole, _ = staged(signal, damage, [len(signal)])
    assert whole.shape == signal.shape
    np.testing.assert_array_equal(staged(signal, damage, [97, 701, 4001])[0], whole)
    reliable = np.abs(signal) < THRESHOLD - 1e-4
    np.testing.assert_array_equal(whole[reliable], signal[reliable])
    assert (np.sign(signal) * whole)[np.abs(signal) == THRESHOLD].min(initial=math.inf) >= THRESHOLD


@pytest.mark.parametrize("rate", [1000, 2000, 6000])
def test_a_recording_that_fits_into_a_window_is_declipped_as_a_whole(rate: int) -> None:
    signal = np.clip(music(0.9 * WINDOW_S, rate=rate), -THRESHOLD, THRESHOLD)
    out = restore(signal, rate, Declipping(THRESHOLD), WhitePrior(), DECLIP)  # type: ignore[arg-type]
    expected = social_mean(rows(signal), HardClip.symmetric(THRESHOLD), rate).numpy().T
    # The change is a difference of two float32 numbers.
    np.testing.assert_allclose(out, expected, atol=1e-7)
    assert np.abs(out).max() > 1.2 * THRESHOLD


def test_windows_agree_where_they_meet() -> None:
    signal = music(2.2 * WINDOW_S)
    clipped = np.clip(signal, -THRESHOLD, THRESHOLD)
    out, _ = staged(clipped, damage_of(Declipping(THRESHOLD), RATE, RATE), [RATE])
    whole = social_mean(rows(clipped), HardClip.symmetric(THRESHOLD), RATE).numpy().T
    error, bound = (np.sqrt(np.mean((each - signal) ** 2)) for each in (out, whole))
    assert error < 1.1 * bound  # other windows are other segments, no worse ones


@pytest.mark.parametrize("rate", [2000, 8000])
def test_short_gaps_are_filled_as_in_the_whole_recording(rate: int) -> None:
    seconds = 3 * WINDOW_S
    gaps_s = tuple((at, at + 0.03) for at in np.linspace(0.5, seconds - 0.5, 11))
    signal = music(seconds, rate=rate)
    gaps = Gaps(tuple((round(first * rate), round(stop * rate)) for first, stop in gaps_s))
    damaged = gaps(torch.from_numpy(signal.T)).numpy().T
    out = restore(damaged, rate, Inpainting(gaps_s), WhitePrior(), INPAINT)  # type: ignore[arg-type]
    whole = janssen_gaps(rows(damaged), gaps, rate).numpy().T
    # It learns from 0.2 s on either side, which a window has of every gap; 1e-7 is a step of float32.
    np.testing.assert_allclose(out, whole, atol=1e-6)


def test_replicated_highs_join_without_a_seam() -> None:
    signal = music(2.2 * WINDOW_S)
    low_pass = LowPass.kaiser(600.0, RATE)
    damaged = low_pass(rows(signal)).double().numpy().T
    out, done = staged(damaged, damage_of(BandwidthExtension(600.0), RATE, RATE), [977])
    assert sum(done) == 3
    whole = replicate(rows(damaged), low_pass, RATE).numpy().T
    added, expected = out - damaged, whole - damaged
    assert 0.5 < added.std() / expected.std() < 2
    assert np.abs(np.diff(added, axis=0)).max() < 2 * np.abs(np.diff(expected, axis=0)).max()


def test_gaps_are_light_where_they_are_short_and_far_from_long_ones() -> None:
    short, long, near = (1.0, 1.1), (3.0, 3.5), (3.6, 3.61)
    assert split_gaps([short, long, near]) == ([short, near], [long])
    assert split_gaps([short, long, (3.505, 3.53)]) == ([short], [long, (3.505, 3.53)])
    assert split_gaps([(0.1, 0.1 + 0.1)]) == ([(0.1, 0.1 + 0.1)], [])
    assert split_gaps([]) == ([], [])


def test_what_lies_close_to_what_goes_along_goes_along_but_a_chain_of_clicks_does_not() -> None:
    before, after = [(0.85, 0.9), (0.94, 0.99)], [(1.55, 1.65), (1.68, 1.75)]
    assert split_gaps([*before, (1.0, 1.5), *after, (2.1, 2.15)]) == (
        [(2.1, 2.15)],
        [*before[:1], *before[1:], (1.0, 1.5), *after],
    )
    clicks = [(0.8 + 0.15 * i, 0.802 + 0.15 * i) for i in range(20_000)]
    assert split_gaps([(0.5, 0.7), *clicks]) == (clicks, [(0.5, 0.7)])


def test_autoregression_learns_nothing_from_the_gaps_that_the_prior_fills() -> None:
    signal = music(3.0)
    gaps_s = ((1.0, 1.02), (1.05, 1.3), (1.33, 1.35))
    damage = stages_of(Inpainting(gaps_s), "auto", RATE, 8000).classical
    assert damage is not None
    results = []
    for stands in (0.0, 1.0):
        damaged = signal.copy()
        for (first, stop), what in zip(gaps_s, (0.0, stands, 0.0), strict=True):
            damaged[round(first * RATE) : round(stop * RATE)] = what
        results.append(staged(damaged, damage, [RATE])[0])
    for first, stop in gaps_s[::2]:
        gap = slice(round(first * RATE), round(stop * RATE))
        np.testing.assert_array_equal(results[0][gap], results[1][gap])
        assert np.std((results[0] - signal)[gap]) < 0.3 * np.std(signal[gap])


@pytest.mark.parametrize(
    "gaps_s", [((1.0, 1.1), (1.10001, 1.2)), ((1.0, 1.1), (1.1004, 1.2)), ((0.3, 0.300005), (0.300006, 0.30001))]
)
def test_gaps_that_meet_in_a_sample_are_one(gaps_s: tuple[tuple[float, float], ...]) -> None:
    signal = music(2.0)
    out = restore(signal, RATE, Inpainting(gaps_s), WhitePrior(), replace(INPAINT, n_steps=1))  # type: ignore[arg-type]
    first, stop = round(gaps_s[0][0] * RATE), max(round(gaps_s[1][1] * RATE), round(gaps_s[0][0] * RATE) + 1)
    np.testing.assert_array_equal(out[: first - 64], signal[: first - 64])
    np.testing.assert_array_equal(out[stop + 64 :], signal[stop + 64 :])
    assert not np.array_equal(out[first:stop], signal[first:stop])


CLIP = Declipping(THRESHOLD)
GAPS = Inpainting(((1.0, 1.01), (2.0, 2.3)))


@pytest.mark.parametrize(
    ("task", "method", "classical", "prior"),
    [
        (BandwidthExtension(900.0), "auto", None, "LostHighs"),
        (BandwidthExtension(900.0), "classical", "LostHighs", None),
        (CLIP, "auto", "LostPeaks", "LostPeaks"),
        (CLIP, "diffusion", "LostPeaks", "LostPeaks"),
        (CLIP, "classical", "LostPeaks", None),
        (GAPS, "auto", "LostSpans", "LostSpans"),
        (GAPS, "diffusion", None, "LostSpans"),
        (GAPS, "classical", "LostSpans", None),
        (Inpainting(GAPS.gaps_s[:1]), "auto", "LostSpans", None),
        (Inpainting(()), "auto", None, None),
        (Repair((CLIP, GAPS)), "auto", "Several", "Several"),
        (Repair((CLIP, GAPS)), "diffusion", "LostPeaks", "Several"),
        (Repair((BandwidthExtension(900.0), GAPS)), "auto", "LostSpans", "Several"),
        (Repair((BandwidthExtension(900.0), CLIP)), "classical", "Several", None),
    ],
)
def test_who_repairs_what(task: Task, method: str, classical: str | None, prior: str | None) -> None:
    stages = stages_of(task, method, RATE, 8000)  # type: ignore[arg-type]
    assert [None if each is None else type(each).__name__ for each in stages] == [classical, prior]


def test_what_is_not_finite_in_a_long_gap_reaches_no_method() -> None:
    signal = music(4.0)
    task = Repair((CLIP, Inpainting(((1.0, 1.02), (2.0, 2.3)))))
    clean = np.clip(signal, -THRESHOLD, THRESHOLD)
    spoiled = clean.copy()
    for first, stop in task.parts[1].gaps_s:  # type: ignore[union-attr]
        spoiled[round(first * RATE) : round(stop * RATE)] = np.nan
    restored = partial(restore, sample_rate=RATE, task=task, prior=WhitePrior(), settings=DECLIP)
    np.testing.assert_array_equal(restored(spoiled), restored(clean))


@pytest.mark.parametrize("gaps_s", [((1.2, 1.7),), ((0.5, 0.51), (1.2, 1.7))])
def test_declipping_learns_nothing_from_the_gaps_that_the_prior_fills(gaps_s: tuple[tuple[float, float], ...]) -> None:
    """Zeros there, taken for measured ones, cost many decibels beside them."""
    signal = music(0.95 * WINDOW_S)
    clipped = np.clip(signal, -THRESHOLD, THRESHOLD)
    gap = slice(round(1.2 * RATE), round(1.7 * RATE))
    beside = np.r_[gap.start - RATE // 5 : gap.start, gap.stop : gap.stop + RATE // 5]
    clipped[gap] = 0.0
    damage = stages_of(Repair((CLIP, Inpainting(gaps_s))), "auto", RATE, 8000).classical
    assert damage is not None
    told, untold = (staged(clipped, each, [RATE])[0] for each in (damage, damage_of(CLIP, RATE, RATE)))
    assert np.std((told - signal)[beside]) < 0.2 * np.std((untold - signal)[beside])
    loud = clipped.copy()
    loud[gap] = 10 * THRESHOLD
    outside = np.r_[: gap.start, gap.stop : len(signal)]
    np.testing.assert_array_equal(staged(loud, damage, [RATE])[0][outside], told[outside])


def test_a_channel_is_repaired_as_if_it_were_alone_wherever_another_has_gaps() -> None:
    """Its clicks go to autoregression, and its peaks to social sparsity, inside the other's long gap as anywhere."""
    signal = music(0.95 * WINDOW_S, 2)
    clipped = np.clip(signal, -THRESHOLD, THRESHOLD)
    left, right = ((1.2, 1.7), (2.0, 2.07)), ((1.4, 1.405), (1.71, 1.715), (2.05, 2.12))
    for channel, own in enumerate((left, right)):
        for first, stop in own:
            clipped[round(first * RATE) : round(stop * RATE), channel] = 0.0
    for parts in ((), (CLIP,)):
        restored = partial(restore, sample_rate=RATE, prior=WhitePrior(), settings=DECLIP)
        together = restored(clipped, task=joined([*parts, gaps_of([left, right])]))
        alone = restored(clipped[:, 1], task=joined([*parts, Inpainting(right)]))
        np.testing.assert_allclose(together[:, 1], alone, atol=1e-6)


def test_gaps_of_channels_that_overlap_are_as_long_as_each_for_autoregression() -> None:
    task = gaps_of([[(1.0, 1.1)], [(1.06, 1.17)]])
    settings = replace(DECLIP, method="classical")
    out = restore(music(2.0, 2), RATE, task, WhitePrior(), settings)  # type: ignore[arg-type]
    assert np.isfinite(out).all()
    with pytest.raises(UsageError, match=r"a gap of 0\.17 s is more"):
        restore(music(2.0, 2), RATE, Inpainting(task.gaps_s), WhitePrior(), settings)  # type: ignore[arg-type]


def test_the_prior_goes_over_what_was_clipped_heavily_and_over_nothing_else() -> None:
    signal = music(1.0)
    heavy = float(np.quantile(np.abs(signal), 0.2))
    for method, windows in (("auto", 1), ("diffusion", 1), ("classical", 0)):
        settings = replace(DECLIP, method=method)  # type: ignore[arg-type]
        for threshold, has_prior in ((heavy, True), (float(np.quantile(np.abs(signal), 0.7)), method == "diffusion")):
            stream = RestoringStream(Declipping(threshold), WhitePrior(), settings, RATE, 1)  # type: ignore[arg-type]
            stream.push(np.clip(signal, -threshold, threshold))
            stream.finish()
            assert stream.windows_classical == 1
            assert (stream.windows_prior > 0) == (has_prior and windows > 0)


def test_a_channel_is_declipped_as_if_it_were_alone() -> None:
    """Whether the prior goes over it, too, is not the others' to say."""
    signal = music(1.0, 3)
    heavy = float(np.quantile(np.abs(signal[:, 0]), 0.2))
    signal[:, 1] *= heavy / np.abs(signal[:, 1]).max()
    signal[:, 2] = 0.0
    clipped = np.clip(signal, -heavy, heavy)
    together = restore(clipped, RATE, Declipping(heavy), WhitePrior(), DECLIP)  # type: ignore[arg-type]
    for channel in range(3):
        alone = restore(clipped[:, channel], RATE, Declipping(heavy), WhitePrior(), DECLIP)  # type: ignore[arg-type]
        np.testing.assert_allclose(together[:, channel], alone, atol=1e-6)
