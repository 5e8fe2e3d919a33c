"""Several kinds of damage at once: each part of the recording is as good as its own task leaves it."""

import numpy as np
import pytest
import torch

from restorer.degradation import Composed, Gaps, HardClip, LowPass
from restorer.dsp.filters import crossover_highpass, kaiser_lowpass
from restorer.errors import UsageError
from restorer.restoration.damage import LostPeaks, Several, damage_of
from restorer.restoration.fit import require_fit
from restorer.restoration.settings import Settings
from restorer.restoration.stream import RestoringStream, restore
from restorer.restoration.task import (
    BandwidthExtension,
    Declipping,
    Inpainting,
    Part,
    Repair,
    for_channels,
    gaps_of,
    joined,
)
from tests.tiny import WhitePrior

RATE = 8000
QUICK = Settings(n_steps=4, sigma_max=5.0)
GAPS_S = ((0.7, 0.75), (1.4, 1.55))
THRESHOLD = 0.1


def music(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(round(seconds * RATE))
    return 0.1 * np.convolve(white, [0.5, 0.3, 0.2])[: white.size]


def damaged(clean: np.ndarray, parts: tuple[Part, ...]) -> np.ndarray:
    y = clean.copy()
    for part in parts:
        match part:
            case BandwidthExtension(cutoff_hz):
                y = np.convolve(y, kaiser_lowpass(cutoff_hz, RATE, 500), "same")
            case Declipping(threshold):
                y = np.clip(y, -threshold, threshold)
            case Inpainting(gaps_s):
                for first, stop in gaps_s:
                    y[round(first * RATE) : round(stop * RATE)] = 0
    return y


def repaired(y: np.ndarray, parts: tuple[Part, ...], settings: Settings = QUICK) -> np.ndarray:
    return restore(y[:, None], RATE, Repair(parts), WhitePrior(), settings)[:, 0]  # type: ignore[arg-type]


def inside(gaps_s: tuple[tuple[float, float], ...], size: int, fade: int = 0) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    for first, stop in gaps_s:
        mask[round(first * RATE) - fade : round(stop * RATE) + fade] = True
    return mask


def test_a_repair_of_one_part_is_that_task() -> None:
    y = damaged(music(), (Inpainting(GAPS_S),))
    alone = restore(y[:, None], RATE, Inpainting(GAPS_S), WhitePrior(), QUICK)[:, 0]  # type: ignore[arg-type]
    np.testing.assert_array_equal(repaired(y, (Inpainting(GAPS_S),)), alone)


def test_the_gaps_of_channels_stay_theirs_in_company() -> None:
    left, right, both = (0.7, 0.75), (0.72, 1.05), (1.4, 1.55)
    gaps = gaps_of([[both, left], [right, both]])
    assert gaps == Inpainting(((0.7, 1.05), both), ((left, both), (right, both)))
    assert joined([Declipping(0.1), gaps, Inpainting(((0.1, 0.2),))]) == Repair(
        (Declipping(0.1), gaps_of([[(0.1, 0.2), left, both], [(0.1, 0.2), right, both]]))
    )
    clean = np.stack([music(), music(seed=1)], axis=1)
    y = clean.clip(-THRESHOLD, THRESHOLD)
    out = restore(y, RATE, Repair((Declipping(THRESHOLD), gaps)), WhitePrior(), QUICK)  # type: ignore[arg-type]
    for channel, own in enumerate(((left, both), (right, both))):
        sound = ~inside(own, len(y), 64) & (np.abs(y[:, channel]) < THRESHOLD - 1e-4)
        np.testing.assert_array_equal(out[sound, channel], y[sound, channel])
        assert np.std((out - y)[inside(own, len(y)), channel]) > 0.01


def test_gaps_of_some_channels_wait_for_their_number() -> None:
    left, both = (0.7, 0.75), (1.4, 1.55)
    second = gaps_of([[both], [left, both]], [both])
    assert second == Inpainting((left, both), ((both,), (left, both)), (both,))
    for task, made in (
        (second, lambda gaps: gaps),
        (Repair((Declipping(0.1), second)), lambda gaps: Repair((Declipping(0.1), gaps))),
    ):
        assert for_channels(task, 2) == made(gaps_of([[both], [left, both]]))
        assert for_channels(task, 4) == made(gaps_of([[both], [left, both], [both], [both]]))
        with pytest.raises(UsageError, match=r"in channel 2, and a\.wav has 1; give the gaps of this recording"):
            for_channels(task, 1, "a.wav")
    assert joined([second, Inpainting((left,))]) == gaps_of([[both, left]])
    assert joined([second, gaps_of([[], [], [left]])]) == gaps_of([[both], [left, both], [left, both]])
    y = np.stack([music(), music(seed=1), music(seed=2)], axis=1)
    out = restore(y, RATE, second, WhitePrior(), QUICK)  # type: ignore[arg-type]
    for channel, own in enumerate(((both,), (left, both), (both,))):
        np.testing.assert_array_equal((out != y)[:, channel], (out != y)[:, channel] & inside(own, len(y), 64))
        assert np.std((out - y)[inside(own, len(y)), channel]) > 0.01


def test_peaks_and_gaps_leave_every_other_sample_as_it_is() -> None:
    parts = Declipping(THRESHOLD), Inpainting(GAPS_S)
    y = damaged(music(), parts)
    out = repaired(y, parts)
    touched = inside(GAPS_S, y.size, fade=64) | (np.abs(y) >= THRESHOLD - 2**-16)
    np.testing.assert_array_equal(out[~touched], y[~touched])
    clipped = (np.abs(y) >= THRESHOLD) & ~inside(GAPS_S, y.size, fade=64)
    assert (np.abs(out[clipped]) >= THRESHOLD).all()
    assert np.abs(out[clipped]).max() > 1.1 * THRESHOLD
    gaps = inside(GAPS_S, y.size)
    assert 0.3 < out[gaps].std() / music()[gaps].std() < 3  # something sounds there, and no louder than elsewhere


def test_highs_come_back_everywhere_and_lows_only_where_they_were_lost() -> None:
    parts = BandwidthExtension(1500.0), Declipping(THRESHOLD / 2), Inpainting(GAPS_S)
    y = damaged(music(), parts)
    out = repaired(y, parts)
    high = crossover_highpass(1500.0, RATE)
    highs, had = np.convolve(out, high, "same"), np.convolve(y, high, "same")
    elsewhere = ~inside(GAPS_S, y.size, fade=400)
    assert highs[elsewhere].std() > 2 * had[elsewhere].std()  # clipping left some of its own
    # Where neither a gap nor a peak is near, what was added has no lows.
    change = out - y
    touched = inside(GAPS_S, y.size, fade=64) | (np.abs(y) >= THRESHOLD / 2 - 2**-16)
    lows = change - np.convolve(change, high, "same")
    assert np.abs(lows[~touched]).max() < 0.35 * np.abs(lows[touched]).max()  # the filter rings beside what was touched
    assert 0.3 < out[inside(GAPS_S, y.size)].std() / music()[inside(GAPS_S, y.size)].std() < 3


def test_an_undamaged_stretch_is_passed_over() -> None:
    parts = Declipping(0.5), Inpainting(((0.3, 0.35),))
    y = damaged(music(4.0), parts)
    out = repaired(y, parts)
    np.testing.assert_array_equal(out[RATE:], y[RATE:])


def test_the_operator_is_composed_in_the_order_of_suffering() -> None:
    parts = Inpainting(GAPS_S), Declipping(THRESHOLD), BandwidthExtension(1500.0)
    damage = damage_of(Repair(parts), RATE, RATE)
    assert isinstance(damage, Several)
    assert isinstance(damage.degradation, Composed)
    assert [type(member) for member in damage.degradation.members] == [LowPass, HardClip, Gaps]


def test_one_part_needs_no_composition() -> None:
    assert isinstance(damage_of(Repair((Declipping(0.2),)), RATE, RATE), LostPeaks)


@pytest.mark.parametrize("lost", [BandwidthExtension(1500.0), Declipping(THRESHOLD)])
@pytest.mark.parametrize("n_blocks", [2, 10, 100])
def test_the_result_does_not_depend_on_the_blocks_it_came_in(lost: Part, n_blocks: int) -> None:
    parts = lost, Inpainting(GAPS_S)
    y = damaged(music(), parts)
    cuts = np.sort(np.random.default_rng(n_blocks).integers(0, y.size, n_blocks - 1))
    stream = RestoringStream(Repair(parts), WhitePrior(), QUICK, RATE, 1)  # type: ignore[arg-type]
    again = [*map(stream.push, np.split(y[:, None], cuts)), stream.finish()]
    np.testing.assert_array_equal(np.concatenate(again)[:, 0], repaired(y, parts))


def test_refuses_two_of_a_kind_and_gaps_that_are_too_long() -> None:
    with pytest.raises(UsageError, match="at most once"):
        damage_of(Repair((Declipping(0.2), Declipping(0.3))), RATE, RATE)
    with pytest.raises(UsageError, match="fill it first with inpaint"):
        require_fit(Repair((Declipping(0.2), Inpainting(((1.0, 2.5),)))), RATE, 4.0, "take.wav")
    require_fit(Repair((Inpainting(((1.0, 2.5),)),)), RATE, 4.0, "take.wav")


def test_nan_in_a_gap_goes_no_further() -> None:
    parts = BandwidthExtension(1500.0), Inpainting(GAPS_S)
    y = damaged(music(), parts)
    spoiled = y.copy()
    spoiled[inside(GAPS_S, y.size)] = np.nan
    np.testing.assert_array_equal(repaired(spoiled, parts), repaired(y, parts))
    assert torch.from_numpy(repaired(y, parts)).isfinite().all()
