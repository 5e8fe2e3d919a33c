"""What a recording says against a stated threshold or cutoff: what is damaged as stated is left in peace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from restorer.audio import AudioFormat
from restorer.restoration.doubt import Doubts
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair
from tests.test_detect import RATE, low_passed, music, pcm16

CUT = Declipping(0.2)


def doubts(task, *channels, lossy=False, size=RATE):
    sound = np.stack(channels, axis=1)
    kind = ("MP3", "MPEG_LAYER_III") if lossy else ("WAV", "PCM_16")
    heard = Doubts(task, AudioFormat(*kind, RATE, sound.shape[1]))
    for start in range(0, len(sound), size):
        heard.hear(sound[start : start + size])
    return heard.notes


@pytest.fixture(scope="module")
def clean():
    return music()


def test_a_threshold_that_one_channel_goes_beyond_is_doubted(clean):
    (note,) = doubts(CUT, np.clip(clean, -0.2, 0.2), clean)
    assert note.startswith("samples reach 0.")
    assert ", beyond the threshold of 0.2: where they do, nothing was cut at it, " in note
    assert "--threshold auto" in note


@pytest.mark.parametrize("level", [0.2, 0.202])
def test_a_threshold_at_which_peaks_were_cut_is_not(clean, level):
    assert doubts(CUT, pcm16(np.clip(clean, -level, level))) == []
    assert doubts(CUT, pcm16(0.2 * clean)) == []


def test_clicks_and_what_is_in_gaps_are_no_sound_beyond_it(clean):
    sound = np.clip(clean, -0.2, 0.2)
    sound[RATE // 2 :: RATE // 3] = 0.9
    assert doubts(CUT, sound) == []
    sound[RATE : 2 * RATE] = clean[RATE : 2 * RATE]
    assert len(doubts(CUT, sound)) == 1
    assert doubts(Repair((CUT, Inpainting(((1.0, 2.0),)))), sound) == []


def test_a_lossy_codec_may_exceed_the_level(clean):
    sound = np.clip(clean, -0.25, 0.25)
    assert doubts(CUT, sound, lossy=True) == []
    assert len(doubts(CUT, sound)) == 1


@pytest.mark.parametrize("cutoff_hz", [500, 1000, 4000])
def test_a_cutoff_above_which_music_goes_on_is_doubted(clean, cutoff_hz):
    (note,) = doubts(BandwidthExtension(cutoff_hz), low_passed(clean, cutoff_hz, "fir"), pcm16(clean))
    assert note.startswith(f"what lies above the cutoff of {cutoff_hz} Hz is only ")
    assert "--cutoff auto" in note


@pytest.mark.parametrize("cutoff_hz", [500, 1000, 4000])
@pytest.mark.parametrize("how", ["fir", "resampled", "butterworth of order 10", "of order 5"])
@pytest.mark.parametrize("gain", [1, 0.01])
def test_a_cutoff_above_which_nothing_is_left_is_not(clean, cutoff_hz, how, gain):
    if how == "of order 5":
        dull = signal.sosfilt(signal.butter(5, cutoff_hz, fs=RATE, output="sos"), clean)
    else:
        dull = low_passed(clean, cutoff_hz, how)
    assert doubts(BandwidthExtension(cutoff_hz), pcm16(gain * dull)) == []


def test_hiss_clicks_and_dropouts_are_no_highs(clean):
    dull = low_passed(clean, 1000, "fir")
    hiss = 0.01 * dull.std() * np.random.default_rng(0).standard_normal(len(dull))
    clicks, dropouts = dull.copy(), dull.copy()
    clicks[:: RATE // 10] += 0.5
    for start in range(0, len(dull), RATE // 2):
        dropouts[start : start + 500] = 0
    for sound in (dull + hiss, clicks, dropouts, np.zeros(RATE)):
        assert doubts(BandwidthExtension(1000), sound) == []


@given(size=st.integers(200, 30_000))
def test_the_size_of_blocks_does_not_matter(size):
    sound = music(seconds=2)
    for task in (CUT, BandwidthExtension(1000)):
        assert doubts(task, sound, size=size) == doubts(task, sound)
