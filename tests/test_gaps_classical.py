"""Autoregressive gap filling: predictable sound comes back, nothing beyond a gap is touched, odd cases end well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from torch import Tensor

from restorer.classical.autoregression import FLOOR, bridge, burg, run_on
from restorer.classical.extrapolate import EXTRAPOLATION, ExtrapolationSettings, extrapolate
from restorer.classical.janssen import JANSSEN_CLIP, JANSSEN_GAPS, JanssenClip, JanssenGaps, janssen_clip, janssen_gaps
from restorer.degradation import Gaps, HardClip
from restorer.errors import UsageError
from restorer.metrics.sdr import sdr
from tests.laws import assert_close
from tests.oracles import relative_error

RATE = 8000
SMALL_JANSSEN = replace(JANSSEN_GAPS, order=60, context_s=0.05)
SMALL_EXTRAPOLATION = replace(EXTRAPOLATION, order=60, context_s=0.05)

Method = Callable[[Tensor, Gaps], Tensor]
METHODS: dict[str, Method] = {
    "janssen": lambda y, gaps: janssen_gaps(y, gaps, RATE, SMALL_JANSSEN),
    "extrapolation": lambda y, gaps: extrapolate(y, gaps, RATE, SMALL_EXTRAPOLATION),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def chord(time: int = 2000, dtype: torch.dtype = torch.float64) -> Tensor:
    t = torch.arange(time, dtype=torch.float64) / RATE
    return torch.stack([0.2 * torch.sin(2 * math.pi * hz * t + hz) for hz in (220, 441.5, 1230)]).sum(0)[None].to(dtype)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inside(x: Tensor, span: tuple[int, int]) -> Tensor:
    return x[:, slice(*span)]


@every_method
@pytest.mark.parametrize("span", [(900, 910), (900, 1100), (0, 40), (1960, 2000), (3, 60), (1950, 1999)])
def test_a_steady_chord_is_filled(method: Method, span: tuple[int, int]) -> None:
    """Also at the edges, where one side has nothing or a few samples. 2 %: contexts are short, and the mean of a chord
    over them is not 0."""
    x = chord()
    filled = method(x, Gaps((span,)))
    assert relative_error(inside(filled, span), inside(x, span)) < 0.02


def test_an_autoregressive_process_is_bridged_by_its_own_model() -> None:
    """The best estimate of a gap in an AR(2) process, from a dense least-squares solve; 1e-9: float64."""
    a = np.array([1.0, -1.8, 0.9])
    x = run_on(np.array([0.3, 1.0]), a, 300) + 0.01 * noise(300).numpy()
    for missing in (np.arange(100, 130), np.array([50, 51, 53, 90, 200]), np.arange(280, 300)):
        rows = np.eye(300) + a[1] * np.eye(300, k=-1) + a[2] * np.eye(300, k=-2)
        known = x.copy()
        known[missing] = 0
        expected = np.linalg.lstsq(rows[:, missing], -rows @ known, rcond=None)[0]
        np.testing.assert_allclose(bridge(x, missing, a)[missing], expected, rtol=1e-9, atol=1e-9)


def test_an_autoregressive_process_is_known_by_its_samples() -> None:
    """Burg's estimate of an AR(2) process; 0.05: three deviations of an estimate from 4000 samples. Then it runs on."""
    a = np.array([1.0, -1.8, 0.9])
    x = lfilter([1.0], a, noise(4000).numpy())
    np.testing.assert_allclose(burg(x, 2, FLOOR), a, atol=0.05)
    free = run_on(np.array([0.3, 1.0]), a, 40)
    assert free[0] == pytest.approx(1.8 * 1.0 - 0.9 * 0.3)
    np.testing.assert_allclose(run_on(free[:20], a, 20), free[20:], atol=1e-12)


@given(seed=st.integers(0, 1000), order=st.integers(1, 40), tonal=st.booleans())
@settings(max_examples=25, deadline=None)
def test_burgs_models_are_stable(seed: int, order: int, tonal: bool) -> None:
    """No root beyond the unit circle, so that nothing that runs on grows. 1e-6: of the root finder."""
    x = noise(200, seed=seed).numpy() * (1e-4 if tonal else 1.0) + (np.sin(0.1 * np.arange(200)) if tonal else 0.0)
    assert np.abs(np.roots(burg(x, order, FLOOR))).max() < 1 + 1e-6


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outside_the_gaps_nothing_changes(method: Method, dtype: torch.dtype) -> None:
    gaps = Gaps(((100, 130), (130, 140), (400, 401), (1900, 1960)))
    x = noise(2, 2000).to(dtype)
    filled = method(x, gaps)
    known = gaps.weights(2000)[0] < 1
    assert filled.dtype == dtype
    assert torch.equal(filled[:, known], x[:, known])
    assert bool(filled.isfinite().all())
    assert bool((filled[:, ~known] != x[:, ~known]).all())


@every_method
def test_what_stands_in_a_gap_is_not_heard(method: Method) -> None:
    gaps, x = Gaps(((500, 600),)), chord()
    damaged = x.clone()
    damaged[:, 500:600] = math.nan
    assert torch.equal(method(damaged, gaps), method(x, gaps))


@every_method
def test_items_and_windows_are_their_own(method: Method) -> None:
    """Items do not know each other, and a window placed at an absolute sample sees the gaps that lie in it."""
    gaps, x = Gaps(((500, 600), (1500, 1540))), torch.cat([chord(), noise(1, 2000), 3 * chord()])
    together = method(x, gaps)
    for i in range(3):
        assert torch.equal(together[i : i + 1], method(x[i : i + 1], gaps))
    windows = torch.cat([x[:1, :1000], x[:1, 1000:]])
    assert torch.equal(method(windows, gaps.on([0, 1000], 1000)).reshape(1, -1), together[:1])


@every_method
def test_level_and_offset_pass_through(method: Method) -> None:
    """Twice as loud, exactly; with a constant added, to 1e-6 of it: the mean of what is known is taken off."""
    gaps, x = Gaps(((500, 600),)), chord() + 0.01 * noise(1, 2000)
    assert torch.equal(method(2 * x, gaps), 2 * method(x, gaps))
    assert_close(method(x + 10, gaps), method(x, gaps) + 10, 1e-6)


@every_method
def test_silence_and_constants_stay(method: Method) -> None:
    gaps = Gaps(((0, 10), (500, 600), (990, 1000)))
    assert torch.equal(method(torch.zeros(2, 1000), gaps), torch.zeros(2, 1000))
    assert_close(method(torch.full((1, 1000), 0.25), gaps), torch.full((1, 1000), 0.25), 1e-6)


@every_method
@pytest.mark.parametrize("time", [50, 51, 53, 60])
def test_with_little_or_nothing_beside_it_a_gap_ends_quietly(method: Method, time: int) -> None:
    """Silence where nothing is known; never louder than what is known by far."""
    filled = method(torch.ones(1, time), Gaps(((0, 50),)))
    assert bool((filled.abs() <= 2).all())
    assert time > 50 or not bool(filled.any())


@every_method
def test_without_a_gap_nothing_happens(method: Method) -> None:
    x = chord()
    assert torch.equal(method(x, Gaps(())), x)
    assert torch.equal(method(x, Gaps(((5000, 6000),))), x)


def test_gaps_that_lie_close_learn_from_each_other() -> None:
    """A click of 1 ms every 10 ms: the chord comes back."""
    x = chord()
    gaps = Gaps(tuple((first, first + 8) for first in range(200, 1800, 80)))
    filled = METHODS["janssen"](x, gaps)
    assert sdr(x[0].numpy(), filled[0].numpy()) > 60


@every_method
def test_a_gap_that_is_too_long_is_refused(method: Method) -> None:
    with pytest.raises(UsageError, match="1300 samples are more than the 1200"):
        method(noise(1, 4000), Gaps(((1000, 2300),)))


@every_method
@pytest.mark.parametrize(
    ("y", "gaps"),
    [
        (torch.zeros(100), Gaps(((1, 2),))),
        (torch.full((1, 10), math.nan), Gaps(((1, 2),))),
        (torch.zeros(3, 10), Gaps(((1, 2),), starts=(0, 5))),
    ],
    ids=["one axis", "nan", "starts"],
)
def test_what_cannot_be_filled_is_refused(method: Method, y: Tensor, gaps: Gaps) -> None:
    with pytest.raises(UsageError):
        method(y, gaps)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: JanssenGaps(order=0),
        lambda: JanssenClip(n_iterations=0),
        lambda: ExtrapolationSettings(context_s=math.inf),
        lambda: ExtrapolationSettings(longest_s=math.nan),
    ],
)
def test_settings_that_make_no_sense_are_refused(broken: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match="must be above 0"):
        broken()


def test_janssen_without_the_clip_keeps_reliable_samples() -> None:
    """As published, clipped samples are merely unknown: some end below the level, reliable ones stay."""
    x = chord() + 0.05 * noise(1, 2000)
    clip = HardClip.symmetric(0.3)
    y = clip(x)
    raw = janssen_clip(y, clip, RATE, replace(JANSSEN_CLIP, window_s=0.064, order=40, consistent=False))
    assert torch.equal(raw[~clip.clipped(y)], y[~clip.clipped(y)])
    assert not torch.equal(clip(raw), y)
