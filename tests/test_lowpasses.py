"""The curves that detection compares falls with are those of the filters they are named after."""

import numpy as np
import pytest
import soxr
from scipy import signal

from restorer.degradation.detect.lowpasses import low_passes

RATE = 44100
HZ = np.geomspace(300, 20_000, 400)
BUTTERWORTH_8, CHEBYSHEV_8, FIR, RESAMPLED = 5, 12, 14, 15  # places among the kinds


def curve(kind, cutoff_hz, hz=HZ):
    curves, cutoffs_hz, _ = low_passes(hz, np.array([cutoff_hz]), RATE)
    assert cutoffs_hz[kind] == cutoff_hz
    return curves[kind]


@pytest.mark.parametrize("cutoff_hz", [900, 5000, 16_000])
def test_recursive_filters_are_those_of_scipy(cutoff_hz):
    for kind, sos in (
        (BUTTERWORTH_8, signal.butter(8, cutoff_hz, fs=RATE, output="sos")),
        (CHEBYSHEV_8, signal.cheby1(8, 0.05, cutoff_hz, fs=RATE, output="sos")),
    ):
        level = 20 * np.log10(np.abs(signal.sosfreqz(sos, HZ, fs=RATE)[1]) + 1e-12)
        seen = level > -120
        # The ripple itself, 0.05 dB, is left out.
        assert curve(kind, cutoff_hz)[seen] == pytest.approx(level[seen], abs=0.06)


def test_the_fir_filter_is_6_db_down_at_its_cutoff_and_its_lobes_are_evened_out():
    near = np.interp([0.9, 1.0], HZ / 5000, curve(FIR, 5000))
    assert near == pytest.approx([0, -6], abs=1)  # evened out over a lobe, 88 Hz
    taps = signal.firwin(501, 5000, width=1.0, fs=RATE)
    hz = np.linspace(5500, 9000, 4000)
    power = np.abs(signal.freqz(taps, worN=hz, fs=RATE)[1]) ** 2
    # The curve is that of an infinitely fine sinc, which lacks what is folded back at half the sample rate.
    assert np.interp(7000, HZ, curve(FIR, 5000)) == pytest.approx(10 * np.log10(power[1000:2500].mean()), abs=2)


def test_a_resampler_leaves_nothing_from_its_cutoff_on():
    impulse = np.zeros(1 << 16)
    impulse[1 << 15] = 1
    there = soxr.resample(impulse, RATE, 10_000, quality="VHQ")
    back = soxr.resample(there, 10_000, RATE, quality="VHQ")
    level = 20 * np.log10(np.abs(np.fft.rfft(back)) + 1e-12)
    hz = np.arange(4300.0, 5000.0)
    own = np.interp(hz, np.fft.rfftfreq(len(back), 1 / RATE), level)
    ours = curve(RESAMPLED, 5000, hz)
    # By another design of the same width: where each has fallen so far differs by less than a bin of the listener.
    for depth in (-3, -10, -30, -60):
        assert hz[ours < depth][0] == pytest.approx(hz[own < depth][0], rel=0.01)
    assert ours[-1] < -150


def test_only_slopes_up_to_order_four_are_gentle():
    curves, _, is_gentle = low_passes(HZ, np.array([1000.0]), RATE)
    octave = np.array([np.interp([4000, 8000], HZ, each) for each in curves])
    steepness = octave[:, 0] - octave[:, 1]
    assert (steepness[is_gentle] < 28).all()
    assert (steepness[~is_gentle][:-4] > 28).all()  # of the recursive ones; the others have fallen before
