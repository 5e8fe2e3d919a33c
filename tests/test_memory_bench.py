"""The bench of memory: its recordings are damaged in three places, and its verdict is by rate."""

import memory
import numpy as np
import pytest


@pytest.mark.parametrize("rate", [8000, 11025])
def test_a_recording_is_clipped_in_three_places(rate):
    clean = np.concatenate(list(memory.music(rate, 0.75, is_clipped=False)))
    clipped = np.concatenate(list(memory.music(rate, 0.75, is_clipped=True)))
    assert clean.shape == clipped.shape == (45 * rate, 2)
    changed = np.flatnonzero((clean != clipped).any(axis=1)) / rate
    for place_s in (5.0, 22.5, 40.0):
        inside = (changed > place_s - 1 / rate) & (changed < place_s + 1)
        assert inside.sum() > 0.9 * rate
        changed = changed[~inside]
    assert not len(changed)
    assert np.abs(clean).max() < 0.4 < np.abs(clipped).max() == 0.5


def test_the_verdict_is_by_rate_and_by_length():
    peaks = [memory.Peak(*each) for each in [(44100, 60, 9, 1050), (44100, 5, 1, 1000), (96000, 5, 1, 1000)]]
    peaks.append(memory.Peak(96000, 60, 9, 1200))
    said = memory.table(peaks)
    assert "At 44100 Hz 60 minutes need 1.050 times the memory of 5 (within 10%: met)." in said
    assert "At 96000 Hz 60 minutes need 1.200 times the memory of 5 (within 10%: missed)." in said


def test_gaps_lie_within_the_recording():
    assert memory.damage("inpaint", 1) == ["--gap", "5.0-5.2", "--gap", "30-30.2", "--gap", "55-55.2"]
