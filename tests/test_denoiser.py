"""EDM's preconditioning: what the network sees and aims at, the weight of the loss, the levels of the noise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from restorer.diffusion.denoiser import CFG_LEVELS, CFG_SCALE, Preconditioned, cfg_scales, log_normal_levels
from restorer.dsp.known import Known
from tests.oracles import white_gaussian

LEVELS = torch.tensor([0.003, 0.01, 0.1, 0.5, 1.0, 3.0, 80.0], dtype=torch.float64)
HEARD = torch.tensor([0.003, 0.01, 0.1, 0.5, 1.0, 3.0], dtype=torch.float64)  # times sigma_data
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
deviations = pytest.mark.parametrize("sigma_data", [1.0, 0.057, 0.5])


class Silent(nn.Module):
    """F = 0."""

    def forward(self, x: Tensor, c_noise: Tensor, known: Known | None = None) -> Tensor:
        return torch.zeros_like(x)


class Gaussian(nn.Module):
    """The best F for white Gaussian music: D = c_skip x is exact already, so nothing is left to say."""

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        return 0 * x * c_noise[:, None]


class Witness(nn.Module):
    """Remembers what it was given, answers `answer`."""

    def __init__(self, answer: float = 1.0) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, c_noise: Tensor, known: Known | None = None) -> Tensor:
        self.x, self.c_noise = x, c_noise
        return torch.full_like(x, self.answer)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@deviations
def test_a_silent_network_leaves_c_skip_x(sigma_data):
    x = noise(len(LEVELS), 100)
    denoised = Preconditioned(Silent(), sigma_data)(x, LEVELS)
    expected = x * (sigma_data**2 / (sigma_data**2 + LEVELS**2))[:, None]
    torch.testing.assert_close(denoised, expected, **ROUNDING)


@deviations
def test_the_gaussian_network_gives_the_exact_denoiser(sigma_data):
    x = noise(len(LEVELS), 100)
    torch.testing.assert_close(
        Preconditioned(Gaussian(), sigma_data)(x, LEVELS), white_gaussian(sigma_data)(x, LEVELS), **ROUNDING
    )


def test_a_gaussian_of_another_deviation_needs_the_network_that_edm_says():
    """F = (D - c_skip x) / c_out of what it sees, c_in x: with it D is exact for music of any deviation."""
    std, sigma_data = 0.3, 1.0

    class Wiener(nn.Module):
        def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
            s = (4 * c_noise).exp()[:, None]
            total = sigma_data**2 + s**2
            aim = std**2 / (std**2 + s**2) - sigma_data**2 / total
            return x * total.sqrt() * aim / (s * sigma_data / total.sqrt())

    x = noise(len(LEVELS), 100)
    torch.testing.assert_close(
        Preconditioned(Wiener(), sigma_data)(x, LEVELS), white_gaussian(std)(x, LEVELS), rtol=1e-10, atol=1e-10
    )


@deviations
def test_the_network_sees_and_aims_at_unit_variance(sigma_data):
    clean = sigma_data * noise(len(LEVELS), 20000)
    noisy = clean + LEVELS[:, None] * noise(len(LEVELS), 20000, seed=1)
    witness = Witness(0.0)
    silent = Preconditioned(witness, sigma_data)(noisy, LEVELS)
    loud = Preconditioned(Witness(1.0), sigma_data)(noisy, LEVELS)
    c_out = loud - silent
    # 20000 samples tell a standard deviation to 0.5 %, five times that
    torch.testing.assert_close(witness.x.std(-1), torch.ones(len(LEVELS)).double(), rtol=0, atol=0.025)
    aim = (clean - silent) / c_out
    torch.testing.assert_close(aim.std(-1), torch.ones(len(LEVELS)).double(), rtol=0, atol=0.025)
    torch.testing.assert_close(witness.c_noise, LEVELS.log() / 4, **ROUNDING)


def unrelated(clean: Tensor) -> Tensor:
    """Noise of exactly unit variance, exactly uncorrelated with `clean`: it tells the variance of clean exactly."""
    e = noise(*clean.shape, seed=1)
    power = clean.square().sum(-1, keepdim=True)
    e -= torch.where(power > 0, (e * clean).sum(-1, keepdim=True) / power, 0) * clean
    return e / e.square().mean(-1, keepdim=True).sqrt()


@deviations
def test_the_loss_of_a_silent_network_is_one(sigma_data):
    levels = sigma_data * HEARD
    clean = sigma_data * noise(len(levels), 20000)
    loss = Preconditioned(Silent(), sigma_data).loss(clean, levels, unrelated(clean))
    assert loss.shape == (len(levels),)
    # the mean of 20000 squares has a standard deviation of 1 %
    torch.testing.assert_close(loss, torch.ones_like(loss), rtol=0, atol=0.05)


class Wrong(nn.Module):
    """Knows the clean signal, and misses it by `error` c_out."""

    def __init__(self, clean: Tensor, sigma_data: float, error: float | Tensor) -> None:
        super().__init__()
        self.clean, self.sigma_data, self.error = clean, sigma_data, error

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        s = (4 * c_noise).exp()[:, None]
        total = self.sigma_data**2 + s**2
        c_skip, c_out = self.sigma_data**2 / total, s * self.sigma_data / total.sqrt()
        return (self.clean - c_skip * x * total.sqrt()) / c_out + self.error


@deviations
def test_the_loss_weighs_by_one_over_c_out_squared(sigma_data):
    """A network that is wrong by w everywhere loses w^2, whatever the level."""
    levels = sigma_data * HEARD
    clean = noise(len(levels), 20000)
    clean *= sigma_data / clean.square().mean(-1, keepdim=True).sqrt()
    loss = Preconditioned(Wrong(clean, sigma_data, 0.3), sigma_data).loss(clean, levels, unrelated(clean))
    torch.testing.assert_close(loss, torch.full_like(loss, 0.09), rtol=1e-6, atol=0)


def test_loud_and_soft_items_count_alike():
    """An error in proportion to the signal's own deviation loses as much, however loud the signal is."""
    deviation = torch.tensor([0.5, 1.0, 5.0], dtype=torch.float64)
    clean = noise(3, 20000)
    clean *= deviation[:, None] / clean.square().mean(-1, keepdim=True).sqrt()
    level = torch.full((3,), 0.5, dtype=torch.float64)
    c_out = level / (1 + level**2).sqrt()
    own = level * deviation / (deviation**2 + level**2).sqrt()
    network = Wrong(clean, 1.0, (0.3 * own / c_out)[:, None])
    loss = Preconditioned(network, 1.0).loss(clean, level, unrelated(clean))
    torch.testing.assert_close(loss, torch.full_like(loss, 0.09), rtol=1e-6, atol=0)


def test_the_weight_knows_no_more_than_the_network_hears():
    """Where all drowns in noise, loud, soft and silent weigh the same: else the soft would be expected too often."""
    level = torch.full((4,), 1e3, dtype=torch.float64)
    clean = torch.tensor([0.2, 1.0, 5.0, 0.0], dtype=torch.float64)[:, None] * noise(4, 20000)
    loss = Preconditioned(Wrong(clean, 1.0, 0.3), 1.0).loss(clean, level, unrelated(clean))
    assert (loss > 0).all()
    torch.testing.assert_close(loss, loss[:1].expand(4), rtol=1e-6, atol=0)


def half_known(batch: int, length: int) -> Known:
    """The first half of every window."""
    first_half = (torch.arange(length) < length // 2).double().expand(batch, -1)
    return Known(torch.ones(batch, dtype=torch.float64), first_half)


@deviations
def test_what_is_known_comes_back_and_the_network_sees_it_as_loud_as_the_rest(sigma_data):
    clean = sigma_data * noise(len(LEVELS), 20000)
    known = half_known(*clean.shape)
    noisy = known.put(clean, clean + LEVELS[:, None] * noise(len(LEVELS), 20000, seed=1))
    witness = Witness(1.0)
    denoised = Preconditioned(witness, sigma_data)(noisy, LEVELS, known)
    torch.testing.assert_close(denoised[:, :10000], clean[:, :10000], **ROUNDING)
    for half in witness.x.split(10000, dim=-1):  # 10000 samples tell a standard deviation to 0.7 %, five times that
        torch.testing.assert_close(half.std(-1), torch.ones(len(LEVELS)).double(), rtol=0, atol=0.035)


@deviations
def test_the_loss_of_a_silent_network_is_one_whatever_is_known(sigma_data):
    levels = sigma_data * HEARD
    clean = sigma_data * noise(len(levels), 20000)
    aside = unrelated(clean[:, 10000:])
    loss = Preconditioned(Silent(), sigma_data).loss(
        clean, levels, torch.cat([aside, aside], dim=-1), half_known(*clean.shape)
    )
    torch.testing.assert_close(loss, torch.ones_like(loss), rtol=0, atol=0.07)  # five deviations


def steep(length: int) -> Tensor:
    """Gains of an rfft's bins that let the lower half of the band count nine times; white noise stays as loud."""
    gains = torch.where(torch.arange(length // 2 + 1) <= length // 4, 3.0, 1.0).double()
    return gains / gains.square().mean().sqrt()


def test_errors_count_by_their_emphasis():
    """White ones as much as without; those of one half of the band as that half does."""
    clean, level = noise(1, 4096), torch.ones(1, dtype=torch.float64)
    white = noise(1, 4096, seed=2)
    low = Known(torch.tensor([0.5]).double(), torch.ones(1, 4096).double()).part(white)

    def loss(error: Tensor, emphasis: Tensor | None = None) -> float:
        return float(Preconditioned(Wrong(clean, 1.0, error), 1.0).loss(clean, level, unrelated(clean), None, emphasis))

    # 2048 bins tell the power of a half to 3 %, three times that
    assert loss(white, steep(4096)) == pytest.approx(loss(white), rel=0.1)
    assert loss(low, steep(4096)) / loss(white - low, steep(4096)) == pytest.approx(9, rel=0.1)


@pytest.mark.parametrize("below", [0.25, 0.5, 0.75])
def test_what_is_known_has_no_share_in_the_emphasis(below):
    """A silent network loses one of white music, whatever part of it is known and how that part counts."""
    clean, level = noise(8, 20000), torch.ones(8, dtype=torch.float64)
    known = Known(torch.full((8,), below).double(), (torch.arange(20000) > 5000).double().expand(8, -1))
    loss = Preconditioned(Silent(), 1.0).loss(clean, level, noise(8, 20000, seed=1), known, steep(20000))
    assert float(loss.mean()) == pytest.approx(1, abs=0.03)  # 160000 squares, in part: 0.5 %


def test_what_is_known_does_not_count():
    """However loud it is: neither its error nor its level reaches the loss."""
    level = torch.full((2,), 0.5, dtype=torch.float64)
    clean = noise(1, 20000).repeat(2, 1)
    clean[1, :10000] *= 100
    e = noise(1, 20000, seed=1).expand(2, -1)
    loss = Preconditioned(Silent(), 1.0).loss(clean, level, e, half_known(2, 20000))
    torch.testing.assert_close(loss[0], loss[1], **ROUNDING)


class Halves(Preconditioned):
    """Of windows whose second half is `LIKENESS` times the first and something of its own, unit variance in all.

    Told the first half, it expects of the second `own` times what it sees of it, and `heard` times the first; untold,
    `alone` times what it sees.
    """

    def __init__(self, own: float, heard: float, alone: float) -> None:
        super().__init__(Silent(), 1.0)
        self.own, self.heard, self.alone = (
            nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (own, heard, alone)
        )
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor, sigma: Tensor, known: Known | None = None) -> Tensor:
        self.asked.append(x)
        first, second = x.chunk(2, dim=-1)
        if known is None:
            return torch.cat([self.alone * first, self.alone * second], dim=-1)
        return known.put(x, torch.cat([first, self.own * second + self.heard * first], dim=-1))


LIKENESS, COUNT = 0.8, 200_000


def best(level: float) -> tuple[float, float, float]:
    """Of the three numbers of `Halves`, where it is not guided."""
    own = 1 - LIKENESS**2
    return own / (own + level**2), LIKENESS * level**2 / (own + level**2), 1 / (1 + level**2)


def guided(own: float, heard: float, alone: float, scale: float) -> tuple[float, float, float]:
    return alone + scale * (own - alone), scale * heard, alone


def pull(numbers: tuple[float, float, float], level: float) -> list[float]:
    """The gradient of the loss, with the first half known, by each of the numbers."""
    denoiser, first = Halves(*numbers), noise(1, COUNT)
    second = LIKENESS * first + (1 - LIKENESS**2) ** 0.5 * noise(1, COUNT, seed=1)
    clean, sigma = torch.cat([first, second], dim=-1), torch.tensor([level]).double()
    denoiser.loss(clean, sigma, noise(1, 2 * COUNT, seed=2), half_known(1, 2 * COUNT)).sum().backward()
    return [0.0 if number.grad is None else float(number.grad) for number in denoiser.parameters()]


@pytest.mark.parametrize("level", [0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0])
def test_what_learns_from_the_truth_speaks_guided(level):
    """The loss is least where the estimate stands off the guess by the scale times what hearing changes."""
    scale = float(cfg_scales(torch.tensor(level).double()))
    learned = pull(guided(*best(level), scale), level)
    # 200000 products of unit variance have a mean of 0 +- 0.2 %, times what the weight makes of them; five times that
    assert learned == pytest.approx([0, 0, 0], abs=0.012 * max(level, 1 / level))
    for other in {1.0, CFG_SCALE, 1 + CFG_SCALE} - {scale}:
        assert max(map(abs, pull(guided(*best(level), other), level))) > 10 * max(map(abs, learned))


def test_what_is_expected_of_a_guided_estimate_is_the_estimate_before_guidance():
    level = 0.7
    x, e, sigma = noise(3, 64), noise(3, 64, seed=1), torch.full((3,), level).double()
    known = half_known(3, 64)
    plain = Halves(*best(level))(x, sigma, known)
    torch.testing.assert_close(Halves(*guided(*best(level), CFG_SCALE)).expected(x, sigma, known, e), plain, **ROUNDING)


def test_guidance_is_asked_for_where_it_acts_alone():
    """Within its levels, and where something is known."""
    level = torch.tensor([0.1, 0.25, 1.0, 1.0, 5.0]).double()
    known = Known(torch.ones(5).double(), half_known(5, 64).where * torch.tensor([1, 1, 0, 1, 1])[:, None])
    denoiser = Halves(0.4, 0.6, 0.5)
    estimate = denoiser.expected(noise(5, 64), level, known, noise(5, 64, seed=1))
    assert [len(x) for x in denoiser.asked] == [5, 2]
    same = (estimate == denoiser(noise(5, 64), level, known)).all(-1)
    assert same.tolist() == [True, False, True, False, True]
    denoiser.asked.clear()
    denoiser.expected(noise(5, 64), 10 * torch.ones(5).double(), known, noise(5, 64, seed=1))
    assert [len(x) for x in denoiser.asked] == [5]


def test_a_guess_hears_noise_for_what_is_known_and_learns_nothing_there():
    level = torch.full((3,), 0.7).double()
    x, e, known, denoiser = noise(3, 64), noise(3, 64, seed=1), half_known(3, 64), Halves(0.4, 0.6, 0.5)
    denoiser.expected(x, level, known, e).square().sum().backward()
    told, unheard = denoiser.asked
    assert torch.equal(told, x)
    torch.testing.assert_close(known.rest(unheard), known.rest(x), **ROUNDING)
    torch.testing.assert_close(known.part(unheard), 0.7 * known.part(e), rtol=1e-6, atol=1e-9)  # 0.7 is a float32
    assert denoiser.alone.grad is None
    assert denoiser.own.grad is not None


def test_guidance_fades_at_the_edges_of_its_levels():
    begins, whole, fades, ends = CFG_LEVELS
    middle = torch.tensor([(begins * whole) ** 0.5, (fades * ends) ** 0.5])
    torch.testing.assert_close(cfg_scales(middle), torch.full((2,), (1 + CFG_SCALE) / 2))
    torch.testing.assert_close(cfg_scales(torch.tensor([whole, 1.0, fades])), torch.full((3,), CFG_SCALE))
    assert (cfg_scales(torch.tensor([1e-9, begins, ends, 1e9])) == 1).all()


def test_items_do_not_hear_each_other():
    network = Halves(0.4, 0.6, 0.5)
    x, e = noise(len(LEVELS), 50), noise(len(LEVELS), 50, seed=1)
    for known in (None, half_known(1, 50)):
        every = None if known is None else Known(known.below.expand(len(x)), known.where.expand(len(x), -1))
        together = network.loss(x, LEVELS, e, every)
        for i in range(len(LEVELS)):
            alone = network.loss(x[i : i + 1], LEVELS[i : i + 1], e[i : i + 1], known)
            torch.testing.assert_close(alone[0], together[i], **ROUNDING)


def test_precision_follows_the_signal():
    denoiser = Preconditioned(Silent(), 0.5)
    for dtype in (torch.float32, torch.float64):
        assert denoiser(torch.ones(1, 4, dtype=dtype), torch.ones(1, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(("mean", "std"), [(-1.2, 1.5), (-0.6, 1.4), (0.0, 0.2)])
def test_levels_are_log_normal(mean, std):
    count = 10000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count  # every quantile once: no chance in it
    logs = log_normal_levels(uniform, mean, std).log()
    assert float(logs.mean()) == pytest.approx(mean, abs=1e-9)  # symmetric
    assert float(logs.std()) == pytest.approx(std, rel=1e-3)  # the tails beyond the last quantile
    kurtosis = float(((logs - mean) / std).pow(4).mean())
    assert kurtosis == pytest.approx(3, rel=0.01)
    assert float(log_normal_levels(torch.tensor(0.5), mean, std)) == pytest.approx(math.exp(mean), rel=1e-6)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6))
def test_levels_rise_with_the_uniform_number_and_are_finite(first, second):
    low, high = log_normal_levels(torch.tensor([min(first, second), max(first, second)]), -1.2, 1.5)
    assert 0 < low <= high < math.inf
