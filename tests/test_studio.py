"""Takes rendered by the batch: what `render` makes of each, whatever the batch; their noise alike in its statistics."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorer.training.bank import Bank
from restorer.training.piano import PianoExcerpts, render
from restorer.training.playing import PLAIN, Augmentation, Take, draw_augmentation
from restorer.training.room import Acoustics, Peak, band_weights, impulse_response, lead_samples
from restorer.training.score import Notes, Performance
from restorer.training.session import Recording
from restorer.training.studio import Studio, resampled, responses
from tests.sines import one_note, sine_bank

RATE = 22050
LENGTH = RATE


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> list[Bank]:
    """At two sample rates."""
    folder = tmp_path_factory.mktemp("banks")
    return [sine_bank(folder / f"{rate}.safetensors", rate) for rate in (RATE, 24000)]


@pytest.fixture(scope="module")
def studio(banks: list[Bank]) -> Studio:
    return Studio(banks, LENGTH, RATE, "cpu")


def many_notes(rng: np.random.Generator, size: int = 30) -> Notes:
    onset_s = np.sort(rng.uniform(-2, 1, size))
    pitch, velocity = rng.integers(21, 109, size).astype(np.float32), rng.uniform(1, 127, size).astype(np.float32)
    return Notes(onset_s, onset_s + rng.uniform(0.05, 1.5, size), pitch, velocity)


def without_noise(augmentation: Augmentation) -> Augmentation:
    acoustics = replace(augmentation.acoustics, rt60_s=0.0, hiss_db=None, hum_hz=None)
    return replace(augmentation, acoustics=acoustics)


def played(studio: Studio, takes: list[Take]) -> torch.Tensor:
    return studio.played(studio.desk.prepared(takes))


def heard(studio: Studio, notes: Notes, augmentation: Augmentation = PLAIN) -> np.ndarray:
    return played(studio, [Take(notes, 0, augmentation)])[0].numpy()


def rendered(take: Take, banks: list[Bank]) -> np.ndarray:
    return render(take.notes, banks[take.bank], 0.0, LENGTH, RATE, take.augmentation)


def error_db(made: np.ndarray, expected: np.ndarray) -> float:
    """Without 60 ms at either end, where `render`'s equaliser hears the strings stop and this one hears them go on."""
    inner = slice(round(0.06 * RATE), -round(0.06 * RATE))
    return 20 * np.log10(np.linalg.norm((made - expected)[inner]) / np.linalg.norm(expected[inner]))


def spectrum_db(audio: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.square(np.abs(np.fft.rfft(audio))) + 1e-20)  # bins of one hertz, where LENGTH is RATE


# The strings


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), bank=st.integers(0, 1))
def test_sounds_as_rendered_alone(studio: Studio, banks: list[Bank], seed: int, bank: int) -> None:
    rng = np.random.default_rng(seed)
    take = Take(many_notes(rng), bank, without_noise(draw_augmentation(rng, 2)))
    # The equaliser's tilt has a corner at 50 Hz, which rings on from the ends: in dark recordings that is the most.
    # Else soxr's filter, good to 16 bits or so, which lets a little pass above what it is told to.
    assert error_db(played(studio, [take])[0].numpy(), rendered(take, banks)) < -50


@settings(max_examples=10)
@given(pitch=st.integers(40, 90), colour=st.integers(0, 5), cents=st.floats(-30, 30))
def test_pitch_is_the_notes(studio: Studio, pitch: int, colour: int, cents: float) -> None:
    audio = heard(studio, one_note(pitch, 0.0), replace(PLAIN, colour=colour, tuning_cents=cents))
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(LENGTH), 32 * LENGTH))
    expected = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
    assert abs(1200 * np.log2(np.argmax(spectrum) / 32 / expected)) < 3  # a decaying line is about a hertz wide


@settings(max_examples=10)
@given(onset_s=st.floats(0.0, 0.9), pitch=st.integers(60, 90), rt60_s=st.sampled_from([0.0, 0.3, 2.5]))
def test_onset_is_where_the_score_has_it(studio: Studio, onset_s: float, pitch: int, rt60_s: float) -> None:
    acoustics = Acoustics(rt60_s=rt60_s, wet_db=-40)  # leads of 0.02, 0.25 and 1.5 s
    level = np.abs(heard(studio, one_note(pitch, onset_s), replace(PLAIN, acoustics=acoustics)))
    assert np.argmax(level > 0.5 * level.max()) / RATE == pytest.approx(onset_s, abs=0.001)  # the cosine jumps


@settings(max_examples=10)
@given(velocity=st.floats(32, 90), more=st.floats(0.5, 6))
def test_level_is_between_the_layers(studio: Studio, velocity: float, more: float) -> None:
    soft, loud = (heard(studio, one_note(velocity=v)) for v in (velocity, velocity + more))
    gain_db = 20 * np.log10(np.linalg.norm(loud) / np.linalg.norm(soft))
    assert gain_db == pytest.approx(20 * more / 64, abs=0.05)


def test_damper_stops_the_note_but_none_hangs_over_the_highest(studio: Studio) -> None:
    for pitch, release_s in ((60, 0.1), (99, np.inf)):
        audio = heard(studio, one_note(pitch, 0.0, 0.3), replace(PLAIN, release_s=0.1))
        first, last = (np.linalg.norm(audio[round(t * RATE) :][: RATE // 20]) for t in (0.4, 0.6))
        assert np.log(first / last) == pytest.approx(0.2 + 0.2 / release_s, rel=0.01)  # exp(-t) is the strings'


def test_the_strings_of_a_note_beat(studio: Studio) -> None:
    alone = heard(studio, one_note(81, 0.0))
    beating = heard(studio, one_note(81, 0.0), replace(PLAIN, unison_cents=4.0))
    still = round(RATE / 2 / (880 * 4.0 * np.log(2) / 1200))  # half a period of the beat
    around = slice(still - 200, still + 200)
    assert np.linalg.norm(beating[around]) < 0.1 * np.linalg.norm(alone[around])
    assert np.linalg.norm(beating[:441]) == pytest.approx(np.linalg.norm(alone[:441]), rel=0.01)


def test_more_strings_at_once_than_a_pile_is_deep(studio: Studio, banks: list[Bank]) -> None:
    rng = np.random.default_rng(0)
    notes = many_notes(rng, 6000)
    take = Take(notes, 0, replace(PLAIN, gain_db=-60.0, release_s=0.2))
    assert error_db(played(studio, [take])[0].numpy(), rendered(take, banks)) < -60


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.31, 2.1])
def test_resampling_keeps_what_both_rates_hold_and_nothing_else(ratio: float) -> None:
    n, seconds = 4000, 3000
    below, above = (
        0.4 * min(ratio, 1.0),
        0.55,
    )  # cycles a sample of the output; the other is there if the input holds it
    tones = [np.cos(2 * np.pi * f / ratio * np.arange(round(seconds * ratio))) for f in (below, above)]
    tones = [tone * np.hanning(tone.size) for tone in tones]  # no edges
    inputs = torch.from_numpy(np.stack(tones[: 1 + (above < 0.5 * ratio)])).float()
    made = torch.fft.irfft(resampled(inputs, torch.full((len(inputs),), ratio, dtype=torch.float64), n), n).numpy()
    window = np.interp(np.arange(seconds) * ratio, np.arange(tones[0].size), np.hanning(tones[0].size))
    expected = np.pad(np.cos(2 * np.pi * below * np.arange(seconds)) * window, (0, n - seconds))
    np.testing.assert_allclose(made[0], expected, atol=1e-4)  # of float32, and of the interpolated window
    assert np.abs(made[1:]).max(initial=0.0) < 1e-4


# Room and recording


def answers(studio: Studio, acoustics: Acoustics) -> np.ndarray:
    """(16, time): of rooms that differ by their seeds alone."""
    takes = [Take(one_note(), 0, replace(PLAIN, acoustics=replace(acoustics, seed=seed))) for seed in range(16)]
    how = Recording(*map(torch.from_numpy, studio.desk.prepared(takes).recording))
    weights = torch.from_numpy(np.stack(band_weights(2 * RATE, RATE)))
    return responses(how, torch.randn(16, 2 * RATE, generator=torch.Generator().manual_seed(0)), weights, RATE).numpy()


def test_reverberation_falls_by_60_db_in_rt60(studio: Studio) -> None:
    response = answers(studio, Acoustics(rt60_s=1.0, wet_db=0, bass=1, treble=1))
    early, late = (np.square(response[:, round(t * RATE) :][:, :2205]).mean() for t in (0.1, 0.6))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=0.3)  # chi-square of 35 000 samples
    assert np.square(response).sum(1) == pytest.approx(1, abs=0.15)  # the direct sound meets the noise at random
    assert not response[:, lead_samples(Acoustics(rt60_s=1.0), RATE) :].any()


def test_rooms_answer_as_the_rendered_ones(studio: Studio) -> None:
    acoustics = Acoustics(rt60_s=0.9, wet_db=-5, bass=1.4, treble=0.3)
    lead = lead_samples(acoustics, RATE)
    rendered = [impulse_response(acoustics, lead, RATE, np.random.default_rng(seed)) for seed in range(16)]
    made = answers(studio, acoustics)[:, :lead]
    for begin_s, end_s in ((0, 0.001), (0.001, 0.06), (0.06, 0.12), (0.2, 0.3), (0.5, 0.7)):
        part = slice(round(begin_s * RATE), round(end_s * RATE))
        for order in (0, 1):  # of all frequencies; of the high ones, which differences raise
            there, here = (np.square(np.diff(x, order)[:, part]).mean() for x in (np.stack(rendered), made))
            assert 10 * np.log10(here / there) == pytest.approx(0, abs=1)  # sixteen draws of a dozen reflections


def test_room_hears_what_came_before(studio: Studio) -> None:
    gone, still = one_note(60, -0.6, -0.4), replace(PLAIN, release_s=0.03)
    wet = heard(studio, gone, replace(still, acoustics=Acoustics(rt60_s=1.5, wet_db=0, treble=1)))
    assert np.abs(wet).max() > 100 * np.abs(heard(studio, gone, still)).max()


def test_hiss_has_its_level_and_slope(studio: Studio) -> None:
    audio = heard(studio, one_note(onset_s=9.0), replace(PLAIN, acoustics=Acoustics(hiss_db=-40, hiss_slope_db=-3)))
    assert 20 * np.log10(audio.std()) == pytest.approx(-40, abs=0.5)  # chi-square, few low bins weigh most
    power = np.square(np.abs(np.fft.rfft(audio)))
    assert 10 * np.log10(power[1000:2000].mean() / power[4000:8000].mean()) == pytest.approx(6, abs=0.5)


def test_hum_has_its_level_and_nothing_but_harmonics(studio: Studio) -> None:
    audio = heard(studio, one_note(onset_s=9.0), replace(PLAIN, acoustics=Acoustics(hum_hz=50.0, hum_db=-40)))
    assert 20 * np.log10(audio.std()) == pytest.approx(-40, abs=0.01)  # whole periods: only float32 rounds
    power = np.square(np.abs(np.fft.rfft(audio)))
    assert power[50:651:50].sum() == pytest.approx(power.sum(), rel=1e-5)


def test_band_limit_leaves_nothing_above(studio: Studio) -> None:
    hissing = Acoustics(hiss_db=-40, band_hz=5000.0)
    level_db = spectrum_db(heard(studio, one_note(onset_s=9.0), replace(PLAIN, acoustics=hissing)) * np.hanning(LENGTH))
    assert level_db[5020:].max() < level_db[1000:4700].mean() - 60


def test_equaliser_is_the_rendered_one(studio: Studio, banks: list[Bank]) -> None:
    acoustics = Acoustics(tilt_db=-12.0, peaks=(Peak(300, 6, 0.5), Peak(2000, -6, 1.0), Peak(5000, 3, 0.3)))
    take = Take(many_notes(np.random.default_rng(1)), 0, replace(PLAIN, acoustics=acoustics, action_db=-35.0))
    assert error_db(played(studio, [take])[0].numpy(), rendered(take, banks)) < -60


# Batches


def test_a_takes_sound_does_not_depend_on_its_batch(studio: Studio) -> None:
    takes = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        takes.append(Take(many_notes(rng, 10 * seed), seed % 2, draw_augmentation(rng, 2)))
    together = played(studio, takes)
    assert together.shape == (5, LENGTH)
    assert together.dtype == torch.float32
    assert together.abs().amax() < 1
    assert torch.equal(together, played(studio, takes))
    assert torch.equal(together, studio.played(pickle.loads(pickle.dumps(studio.desk.prepared(takes)))))
    for order in ([4, 2, 0, 3, 1], [1], [0]):
        for sound, i in zip(played(studio, [takes[i] for i in order]), order, strict=True):
            # transforms of other sizes round otherwise
            torch.testing.assert_close(sound, together[i], rtol=0, atol=1e-5 * float(together[i].abs().amax()))


def test_silence_where_nothing_sounds(studio: Studio) -> None:
    silent = Take(one_note(onset_s=9.0, stop_s=10.0), 0, replace(PLAIN, action_db=-40.0))
    assert not played(studio, [silent, silent]).any()
    beside = played(studio, [silent, Take(one_note(), 0, PLAIN)])
    assert not beside[0].any()
    assert beside[1].any()


def test_nothing_is_above_full_scale(studio: Studio) -> None:
    loud = many_notes(np.random.default_rng(2), 200)
    assert np.abs(heard(studio, loud, replace(PLAIN, gain_db=30.0))).max() == pytest.approx(0.99, abs=1e-4)


def test_a_take_stands_for_its_excerpt(banks: list[Bank], tmp_path: Path) -> None:
    performances = [Performance(f"giantmidi/{i}", many_notes(np.random.default_rng(i), 60)) for i in range(3)]
    excerpts = PianoExcerpts(banks, performances, LENGTH, RATE, 5)
    for index in range(5):
        take = pickle.loads(pickle.dumps(excerpts.take(index)))
        assert np.array_equal(rendered(take, banks), excerpts.excerpt(index))


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(studio: Studio, banks: list[Bank]) -> None:
    takes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        takes.append(Take(many_notes(rng), seed % 2, without_noise(draw_augmentation(rng, 2))))
    made = played(Studio(banks, LENGTH, RATE, "cuda"), takes)
    assert made.is_cuda
    for sound, expected in zip(made.cpu(), played(studio, takes), strict=True):
        torch.testing.assert_close(sound, expected, rtol=0, atol=1e-5 * float(expected.abs().amax()))
