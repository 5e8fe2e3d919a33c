"""Laws, known answers and refusals of restorer.metrics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restorer.errors import UsageError
from restorer.metrics.levels import (
    band_level,
    level_error,
    octave_bands,
    octave_error,
    octave_levels,
    quiet_level_error,
    third_octave_bands,
    third_octave_levels,
)
from restorer.metrics.likeness import likeness_above
from restorer.metrics.lsd import LSD_FLOOR, LSD_RATE, log_spectral_distance, log_spectral_distance_in
from restorer.metrics.sdr import clip_to_sdr, sdr, sdr_improvement
from restorer.metrics.seams import click_ratio, largest_step, overlap_level_difference

RATE = 22050
# Sums of some 1e5 float64 terms: relative rounding near 1e-13, in dB and log10 units below 1e-10.
ROUNDING = 1e-10
gains = st.floats(0.01, 100).filter(lambda g: abs(g - 1) > 1e-3)
seeds = st.integers(0, 2**31)


def noise(seconds=1.0, seed=0, rate=RATE, rms=0.1):
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def sine(frequency_hz, seconds=3.0, rate=RATE, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)


# --- log-spectral distance


def test_lsd_of_equal_signals_is_zero():
    assert log_spectral_distance(noise(), noise(), RATE) == 0


@settings(max_examples=15, deadline=None)
@given(gain=gains, seed=seeds, rate=st.sampled_from([22050, 44100, 48000]))
def test_lsd_of_a_gain_is_twice_its_log10(gain, seed, rate):
    x = noise(0.5, seed, rate, rms=1000)  # far above the floor, whatever the gain
    # Resampling leaves 1 % of the bins at the floor, and the root makes half of it.
    tolerance = 1e-9 if rate == RATE else 0.01
    assert log_spectral_distance(x, gain * x, rate) == pytest.approx(abs(2 * math.log10(gain)), rel=tolerance)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_lsd_is_symmetric_and_keeps_the_triangle_inequality(seed):
    a, b, c = (noise(0.5, seed + i) for i in range(3))
    ab, bc, ac = (log_spectral_distance(*pair, RATE) for pair in [(a, b), (b, c), (a, c)])
    assert ab == log_spectral_distance(b, a, RATE)
    assert ac <= ab + bc


def test_lsd_of_independent_noises_is_the_deviation_of_two_log_exponentials():
    # Bins of Gaussian noise have exponential power. The root of a mean over 1025 bins is biased by less than 0.5 %.
    expected = math.pi / (math.sqrt(3) * math.log(10))
    assert log_spectral_distance(noise(20, 1), noise(20, 2), RATE) == pytest.approx(expected, rel=0.01)


def test_lsd_is_the_mean_over_time_of_each_frames_distance():
    x = noise(20)
    gain = np.where(np.arange(x.size) < x.size / 2, 1, 10)
    # Half the frames are 0 apart and half 2, but for the 4 of 857 that see the change. Root mean square would be 1.41.
    assert log_spectral_distance(x, gain * x, RATE) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_lsd_does_not_depend_on_the_rate_of_the_files(rate):
    def resampled(x):  # band-limited interpolation of a periodic signal: exact
        return np.fft.irfft(np.fft.rfft(x), rate) * rate / RATE

    pair = noise(1, 3), noise(1, 4)
    at_rate = log_spectral_distance(*map(resampled, pair), rate, band_hz=(0, 10000))
    # Below 10 kHz the resampler is flat; its ends reach a few samples into the first and last of the 40 frames.
    assert at_rate == pytest.approx(log_spectral_distance(*pair, RATE, band_hz=(0, 10000)), rel=1e-3)


def test_lsd_of_a_band_sees_only_that_band():
    x = noise(2)
    spectrum = np.fft.rfft(x)
    spectrum[np.fft.rfftfreq(x.size, 1 / RATE) > 5000] *= 0.1
    y = np.fft.irfft(spectrum, x.size)
    # The Hann window's sidelobes 100 bins away are below -120 dB; a factor 0.1 is 2 in log10 power.
    assert log_spectral_distance(x, y, RATE, band_hz=(0, 4000)) == pytest.approx(0, abs=1e-3)
    assert log_spectral_distance(x, y, RATE, band_hz=(6000, 11025)) == pytest.approx(2, abs=1e-3)


def test_lsd_floor_acts_on_digital_silence_and_not_on_16_bit_noise():
    silence, loud = np.zeros(RATE), sine(1000, 1)
    finite = log_spectral_distance(silence, loud, RATE, band_hz=(1000, 1005))
    assert finite == pytest.approx(math.log10(512**2 / LSD_FLOOR), abs=0.1)  # a Hann window's peak, at most 1.4 dB off
    rounding = np.round(noise(4) * 32767) / 32767 - noise(4)
    # Its bins have 6 times the floor in the mean, 600 times after the gain: exp(-1/6) of them show the whole gain.
    assert log_spectral_distance(rounding, 10 * rounding, RATE) == pytest.approx(2, abs=0.15)


# --- likeness


def notes(seed, rate=RATE):
    """Four seconds of partials that come and go, between 2 and 8 kHz, over soft noise."""
    random = np.random.default_rng(seed)
    t = np.arange(4 * rate) / rate
    music = noise(4, seed, rate, rms=1e-3)
    for start, hertz in zip(random.uniform(0, 3.5, 40), random.uniform(2000, 8000, 40), strict=True):
        music += (t >= start) * np.exp(-5 * np.maximum(t - start, 0)) * np.sin(2 * np.pi * hertz * t)
    return music


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(1, 100), seed=seeds)
def test_likeness_is_one_however_loud_and_symmetric(gain, seed):
    x, other = notes(seed), notes(seed + 1)
    # a few bins in a million fall below the floor of the log power by chance
    assert likeness_above(x, gain * x, RATE, 2000) == pytest.approx(1, abs=1e-4)
    assert likeness_above(x, other, RATE, 2000) == pytest.approx(likeness_above(other, x, RATE, 2000), abs=1e-12)


def test_likeness_knows_other_notes_noise_and_silence_from_the_same_notes():
    x = notes(0)
    # noise is alike in a few hundredths by chance; partials at other times and places share their decay
    assert abs(likeness_above(noise(4, 1), noise(4, 2), RATE, 2000)) < 0.03
    assert likeness_above(x, notes(1), RATE, 2000) < 0.3
    assert 0.6 < likeness_above(x, x + noise(4, 3, rms=0.03), RATE, 2000) < 0.95
    assert likeness_above(x, np.zeros_like(x), RATE, 2000) == 0


def test_likeness_listens_above_the_cutoff_alone_and_at_most_to_half_of_22_khz():
    x = notes(0, 44100)
    assert likeness_above(x, x + sine(1500, 4, 44100), 44100, 2000) == pytest.approx(1, abs=1e-3)
    assert likeness_above(x, x + sine(9000, 4, 44100), 44100, 2000) == pytest.approx(1, abs=1e-3)
    assert likeness_above(x, x, 44100, 8000) == pytest.approx(1)
    with pytest.raises(UsageError, match="holds no bin"):
        likeness_above(x, x, 44100, 12000)


# --- levels


@settings(max_examples=30, deadline=None)
@given(band=st.integers(6, 25), amplitude=st.floats(1e-4, 1.0), rate=st.sampled_from([22050, 44100, 48000]))
def test_a_sine_has_its_level_in_its_band_and_in_no_other(band, amplitude, rate):
    bands = third_octave_bands(rate)
    levels = third_octave_levels(sine(bands[1, band], rate=rate, amplitude=amplitude), rate)
    # From 100 Hz the main lobe of the window lies within the band; ripple and ends of the mean: below 0.05 dB.
    assert levels.values_db[band] == pytest.approx(20 * math.log10(amplitude) - 10 * math.log10(2), abs=0.05)
    assert np.delete(levels.values_db, band).max() < levels.values_db[band] - 30


def test_band_centres_are_those_of_the_standard():
    nominal = [25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500]
    nominal += [3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000, 20000]
    assert third_octave_bands(48000)[1] == pytest.approx(nominal, rel=0.02)
    assert octave_bands(48000)[1] == pytest.approx([31.5, 63, 125, 250, 500, 1e3, 2e3, 4e3, 8e3, 16e3], rel=0.02)
    lower, _, upper = third_octave_bands(48000)
    assert upper[:-1] == pytest.approx(lower[1:])
    assert third_octave_bands(44100)[2, -1] == 22050
    assert third_octave_bands(22050)[1, -1] == pytest.approx(10000)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, split_hz=st.floats(10, 11000), extra=st.integers(0, 5000))
def test_powers_of_adjoining_bands_add(seed, split_hz, extra):
    x = noise(1 + extra / RATE, seed)
    parts = [10 ** (band_level(x, RATE, *edges) / 10) for edges in [(0, split_hz), (split_hz, RATE / 2)]]
    assert 10 * math.log10(sum(parts)) == pytest.approx(band_level(x, RATE, 0, RATE / 2), abs=ROUNDING)


@settings(max_examples=20, deadline=None)
@given(index=st.integers(10, 4000))
def test_a_band_edge_cuts_the_bin_it_falls_on(index):
    # A sine in the middle of a bin has a symmetric spectrum: half of its power lies on either side.
    tone = sine(index * RATE / 8192, 8192 / RATE)
    for band in [(0, index * RATE / 8192), (index * RATE / 8192, RATE / 2)]:
        assert band_level(tone, RATE, *band) == pytest.approx(20 * math.log10(0.5), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, hops=st.integers(8, 20))
def test_all_frequencies_hold_the_mean_square_of_the_signal(seed, hops):
    # Parseval; the squared windows add up evenly wherever four frames overlap, so silence at both ends makes it exact.
    frame, hop = 8192, 2048
    x = np.concatenate([np.zeros(frame), noise(hops * hop / RATE, seed), np.zeros(frame)])
    frames = 1 + (x.size - frame) // hop
    assert 10 ** (band_level(x, RATE, 0, RATE / 2) / 10) == pytest.approx(np.sum(x**2) / (frames * hop), rel=1e-10)


@pytest.mark.parametrize("length", [2, 3, 64, 65, 1000, 1001])
def test_a_signal_shorter_than_a_frame_is_one_frame_whose_power_is_kept(length):
    x = noise(length / RATE)
    window = np.sin(np.pi * np.arange(length) / length) ** 4
    expected = 10 * math.log10(np.sum(window * x**2) / np.sum(window))
    assert band_level(x, RATE, 0, RATE / 2) == pytest.approx(expected, abs=ROUNDING)


@settings(max_examples=15, deadline=None)
@given(gain=gains, seed=seeds)
def test_level_errors_of_a_gain_are_its_decibels(gain, seed):
    x = noise(2, seed) * np.linspace(0.01, 1, 2 * RATE)
    for error in [
        level_error(x, gain * x, RATE, 1000, 10000),
        quiet_level_error(x, gain * x, RATE, 1000, 10000),
        octave_error(x[:1102], gain * x[:1102], RATE),
    ]:
        assert error.values_db == pytest.approx(20 * math.log10(gain), abs=1e-8)
    assert level_error(x, gain * x, RATE, 1000, 10000).centres_hz[[0, -1]] == pytest.approx([1000, 10000])
    assert octave_error(x[:1102], gain * x[:1102], RATE).worst()[1] == pytest.approx(20 * math.log10(gain), abs=1e-8)


def test_hiss_shows_in_the_quiet_passages_alone():
    loudness = np.where(np.arange(8 * RATE) < 4 * RATE, 1.0, 0.001)
    clean = noise(8, 1) * loudness
    hissing = clean + noise(8, 2) * 0.01
    # Loud half: a power added of 1e-4. Quiet half: of 100, 20.04 dB, each band's estimate within about 1.5 dB.
    assert abs(level_error(clean, hissing, RATE, 1000, 10000).worst()[1]) < 0.3
    assert quiet_level_error(clean, hissing, RATE, 1000, 10000).values_db == pytest.approx(20.04, abs=1.5)


def test_digital_silence_is_no_quiet_passage():
    clean = np.concatenate([np.zeros(8 * RATE), noise(2, 1)])
    # It ends half a second, more than a frame, before the sound: no frame has both.
    hissing = clean + np.concatenate([noise(7.5, 2), np.zeros(round(2.5 * RATE))])
    assert (quiet_level_error(clean, hissing, RATE, 1000, 10000).values_db == 0).all()


@pytest.mark.parametrize(("gap_s", "first_hz"), [(0.05, 126), (0.5, 31.6)])
def test_octaves_of_a_gap_begin_where_its_length_resolves_them(gap_s, first_hz):
    segment = sine(1000, gap_s)
    levels = octave_levels(segment, RATE)
    assert levels.centres_hz[0] == pytest.approx(first_hz, rel=0.01)
    # The window is no whole number of periods long: a ripple below 0.05 dB.
    assert levels.values_db[levels.centres_hz.tolist().index(1000)] == pytest.approx(-3.01, abs=0.05)


# --- signal-to-distortion ratio


@settings(max_examples=20, deadline=None)
@given(gain=gains, seed=seeds)
def test_sdr_of_a_gain(gain, seed):
    x = noise(0.2, seed)
    assert sdr(x, gain * x) == pytest.approx(-20 * math.log10(abs(gain - 1)), abs=1e-8)
    assert sdr(3 * x, 3 * gain * x) == pytest.approx(sdr(x, gain * x), abs=ROUNDING)


def test_sdr_known_answers():
    x = noise()
    assert sdr(x, x) == math.inf
    assert sdr(x, np.zeros_like(x)) == 0
    assert sdr([1, 1, 1, 1], [1.1, 0.9, 1.1, 0.9]) == pytest.approx(20)
    assert sdr_improvement([1, 1], [0.9, 0.9], [0.99, 1.01]) == pytest.approx(20)
    with pytest.raises(UsageError, match="the reference itself"):
        sdr_improvement([1, 1], [1, 1], [1, 1])
    half = np.arange(4) < 2
    assert sdr([1, 1, 1, 1], [1.1, 0.9, 9, 9], mask=half) == pytest.approx(20)


@settings(max_examples=20, deadline=None)
@given(sdr_db=st.floats(0.1, 40), seed=seeds)
def test_clip_to_sdr_hits_its_sdr(sdr_db, seed):
    x = noise(0.5, seed) * np.linspace(0.1, 1, RATE // 2)
    threshold = clip_to_sdr(x, sdr_db)
    assert 0 < threshold < np.abs(x).max()
    assert sdr(x, np.clip(x, -threshold, threshold)) == pytest.approx(sdr_db, abs=0.01)  # what a table shows


# --- seams


def test_largest_step_counts_the_steps_into_and_out_of_the_span():
    x = np.array([0, 0, 1, 1, 1, -2, -2, 9.0])
    assert largest_step(x, 2, 4) == 1  # in
    assert largest_step(x, 3, 5) == 3  # out
    assert largest_step(x, 3, 4) == 0  # neither
    assert largest_step(x, 0, 8) == 11


@settings(max_examples=20, deadline=None)
@given(seed=seeds, gain=gains, size=st.floats(0.5, 50))
def test_click_ratio_finds_a_step_of_any_size_at_any_level(seed, gain, size):
    x = gain * sine(200, 2)
    usual = np.abs(np.diff(x)).max()
    start, stop = RATE, RATE + 1000
    clicking = x.copy()
    clicking[start:stop] += size * usual
    assert click_ratio(x, start, stop, RATE) == pytest.approx(1, abs=0.01)
    # The music's own step at the edge adds or takes at most 1.
    assert click_ratio(clicking, start, stop, RATE) == pytest.approx(size, abs=1.01)


def test_click_ratio_looks_half_a_second_around():
    x = sine(200, 3)
    x[0] = x[-1] = 50.0  # far steps, more than half a second away
    assert click_ratio(x, RATE, 2 * RATE, RATE) == pytest.approx(1, abs=0.01)
    flat = np.zeros(RATE)
    assert click_ratio(flat, 100, 200, RATE) == 1
    flat[150] = 1
    assert click_ratio(flat, 100, 200, RATE) == math.inf


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.1, 10), seed=seeds)
def test_overlap_level_difference_is_that_of_the_band(gain, seed):
    overlaps = np.arange(8 * RATE) // RATE % 4 == 3
    high = noise(8, seed) * np.where(overlaps, gain, 1)
    low = sine(300, 8) * np.where(overlaps, 1, 0.5)  # another difference, in another band
    # Eight seconds of noise in 7 kHz: the level of either side is known to about 0.05 dB.
    assert overlap_level_difference(high + low, overlaps, RATE, 3000, 10000) == pytest.approx(
        20 * math.log10(gain), abs=0.3
    )


def test_overlap_level_difference_ignores_the_ends_of_the_recording():
    # Cut anywhere, a low tone has a jump where the transform wraps round: it must not count as highs.
    overlaps = np.arange(4 * RATE) < RATE
    low, high = sine(100.3, 4) + 0.5, 1e-4 * noise(4)
    assert overlap_level_difference(low + high, overlaps, RATE, 3000, 10000) == pytest.approx(0, abs=0.3)


# --- refusals

X = np.ones(4096)
REFUSED = {
    "two channels": (lambda: sdr(np.ones((9, 2)), np.ones((9, 2))), r"shape \(9, 2\)"),
    "no samples": (lambda: third_octave_levels([], RATE), r"shape \(0,\)"),
    "nan": (lambda: sdr([1, math.nan], [1, 1]), "1 samples are not finite"),
    "lengths": (lambda: log_spectral_distance(X, X[:-1], RATE), "4096 samples and estimate 4095"),
    "lsd of too little": (lambda: log_spectral_distance(X[:2047], X[:2047], RATE), "at least 2048"),
    "lsd band": (lambda: log_spectral_distance(X, X, RATE, band_hz=(5, 1)), "5-1 Hz holds no bin"),
    "levels range": (lambda: level_error(X, X, RATE, 12000, 13000), "no band centre lies in 12000-13000"),
    "quiet levels of silence": (lambda: quiet_level_error(0 * X, X, RATE, 1e3, 1e4), "silent throughout"),
    "octaves of too little": (lambda: octave_levels(X[:10], RATE), "10 samples are too few"),
    "one sample": (lambda: third_octave_levels(X[:1], RATE), "at least 2"),
    "band level": (lambda: band_level(X, RATE, 0, 20000), "Nyquist, 11025 Hz"),
    "sdr of silence": (lambda: sdr(0 * X, X), "all zero"),
    "sdr mask of nothing": (lambda: sdr(X, X, mask=X < 0), "selects no sample"),
    "sdr mask too short": (lambda: sdr(X, X, mask=[True]), "does not fit 4096"),
    "clip to 0 dB": (lambda: clip_to_sdr(X, 0), "0 dB"),
    "clip to nan": (lambda: clip_to_sdr(X, math.nan), "nan dB"),
    "clip silence": (lambda: clip_to_sdr(0 * X, 3), "all zero"),
    "span backwards": (lambda: largest_step(X, 9, 3), "span 9-3"),
    "span beyond the end": (lambda: click_ratio(X, 9, 5000, RATE), "span 9-5000 of 4096"),
    "span of everything": (lambda: click_ratio(X, 0, 4096, RATE), "leaves nothing"),
    "overlaps everywhere": (lambda: overlap_level_difference(X, X > 0, RATE, 1, 9), "selects no sample"),
    "overlap band": (lambda: overlap_level_difference(X, np.arange(4096) > 9, RATE, 9, 1), "band 9-1 Hz"),
    "overlap silence": (lambda: overlap_level_difference(0 * X, np.arange(4096) > 9, RATE, 1, 9e3), "is silent"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_are_one_line_with_the_value(call, message):
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_distance_within_spans_sees_nothing_else():
    random = np.random.default_rng(0)
    x = random.standard_normal(3 * LSD_RATE)
    louder, elsewhere = x.copy(), x.copy()
    louder[LSD_RATE : 2 * LSD_RATE] *= 10
    elsewhere[: LSD_RATE // 2] = 0
    spans = [(LSD_RATE, 2 * LSD_RATE)]
    assert log_spectral_distance_in(x, louder, LSD_RATE, spans) == pytest.approx(2, abs=1e-9)  # |2 log10 g|
    assert log_spectral_distance_in(x, elsewhere, LSD_RATE, spans) == 0
    short = [(LSD_RATE, LSD_RATE + 10)]  # through one window of 2048 samples about it, half of it louder
    assert 0 < log_spectral_distance_in(x, louder, LSD_RATE, short) < 2
    with pytest.raises(UsageError, match="no spans"):
        log_spectral_distance_in(x, x, LSD_RATE, [])
