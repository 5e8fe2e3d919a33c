"""Band replication: what is below the cutoff stays, what comes above is shaped like the spectrum below."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorer.classical.replication import REPLICATION, ReplicationSettings, replicate
from restorer.degradation import LowPass
from restorer.errors import UsageError
from restorer.metrics.levels import band_level
from tests.laws import assert_close

RATE = 16000
LOW_PASS = LowPass.kaiser(2000, RATE)


def noise(time: int = 16000, seed: int = 0) -> Tensor:
    return torch.randn(1, time, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coloured(exponent: float) -> Tensor:
    """Noise whose magnitudes fall as frequency to the -exponent, above 20 Hz."""
    spectrum = torch.fft.rfft(noise())
    x = torch.fft.irfft(spectrum * torch.arange(8001).clamp_min(20) ** -exponent, n=16000)
    return x / x.abs().max()


def test_the_band_below_stays() -> None:
    """-80 dB, the crossover's; 20 taps' worth of the ends are left out, where y is cut off."""
    y = LOW_PASS(noise())
    change = (replicate(y, LOW_PASS, RATE) - y)[0].numpy()
    assert band_level(change, RATE, 0, 0.85 * 2000) < band_level(y[0].numpy(), RATE, 0, 0.85 * 2000) - 75


@pytest.mark.parametrize("exponent", [2.5, 3.0])
def test_a_spectrum_that_falls_steadily_goes_on_falling(exponent: float) -> None:
    """Power laws, levels up to Nyquist within 4 dB: the slope of noise, learned over two octaves, errs."""
    x = coloured(exponent)
    restored = replicate(LOW_PASS(x), LOW_PASS, RATE)
    for low_hz in (2500, 3500, 5000, 6500):
        levels = [band_level(wave[0].numpy(), RATE, low_hz, 1.2 * low_hz) for wave in (x, restored)]
        assert abs(levels[1] - levels[0]) < 4


def test_a_tone_is_copied_as_a_steady_tone() -> None:
    """The carrier of a shift turns no phase between frames: all the power lies in a line at 1 kHz + shift."""
    t = torch.arange(16000, dtype=torch.float64) / RATE
    y = torch.sin(2 * math.pi * 1250 * t)[None]
    added = (replicate(y, LOW_PASS, RATE) - y)[0, 4000:12000]
    power = torch.fft.rfft(added * torch.hann_window(8000, dtype=torch.float64)).abs().square()
    line = int(power[1000:].argmax()) + 1000  # bins of 2 Hz
    assert float(power[line - 3 : line + 4].sum() / power[line - 100 : line + 100].sum()) > 0.99


def test_silence_and_level() -> None:
    """Silence stays silence, and the filling is linear in level; 1e-9: float64, the slope's logarithms included."""
    y = LOW_PASS(noise())
    assert not bool(replicate(torch.zeros(2, 5000), LOW_PASS, RATE).any())
    assert_close(replicate(0.1 * y, LOW_PASS, RATE), 0.1 * replicate(y, LOW_PASS, RATE), 1e-9)


def test_items_do_not_know_each_other() -> None:
    """1e-12: the transforms' rounding may depend on the batch."""
    y = LOW_PASS(torch.cat([noise(seed=1), 0.01 * coloured(2.5), noise(seed=2)]))
    together = replicate(y, LOW_PASS, RATE)
    for i in range(3):
        assert_close(together[i : i + 1], replicate(y[i : i + 1], LOW_PASS, RATE), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    y = LOW_PASS(noise(3000)).to(dtype)
    restored = replicate(y, LOW_PASS, RATE)
    assert (restored.dtype, restored.shape) == (dtype, y.shape)


def test_what_makes_no_sense_is_refused() -> None:
    y = noise(1000)
    with pytest.raises(UsageError, match="must be the same rate"):
        replicate(y, LOW_PASS, 2 * RATE)
    with pytest.raises(UsageError, match="bins must lie below the cutoff"):
        replicate(y, LowPass.kaiser(100, RATE), RATE, ReplicationSettings(window_s=0.01))
    with pytest.raises(UsageError, match="must be above 0"):
        ReplicationSettings(least_fall_db=0)
    with pytest.raises(UsageError, match="samples that are NaN"):
        replicate(torch.full((1, 100), math.nan), LOW_PASS, RATE, REPLICATION)
