"""Windows: their weights sum to one, gaps are covered by one window each, the tape forgets and mirrors."""

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from restorer.restoration.windows import Tape, fills, grid, grid_around, grid_size

LENGTH = 1024


@given(total=st.integers(1, 20_000))
def test_weights_of_the_grid_sum_to_one(total: int) -> None:
    weights = np.zeros(total + 2 * LENGTH)
    for window in islice(grid(LENGTH), grid_size(LENGTH, total)):
        offset = window.start + LENGTH
        stop = min(offset + LENGTH, len(weights))
        weights[offset:stop] += window.weights(LENGTH)[: stop - offset]
    np.testing.assert_allclose(weights[LENGTH : LENGTH + total], 1.0, atol=1e-12)  # sums of float64 ramps


def test_the_ends_of_a_window_have_no_weight() -> None:
    for window in islice(grid(LENGTH), 5):
        weights = window.weights(LENGTH)
        assert weights[: LENGTH // 32].max() == 0
        assert weights[-(LENGTH // 32) :].max() == 0


@st.composite
def gaps(draw: st.DrawFn) -> list[tuple[int, int]]:
    spans, at = [], 0
    for _ in range(draw(st.integers(1, 6))):
        first = at + draw(st.integers(1, 1500))
        at = first + draw(st.integers(1, 2500))
        spans.append((first, at))
    return spans


@given(spans=gaps())
def test_weights_around_gaps_sum_to_one(spans: list[tuple[int, int]]) -> None:
    total = spans[-1][1] + LENGTH
    weights = np.zeros(total + 3 * LENGTH)
    for window in grid_around(spans, LENGTH):
        if window.rise[0] >= total:
            break
        offset = window.start + LENGTH
        weights[offset : offset + LENGTH] += window.weights(LENGTH)
    np.testing.assert_allclose(weights[LENGTH : LENGTH + total], 1.0, atol=1e-12)


@given(first=st.integers(300, 5000), size=st.integers(1, LENGTH // 8))
def test_no_windows_are_cross_faded_in_a_short_gap(first: int, size: int) -> None:
    gap = first, first + size
    for window in islice(grid_around([gap], LENGTH), 12):
        assert window.fall[1] <= gap[0] or window.fall[0] >= gap[1]


@given(first=st.integers(700, 5000), apart=st.integers(LENGTH // 5, LENGTH), size=st.integers(1, LENGTH // 16))
def test_no_windows_are_cross_faded_in_gaps_with_room_between(first: int, apart: int, size: int) -> None:
    """The end that makes way for one gap does not come to lie in the one before."""
    gaps = [(first, first + size), (first + size + apart, first + 2 * size + apart)]
    for window in islice(grid_around(gaps, LENGTH), 16):
        for gap in gaps:
            assert window.fall[1] <= gap[0] or window.fall[0] >= gap[1]


def test_without_gaps_the_grid_is_the_grid() -> None:
    assert list(islice(grid_around([], LENGTH), 5)) == list(islice(grid(LENGTH), 5))


@given(spans=gaps())
def test_every_gap_is_filled_exactly_once(spans: list[tuple[int, int]]) -> None:
    weights = np.zeros(spans[-1][1] + 2 * LENGTH)
    for window in fills(spans, LENGTH):
        at = np.arange(LENGTH) + window.start
        inside = (at >= 0) & (at < len(weights))
        kept = window.weights(LENGTH)
        if window.known_until is not None:
            kept = np.where(at < window.known_until, 0, kept)  # it heard these, and leaves them
        np.add.at(weights, at[inside], kept[inside])
    for first, stop in spans:
        np.testing.assert_array_equal(weights[first:stop], 1.0)


@given(spans=gaps())
def test_windows_of_gaps_run_forward_with_context_on_both_sides(spans: list[tuple[int, int]]) -> None:
    windows = fills(spans, LENGTH)
    assert [window.start for window in windows] == sorted(window.start for window in windows)
    for window in windows:
        assert window.rise[0] - window.start >= LENGTH // 8
        assert window.start + LENGTH - window.fall[1] >= LENGTH // 8


def test_a_short_gap_lies_in_the_middle_of_its_window() -> None:
    (window,) = fills([(5000, 5100)], LENGTH)
    assert window.start + LENGTH // 2 == 5050


def test_tape_gives_back_what_was_added_and_forgets_the_rest() -> None:
    tape = Tape(1)
    signal = np.arange(100.0)[:, None]
    tape.append(signal[:60])
    tape.append(signal[60:])
    np.testing.assert_array_equal(tape.view(20, 70), signal[20:70])
    tape.forget(30)
    assert (tape.start, tape.end) == (30, 100)
    tape.add(25, np.ones((10, 1)))  # the part before 30 is gone
    np.testing.assert_array_equal(tape.view(30, 36)[:, 0], [31, 32, 33, 34, 35, 35])
    np.testing.assert_array_equal(tape.take(32)[:, 0], [31, 32])
    assert tape.start == 32


def test_tape_mirrors_at_its_ends() -> None:
    tape = Tape(1)
    tape.append(np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_array_equal(tape.view(-2, 5)[:, 0], [2, 1, 1, 2, 3, 3, 2])


def test_what_a_tape_gave_stays_as_it_was() -> None:
    """It is still being written, while more comes."""
    tape, sent = Tape(1), []
    for i in range(100):
        tape.append(np.full((7, 1), float(i)))
        tape.add(tape.start, np.ones((tape.end - tape.start, 1)))
        sent.append((part := tape.take(tape.end - 3), part.copy()))
    assert sum(len(part) for part, _ in sent) == 697
    for part, copy in sent:
        np.testing.assert_array_equal(part, copy)
