"""Words to values: what is written is what is meant, and what cannot be meant is refused with value and remedy."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from restorer.cli import arguments, labels
from restorer.cli.arguments import (
    parse_device,
    parse_duration,
    parse_frequency,
    parse_gap,
    parse_gaps,
    parse_rate,
    parse_severity,
    parse_threshold,
    parse_time,
)
from restorer.errors import UsageError
from restorer.restoration.task import LOWEST_THRESHOLD

# What a person types has few digits; 3 behind the point keep every test below exact to a rounding of the last bit.
milliseconds = st.integers(0, 100 * 3600 * 1000)
last_bit = 1e-12


def as_clock(ms):
    """h:mm:ss.mmm of whole milliseconds."""
    return f"{ms // 3600000}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


@given(milliseconds)
def test_a_time_is_the_same_in_seconds_and_by_the_clock(ms):
    assert parse_time(f"{ms / 1000:.3f}") == pytest.approx(ms / 1000, rel=last_bit)
    assert parse_time(as_clock(ms)) == pytest.approx(ms / 1000, rel=last_bit)


def test_minutes_need_no_hours_and_a_first_number_may_be_large():
    assert parse_time("1:02.5") == 62.5
    assert parse_time("90:00") == 5400
    assert parse_time("75") == 75


@pytest.mark.parametrize(
    "word", ["", ":", "1:", "1:60", "1:75", "1:60:00", "1:2:3:4", "-1", "1e3", "2s", "1:-2", "nan", "inf"]
)
def test_what_is_no_time_is_refused_with_the_word(word):
    with pytest.raises(UsageError, match="is not a time") as refusal:
        parse_time(word)
    assert repr(word) in str(refusal.value)


def test_a_time_beyond_all_numbers_is_refused():
    with pytest.raises(UsageError, match="longer than any recording"):
        parse_time("9" * 400)


@given(milliseconds, milliseconds)
def test_a_gap_is_its_two_times_and_backwards_it_is_refused(a, b):
    assume(a != b)
    first, last = sorted([a, b])
    start, stop = parse_gap(f"{as_clock(first)}-{as_clock(last)}")
    assert (start, stop) == pytest.approx((first / 1000, last / 1000), rel=last_bit)
    backwards = f"{as_clock(last)}-{as_clock(first)}"
    with pytest.raises(UsageError) as refusal:
        parse_gap(backwards)
    assert backwards in str(refusal.value)
    assert f"write {as_clock(first)}-{as_clock(last)}" in str(refusal.value)  # the remedy is the gap as it was meant


@pytest.mark.parametrize("word", ["2.0", "", "-", "2-", "-2", "a-b", "1-2-3", "2.5-2.5"])
def test_what_is_no_gap_is_refused_with_the_word(word):
    with pytest.raises(UsageError, match="--gap") as refusal:
        parse_gap(word)
    assert repr(word) in str(refusal.value)


spans = st.tuples(st.integers(0, 200), st.integers(1, 20)).map(lambda at: (at[0], at[0] + at[1]))


@given(st.lists(spans, min_size=1, max_size=20))
def test_merged_gaps_cover_the_same_time_sorted_and_apart(gaps):
    merged = parse_gaps([f"{start}-{stop}" for start, stop in gaps])
    covered = {second for start, stop in gaps for second in range(start, stop)}
    assert {second for start, stop in merged for second in range(int(start), int(stop))} == covered
    assert all(one[1] < other[0] for one, other in pairwise(merged))


@given(st.floats(20, 1e6).map(lambda x: round(x, 3)))
def test_a_frequency_is_the_same_in_hz_and_khz(hz):
    assert parse_frequency(f"{hz:.3f}") == parse_frequency(f"{hz:.3f} Hz") == pytest.approx(hz, rel=last_bit)
    for unit in ("k", "K", "kHz", " khz"):
        assert parse_frequency(f"{hz:.3f}{unit}") == pytest.approx(1000 * hz, rel=last_bit)


@pytest.mark.parametrize("word", ["0", "0k", "-1k", "", "k", "1m", "1kk", "nan", "inf", "1,5k", "1e3"])
def test_what_is_no_frequency_is_refused_with_the_word(word):
    with pytest.raises(UsageError, match="--cutoff") as refusal:
        parse_frequency(word)
    assert repr(word) in str(refusal.value)


@pytest.mark.parametrize("word", ["0.01", "1", "19.9Hz", "0.019k"])
def test_a_frequency_that_nobody_hears_is_refused_with_what_was_meant(word):
    with pytest.raises(UsageError, match="such as 1k for 1000 Hz") as refusal:
        parse_frequency(word)
    assert repr(word) in str(refusal.value)


@given(st.integers(1, 10**6))
def test_a_sample_rate_is_the_same_in_hz_and_khz(hz):
    assert parse_rate(f"{hz}") == parse_rate(f"{hz / 1000}k") == parse_rate(f"{hz / 1000:.6f} kHz") == hz


@pytest.mark.parametrize("word", ["", "fast", "-1", "44.1", "44.1234k", "44,1k", "nan", "9" * 400])
def test_what_is_no_sample_rate_is_refused_with_the_word(word):
    with pytest.raises(UsageError, match=r"--rate .* is not a sample rate; write it as 44\.1k or 44100"):
        parse_rate(word)


@given(st.floats(-90.3, 0).map(lambda x: round(x, 2)))
def test_a_threshold_in_decibels_is_the_linear_one(db):
    linear = 10 ** (db / 20)
    assert parse_threshold(f"{db:.2f}dB") == pytest.approx(linear, rel=last_bit)
    assert parse_threshold(f"{db:.2f} dbfs") == pytest.approx(linear, rel=last_bit)
    assert parse_threshold(repr(linear)) == pytest.approx(linear, rel=last_bit)


@pytest.mark.parametrize("word", ["0", "0.0", "-0.3", "1.01", "30", "6dB", "-99999dB", "", "dB", "-dB", "loud", "nan"])
def test_what_is_no_threshold_is_refused_with_the_word(word):
    with pytest.raises(UsageError, match="--threshold") as refusal:
        parse_threshold(word)
    assert repr(word) in str(refusal.value)


@pytest.mark.parametrize("word", ["-200dB", "-90.4dB", "1e-9", "0.00003"])
def test_a_threshold_below_all_steps_is_refused_in_its_own_terms(word):
    with pytest.raises(UsageError, match=r"--threshold .* is less than a step of 16 bits, -90dB; give the level"):
        parse_threshold(word)


def test_the_lowest_threshold_that_is_ever_found_can_be_given():
    assert parse_threshold(f"{LOWEST_THRESHOLD:.6g}") == pytest.approx(LOWEST_THRESHOLD, rel=1e-5)


def test_a_negative_threshold_is_taken_for_forgotten_decibels():
    with pytest.raises(UsageError, match="write -10dB"):
        parse_threshold("-10")


@pytest.mark.parametrize("word", ["0", "0:00", "soon"])
def test_no_duration_is_refused(word):
    with pytest.raises(UsageError, match="SECONDS"):
        parse_duration(word)


@pytest.mark.parametrize("word", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_pass(word):
    assert parse_device(word) == word


@pytest.mark.parametrize("word", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "mps"])
def test_other_devices_are_refused(word):
    with pytest.raises(UsageError, match="--device") as refusal:
        parse_device(word)
    assert repr(word) in str(refusal.value)


@pytest.mark.parametrize(
    "parse", [parse_frequency, parse_rate, parse_threshold, parse_time, parse_gap, parse_duration, parse_device]
)
@given(st.text(alphabet="0123456789.:-+kKhzHZdBecudapt \n٣", max_size=12))
def test_any_word_is_a_finite_value_or_refused_in_one_line(parse, word):
    refusal, value = None, ()
    try:
        value = parse(word)
    except UsageError as error:
        refusal = str(error)
    assert refusal is None or "\n" not in refusal
    numbers = [] if isinstance(value, str) else value if isinstance(value, tuple) else [value]
    assert all(math.isfinite(number) and number >= 0 for number in numbers)


@pytest.mark.parametrize("module", [arguments, labels])
def test_the_examples_in_the_docstrings_hold(module):
    import doctest

    assert doctest.testmod(module).failed == 0


def test_the_unit_of_a_severity_says_what_it_is():
    words = ("3k", "1.5kHz", "800Hz", "50ms", "1.5s", "10dB", "3 db")
    said = [(each.task, each.value) for each in map(parse_severity, words)]
    assert said[:3] == [("bwe", 3000), ("bwe", 1500), ("bwe", 800)]
    assert said[3:] == [("inpaint", 0.05), ("inpaint", 1.5), ("declip", 10), ("declip", 3)]


@pytest.mark.parametrize("word", ["", "3", "k", "-3dB", "0ms", "3 m", "1e3Hz"])
def test_a_severity_without_a_unit_or_a_size_is_refused(word):
    with pytest.raises(UsageError, match="is no severity"):
        parse_severity(word)
