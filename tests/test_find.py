"""The task for what was found: what is sound, in a channel or for a while, is not replaced for what is not."""

import numpy as np
import pytest
import soundfile

from restorer.degradation.detect import Cutoff, Findings
from restorer.restoration.find import bwe_task, declip_task, detect, detect_file, inpaint_task
from restorer.restoration.task import UNDAMAGED, BandwidthExtension, Declipping, Inpainting
from tests.test_detect import RATE, low_passed, music, pcm16

HZ = 2000


@pytest.fixture(scope="module")
def clean():
    return music(seconds=5)


@pytest.fixture(scope="module")
def bright():
    """Music with something above 10 kHz, too, 44 s of it."""
    sound = music(4, 44)
    return sound + 1e-3 * np.random.default_rng(0).standard_normal(len(sound))


def lost_highs(*channels):
    return bwe_task(detect(pcm16(np.stack(channels, 1)), RATE, ["cutoff"]))


def dither(length):
    return np.random.default_rng(1).triangular(-1, 0, 1, length) / 32768


def test_highs_that_a_codec_left_in_one_channel_are_not_replaced(bright):
    part = bright[: 5 * RATE]
    task, said = lost_highs(low_passed(part, HZ, "fir"), low_passed(part, 16_000, "fir"))
    assert task == UNDAMAGED
    assert "not in channel 2" in said
    assert "split the channels" in said


def test_a_channel_with_nothing_but_dither_has_no_highs_to_lose(clean):
    task, _ = lost_highs(low_passed(clean, HZ, "fir"), dither(len(clean)))
    assert task == BandwidthExtension(pytest.approx(HZ, rel=0.05))


@pytest.mark.parametrize("bright_s", [(0, 20), (24, 44)])
def test_highs_that_are_there_for_a_while_are_not_replaced(bright, bright_s):
    sound = low_passed(bright, HZ, "fir")
    first, stop = (RATE * second for second in bright_s)
    sound[first:stop] = bright[first:stop]
    task, said = lost_highs(sound)
    assert task == UNDAMAGED
    assert "cut that out, and restore the rest by itself" in said
    assert ("from 0 to 20 s" if bright_s[0] == 0 else "to 44 s") in said


@pytest.mark.parametrize("gain", [0, 0.005])
def test_a_soft_end_does_not_hide_lost_highs(bright, gain):
    sound = low_passed(bright, HZ, "fir")
    sound[20 * RATE :] *= gain
    task, _ = lost_highs(sound + dither(len(sound)))
    assert task == BandwidthExtension(pytest.approx(HZ, rel=0.05))


def test_the_low_pass_of_a_lossy_file_is_left_alone(clean, tmp_path):
    dull = low_passed(clean, 8000, "fir")
    for name, asked in (("dull.wav", BandwidthExtension(pytest.approx(8000, rel=0.05))), ("dull.mp3", UNDAMAGED)):
        soundfile.write(tmp_path / name, dull, RATE)
        assert bwe_task(detect_file(tmp_path / name, ["cutoff"]))[0] == asked


@pytest.mark.parametrize(("cutoff_hz", "is_advised"), [(16_000.0, True), (24_736.0, False)])
def test_a_codecs_low_pass_is_not_said_to_be_undone_where_no_prior_reaches(cutoff_hz, is_advised):
    cutoff = Cutoff(0, cutoff_hz, (cutoff_hz, cutoff_hz), (), 60.0, True, 0.9)
    task, said = bwe_task(Findings(96_000, 1, 96_000, ((-0.5, 0.5),), (cutoff,)))
    assert task == UNDAMAGED
    assert (f"--cutoff {cutoff_hz:.0f}" in said) == is_advised


def clipping(sound):
    return declip_task(detect(pcm16(sound), RATE, ["clipping"]))


@pytest.mark.parametrize("seconds", [0.01, 0.03])
def test_peaks_beyond_the_level_of_a_stretch_that_was_not_clipped_are_not_replaced(bright, seconds):
    peak = int(np.argmax(np.abs(bright)))
    sound, around = np.clip(bright, -0.1, 0.1), round(seconds * RATE / 2)
    sound[peak - around : peak + around] = bright[peak - around : peak + around]
    task, said = clipping(sound)
    assert task == UNDAMAGED
    assert "restore the clipped channels or stretches by themselves" in said


def test_dust_above_the_level_does_not_hide_clipping(clean):
    sound = np.clip(clean, -0.2, 0.2)
    for place in range(RATE // 2, len(sound) - RATE // 2, RATE // 3):
        sound[place : place + 3] += 0.5
    assert clipping(sound)[0] == Declipping(pytest.approx(0.2, rel=5e-3))


def test_gaps_belong_to_the_channels_that_have_them(clean):
    sound = np.stack([clean, 0.7 * music(9, 5)], 1)
    first, both = slice(RATE, RATE + 500), slice(2 * RATE, 2 * RATE + 900)
    sound[first, 0] = 0
    sound[both] = 0
    task, _ = inpaint_task(detect(pcm16(sound), RATE, ["gaps"]))
    assert isinstance(task, Inpainting)
    assert [len(task.of(channel)) for channel in (0, 1)] == [2, 1]
    assert task.of(1) == task.gaps_s[1:]
    mono, _ = inpaint_task(detect(pcm16(sound[:, 0]), RATE, ["gaps"]))
    assert mono == Inpainting(task.of(0))
