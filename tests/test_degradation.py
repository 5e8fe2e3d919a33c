"""Degradations obey the laws of tests/laws.py, and refuse what makes no sense."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restorer.degradation import (
    Composed,
    Degradation,
    Gaps,
    HardClip,
    InDomain,
    LowPass,
    Projectable,
    has_consistency,
    require_consistency,
)
from restorer.errors import UsageError
from tests.laws import (
    assert_close,
    assert_consistent,
    assert_differentiable,
    assert_idempotent_projection,
    assert_linear_adjoint,
    assert_nearest,
    assert_on_agrees,
    assert_scaled,
)

RATE = 22050
DOUBLE = 1e-12  # float64 rounding of FFTs and sums over a few thousand samples
SINGLE = 1e-6  # the same in float32

LOWPASSES = {
    "sharp": LowPass.kaiser(1000, RATE),
    "gentle": LowPass.kaiser(1000, RATE, order=100),
}
SPANS = ((100, 130), (400, 401), (900, 1500))
EXACT_GAPS = Gaps(SPANS, fade=0)
EXACT_CLIP = HardClip(-0.7, 0.5, tolerance=0.0)
POINTWISE: dict[str, Projectable] = {
    "gaps": EXACT_GAPS,
    "clip": EXACT_CLIP,
    "clip then gaps": Composed(EXACT_CLIP, EXACT_GAPS),
    "gaps then clip": Composed(EXACT_GAPS, EXACT_CLIP),
    "clip, clip, gaps": Composed(HardClip.symmetric(0.9, 0.0), Composed(EXACT_CLIP, EXACT_GAPS)),
}


def noise(batch: int, length: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(batch, length, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def gaps(draw: st.DrawFn, length: int = 300) -> tuple[tuple[int, int], ...]:
    """Up to four sorted gaps that may touch, and may lie beyond `length`."""
    borders = sorted(draw(st.lists(st.integers(0, length + 50), min_size=0, max_size=8, unique=True)))
    return tuple(zip(borders[::2], borders[1::2], strict=False))


class TestLinearity:
    @pytest.mark.parametrize("A", LOWPASSES.values(), ids=LOWPASSES)
    def test_lowpass(self, A: LowPass) -> None:
        assert_linear_adjoint(A, noise(2, 3000, 1), DOUBLE)

    def test_gaps(self) -> None:
        assert_linear_adjoint(EXACT_GAPS, noise(2, 2000, 1), DOUBLE)

    def test_gaps_then_lowpass(self) -> None:
        assert_linear_adjoint(Composed(EXACT_GAPS, LOWPASSES["sharp"]), noise(2, 2000, 1), DOUBLE)


class TestGradient:
    """Guidance differentiates through every A."""

    @pytest.mark.parametrize("A", LOWPASSES.values(), ids=LOWPASSES)
    def test_lowpass(self, A: LowPass) -> None:
        assert_differentiable(A, noise(2, 20, 1))

    @pytest.mark.parametrize(
        "A",
        [
            Gaps(((3, 5), (9, 14))),
            HardClip.symmetric(0.5),
            HardClip(torch.tensor([[-0.5], [-0.3]]), torch.tensor([[0.4], [0.2]])),
            Composed(HardClip.symmetric(0.3), Gaps(((3, 5),)), LowPass.kaiser(1000, RATE, 20)),
            InDomain(HardClip.symmetric(0.3), lambda x: 2 * x.flip(-1), lambda x: 0.5 * x.flip(-1)),
        ],
        ids=["gaps", "clip", "clip per item", "composed", "in domain"],
    )
    def test_others(self, A: Degradation) -> None:
        assert_differentiable(A, noise(2, 20, 3))


class TestProjection:
    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 2**20), name=st.sampled_from(list(POINTWISE)))
    def test_pointwise_laws(self, seed: int, name: str) -> None:
        """Equality without tolerance: a projection copies or compares, it never computes."""
        A = POINTWISE[name]
        x, clean, other = noise(2, 1600, seed), noise(2, 1600, seed + 1), noise(2, 1600, seed + 2)
        y = A(clean)
        assert_consistent(A, x, y)
        assert_idempotent_projection(A, x, y)
        # The angle is a sum of 3,200 rounded products.
        assert_nearest(A, x, y, [clean, A.project(other, y), A.project(-9 * other, y)], tolerance=DOUBLE)
        assert_close(A.project(clean, y), clean, 0.0)
        assert_close(A(y), y, 0.0)

    @pytest.mark.parametrize("A", POINTWISE.values(), ids=POINTWISE)
    def test_equals_search_over_all_values(self, A: Projectable) -> None:
        """An oracle without insight: of a grid of values z with A(z) = y, the nearest to x."""
        grid = torch.arange(-16, 17, dtype=torch.float64) / 10
        x, clean = (side.reshape(1, -1) for side in torch.meshgrid(grid, grid, indexing="ij"))
        assert x.shape[-1] > SPANS[1][0]  # both kept and missing samples are tried
        y = A(clean)
        candidates = grid[:, None].expand(-1, x.shape[-1])
        distance = torch.where(A(candidates) == y, (candidates - x).abs(), math.inf)
        # Levels lie on the grid, and the grid is 0.1 wide: 1e-9 only tells rounding from a step.
        torch.testing.assert_close(A.project(x, y), grid[distance.argmin(0)][None], rtol=0, atol=1e-9)

    @settings(deadline=None, max_examples=25)
    @given(spans=gaps(), fade=st.integers(0, 80), seed=st.integers(0, 2**20))
    def test_faded_gap_is_exact_in_the_gap_and_beyond_the_fades(
        self, spans: tuple[tuple[int, int], ...], fade: int, seed: int
    ) -> None:
        A, x, recording = Gaps(spans, fade), noise(1, 300, seed), noise(1, 300, seed + 1)
        missing = torch.zeros(1, 300, dtype=torch.bool)
        faded = torch.zeros(1, 300, dtype=torch.bool)
        for first, stop in spans:
            missing[:, first:stop] = True
            faded[:, max(0, first - fade) : stop + fade] = True
        y = recording.masked_fill(missing, math.nan)  # a gap may hold anything
        restored = A.project(x, y)
        assert torch.equal(restored[missing], x[missing])
        assert torch.equal(restored[~faded], recording[~faded])
        between = torch.maximum(x, recording) + 1e-12, torch.minimum(x, recording) - 1e-12
        assert bool(((restored <= between[0]) & (restored >= between[1]))[~missing].all())
        assert torch.equal(A(recording), recording.masked_fill(missing, 0.0))

    def test_fade_is_a_raised_cosine_outside_the_gap(self) -> None:
        weights = Gaps(((10, 12),), fade=3).weights(20)[0]
        ramp = torch.tensor([0.5 + 0.5 * math.cos(math.pi * n / 4) for n in (3, 2, 1)], dtype=torch.float64)
        expected = torch.cat([torch.zeros(7), ramp, torch.ones(2), ramp.flip(0), torch.zeros(5)])
        torch.testing.assert_close(weights, expected.double(), rtol=0, atol=1e-15)

    def test_clip_keeps_the_sound_and_lets_peaks_rise(self) -> None:
        y = torch.tensor([[0.5, 0.5, -0.5, -0.5, 0.2]])
        x = torch.tensor([[0.9, 0.1, -0.8, 0.3, 0.7]])
        expected = torch.tensor([[0.9, 0.5, -0.8, -0.5, 0.2]])
        assert torch.equal(HardClip.symmetric(0.5).project(x, y), expected)
        assert HardClip.symmetric(0.5).clipped(y).tolist() == [[True, True, True, True, False]]

    def test_clip_tolerance_sees_through_pcm_rounding(self) -> None:
        A = HardClip.symmetric(0.3)  # not a multiple of a 16-bit step
        clean = noise(2, 4000, 1, torch.float32)
        y = torch.round(A(clean) * 32768) / 32768
        assert torch.equal(A.clipped(y), clean.abs() >= 0.3 - A.tolerance)
        restored = A.project(clean, y)
        assert float((A(restored) - y).abs().max()) <= A.tolerance + 1e-7  # and float32's rounding of 0.3
        assert torch.equal(restored[A.clipped(y)].abs() > 0.31, clean[A.clipped(y)].abs() > 0.31)

    def test_clip_survives_a_change_of_level_in_float32(self) -> None:
        clean = noise(4, 4000, 1, torch.float32)
        gain = torch.tensor([[0.37], [1.7], [3.3], [11.1]])
        A = HardClip.symmetric(0.3)
        for A_scaled, factor in ((A.scaled(gain), gain), (A.scaled(0.37), 0.37)):
            assert torch.equal(A_scaled.clipped(factor * A(clean)), A.clipped(A(clean)))


class TestCrossover:
    """The consistency of a low-pass: measured lows, imagined highs, compared tone by tone."""

    @pytest.mark.parametrize("A", LOWPASSES.values(), ids=LOWPASSES)
    @pytest.mark.parametrize(("hertz", "kept"), [(100, "y"), (890, "y"), (1001, "x"), (5000, "x")])
    def test_lows_as_measured_highs_as_imagined(self, A: LowPass, hertz: float, kept: str) -> None:
        time = torch.arange(16384, dtype=torch.float64) / RATE
        y, x = torch.sin(2 * math.pi * hertz * time)[None], torch.cos(2 * math.pi * hertz * time)[None]
        inner = slice(2000, -2000)  # half the crossover is 577 taps
        expected = (y if kept == "y" else x)[:, inner]
        # -80 dB of x - y, which is 3 dB louder than either; the pass band's ripple is 1e-4 as well
        assert_close(A.project(x, y)[:, inner], expected, 1.5e-4)

    def test_agreeing_signals_are_left_alone(self) -> None:
        x = noise(1, 4000, 1)
        assert_close(LOWPASSES["sharp"].project(x, x), x, 0.0)


class TestLowPass:
    @pytest.mark.parametrize("A", LOWPASSES.values(), ids=LOWPASSES)
    def test_lows_pass_and_highs_go(self, A: LowPass) -> None:
        time = torch.arange(16384, dtype=torch.float64) / RATE
        inner = slice(3000, -3000)
        for hertz, low, high in ((100, 0.98, 1.02), (9000, 0.0, 0.01)):
            tone = torch.sin(2 * math.pi * hertz * time)[None]
            assert low <= float(A(tone)[:, inner].norm() / tone[:, inner].norm()) <= high


class TestLevelAndTime:
    ALL = (*LOWPASSES.values(), *POINTWISE.values(), Composed(EXACT_CLIP, EXACT_GAPS, LOWPASSES["gentle"]))

    @pytest.mark.parametrize("gain", [0.25, 3.7, torch.tensor([[0.1], [2.0]])], ids=["0.25", "3.7", "per item"])
    @pytest.mark.parametrize(
        ("dtype", "tolerance"), [(torch.float32, SINGLE), (torch.float64, DOUBLE)], ids=["float32", "float64"]
    )
    def test_scaled(self, gain: Tensor | float, dtype: torch.dtype, tolerance: float) -> None:
        gain = gain.to(dtype) if isinstance(gain, Tensor) else gain
        for A in self.ALL:
            assert_scaled(A, noise(2, 1600, 1, dtype), gain, tolerance)

    @pytest.mark.parametrize("A", LOWPASSES.values(), ids=LOWPASSES)
    def test_lowpass_on(self, A: LowPass) -> None:
        assert_on_agrees(A, noise(1, 20000, 1), [0, 4097, 7000], 8192, edge=len(A.taps), tolerance=DOUBLE)

    @pytest.mark.parametrize("A", POINTWISE.values(), ids=POINTWISE)
    def test_pointwise_on(self, A: Projectable) -> None:
        assert_on_agrees(A, noise(1, 1600, 1), [0, 115, 950, 1090], 500)

    @settings(deadline=None, max_examples=25)
    @given(spans=gaps(), fade=st.integers(0, 80), starts=st.lists(st.integers(0, 199), min_size=1, max_size=4))
    def test_gaps_on(self, spans: tuple[tuple[int, int], ...], fade: int, starts: list[int]) -> None:
        A, x, y = Gaps(spans, fade), noise(1, 300, 1), noise(1, 300, 2)
        assert_on_agrees(A, x, starts, 101)
        whole = A.project(x, y)
        cut = [torch.cat([signal[:, start : start + 101] for start in starts]) for signal in (x, y, whole)]
        assert_close(A.on(starts, 101).project(cut[0], cut[1]), cut[2], 0.0)
        assert torch.equal(A.on(starts, 101).weights(101), torch.cat([A.weights(300)[:, s : s + 101] for s in starts]))

    def test_gaps_see_beyond_both_ends(self) -> None:
        A = Gaps(((5, 10),), fade=2).on([-3, 100], 20)
        assert A.weights(20)[0].nonzero().flatten().tolist() == list(range(6, 15))
        assert float(A.weights(20)[1].abs().max()) == 0

    @settings(deadline=None, max_examples=25)
    @given(spans=gaps(), fade=st.integers(0, 80), before=st.integers(0, 700), beyond=st.integers(0, 700))
    def test_beyond_the_recording_a_window_hears_its_gaps_mirrored(
        self, spans: tuple[tuple[int, int], ...], fade: int, before: int, beyond: int
    ) -> None:
        A = Gaps(spans, fade)
        inside = A.weights(300)[0].numpy()
        mirrored = np.pad(inside, (before, beyond), mode="symmetric")
        np.testing.assert_array_equal(replace(A, end=300).on([-before], 0).weights(before + 300 + beyond)[0], mirrored)
        if before <= 300:  # whoever does not know the end yet hears nothing beyond it
            np.testing.assert_array_equal(A.on([-before], 0).weights(before + 300)[0], mirrored[: before + 300])

    def test_no_gap_changes_nothing(self) -> None:
        x = noise(2, 50, 1)
        assert torch.equal(Gaps(())(x), x)
        assert torch.equal(Gaps(()).project(noise(2, 50, 2), x), x)


class TestComposed:
    def test_order_is_that_of_application(self) -> None:
        x = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
        gap = Gaps(((0, 1),))
        lift = InDomain(HardClip.symmetric(1.0), lambda x: x + 3, lambda x: x - 3)  # sends 0 to 1, so order is heard
        assert Composed(gap, lift)(x).tolist() == [[1.0, 1.0]]
        assert Composed(lift, gap)(x).tolist() == [[0.0, 1.0]]

    def test_of_nothing_is_the_identity(self) -> None:
        x, y = noise(1, 9, 1), noise(1, 9, 2)
        assert torch.equal(Composed()(x), x)
        assert torch.equal(Composed().project(x, y), y)

    def test_of_one_lowpass_keeps_its_crossover(self) -> None:
        x, y = noise(1, 3000, 1), noise(1, 3000, 2)
        A = LOWPASSES["sharp"]
        assert_close(Composed(A).project(x, y), A.project(x, y), 0.0)

    @pytest.mark.parametrize(
        "A",
        [
            Composed(HardClip.symmetric(0.3), LOWPASSES["sharp"]),
            Composed(EXACT_GAPS, LOWPASSES["gentle"]),
            Composed(LOWPASSES["sharp"], LOWPASSES["sharp"]),
            Composed(EXACT_GAPS, Composed(EXACT_CLIP, LOWPASSES["sharp"])),
            InDomain(Composed(EXACT_GAPS, LOWPASSES["sharp"]), lambda x: x, lambda x: x),
        ],
        ids=["clip, lowpass", "gaps, lowpass", "lowpass twice", "nested", "in domain"],
    )
    def test_with_a_lowpass_has_no_consistency(self, A: Projectable) -> None:
        assert not has_consistency(A)
        with pytest.raises(UsageError, match=r"LowPass.*no data consistency.*use reconstruction guidance \(rg\)"):
            A.project(noise(1, 2000, 1), noise(1, 2000, 2))
        with pytest.raises(UsageError, match="no data consistency"):
            require_consistency(A)

    def test_a_lowpass_comes_first_tone_by_tone(self) -> None:
        """Lows from the measurement where it has them, from x in the gaps; highs always from x."""
        time = torch.arange(6000, dtype=torch.float64)[None] / RATE
        low, other, high = (torch.sin(2 * math.pi * hertz * time) for hertz in (300.0, 450.0, 2500.0))
        A = Composed(LowPass.kaiser(1000, RATE), Gaps(((2500, 3500),), fade=0))
        y = A(low + high)
        found = A.project(other + high, y)
        inside, outside = slice(2900, 3100), slice(1500, 2300)  # the filters of 500 samples ring beside the edges
        # The paper's filter, an all but rectangular window, moves a tone by some thousandths.
        assert_close(found[:, inside], (other + high)[:, inside], 1e-2)
        assert_close(found[:, outside], (low + high)[:, outside], 1e-2)

    def test_the_truth_is_left_alone_after_a_lowpass(self) -> None:
        time = torch.arange(6000, dtype=torch.float64)[None] / RATE
        x = 0.5 * torch.sin(2 * math.pi * 300 * time) + 0.1 * torch.sin(2 * math.pi * 2500 * time)
        A = Composed(LowPass.kaiser(1000, RATE), HardClip.symmetric(0.3, tolerance=1e-9), Gaps(((2500, 2600),)))
        inner = slice(1000, 5000)  # beyond the ends x counts as 0
        assert_close(A.project(x, A(x))[:, inner], x[:, inner], 2e-2)  # as above, and at the clip's edges

    def test_what_cannot_project_has_no_consistency(self) -> None:
        class Louder:
            def __call__(self, x: Tensor, /) -> Tensor:
                return 2 * x

            def on(self, starts: object, length: int) -> Louder:
                return self

            def scaled(self, gain: Tensor | float) -> Louder:
                return self

        assert not has_consistency(Louder())
        assert not has_consistency(Composed(Louder()))
        with pytest.raises(UsageError, match="Louder has no data consistency"):
            require_consistency(Louder())

    def test_projectables_have_consistency(self) -> None:
        everything: list[Degradation] = [*LOWPASSES.values(), *POINTWISE.values(), Gaps(SPANS), Composed()]
        for A in everything:
            assert has_consistency(A)
            assert require_consistency(A) is A


class TestInDomain:
    """A scaled orthogonal change of domain: the laws carry over, with its rounding."""

    LENGTH = 256

    @staticmethod
    def domain(A: Degradation) -> InDomain:
        matrix = torch.linalg.qr(noise(TestInDomain.LENGTH, TestInDomain.LENGTH, 7)).Q
        return InDomain(A, lambda x: 3 * x @ matrix, lambda x: x @ matrix.T / 3)

    @pytest.mark.parametrize("A", POINTWISE.values(), ids=POINTWISE)
    def test_projection_is_that_of_the_waveform(self, A: Projectable) -> None:
        wrapped = self.domain(A)
        x, clean = noise(2, self.LENGTH, 1), noise(2, self.LENGTH, 2)
        y = wrapped(clean)
        assert_consistent(wrapped, x, y, DOUBLE)
        assert_idempotent_projection(wrapped, x, y, DOUBLE)
        assert_nearest(wrapped, x, y, [clean, wrapped.project(5 * x.flip(0), y)], DOUBLE)  # the domain keeps angles
        assert_scaled(wrapped, x, 0.3, DOUBLE)
        assert not torch.equal(wrapped.project(x, y), x)

    def test_on_places_what_it_wraps(self) -> None:
        x = noise(2, self.LENGTH, 1)
        assert_close(self.domain(EXACT_GAPS.on([90, 0], 256))(x), self.domain(EXACT_GAPS).on([90, 0], 256)(x), 0.0)

    def test_change_only_is_carried_back(self) -> None:
        """A domain that is left imperfectly does not touch a signal that already agrees."""
        lossy = InDomain(EXACT_GAPS, lambda x: x, lambda x: 0.9 * x)
        x = noise(1, 300, 1)
        assert torch.equal(lossy.project(x, x), x)


class TestRefusals:
    @pytest.mark.parametrize(
        ("spans", "message"),
        [
            (((-1, 5),), r"gap -1\.\.5: begins before the recording; let it begin"),
            (((5, 5),), r"gap 5\.\.5: must end after it begins; swap"),
            (((9, 5),), r"gap 9\.\.5: must end after it begins; swap"),
            (((10, 20), (0, 5)), r"gap 0\.\.5: begins before the last one ends, at 20; sort"),
            (((10, 20), (15, 30)), r"gap 15\.\.30: begins before the last one ends, at 20; sort"),
        ],
    )
    def test_spans(self, spans: tuple[tuple[int, int], ...], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            Gaps(spans)

    def test_touching_gaps_are_one(self) -> None:
        assert torch.equal(Gaps(((3, 5), (5, 9))).weights(80), Gaps(((3, 9),)).weights(80))

    def test_fade(self) -> None:
        with pytest.raises(UsageError, match="fade of -1 samples: must be 0 or more"):
            Gaps(((0, 5),), fade=-1)

    @pytest.mark.parametrize("threshold", [0.0, -0.3, math.inf, math.nan, torch.tensor([[0.5], [0.0]])], ids=str)
    def test_threshold(self, threshold: float | Tensor) -> None:
        with pytest.raises(UsageError, match=r"upper clip level .*: must be above 0 and finite; give it in full scale"):
            HardClip.symmetric(threshold)

    @pytest.mark.parametrize("low", [0.0, 0.2, -math.inf, math.nan])
    def test_lower_level(self, low: float) -> None:
        with pytest.raises(UsageError, match=r"lower clip level .*: must be below 0 and finite"):
            HardClip(low, 0.5)

    @pytest.mark.parametrize("tolerance", [-1e-3, math.nan, math.inf])
    def test_tolerance(self, tolerance: float) -> None:
        with pytest.raises(UsageError, match=r"clip tolerance .*: must be 0 or more and finite"):
            HardClip.symmetric(0.5, tolerance)

    def test_tolerance_that_swallows_silence(self) -> None:
        with pytest.raises(UsageError, match=r"clip tolerance 0\.2: must be below the clip levels.*choose a smaller"):
            HardClip(-0.1, 0.5, tolerance=0.2)

    @pytest.mark.parametrize("cutoff", [0.0, -1.0, 11025.0, math.nan])
    def test_cutoff(self, cutoff: float) -> None:
        with pytest.raises(UsageError, match=rf"cutoff {cutoff:g} Hz: must lie above 0 .*; choose a lower cutoff"):
            LowPass.kaiser(cutoff, RATE)


@pytest.mark.parametrize("A", [*LOWPASSES.values(), *POINTWISE.values()], ids=[*LOWPASSES, *POINTWISE])
def test_float32_agrees_with_float64(A: Projectable) -> None:
    x, y = noise(2, 2000, 1), noise(2, 2000, 2).clamp(-0.7, 0.5)
    assert A(x.float()).dtype == torch.float32
    assert_close(A(x.float()).double(), A(x), SINGLE)
    assert_close(A.project(x.float(), y.float()).double(), A.project(x, y), SINGLE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("A", [*LOWPASSES.values(), *POINTWISE.values()], ids=[*LOWPASSES, *POINTWISE])
def test_gpu_agrees_with_cpu(A: Projectable) -> None:
    x, y = noise(2, 2000, 1, torch.float32), noise(2, 2000, 2, torch.float32)
    assert_close(A(x.cuda()).cpu(), A(x), SINGLE)
    assert_close(A.project(x.cuda(), y.cuda()).cpu(), A.project(x, y), SINGLE)
