"""Restoring what arrives in blocks: what was sound stays bit for bit, whatever the blocks and the batches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from restorer.dsp.filters import crossover_lowpass, kaiser_lowpass, sharp_lowpass
from restorer.dsp.known import Known
from restorer.errors import AudioError, UsageError
from restorer.restoration.batches import OwnEngine, Rows
from restorer.restoration.damage import widened
from restorer.restoration.settings import BWE, DECLIP, INPAINT, Method, Settings
from restorer.restoration.stream import RestoringStream, restore
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair, Task
from restorer.restoration.windows import fills
from tests.tiny import WhitePrior

RATE = 8000
QUICK = replace(BWE, n_steps=4)
GAPS_S = ((0.2, 0.25), (0.8, 0.85), (1.3, 1.35), (1.8, 1.85), (2.4, 2.45))
TASKS: list[tuple[Task, Settings]] = [
    (BandwidthExtension(1000.0), QUICK),
    (Inpainting(((0.5, 0.55), (1.2, 1.35))), replace(INPAINT, n_steps=4)),
    (Declipping(0.1), replace(DECLIP, n_steps=4)),
]


def music(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((frames, channels))
    return 0.1 * np.apply_along_axis(lambda x: np.convolve(x, [0.5, 0.3, 0.2])[:frames], 0, white)


def restored(signal: np.ndarray, task: Task, settings: Settings, rate: int = RATE, **options: int) -> np.ndarray:
    return restore(signal, rate, task, WhitePrior(), settings, **options)  # type: ignore[arg-type]


def in_blocks(signal: np.ndarray, sizes: Sequence[int], task: Task, settings: Settings) -> np.ndarray:
    stream = RestoringStream(task, WhitePrior(), settings, RATE, signal.shape[1])  # type: ignore[arg-type]
    out, at = [], 0
    while at < len(signal):
        size = sizes[len(out) % len(sizes)]
        out.append(stream.push(signal[at : at + size]))
        at += size
    return np.concatenate([*out, stream.finish()])


@pytest.mark.parametrize(("task", "settings"), TASKS)
def test_blocks_do_not_matter(task: Task, settings: Settings) -> None:
    signal = music(3 * RATE)
    whole = restored(signal, task, settings)
    # To rounding: other blocks may put other windows into one batch, and a batched FFT rounds in another order.
    np.testing.assert_allclose(in_blocks(signal, [701, 97, 3001], task, settings), whole, atol=1e-6)


class Gathering(OwnEngine):
    """Windows wait for others, as they do for a GPU. How many rows each batch had is noted."""

    def __init__(self) -> None:
        super().__init__(WhitePrior(), 8)  # type: ignore[arg-type]
        self.room = 8
        self.sizes: list[int] = []

    def changes(self, rows: Rows, *rest: Any) -> Rows:
        self.sizes.append(len(rows))
        return super().changes(rows, *rest)


@pytest.mark.parametrize("task", [BandwidthExtension(1000.0), Inpainting(GAPS_S), Declipping(0.1)])
def test_batch_size_does_not_matter(task: Task) -> None:
    signal, settings = music(3 * RATE, channels=2), replace(QUICK, method="diffusion")
    engine = Gathering()
    stream = RestoringStream(task, WhitePrior(), settings, RATE, 2, engine=engine)  # type: ignore[arg-type]
    together = np.concatenate([stream.push(signal), stream.finish()])
    assert max(engine.sizes) == 8
    # To the bit on a CPU, where the network sees the rows of a batch one by one.
    np.testing.assert_array_equal(together, restored(signal, task, settings))


@pytest.mark.parametrize(("task", "settings"), TASKS)
@pytest.mark.parametrize("rate", [RATE, 11025, 6000])
@pytest.mark.parametrize("frames", [1, 77, 5000, 13001])
def test_as_many_frames_come_out(task: Task, settings: Settings, rate: int, frames: int) -> None:
    if isinstance(task, Inpainting):  # of a gap that the recording has
        seconds = frames / rate
        task = Inpainting(((0.3 * seconds, 0.5 * seconds),))
    out = restored(music(frames, 2), task, settings, rate)
    assert out.shape == (frames, 2)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("rate", [RATE, 11025])
def test_inpainting_touches_the_gap_and_its_fades_only(rate: int) -> None:
    signal = music(3 * rate, 2)
    first, stop = round(1.0 * rate), round(1.2 * rate)
    damaged = signal.copy()
    damaged[first:stop] = 0
    out = restored(damaged, Inpainting(((1.0, 1.2),)), TASKS[1][1], rate)
    fade = 64
    np.testing.assert_array_equal(out[: first - fade], signal[: first - fade])
    np.testing.assert_array_equal(out[stop + fade :], signal[stop + fade :])
    filled, around = out[first:stop], signal[:first]
    assert 0.5 < filled.std() / around.std() < 2  # the exact prior of this noise fills at its level


def test_what_stands_in_a_gap_is_not_heard() -> None:
    signal = music(2 * RATE)
    task, settings = Inpainting(((1.0, 1.2),)), TASKS[1][1]
    first, stop = RATE, round(1.2 * RATE)
    silent, noisy = signal.copy(), signal.copy()
    silent[first:stop], noisy[first:stop] = 0, 0.9
    np.testing.assert_array_equal(
        restored(silent, task, settings)[first:stop], restored(noisy, task, settings)[first:stop]
    )


def test_a_gap_longer_than_a_window_is_filled_throughout() -> None:
    signal = music(4 * RATE)
    damaged = signal.copy()
    damaged[RATE : 3 * RATE] = 0  # two seconds; a window has half a second
    # All of this music is floor: in steps as coarse as the preset's each window would be louder than the one before.
    out = restored(damaged, Inpainting(((1.0, 3.0),)), replace(INPAINT, n_steps=40))
    levels = out[RATE : 3 * RATE].reshape(40, -1).std(axis=1) / signal.std()
    assert levels.min() > 0.5
    assert levels.max() < 2
    assert np.abs(np.diff(out[:, 0])).max() < 2 * np.abs(np.diff(signal[:, 0])).max()  # no click at any seam


@pytest.mark.parametrize("rate", [RATE, 11025])
def test_declipping_touches_clipped_samples_only(rate: int) -> None:
    signal = music(2 * rate)
    threshold = 0.08
    clipped = np.clip(signal, -threshold, threshold)
    out = restored(clipped, Declipping(threshold), TASKS[2][1], rate)
    reliable = np.abs(signal) < threshold - 1e-4
    np.testing.assert_array_equal(out[reliable], clipped[reliable])
    assert (np.abs(out[~reliable]) >= threshold - 1e-4).all()
    assert (np.sign(out[~reliable]) == np.sign(clipped[~reliable])).all()


def test_without_a_clipped_sample_nothing_changes() -> None:
    signal = music(2 * RATE)
    np.testing.assert_array_equal(restored(signal, Declipping(0.9), TASKS[2][1]), signal)


@pytest.mark.parametrize("rate", [RATE, 11025, 6000])
def test_bandwidth_extension_adds_above_the_cutoff_only(rate: int) -> None:
    cutoff = 1000.0
    taps = kaiser_lowpass(cutoff, rate)
    signal = np.convolve(music(4 * rate)[:, 0], taps, "same")[:, None]
    out = restored(signal, BandwidthExtension(cutoff), QUICK, rate)
    added = np.convolve((out - signal)[:, 0], crossover_lowpass(0.9 * cutoff, rate), "same")
    inner = slice(rate // 2, -rate // 2)  # the ends of a file cut through any filter
    assert np.sqrt(np.mean(added[inner] ** 2)) < 1e-3 * signal.std()  # -60 dB
    assert (out - signal).std() > 0.1 * signal.std()


def test_silence_stays_silence() -> None:
    for task, settings in TASKS:
        np.testing.assert_array_equal(restored(np.zeros((2 * RATE, 1)), task, settings), 0)


@pytest.mark.parametrize("method", ["diffusion", "classical"])
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_digital_silence_beside_music_stays_silence(rate: int, method: Method) -> None:
    signal = music(2 * rate)
    silent = slice(round(0.5 * rate), round(0.9 * rate))
    signal[: round(0.2 * rate)] = 0.0
    signal[silent] = 0.0
    out = restored(signal, BandwidthExtension(1000.0), replace(QUICK, method=method), rate)
    beside = round(0.1 * rate)
    least = 0.0 if rate == RATE else 0.5 / 32768  # what is resampled rings, though not in 16 bits
    assert np.abs(out[silent.start + beside : silent.stop - beside]).max() <= least
    assert np.abs(out[: round(0.2 * rate) - beside]).max() <= least
    assert np.abs(out - signal)[silent.stop :].max() > 0.01


@pytest.mark.parametrize("company", [Inpainting(((0.3, 0.5),)), Declipping(0.2)])
def test_digital_silence_stays_silence_in_any_company(company: Inpainting | Declipping) -> None:
    signal = music(2 * RATE)
    signal[: RATE // 5] = 0.0
    task = Repair((BandwidthExtension(1000.0), company))
    out = restored(signal, task, replace(QUICK, method="diffusion"))
    assert not out[: RATE // 10].any()


@pytest.mark.parametrize("cutoff_hz", [300.0, 1000.0])
def test_highs_that_fade_where_silence_begins_stay_above_the_cutoff(cutoff_hz: float) -> None:
    signal = music(2 * RATE)
    signal[RATE // 2 : RATE] = 0.0
    out = restored(signal, BandwidthExtension(cutoff_hz), QUICK)
    lows = sharp_lowpass(0.89 * cutoff_hz, 0.92 * cutoff_hz, RATE)
    change = np.convolve((out - signal)[:, 0], lows, "valid")
    assert np.abs(change).max() < 5e-4 * np.abs(signal).max()


def test_gaps_of_channels_make_up_those_of_the_recording() -> None:
    with pytest.raises(UsageError, match=r"give gaps_of\(by_channel_s\)"):
        Inpainting(((0.75, 1.0),), (((1.2, 1.3),), ()))


def test_a_gap_in_a_recording_with_an_offset_has_it_too() -> None:
    signal = music(3 * RATE, 2)
    task, gap = Inpainting(((1.0, 1.4),)), slice(RATE, round(1.4 * RATE))
    offset = np.array([0.2, -0.05])
    plain, raised = (restored(each, task, INPAINT) for each in (signal, signal + offset))
    np.testing.assert_allclose(raised[gap] - plain[gap], np.broadcast_to(offset, plain[gap].shape), atol=2e-3)


@pytest.mark.parametrize("gap_s", [(1.0, 1.03), (1.0, 1.4)])
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_a_gap_of_one_channel_is_filled_in_that_one_as_if_it_were_alone(rate: int, gap_s: tuple[float, float]) -> None:
    signal = music(2 * rate, 3)
    signal[round(gap_s[0] * rate) : round(gap_s[1] * rate), 1] = 0.0
    out = restored(signal, Inpainting((gap_s,), ((), (gap_s,), ())), INPAINT, rate)
    np.testing.assert_array_equal(out[:, [0, 2]], signal[:, [0, 2]])
    alone = restored(signal[:, 1], Inpainting((gap_s,)), INPAINT, rate)
    np.testing.assert_allclose(out[:, 1], alone, atol=1e-6)
    assert np.std(out[:, 1] - signal[:, 1]) > 0.001


def test_gaps_of_channels_that_the_recording_lacks_are_refused() -> None:
    gap_s = (0.2, 0.3)
    with pytest.raises(UsageError, match="gaps of 2 channels for a recording of 1"):
        restored(music(RATE), Inpainting((gap_s,), ((gap_s,), ())), INPAINT)


def test_blocks_of_another_shape_or_without_a_number_are_refused() -> None:
    stream = RestoringStream(TASKS[0][0], WhitePrior(), QUICK, RATE, 2)  # type: ignore[arg-type]
    for block in (np.zeros(100), np.zeros((100, 1))):
        with pytest.raises(UsageError, match=r"give \(frames, 2\)"):
            stream.push(block)
    stream.push(np.zeros((RATE, 2)))
    with pytest.raises(AudioError, match=r"a sample that is nan at 1\.0012"):
        stream.push(np.where(np.arange(100)[:, None] == 10, np.nan, np.zeros((100, 2))))


def test_a_centred_sound_stays_centred() -> None:
    signal = np.repeat(music(2 * RATE), 2, axis=1)
    for task, settings in TASKS:
        out = restored(signal, task, settings)
        np.testing.assert_allclose(out[:, 0], out[:, 1], atol=1e-6)


def test_the_seed_decides() -> None:
    signal = music(RATE)
    one, same, other = (restored(signal, *TASKS[0], seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


def test_louder_in_is_louder_out() -> None:
    signal = music(RATE)
    # 2^-5 scales without rounding; what remains are float32 sums of the level.
    np.testing.assert_allclose(restored(signal / 32, *TASKS[0]) * 32, restored(signal, *TASKS[0]), atol=1e-5)


@pytest.mark.parametrize("silent_from_s", [3, 40])
def test_memory_does_not_grow(silent_from_s: int) -> None:
    """Nor where windows wait for what will be heard after them, and silence comes."""
    stream = RestoringStream(*TASKS[0][:1], WhitePrior(), QUICK, RATE, 1)  # type: ignore[arg-type, misc]
    held, out = 0, 0
    for second in range(40):
        block = music(RATE, seed=second) * (second < silent_from_s)
        held += len(block)
        out += len(stream.push(block))
        assert held - out < 10 * 4096  # a batch of windows and what it awaits
    assert out > 30 * RATE


def test_a_cutoff_beyond_the_prior_is_refused() -> None:
    with pytest.raises(UsageError, match="cutoff"):
        restored(music(RATE), BandwidthExtension(5000.0), QUICK, 44100)


# Who restores


def streamed(signal: np.ndarray, task: Task, settings: Settings) -> tuple[np.ndarray, RestoringStream]:
    stream = RestoringStream(task, WhitePrior(), settings, RATE, 1)  # type: ignore[arg-type]
    return np.concatenate([stream.push(signal), stream.finish()]), stream


def test_a_short_gap_goes_to_autoregression_and_a_long_one_to_the_prior() -> None:
    time = np.arange(3 * RATE) / RATE
    signal = 0.2 * np.sin(2 * np.pi * 440 * time)[:, None]
    gaps_s = (1.0, 1.01), (2.0, 2.2)
    damaged = signal.copy()
    for first, stop in gaps_s:
        damaged[round(first * RATE) : round(stop * RATE)] = 0
    out, stream = streamed(damaged, Inpainting(gaps_s), replace(INPAINT, n_steps=4))
    assert (stream.windows_done, stream.windows_classical) == (2, 1)
    short = slice(RATE, round(1.01 * RATE))
    assert np.abs(out[short] - signal[short]).max() < 0.02  # a sine goes on; the prior knows nothing but noise
    elsewhere = np.r_[0 : RATE - 64, round(1.01 * RATE) + 64 : 2 * RATE - 64, round(2.2 * RATE) + 64 : 3 * RATE]
    np.testing.assert_array_equal(out[elsewhere], signal[elsewhere])


@pytest.mark.parametrize(("method", "classical"), [("diffusion", 0), ("classical", 1)])
def test_the_method_that_was_asked_for_restores(method: Method, classical: int) -> None:
    signal = music(2 * RATE)
    _, stream = streamed(signal, Inpainting(((1.0, 1.01),)), replace(INPAINT, n_steps=2, method=method))
    assert stream.windows_classical == classical


def test_light_clipping_goes_to_social_sparsity_alone() -> None:
    signal = music(2 * RATE)
    for share, is_classical in ((0.02, True), (0.3, True), (0.8, False)):
        threshold = float(np.quantile(np.abs(signal), 1 - share))
        clipped = np.clip(signal, -threshold, threshold)
        _, stream = streamed(clipped, Declipping(threshold), replace(DECLIP, n_steps=2))
        assert stream.windows_classical == 1
        assert (stream.windows_prior == 0) == is_classical


def test_what_no_classical_method_can_fill_is_refused() -> None:
    with pytest.raises(UsageError, match=r"gap of 0\.3 s .* 0\.15 s"):
        streamed(music(2 * RATE), Inpainting(((1.0, 1.3),)), replace(INPAINT, method="classical"))


@pytest.mark.parametrize("rate", [RATE, 11025, 16000])
def test_a_short_gap_is_bridged_as_well_at_any_rate(rate: int) -> None:
    """A gap's edge rings where a recording is resampled; what it rings in is not taken for music."""
    time = np.arange(3 * rate) / rate
    signal = sum(0.1 * np.sin(2 * np.pi * hz * time + hz) for hz in (220.0, 330.0, 551.0, 1234.0))[:, None]
    first, stop = round(1.5 * rate), round(1.51 * rate)
    damaged = signal.copy()
    damaged[first:stop] = 0
    out = restored(damaged, Inpainting(((1.5, 1.51),)), INPAINT, rate)
    error = (out - signal)[first:stop]
    assert 10 * np.log10(np.square(signal[first:stop]).mean() / np.square(error).mean()) > 20


@pytest.mark.parametrize("gap", [(0.0, 0.2), (0.05, 0.25), (2.8, 3.0), (2.75, 2.95)])
def test_beyond_the_ends_the_image_of_a_gap_is_no_more_known_than_the_gap(gap: tuple[float, float]) -> None:
    """A window hears the recording mirrored there; told as known, the gap's own silence would quieten what fills it."""
    unknown = []

    class Listening(WhitePrior):
        def __call__(self, x: Tensor, sigma: Tensor, known: Known | None = None) -> Tensor:
            assert known is not None
            unknown.append(int((known.where == 0).sum()))
            return super().__call__(x, sigma, known)

    restore(music(3 * RATE), RATE, Inpainting((gap,)), Listening(), replace(INPAINT, n_steps=1))  # type: ignore[arg-type]
    first, stop = (round(at * RATE) for at in gap)
    heard = np.arange((first + stop) // 2 - 2048, (first + stop) // 2 + 2048)
    heard = np.minimum(np.maximum(heard, -1 - heard), 2 * 3 * RATE - 1 - heard)  # mirrored at both ends
    assert min(unknown) >= ((first <= heard) & (heard < stop)).sum() > stop - first


def test_a_gap_beside_a_long_one_is_not_told_as_known() -> None:
    """The long one is filled window by window, which hear what was filled before; of the other nothing was heard."""
    told = []

    class Listening(WhitePrior):
        def __call__(self, x: Tensor, sigma: Tensor, known: Known | None = None) -> Tensor:
            assert known is not None
            told.append(known.where[0].numpy())
            return super().__call__(x, sigma, known)

    short, long = (1.8, 1.9), (2.0, 3.0)
    settings = replace(INPAINT, method="diffusion", n_steps=1)
    restore(music(4 * RATE), RATE, Inpainting((short, long)), Listening(), settings)  # type: ignore[arg-type]
    starts = [window.start for window in fills([(14400, 15200), (16000, 24000)], 4096)]
    assert len(told) == len(starts) > 3
    for start, where in zip(starts, told, strict=True):
        first, stop = max(14400 - start, 0), max(15200 - start, 0)
        assert not where[first:stop].any()


@pytest.mark.parametrize("company", [(), (Declipping(0.9),)])
def test_the_sign_of_zero_is_kept(company: tuple[Declipping, ...]) -> None:
    signal = np.full((2 * RATE, 1), -0.0)
    signal[::4] = 0.1
    repaired = restored(signal, Repair((Inpainting(((1.0, 1.02),)), *company)), replace(INPAINT, n_steps=1))
    outside = np.r_[0 : RATE - 64, round(1.02 * RATE) + 64 : 2 * RATE]
    np.testing.assert_array_equal(np.signbit(repaired[outside]), np.signbit(signal[outside]))


@pytest.mark.parametrize(("task", "settings"), [*TASKS, (Inpainting(((0.0, 0.05),)), INPAINT)])
def test_of_nothing_comes_nothing(task: Task, settings: Settings) -> None:
    assert in_blocks(np.zeros((0, 1)), [1], task, settings).shape == (0, 1)


def test_gaps_that_meet_once_they_are_widened_are_one() -> None:
    assert widened([(10, 20), (40, 50), (100, 110)], 12) == ((0, 62), (88, 122))
    assert widened([], 12) == ()
