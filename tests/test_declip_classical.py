"""Classical declipping: what comes back agrees with what was measured, is nearer to the original, and is per item."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from restorer.classical import segments as segments_module
from restorer.classical.aspade import ASPADE, AspadeSettings, aspade
from restorer.classical.frames import cut, join, tight_window, window_length
from restorer.classical.janssen import JANSSEN_CLIP, janssen_clip
from restorer.classical.social import SS_EW, SS_PEW, SocialSettings, _box, _loudness, social, social_mean
from restorer.classical.weighted_l1 import WEIGHTED_L1, WeightedL1Settings, weighted_l1
from restorer.degradation import HardClip
from restorer.errors import UsageError
from restorer.metrics.sdr import clip_to_sdr, sdr, sdr_improvement
from tests.laws import assert_close, assert_consistent

RATE = 16000
SHORT_PEW = replace(SS_PEW, window_s=0.064, n_iterations=150)
SHORT_WINDOWS = (replace(SHORT_PEW, window_s=0.032, frames=5), SHORT_PEW, replace(SHORT_PEW, window_s=0.128, frames=3))
SHORT_EW = replace(SS_EW, window_s=0.064, n_iterations=150)
SHORT_ASPADE = replace(ASPADE, window_s=0.064, max_iterations=60)

Method = Callable[[Tensor, HardClip], Tensor]
SHORT_L1 = replace(WEIGHTED_L1, window_s=0.064, n_iterations=150)
SHORT_JANSSEN = replace(JANSSEN_CLIP, window_s=0.032, order=50, n_iterations=2)

METHODS: dict[str, Method] = {
    "aspade": lambda y, clip: aspade(y, clip, RATE, SHORT_ASPADE),
    "social pew": lambda y, clip: social(y, clip, RATE, SHORT_PEW),
    "mean pew": lambda y, clip: social_mean(y, clip, RATE, SHORT_WINDOWS),
    "social ew": lambda y, clip: social(y, clip, RATE, SHORT_EW),
    "weighted l1": lambda y, clip: weighted_l1(y, clip, RATE, SHORT_L1),
    "janssen": lambda y, clip: janssen_clip(y, clip, RATE, SHORT_JANSSEN),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def tones(seed: int, time: int = 3200, dtype: torch.dtype = torch.float32) -> Tensor:
    """Four decaying sines, (1, time): sparse in every frame."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(time, dtype=torch.float64) / RATE
    x = torch.zeros(time, dtype=torch.float64)
    for _ in range(4):
        hz, rate, phase, level = torch.rand(4, generator=generator, dtype=torch.float64)
        x += (0.1 + 0.2 * level) * torch.exp(-5 * rate * t) * torch.sin(2 * math.pi * (150 + 1500 * hz) * t + 6 * phase)
    return x[None].to(dtype)


def clipped_to(x: Tensor, sdr_db: float) -> tuple[Tensor, HardClip]:
    clip = HardClip.symmetric(clip_to_sdr(x[0].numpy(), sdr_db))
    return clip(x), clip


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_estimate_is_consistent(method: Method, dtype: torch.dtype) -> None:
    x = tones(1, 2000, dtype)
    y, clip = clipped_to(x, 5.0)
    estimate = method(y, clip)
    reliable = ~clip.clipped(y)
    assert estimate.dtype == dtype
    assert torch.equal(estimate[reliable], y[reliable])
    assert bool((estimate[y >= clip.high] >= clip.high).all())
    assert bool((estimate[y <= clip.low] <= clip.low).all())
    assert_consistent(clip, estimate, y)  # exact: clip_to_sdr's level is what the clipped samples hold


RAW: dict[str, Method] = {
    "aspade": lambda y, clip: aspade(y, clip, RATE, replace(SHORT_ASPADE, consistent=False)),
    "social pew": lambda y, clip: social(y, clip, RATE, replace(SHORT_PEW, consistent=False)),
}


@pytest.mark.parametrize("name", RAW)
def test_a_raw_estimate_is_near_the_consistent_one(name: str) -> None:
    """It disagrees with what was measured, a little: what the projection adds is the lesser part of the change."""
    y, clip = clipped_to(tones(1, 2000), 7.0)
    raw, consistent = RAW[name](y, clip), METHODS[name](y, clip)
    assert not torch.equal(clip(raw), y)
    assert float((raw - consistent).norm()) < 0.5 * float((consistent - y).norm())
    silence = torch.zeros(1, 1000)
    assert torch.equal(RAW[name](silence, clip), silence)


@every_method
@pytest.mark.parametrize(("sdr_db", "gain_db"), [(5.0, 6.0), (10.0, 10.0)])
def test_sparse_signals_come_nearer_to_the_original(method: Method, sdr_db: float, gain_db: float) -> None:
    """Far less than PEW and A-SPADE reach; one that does not extrapolate, but stays at the level, gains under 1 dB."""
    for seed in (1, 2):
        x = tones(seed)
        y, clip = clipped_to(x, sdr_db)
        assert sdr_improvement(x[0].numpy(), y[0].numpy(), method(y, clip)[0].numpy()) > gain_db


@pytest.mark.parametrize("seed", [0, 2])
def test_several_windows_know_more_than_any_one(seed: int) -> None:
    """Onsets want short windows and chords long ones: of notes that come one after the other, in a little noise, the
    mean of the three is nearer than the best of them."""
    x = sum((pad(tones(seed + 10 * k, 6400 - 1500 * k), (1500 * k, 0)) for k in range(4)), torch.zeros(1, 6400))
    x = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    y, clip = clipped_to(x, 5.0)
    alone = [sdr(x[0].numpy(), social(y, clip, RATE, each)[0].numpy()) for each in SHORT_WINDOWS]
    assert sdr(x[0].numpy(), METHODS["mean pew"](y, clip)[0].numpy()) > 0.3 + max(alone)


@pytest.mark.parametrize("times", [0.3, 1.0, 3.0])
def test_how_loud_a_signal_was_is_told_by_how_much_was_clipped(times: float) -> None:
    """Of noise to a tenth, wherever in a recording it is loud; of what is clipped throughout, no more than four times
    the level."""
    noise = times * torch.randn(1, 40000, generator=torch.Generator().manual_seed(0)).clamp(-4, 4)
    recording = torch.cat([torch.zeros(1, 30000), noise, 0.1 * noise], dim=1)
    clipped = (recording.abs() >= 1).float()
    assert float(_loudness(clipped, 8192)) == pytest.approx(times, rel=0.1)
    assert 3 < float(_loudness(torch.ones(1, 10000), 1024)) < 4


def test_a_recording_shorter_than_a_window_is_as_loud_as_it_is() -> None:
    clipped = (torch.randn(1, 3000, generator=torch.Generator().manual_seed(0)).abs() > 1).float()
    assert torch.equal(_loudness(clipped, 8192), _loudness(clipped, 3000))


@every_method
def test_a_window_cut_from_sound_is_not_taken_to_begin_in_silence(method: Method) -> None:
    """Beyond its ends nothing is known: the first and last 30 ms of a steady chord come out better, by 3 dB and more
    (about 10 are usual), than those of the same chord between two silences."""
    t = torch.arange(3200, dtype=torch.float64) / RATE
    x = torch.stack([0.3 * torch.sin(2 * math.pi * hz * t + hz) for hz in (220, 277.2, 329.6, 554)]).sum(0)[None]
    y, clip = clipped_to(x.float(), 7.0)
    alone, in_silence = method(y, clip), method(pad(y, (1024, 1024)), clip)[:, 1024:-1024]
    for end in (slice(0, 480), slice(-480, None)):
        assert sdr(x[0, end].numpy(), alone[0, end].numpy()) > 3 + sdr(x[0, end].numpy(), in_silence[0, end].numpy())


@pytest.mark.parametrize("decay", [0.0, 6.0])
@pytest.mark.parametrize("sdr_db", [7.0, 15.0])
def test_a_single_tone_does_not_run_away(sdr_db: float, decay: float) -> None:
    """Nothing bounds a clipped peak from above: iterations that overshoot (a start from silence does) end at -20 dB."""
    t = torch.arange(3200, dtype=torch.float64) / RATE
    x = (torch.exp(-decay * t) * torch.sin(2 * math.pi * 440 * t + 1))[None].float()
    y, clip = clipped_to(x, sdr_db)
    assert sdr_improvement(x[0].numpy(), y[0].numpy(), METHODS["social pew"](y, clip)[0].numpy()) > 20


@every_method
def test_items_do_not_know_each_other(method: Method) -> None:
    """Levels differ by item. 1e-4: thresholds turn float32 rounding, which depends on the batch, into small changes."""
    x = torch.cat([tones(1), 0.3 * tones(2), tones(3)])
    levels = torch.tensor([[clip_to_sdr(item.numpy(), 7.0)] for item in x], dtype=x.dtype)
    y = HardClip.symmetric(levels)(x)
    together = method(y, HardClip.symmetric(levels))
    for i in range(3):
        assert_close(together[i : i + 1], method(y[i : i + 1], HardClip.symmetric(float(levels[i]))), 1e-4)


@every_method
def test_what_is_not_clipped_is_untouched(method: Method) -> None:
    x = tones(1)
    assert torch.equal(method(x, HardClip.symmetric(1.5)), x)
    assert torch.equal(method(torch.zeros(2, 1000), HardClip.symmetric(0.5)), torch.zeros(2, 1000))


@every_method
def test_a_change_of_level_changes_the_level_only(method: Method) -> None:
    """A power of two scales float32 exactly, and every threshold is relative to the clip level."""
    y, clip = clipped_to(tones(2), 7.0)
    assert_close(method(0.25 * y, clip.scaled(0.25)), 0.25 * method(y, clip), 1e-6)


@every_method
def test_one_sided_clipping_moves_that_side_only(method: Method) -> None:
    x = tones(3)
    clip = HardClip(-2.0, 0.4 * float(x.max()))
    y = clip(x)
    moved = method(y, clip) != y
    assert bool(moved.any())
    assert bool((y[moved] >= clip.high).all())


def test_segments_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long signals, cut into segments, are restored about as well as in one piece, without a jump at the joins."""
    x = torch.cat([tones(seed) for seed in (1, 2, 3)], dim=1)
    y, clip = clipped_to(x, 7.0)
    whole = social(y, clip, RATE, SHORT_PEW)
    monkeypatch.setattr(segments_module, "_CORE", 4)
    in_parts = social(y, clip, RATE, SHORT_PEW)
    gain, gain_in_parts = (sdr_improvement(x[0].numpy(), y[0].numpy(), z[0].numpy()) for z in (whole, in_parts))
    assert not torch.equal(in_parts, whole)  # it was cut
    assert gain_in_parts > gain - 1
    assert_consistent(clip, in_parts, y)


@given(time=st.integers(1, 700), log_length=st.integers(4, 8), segmented=st.booleans())
@settings(max_examples=30, deadline=None)
def test_cutting_and_joining_is_the_identity(time: int, log_length: int, segmented: bool) -> None:
    """Frames of a tight window, and weighted segments of 20 windows, both for every length. 1e-12: float64 sums."""
    x = torch.randn(2, time, generator=torch.Generator().manual_seed(time), dtype=torch.float64)
    if segmented:
        pieces = segments_module.cut_segments(x, 8)
        weighted = pieces * segments_module.segment_weights(pieces, 8)
        assert_close(segments_module.join_segments(weighted, time, 8), x, 1e-12)
    else:
        window = tight_window(2**log_length, x)
        assert_close(join(cut(x, window), window, time), x, 1e-12)


def test_neighbours_are_summed_in_a_box() -> None:
    """One coefficient spreads over frames x bins, and is cut off at the ends."""
    e = torch.zeros(1, 9, 9)
    e[0, 4, 0] = 1
    spread = _box(_box(e, 3, -1), 5, -2)
    expected = torch.zeros(1, 9, 9)
    expected[0, 2:7, :2] = 1
    assert torch.equal(spread, expected)


def test_windows_are_powers_of_two() -> None:
    assert [window_length(0.372, rate) for rate in (16000, 22050, 44100, 48000)] == [8192, 8192, 16384, 16384]


@pytest.mark.parametrize(
    "broken",
    [
        lambda: AspadeSettings(redundancy=0),
        lambda: AspadeSettings(tolerance=math.nan),
        lambda: SocialSettings(frames=4),
        lambda: SocialSettings(bins=0),
        lambda: SocialSettings(start=0.001, stop=0.01),
        lambda: SocialSettings(stop=0.0),
        lambda: SocialSettings(n_iterations=0),
        lambda: WeightedL1Settings(step=0.0),
        lambda: window_length(0.0001, RATE),
        lambda: window_length(0.1, math.inf),
    ],
)
def test_settings_that_make_no_sense_are_refused(broken: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        broken()


@every_method
@pytest.mark.parametrize(
    "y",
    [torch.zeros(100), torch.zeros(1, 0), torch.zeros(1, 10, dtype=torch.int16), torch.full((1, 10), math.nan)],
    ids=["one axis", "empty", "integers", "nan"],
)
def test_what_is_no_waveform_is_refused(method: Method, y: Tensor) -> None:
    with pytest.raises(UsageError):
        method(y, HardClip.symmetric(0.5))
