"""The equaliser: its exact inverse, one filter whether along a signal or round a window, and what it flattens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restorer.dsp.whiten import Whitening, design_equaliser

BINS = 2049
ROUNDING = {torch.float32: 2e-4, torch.float64: 1e-11}
"""Largest error of unit noise there and back: rounding of the raised highs falls on the lows, which the way back does
not lower again. The gains lie a factor of 200 apart, peaks are 4, float32 has 6e-8; four times that to spare, and
more in float64, whose FFT is at its worst for lengths such as 282 = 2 * 3 * 47."""


def falling(slope_db: float = -40.0) -> Tensor:
    """(BINS,): the power of a smooth spectrum that falls by slope_db from 0 Hz to Nyquist, with a hump, like music."""
    at = torch.linspace(0, 1, BINS, dtype=torch.float64)
    return 10 ** ((slope_db * at + 6 * torch.cos(9 * at)) / 10)


def equaliser(n_taps: int = 255, cap_db: float = 60.0) -> Whitening:
    return Whitening(design_equaliser(falling(), 1.0, cap_db, n_taps))


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def gain_db(taps: Tensor) -> Tensor:
    """(BINS,)"""
    return 20 * torch.fft.rfft(taps, n=2 * (BINS - 1)).abs().log10()


@settings(deadline=None, max_examples=25)
@given(st.integers(255, 3000), st.sampled_from(list(ROUNDING)))
def test_inverse_undoes_forward(length, dtype):
    whitening, x = equaliser(), noise(2, length, dtype=dtype)
    y = whitening(x)
    assert y.dtype == dtype
    assert float((whitening.inverse(y) - x).abs().max()) <= ROUNDING[dtype]
    assert float((whitening(whitening.inverse(x)) - x).abs().max()) <= ROUNDING[dtype]


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("length", [256, 1000, 1001])
def test_cut_of_a_periodic_signal_is_forward_of_one_period(length, dtype):
    whitening, x = equaliser(), noise(2, length, dtype=dtype)
    margin = whitening.margin
    around = torch.cat([x[:, -margin:], x, x[:, :margin]], dim=-1)
    error = float((whitening.cut(around) - whitening(x)).abs().max())
    assert error <= ROUNDING[dtype] * float(whitening(x).std())


def test_cut_and_forward_agree_away_from_the_edges():
    whitening, long = equaliser(), noise(1, 2000)
    margin = whitening.margin
    round_window = whitening(long[:, margin:-margin])
    error = (whitening.cut(long) - round_window).abs()[0]
    assert float(error[margin:-margin].max()) <= 1e-12 * float(round_window.std())
    assert float(error[:margin].max()) > 0.01  # where the window wraps round, it does not


def test_cut_is_the_convolution_with_the_taps():
    whitening, x = equaliser(31), noise(1, 200)
    direct = torch.nn.functional.conv1d(x[:, None], whitening.taps[None, None])[:, 0]  # symmetric: no reversal
    torch.testing.assert_close(whitening.cut(x), direct, rtol=0, atol=1e-12)


def test_cut_of_parts_is_parts_of_the_whole():
    """What a window sees of a long recording does not depend on where the window begins."""
    whitening, long = equaliser(), noise(1, 5000)
    whole = whitening.cut(long)
    for start, length in ((0, 700), (1234, 701), (3000, 900)):
        part = whitening.cut(long[:, start : start + length + 2 * whitening.margin])
        assert part.shape[-1] == length
        torch.testing.assert_close(part, whole[:, start : start + length], rtol=0, atol=1e-11)


def test_whitening_commutes_with_another_filter_and_with_gain():
    whitening, x = equaliser(), noise(2, 1000)
    other = torch.linspace(1, 0, 501, dtype=torch.float64) ** 2

    def low_passed(v: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(v) * other, n=v.shape[-1])

    torch.testing.assert_close(whitening(low_passed(x)), low_passed(whitening(x)), rtol=0, atol=1e-11)
    torch.testing.assert_close(whitening(3 * x), 3 * whitening(x), rtol=0, atol=1e-11)


def test_batch_equals_its_items_alone():
    whitening, x = equaliser(), noise(3, 600)
    for i in range(3):
        torch.testing.assert_close(whitening(x)[i], whitening(x[i]), rtol=0, atol=1e-12)
        torch.testing.assert_close(whitening.cut(x)[i], whitening.cut(x[i]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_taps", [1, 3, 255, 4095])
def test_designed_taps_are_odd_and_symmetric(n_taps):
    taps = design_equaliser(falling(), 1.0, 60.0, n_taps)
    assert taps.shape == (n_taps,)
    assert taps.dtype == torch.float64
    torch.testing.assert_close(taps, taps.flip(0), rtol=0, atol=1e-14 * float(taps.abs().max()))


@pytest.mark.parametrize("exponent", [1.0, 0.6, 0.25])
def test_design_flattens_by_the_exponent(exponent):
    """Below the cap, power * gain^2 is power**(1 - exponent), within 1 dB: the window of the taps smooths no more."""
    power = falling()
    level = 10 * power.log10() + gain_db(design_equaliser(power, exponent, 200.0, 255))
    wanted = 10 * (1 - exponent) * power.log10()
    difference = level - wanted
    assert float((difference - difference.mean()).abs().max()) <= 1
    least = float(gain_db(design_equaliser(power, exponent, 200.0, 255)).min())
    assert least == pytest.approx(0, abs=1)  # the strongest part of the spectrum keeps its level


def test_design_goes_no_further_than_the_cap():
    power = falling(-80)
    gain = gain_db(design_equaliser(power, 1.0, 30.0, 255))
    assert 29 <= float(gain.max() - gain.min()) <= 31
    level = 10 * power.log10() + gain
    inside = gain < 29
    assert 0.2 < float(inside.double().mean()) < 0.8  # both parts are there to be seen
    assert float(level[inside].max() - level[inside].min()) <= 2  # within 1 dB of flat


def test_exponent_zero_is_the_identity():
    taps = design_equaliser(falling(), 0.0, 60.0, 255)
    x = noise(1, 1000)
    torch.testing.assert_close(Whitening(taps)(x), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(Whitening(taps).cut(x), x[:, 127:-127], rtol=0, atol=1e-12)


def test_one_tap_of_one_does_nothing_and_needs_no_margin():
    whitening, x = Whitening(torch.ones(1)), noise(1, 10)
    assert whitening.margin == 0
    for y in (whitening(x), whitening.inverse(x), whitening.cut(x)):
        torch.testing.assert_close(y, x, rtol=0, atol=1e-14)


def test_a_spectrum_with_nothing_in_it_at_places_is_capped_there():
    power = falling()
    power[1500:] = 0
    whitening = Whitening(design_equaliser(power, 1.0, 40.0, 255))
    assert torch.isfinite(whitening.taps).all()
    assert float(gain_db(whitening.taps)[1600:].mean()) == pytest.approx(40, abs=1)


@pytest.mark.parametrize("taps", [torch.ones(4), torch.ones(0), torch.ones(1, 3), torch.tensor(1.0)])
def test_refuses_even_or_shapeless_taps(taps):
    with pytest.raises(ValueError, match="an equaliser needs an odd number of taps in one row"):
        Whitening(taps)


@pytest.mark.parametrize("taps", [[0.5, 1.0, 0.5], [1.0, 1.0, 1.0], [0.0], [-1.0], [float("nan")]])
def test_refuses_a_response_without_an_inverse(taps):
    whitening = Whitening(torch.tensor(taps))
    for apply in (whitening, whitening.inverse):
        with pytest.raises(ValueError, match="must be positive everywhere"):
            apply(torch.zeros(1, 64))


@pytest.mark.parametrize("n_taps", [0, 4, 4096, 4097])
def test_refuses_to_design_even_or_too_many_taps(n_taps):
    with pytest.raises(ValueError, match=f"no {n_taps} taps from {BINS} bins: give an odd number below 4096"):
        design_equaliser(falling(), 1.0, 60.0, n_taps)


@pytest.mark.parametrize("length", [1, 100, 254])
def test_refuses_a_window_shorter_than_its_taps(length):
    with pytest.raises(ValueError, match=f"255 taps needs a longer window than {length} samples"):
        equaliser()(torch.zeros(1, length))
    assert equaliser()(torch.zeros(1, 255)).shape == (1, 255)


def test_taps_travel_with_the_weights_exactly():
    first, second = equaliser(), Whitening(torch.zeros(255))
    second.load_state_dict(first.state_dict())
    x = noise(1, 500)
    assert torch.equal(first(x), second(x))
