"""What floors are expected where none are heard: believed where heard, learned elsewhere, the same for any loudness."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from restorer.bench.degrade import low_passed
from restorer.dsp.expected_floor import HIDDEN, Floors
from restorer.dsp.noise_floor import QUANTILES, band_count, counted_cells, mean_db
from restorer.prior import Prior, load_prior
from restorer.restoration.damage import damage_of
from restorer.restoration.floor import RecordingFloor
from restorer.restoration.task import BandwidthExtension

RATE = 8000
N = 2**15
BANDS = band_count(RATE)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def counts(x: Tensor) -> Tensor:
    return counted_cells(x, torch.ones_like(x), RATE)


@pytest.fixture
def floors() -> Floors:
    """A perceptron as it happens to be."""
    sizes = ((len(QUANTILES) + 1) * BANDS, *HIDDEN, BANDS)
    layers = [
        (noise(outputs, inputs, seed=inputs) / math.sqrt(inputs), noise(outputs)) for inputs, outputs in pairwise(sizes)
    ]
    return Floors(torch.linspace(-10, -30, BANDS), torch.zeros(BANDS, BANDS), layers)


def below(bands: int, rows: int = 1) -> Tensor:
    return (torch.arange(BANDS) < bands).expand(rows, -1)


def test_what_is_heard_is_believed(floors):
    heard = counts(noise(1, N))
    expected = floors.expected(heard, below(8))
    assert torch.equal(expected[:, :8], mean_db(heard)[:, :8])
    assert not torch.isclose(expected[:, 8:], mean_db(heard)[:, 8:], atol=0.1).any()


def test_what_is_not_heard_tells_nothing(floors):
    x = noise(1, N)
    highs = torch.fft.rfftfreq(N, 1 / RATE) > 100 * 2 ** (8 / 3)
    louder = torch.fft.irfft(torch.fft.rfft(x) * torch.where(highs, 8.0, 1.0), n=N)
    expected, again = (floors.expected(counts(each), below(7)) for each in (x, louder))
    torch.testing.assert_close(expected[:, 7:], again[:, 7:], rtol=0, atol=0.05)  # a neighbour's leakage


def test_it_does_not_matter_how_loud_a_recording_is(floors):
    soft, loud = (floors.expected(counts(10**k * noise(1, N)), below(8)) for k in (-1, 1))
    torch.testing.assert_close(soft + 40, loud, rtol=0, atol=0.01)


def test_nothing_heard_leaves_the_mean(floors):
    expected = floors.expected(counts(noise(2, N)), below(0, 2))
    torch.testing.assert_close(expected, floors.mean.expand(2, -1))
    assert torch.isfinite(floors.expected(torch.zeros_like(counts(noise(1, N))), below(0))).all()


def test_recordings_are_expected_for_themselves(floors):
    heard, bands = counts(noise(5, N)), noise(5, BANDS, seed=1) > 0
    together = floors.expected(heard, bands)
    alone = torch.cat([floors.expected(heard[i : i + 1], bands[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_of_no_corpus_what_is_heard_is_believed_and_the_rest_is_silent():
    heard = counts(noise(1, N))
    expected = Floors.unknown(BANDS).expected(heard, below(9))
    assert torch.equal(expected[:, :9], mean_db(heard)[:, :9])
    assert (expected[:, 9:] < expected[:, :9].min() - 100).all()


def test_what_departs_from_the_recording_lets_the_rest_depart_as_it_did_in_the_corpus():
    """Windows that depart by 4, 3 and no dB, the first two together."""
    apart = torch.tensor([4.0, 3.0, 0.0])
    floors = Floors(torch.zeros(3), torch.outer(apart, apart), [])
    heard = torch.tensor([[True, False, False]])
    for departure in (-6.0, 0.0, 6.0):
        departing = floors.departing(torch.tensor([[departure, 0.0, 0.0]]), heard)[0]
        believed = 16 / (16 + 4) * departure  # the rest is put down to the measurement
        assert departing.tolist() == pytest.approx([believed, 0.75 * believed, 0.0], abs=1e-3)
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert not floors.departing(torch.full((1, 3), 9.0), nothing).abs().max() > 0.01


# The shipped prior's


@pytest.fixture(scope="module")
def shipped() -> Prior:
    return load_prior()


def above_3_khz(prior: Prior, x: Tensor) -> tuple[Tensor, Tensor]:
    """What is expected of x (time,) low-passed at 3 kHz, up to 10 kHz, as recordings are heard; and what is there."""
    low = low_passed(x.double().numpy(), prior.sample_rate, 3000.0)
    damage = damage_of(BandwidthExtension(3000.0), prior.sample_rate, prior.sample_rate)
    floor, margin = RecordingFloor(prior, 1), prior.whitening.margin
    starts = range(margin, len(x) - prior.length - margin, prior.length // 2)
    windows = [floor.hear(low[at - margin : at + prior.length + margin, None], at, damage) for at in starts]
    assert windows[-1] is not None
    rows = torch.stack([x[at - margin : at + prior.length + margin] for at in starts]).float()
    whitened = prior.whitening.cut(rows)
    there = counted_cells(whitened, torch.ones_like(whitened), prior.sample_rate).sum(0, keepdim=True)
    above = slice(int(windows[-1].low.sum()), 20)
    return torch.from_numpy(floor.expected(windows[-1]))[0, above].double(), mean_db(there)[0, above]


@pytest.mark.parametrize("slope_db", [0.0, -3.0])
def test_hiss_goes_on_above_a_cutoff(shipped: Prior, slope_db: float) -> None:
    """White and pink noise, which the corpus knows beneath music only."""
    spectrum = torch.fft.rfft(0.01 * noise(4 * shipped.length))
    spectrum *= torch.arange(len(spectrum)).clamp(min=1) ** (slope_db / 6.02)
    expected, true = above_3_khz(shipped, torch.fft.irfft(spectrum))
    torch.testing.assert_close(expected, true, rtol=0, atol=5.0)


def test_hiss_is_heard_beneath_notes(shipped: Prior) -> None:
    """Decaying notes, some 40 or 20 dB above it; rather too soft than too loud."""
    t = torch.arange(4 * shipped.length) / shipped.sample_rate
    notes = sum(torch.sin(2 * math.pi * 220 * k * t) / k**2 * torch.exp(-3 * (t % 0.7)) for k in range(1, 30))
    hiss = noise(len(t))
    for level in (1e-3, 1e-2):
        expected, true = above_3_khz(shipped, 0.1 * notes + level * hiss)
        torch.testing.assert_close(expected, true, rtol=0, atol=7.0)


def test_above_a_tone_in_silence_there_is_silence(shipped: Prior) -> None:
    t = torch.arange(4 * shipped.length) / shipped.sample_rate
    tone = 0.1 * torch.sin(2 * math.pi * 440 * t)
    expected, _ = above_3_khz(shipped, tone)
    hissy, _ = above_3_khz(shipped, tone + 1e-3 * noise(len(t)))
    assert (expected < hissy - 20).all()
