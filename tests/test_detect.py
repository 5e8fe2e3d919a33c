"""Detection: what was done to rendered music is found, where and how much; undamaged music is left in peace."""

from functools import cache
from time import monotonic

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from restorer.degradation.detect import Detector
from restorer.degradation.detect.gaps import GapMeter
from restorer.degradation.detect.missing import Hole
from restorer.dsp.filters import kaiser_lowpass

RATE = 44100
SECONDS = 12
EDGE = 5  # samples


@cache
def note(pitch, rate):
    """Partials that fall by 9 dB an octave and decay faster the higher they are, as those of struck strings do."""
    time = np.arange(round(1.5 * rate)) / rate
    numbers = np.arange(1, 41)
    partials = pitch * numbers * np.sqrt(1 + 3e-4 * numbers**2)
    sound = np.zeros(len(time))
    for number, hz in zip(numbers, partials, strict=True):
        if hz < 0.48 * rate:
            sound += number**-1.5 * np.exp(-time * (1 + hz / 1500)) * np.sin(2 * np.pi * hz * time + number)
    return sound * np.minimum(1, time / 0.003) * np.minimum(1, (time[-1] - time) / 0.1)


@cache
def music(seed=0, seconds=SECONDS, rate=RATE):
    """Notes of a pentatonic scale, each with the knock of a hammer, over a noise floor at -90 dB; peaks at 0.9."""
    random = np.random.default_rng(seed)
    pitches = [55 * 2 ** (octave + step / 12) for octave in range(4) for step in (0, 2, 5, 7, 9)]
    length = round(0.03 * rate)
    fading = np.exp(-np.arange(length) / (0.006 * rate)) * np.minimum(1, np.arange(length) / (0.001 * rate))
    sound = np.zeros((seconds + 2) * rate)
    for onset in np.arange(0.3, seconds, 0.12):
        start = round((onset + random.uniform(0, 0.1)) * rate)
        played = random.uniform(0.2, 1) * note(float(random.choice(pitches)), rate)
        sound[start : start + len(played)] += played
        sound[start : start + length] += 0.02 * random.standard_normal(length) * fading
    sound = sound[: seconds * rate]
    return 0.9 * sound / np.abs(sound).max() + 3e-5 * random.standard_normal(len(sound))


@pytest.fixture(scope="module")
def clean():
    return music()


def found(*channels, rate=RATE, block=None, wanted=("cutoff", "clipping", "gaps")):
    sound = np.stack(channels, axis=1)
    detector = Detector(rate, len(channels), wanted)
    step = block or len(sound) or 1
    for start in range(0, len(sound), step):
        detector.push(sound[start : start + step])
    return detector.result()


def pcm16(sound):
    return np.clip(np.round(sound * 32768), -32768, 32767) / 32768


def low_passed(sound, cutoff_hz, how):
    match how:
        case "fir":
            return signal.fftconvolve(sound, kaiser_lowpass(cutoff_hz, RATE), "same")
        case "resampled":
            return soxr.resample(soxr.resample(sound, RATE, 2 * cutoff_hz), 2 * cutoff_hz, RATE)[: len(sound)]
        case _:
            return signal.sosfilt(signal.butter(10, cutoff_hz, fs=RATE, output="sos"), sound)


@pytest.mark.parametrize("store", [pcm16, np.asarray])
def test_undamaged_music_has_no_findings(clean, store):
    findings = found(store(clean), store(0.02 * clean))
    assert (findings.cutoffs, findings.clip_levels, findings.gaps) == ((), (), ())
    assert (findings.channels, findings.frames, findings.sample_rate) == (2, len(clean), RATE)
    assert findings.extremes[0] == (store(clean).min(), store(clean).max())


def sudden(length):
    """A gain that rises within 2 ms, as fast as a struck string."""
    return np.minimum(1, np.arange(length) / (0.002 * RATE))


def rounded(sound, bits):
    return np.round(sound * 2 ** (bits - 1)) / 2 ** (bits - 1)


def drums(decay_s=0.03, down_to=1e-3):
    """Hits of noise that die away, cut off to silence where the last of them drowns."""
    length = round(decay_s * np.log(1 / down_to) * RATE)
    hit = 0.3 * np.random.default_rng(0).standard_normal(length) * np.exp(-np.arange(length) / (decay_s * RATE))
    return np.tile(np.pad(hit, (0, RATE // 2 - length)), 8)


def damped(sound, fade_s=0.01, rest_s=0.15):
    """Silence twice a second, into which and out of which the sound is faded."""
    fade, rest = round(fade_s * RATE), round(rest_s * RATE)
    ramp = np.linspace(1, 0, fade)
    gain = np.concatenate([ramp, np.zeros(rest), ramp[::-1]])
    played = sound.copy()
    for first in range(RATE // 4, len(sound) - len(gain), RATE // 2):
        played[first : first + len(gain)] *= gain
    return played


def tone(hz, seconds, shape=np.sin):
    return 0.5 * shape(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def square(phase):
    return np.where(phase % (2 * np.pi) < np.pi, 1.0, -1.0)


NOT_DAMAGED = {
    "silence": lambda clean: np.zeros(5 * RATE),
    "nothing": lambda clean: np.zeros(0),
    "one sample": lambda clean: np.ones(1),
    "white noise": lambda clean: 0.1 * np.random.default_rng(0).standard_normal(5 * RATE),
    "silence around": lambda clean: np.concatenate([np.zeros(RATE), pcm16(clean[: 5 * RATE]), np.zeros(2 * RATE)]),
    "a pause with its noise": lambda clean: (
        np.concatenate(
            [
                clean[: 4 * RATE] * np.minimum(1, np.linspace(40, 0, 4 * RATE)),
                clean[4 * RATE : 8 * RATE] * sudden(4 * RATE),
            ]
        )
        + 3e-5 * np.random.default_rng(1).standard_normal(8 * RATE)
    ),
    "a fade to silence and back": lambda clean: pcm16(
        np.concatenate([clean[: 4 * RATE] * np.minimum(1, np.linspace(4, 0, 4 * RATE)), np.zeros(RATE)])
    ),
    "one sample at full scale": lambda clean: pcm16(clean / np.abs(clean).max()),
    "a steady tone": lambda clean: pcm16(0.99 * np.sin(2 * np.pi * 50 * np.arange(5 * RATE) / RATE)),
    "a high steady tone": lambda clean: 0.5 * np.sin(2 * np.pi * 1000 * np.arange(5 * RATE) / RATE),
    "8 bits": lambda clean: rounded(clean, 8),
    "8 bits, played softly": lambda clean: rounded(0.25 * clean, 8),
    "12 bits, played softly": lambda clean: rounded(0.02 * clean, 12),
    "8 bits with a gain, in 16": lambda clean: pcm16(0.7 * rounded(clean, 8)),
    "drums that die away": lambda clean: pcm16(drums()),
    "notes that are damped": lambda clean: pcm16(damped(clean)),
    "a tone that is switched on and off": lambda clean: pcm16(damped(tone(630, 5), fade_s=0.005)),
    "a square tone": lambda clean: pcm16(np.concatenate([tone(hz, 0.25, square) for hz in (220, 330, 441)])),
    "an anti-alias filter": lambda clean: low_passed(clean, 20_900, "resampled"),
}


@pytest.mark.parametrize("name", NOT_DAMAGED)
def test_what_is_no_damage_is_not_found(clean, name):
    findings = found(NOT_DAMAGED[name](clean))
    assert (findings.clip_levels, findings.gaps) == ((), ())
    if "tone" not in name:  # which has, indeed, nothing above it
        assert not findings.cutoffs


@pytest.mark.parametrize("how", ["fir", "resampled"])
@pytest.mark.parametrize("cutoff_hz", [900, 2500, 6000, 12_000])
def test_a_cutoff_is_found_within_5_percent(clean, cutoff_hz, how):
    (cutoff,) = found(pcm16(low_passed(clean, cutoff_hz, how)), wanted=["cutoff"]).cutoffs
    assert cutoff.cutoff_hz == pytest.approx(cutoff_hz, rel=0.05)
    assert not cutoff.is_codec
    assert cutoff.confidence > 0.5


@pytest.mark.parametrize("cutoff_hz", [3000, 6000])
def test_a_gentle_cutoff_is_found_with_its_scatter(clean, cutoff_hz):
    """Slopes of 60 dB an octave are told to 10 %: the bends of music's own spectrum let them scatter by 3 to 8 %."""
    (cutoff,) = found(low_passed(clean, cutoff_hz, "butterworth"), wanted=["cutoff"]).cutoffs
    assert cutoff.cutoff_hz == pytest.approx(cutoff_hz, rel=0.1)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_what_an_instrument_or_a_tone_control_does_is_no_cutoff(clean, order):
    darker = signal.sosfilt(signal.butter(order, 1500, fs=RATE, output="sos"), clean)
    assert not found(darker, wanted=["cutoff"]).cutoffs


def test_the_level_does_not_change_the_cutoff(clean):
    dull = low_passed(clean, 2500, "fir")
    one, other = (found(gain * dull, wanted=["cutoff"]).cutoffs[0] for gain in (1, 0.01))
    assert one.cutoff_hz == other.cutoff_hz
    assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


def test_the_cutoff_of_a_codec_is_said_to_be_one(clean):
    noisy = clean + 1e-3 * np.random.default_rng(0).standard_normal(len(clean))
    findings = found(low_passed(noisy, 16_000, "resampled"))
    assert [cutoff.is_codec for cutoff in findings.cutoffs] == [True]
    assert not findings.damage


def codec_like(sound):
    """Bands that a codec silences here and there, below bands that it keeps, up to 11 kHz."""
    hz, _, frames = signal.stft(sound, RATE, nperseg=2048)
    frames[hz > 11_000] = 0
    for band in range(6, 10):
        silenced = np.repeat(np.random.default_rng(band).random(-(-frames.shape[1] // 30)) < 0.4, 30)
        frames[np.ix_((hz >= 1000 * band) & (hz < 1000 * band + 1000), silenced[: frames.shape[1]])] = 0
    return signal.istft(frames, RATE, nperseg=2048)[1][: len(sound)]


def test_the_holes_of_a_codec_are_recognised(clean):
    noisy = clean + 1e-3 * np.random.default_rng(0).standard_normal(len(clean))
    (cutoff,) = found(codec_like(noisy), wanted=["cutoff"]).cutoffs
    assert cutoff.is_codec
    assert cutoff.cutoff_hz == pytest.approx(11_000, rel=0.05)


@pytest.mark.parametrize(("cutoff_hz", "is_codec"), [(11_000, True), (7000, True), (3000, False)])
def test_in_a_lossy_file_a_cutoff_is_the_codecs_unless_none_cuts_so_low(clean, cutoff_hz, is_codec):
    detector = Detector(RATE, 1, ["cutoff"], is_lossy=True)
    detector.push(low_passed(clean, cutoff_hz, "fir")[:, None])
    (cutoff,) = detector.result().cutoffs
    assert cutoff.is_codec == is_codec


def test_what_a_codec_did_to_one_channel_it_did_to_the_other(clean):
    noisy = clean + 1e-3 * np.random.default_rng(0).standard_normal(len(clean))
    one, other, dull = found(
        codec_like(noisy), low_passed(noisy, 11_000, "fir"), low_passed(noisy, 5000, "fir")
    ).cutoffs
    assert (one.is_codec, other.is_codec, dull.is_codec) == (True, True, False)


def test_a_cutoff_that_changes_is_told_by_its_stretches(clean):
    halves = [low_passed(music(seed, 40), cutoff_hz, "fir") for seed, cutoff_hz in ((1, 2000), (2, 5000))]
    (cutoff,) = found(np.concatenate(halves), wanted=["cutoff"]).cutoffs
    assert cutoff.range_hz == pytest.approx((2000, 5000), rel=0.05)
    assert cutoff.cutoff_hz == pytest.approx(5000, rel=0.05)  # of the whole nothing is left above it
    assert cutoff.stretches[0].edge.cutoff_hz == pytest.approx(2000, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.05, 0.8), level=st.floats(0.05, 0.99), store=st.sampled_from([pcm16, np.asarray, np.float32]))
def test_a_clip_level_is_exact_to_half_a_percent_after_any_gain(share, level, store):
    """Up to 0.8 of the peak, where 40 samples of this music are cut; nine of them, at 0.86, are too few to be sure."""
    clean = music(seconds=4)
    threshold = share * np.abs(clean).max()
    held = store(np.clip(clean, -threshold, 0.9 * threshold) * (level / threshold)).astype(np.float64)
    low, high = found(held, wanted=["clipping"]).clip_levels
    assert (low.kind, high.kind) == ("hard", "hard")
    assert low.level == pytest.approx(-level, rel=5e-3)
    assert high.level == pytest.approx(0.9 * level, rel=5e-3)
    # A peak of which a single sample was cut is no flat peak, and is not counted.
    assert low.share == pytest.approx(np.mean(clean <= -threshold), rel=0.2, abs=2e-4)


def test_clipping_is_told_by_channel_and_makes_no_gaps_and_no_clicks(clean):
    findings = found(np.clip(clean, -0.1, 0.1), clean)
    assert {(it.channel, round(it.level, 3)) for it in findings.clip_levels} == {(0, -0.1), (0, 0.1)}
    assert not findings.gaps


def test_soft_clipping_is_told_apart(clean):
    findings = found(0.8 * np.tanh(12 * clean), wanted=["clipping"])
    assert {it.kind for it in findings.clip_levels} == {"soft"}
    assert [abs(it.level) for it in findings.clip_levels] == pytest.approx([0.8, 0.8], rel=5e-3)
    assert not findings.damage


def filled(sound, first, stop, kind):
    damaged = sound.copy()
    match kind:
        case "zero":
            damaged[first:stop] = 0
        case "held":
            damaged[first:stop] = damaged[first - 1]
        case "repeated":
            damaged[first:stop] = damaged[2 * first - stop : first]
        case "dropout":
            damaged[first:stop] = 2e-5 * np.random.default_rng(0).standard_normal(stop - first)
        case "click":
            damaged[first:stop] += 0.3
    return damaged


PLACES = {
    "zero": [(1.1, 45), (2.2, 2000), (4.0, 88_000), (9.0, 300)],
    "held": [(1.1, 60), (2.2, 2000), (4.0, 88_000), (9.0, 300)],
    "repeated": [(1.1, 45), (2.2, 128), (3.0, 1024), (5.0, 4000)],
    "dropout": [(1.1, 60), (2.2, 2000), (4.0, 88_000), (9.0, 300)],
    "click": [(1.1, 1), (2.2, 3), (6.2, 7)],
}


@pytest.mark.parametrize("store", [pcm16, np.asarray])
@pytest.mark.parametrize("kind", PLACES)
def test_gaps_are_found_with_their_edges(clean, kind, store):
    damaged = clean.copy()
    spans = [(round(at * RATE), round(at * RATE) + length) for at, length in PLACES[kind]]
    for first, stop in spans:
        damaged = filled(damaged, first, stop, kind)
    gaps = found(store(damaged), wanted=["gaps"]).gaps
    assert [gap.kind for gap in gaps] == [kind] * len(spans)
    for gap, (first, stop) in zip(gaps, spans, strict=True):
        assert abs(gap.first - first) <= EDGE
        assert abs(gap.stop - stop) <= EDGE
        assert gap.confidence >= 0.5


def test_steady_tones_are_no_repeated_buffers():
    """Of 441 Hz every period is the one before it, sample by sample."""
    sound = pcm16(np.concatenate([tone(hz, 0.5) for hz in (441, 882, 630, 490, 440)]))
    assert not [gap for gap in found(sound, wanted=["gaps"]).gaps if gap.kind == "repeated"]


def test_gaps_are_found_in_8_bits_with_their_edges(clean):
    """A splice of 16 bits does not hide that the rest stands still from step to step."""
    damaged = filled(rounded(clean, 8), 4 * RATE, 4 * RATE + 2000, "zero")
    damaged[7 * RATE : 7 * RATE + 50] = pcm16(clean[7 * RATE : 7 * RATE + 50])
    (gap,) = found(damaged, wanted=["gaps"]).gaps
    assert (gap.kind, abs(gap.first - 4 * RATE) <= EDGE, abs(gap.stop - 4 * RATE - 2000) <= EDGE) == (
        "zero",
        True,
        True,
    )


@pytest.mark.parametrize("kind", ["zero", "dropout"])
def test_a_dropout_while_a_note_dies_away_is_found(kind):
    """It has lost half of its level in the tenth of a second before, and begins anew right after."""
    played = pcm16(np.tile(0.5 * note(220.0, RATE)[:RATE] * np.exp(-np.arange(RATE) / (0.15 * RATE)), 4))
    first, stop = RATE + round(0.45 * RATE), RATE + round(0.6 * RATE)
    (gap,) = found(filled(played, first, stop, kind), wanted=["gaps"]).gaps
    assert (gap.kind, abs(gap.first - first) <= EDGE, abs(gap.stop - stop) <= EDGE) == (kind, True, True)


def test_a_dropout_before_quieter_sound_is_found(clean):
    """Behind it the sound has a twentieth of the level: it is there in full all the same, and no fade."""
    first, stop = 4 * RATE, 6 * RATE
    sound = clean * np.where(np.arange(len(clean)) < stop, 1, 0.05)
    (gap,) = found(filled(sound, first, stop, "dropout"), wanted=["gaps"]).gaps
    assert (gap.kind, abs(gap.first - first) <= EDGE, abs(gap.stop - stop) <= EDGE) == ("dropout", True, True)


def test_a_gap_of_both_channels_is_one_and_of_one_channel_its_own(clean):
    both = filled(clean, RATE, RATE + 500, "zero")
    left = filled(both, 3 * RATE, 3 * RATE + 700, "zero")
    gaps = found(left, 0.5 * both, wanted=["gaps"]).gaps
    assert [gap.channels for gap in gaps] == [(0, 1), (0,)]


def test_clicks_by_the_ten_thousand_are_merged_in_seconds(monkeypatch):
    holes = tuple(Hole(1000 * number, 1000 * number + 3, "click", 0.9) for number in range(20_000))
    monkeypatch.setattr(GapMeter, "result", lambda self: holes)
    begun = monotonic()
    gaps = found(np.zeros(0), np.zeros(0), wanted=["gaps"]).gaps
    assert monotonic() - begun < 5  # a search through all for each took a minute
    assert {gap.channels for gap in gaps} == {(0, 1)}
    assert len(gaps) == len(holes)


def test_an_abrupt_beginning_or_end_is_no_gap(clean):
    sound = clean[RATE : 4 * RATE]
    assert not found(np.concatenate([np.zeros(3000), sound, np.zeros(3000)])).gaps
    assert not found(np.concatenate([sound, np.zeros(3 * RATE), sound])).gaps  # longer than any dropout: a pause


@pytest.mark.parametrize("block", [1000, 65_536, 100_003])
def test_the_sizes_of_the_blocks_do_not_matter(clean, block):
    damaged = np.clip(low_passed(clean, 3000, "fir"), -0.3, 0.3)
    for kind, places in PLACES.items():
        at, length = places[-1]
        damaged = filled(damaged, round(at * RATE), round(at * RATE) + length, kind)
    assert found(damaged, clean, block=block) == found(damaged, clean)


def test_memory_does_not_grow_with_the_recording():
    """What is held after four minutes is what is held after one; NumPy's own arrays are traced."""
    import tracemalloc

    part = music(3, 10, 8000)
    detector, held = Detector(8000, 1), []
    tracemalloc.start()
    for _ in range(24):
        detector.push(part[:, None])
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held[-8:]) < 1.1 * max(held[:8])  # which rises and falls with the seconds that wait to be searched


def test_detection_needs_no_torch():
    import subprocess
    import sys

    code = "import sys; sys.modules['torch'] = None; import restorer.restoration.find"
    subprocess.run([sys.executable, "-c", code], check=True)
