"""Filters: their promised responses, and their application against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from restorer.dsp.filters import Taps, apply_fir, crossover_highpass, crossover_lowpass, kaiser_lowpass
from restorer.errors import UsageError

ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-13}  # an FFT of a few thousand samples, against direct summation


def magnitude_db(taps: Taps, sample_rate: float) -> tuple[Taps, Taps]:
    """Frequencies (Hz) and the level there (dB)."""
    n_fft = 1 << (len(taps).bit_length() + 3)  # eight times finer than the filter's own resolution
    level: Taps = 20 * np.log10(np.abs(np.fft.rfft(taps, n_fft)) + 1e-20)  # a zero of the filter is -400 dB
    hertz: Taps = np.arange(n_fft // 2 + 1, dtype=np.float64) * sample_rate / n_fft
    return hertz, level


@settings(deadline=None, max_examples=25)
@given(
    sample_rate=st.sampled_from([8000, 22050, 44100, 96000]),
    share=st.floats(0.01, 0.999, exclude_max=True),
)
def test_crossover_stops_below_and_passes_above(sample_rate: int, share: float) -> None:
    cutoff = share * sample_rate / 2
    hertz, level = magnitude_db(crossover_highpass(cutoff, sample_rate), sample_rate)
    assert level[hertz <= 0.9 * cutoff].max() <= -80
    assert np.abs(level[hertz >= cutoff]).max() <= 0.01


def test_crossover_is_complementary_and_of_the_length_its_transition_asks() -> None:
    high, low = crossover_highpass(1000, 44100), crossover_lowpass(1000, 44100)
    delta = np.zeros(len(low))
    delta[len(low) // 2] = 1
    np.testing.assert_allclose(high + low, delta, rtol=0, atol=1e-15)
    np.testing.assert_allclose(high, high[::-1], rtol=0, atol=1e-15)  # linear phase
    assert len(high) % 2 == 1
    assert 2000 < len(high) < 3000


@pytest.mark.parametrize("cutoff", [1000, 3000])
def test_kaiser_lowpass_is_the_papers_call_and_a_rectangular_window(cutoff: float) -> None:
    taps = kaiser_lowpass(cutoff, 22050)
    paper = signal.firwin(501, cutoff, width=1, window="kaiser", fs=22050)
    np.testing.assert_array_equal(taps, paper)
    np.testing.assert_allclose(taps, signal.firwin(501, cutoff, window="boxcar", fs=22050), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(700,), (3, 700), (2, 3, 40)], ids=str)
def test_fir_equals_direct_convolution(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    taps = np.random.default_rng(0).standard_normal(101)  # no symmetry that could hide a reversal
    y = apply_fir(x, taps)
    full = np.stack([np.convolve(row, taps) for row in x.double().reshape(-1, shape[-1]).numpy()])
    expected = torch.from_numpy(full[:, 50 : 50 + shape[-1]].reshape(shape))
    assert y.dtype == dtype
    assert y.shape == x.shape
    assert float((y.double() - expected).norm() / expected.norm()) < ROUNDING[dtype]


def test_zero_phase() -> None:
    impulse = torch.zeros(1, 1001, dtype=torch.float64)
    impulse[0, 500] = 1
    centred = apply_fir(impulse, kaiser_lowpass(1000, 22050, order=200))
    # Rounding of an FFT of a unit impulse.
    torch.testing.assert_close(centred, centred.flip(-1), rtol=0, atol=1e-15)


def test_fir_does_not_wrap_round() -> None:
    x = torch.zeros(1, 64, dtype=torch.float64)
    x[0, -1] = 1
    assert float(apply_fir(x, np.ones(9))[0, :50].abs().max()) < 1e-15


@pytest.mark.parametrize(
    "design",
    [
        lambda cutoff: kaiser_lowpass(cutoff, 22050),
        lambda cutoff: crossover_lowpass(cutoff, 22050),
        lambda cutoff: crossover_highpass(cutoff, 22050),
    ],
    ids=["kaiser", "crossover_lowpass", "crossover_highpass"],
)
@pytest.mark.parametrize("cutoff", [0.0, -5.0, 11025.0, 20000.0, float("nan"), float("inf")])
def test_cutoff_outside_the_band_is_refused(design, cutoff: float) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=rf"cutoff {cutoff:g} Hz: must lie above 0 .* 11025 Hz; choose"):
        design(cutoff)


def test_the_lowest_cutoff_has_a_filter_of_bounded_length_and_a_lower_one_has_none() -> None:
    assert len(crossover_lowpass(20, 44100)) < 1 << 17
    with pytest.raises(UsageError, match=r"cutoff 19\.9 Hz: must be at least 20 Hz; give it in Hz"):
        crossover_lowpass(19.9, 44100)


@pytest.mark.parametrize("order", [0, -2, 7])
def test_fir_order_without_a_middle_is_refused(order: int) -> None:
    with pytest.raises(UsageError, match=f"order {order}: must be even"):
        kaiser_lowpass(1000, 22050, order)
