"""The engine: windows do not know of each other, and the prior alone plays on as long as asked."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from restorer.dsp.known import Known
from restorer.dsp.whiten import Whitening, design_equaliser
from restorer.prior import Audible
from restorer.restoration.damage import damage_of
from restorer.restoration.engine import generate, n_evaluations, restore_windows
from restorer.restoration.settings import BWE, DECLIP, GENERATE, INPAINT, Settings
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Task
from tests.tiny import WhitePrior

TASKS: list[tuple[Task, Settings]] = [
    (BandwidthExtension(1000.0), replace(BWE, n_steps=3)),
    (Inpainting(((0.2, 0.25), (0.6, 0.65))), replace(INPAINT, n_steps=3)),
    (Declipping(0.1), replace(DECLIP, n_steps=3)),
]


def noisy_windows(prior: WhitePrior, count: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(count, prior.length + 2 * prior.whitening.margin, generator=random)


class Listening(WhitePrior):
    """Remembers what it was asked: x, sigma and what is known."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[torch.Tensor, float, Known | None]] = []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, known: Known | None = None) -> torch.Tensor:
        self.heard.append((x, float(sigma), known))
        return super().__call__(x, sigma, known)


@pytest.mark.parametrize("guidance", ["dc", "rg", "dc+rg"])
@pytest.mark.parametrize(("task", "settings"), TASKS)
def test_the_order_of_windows_does_not_matter(task: Task, settings: Settings, guidance: str) -> None:
    prior = WhitePrior()
    settings = replace(settings, guidance=guidance)  # type: ignore[arg-type]
    starts = [0, 1500, 3000]
    windows = noisy_windows(prior, 3)
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    forward = restore_windows(windows, starts, damage, prior, settings, seed=1)  # type: ignore[arg-type]
    backward = restore_windows(windows.flip(0), starts[::-1], damage, prior, settings, seed=1)  # type: ignore[arg-type]
    # float32 sums in another order, carried through the whitening's range.
    torch.testing.assert_close(forward, backward.flip(0), atol=1e-6, rtol=0)


def test_every_sampler_restores_in_its_own_way_and_by_the_seed_alone() -> None:
    prior, task = WhitePrior(), BandwidthExtension(1000.0)
    windows = noisy_windows(prior, 1)
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    results = []
    for sampler in ("dpm2m", "dpm2m-sde", "heun"):
        settings = replace(BWE, sampler=sampler, n_steps=4)  # type: ignore[arg-type]
        restored = [restore_windows(windows, [0], damage, prior, settings, seed) for seed in (1, 1, 2)]  # type: ignore[arg-type]
        assert torch.equal(restored[0], restored[1])
        results += [restored[0], restored[2]]
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in combinations(results, 2))


@pytest.mark.parametrize(("task", "settings"), TASKS)
def test_no_steps_add_nothing_and_ask_nobody(task: Task, settings: Settings) -> None:
    """What bench/against_paper.py takes for the time that is not the network's."""
    prior = Listening()
    windows = noisy_windows(prior, 1)
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    if damage.gaps is not None:  # which lack the recording's offset
        heard = damage.gaps.on([-prior.whitening.margin], windows.shape[-1])(torch.ones_like(windows))
        windows = windows - (windows * heard).sum() / heard.sum()
    added = restore_windows(windows, [0], damage, prior, replace(settings, n_steps=0), seed=0)  # type: ignore[arg-type]
    assert added.abs().max() < 1e-6
    assert not prior.heard


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.3])
def test_the_prior_plays_as_long_as_asked(seconds: float) -> None:
    prior = WhitePrior()
    settings = replace(GENERATE, n_steps=8, sigma_max=5.0)
    blocks = list(generate(prior, seconds, settings, seed=0))  # type: ignore[arg-type]
    wave = torch.cat(blocks)
    assert len(wave) == round(seconds * prior.sample_rate)
    assert wave[[0, -1]].abs().max() < 1e-3 * wave.abs().max()  # wherever it ends
    if seconds > 1:
        level = prior.whitening(blocks[0][None]).std()
        assert 0.7 < level < 1.3  # white noise of standard deviation 1, less its fades


@pytest.mark.parametrize("loudness", [0.01, 0.1])
@pytest.mark.parametrize("sigma_max", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("task", [BandwidthExtension(1000.0), Inpainting(((0.2, 0.35),))])
def test_what_is_restored_is_as_loud_as_the_music_wherever_one_begins(
    task: Task, sigma_max: float, loudness: float
) -> None:
    """The prior is exact and the music as it expects: only the start could be too soft, or too loud."""
    prior = WhitePrior()
    random = torch.Generator().manual_seed(0)
    margin = prior.whitening.margin
    noise = loudness * torch.randn(4, prior.length + 4 * margin, generator=random)
    music = prior.whitening.inverse(noise)[:, margin:-margin]
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    damaged = damage.degradation.on([-margin], music.shape[-1])(music)  # places count from a window's inner part
    settings = replace(INPAINT, n_steps=20, sigma_max=sigma_max)
    added = restore_windows(damaged, [0] * 4, damage, prior, settings, seed=1)  # type: ignore[arg-type]
    lost = (music - damaged)[:, margin:-margin]
    above = round(1100 / prior.sample_rate * prior.length) if isinstance(task, BandwidthExtension) else 0
    was, became = (torch.fft.rfft(x)[:, above:].abs().square().mean() for x in (lost, added))
    assert abs(10 * torch.log10(became / was)) < 1.5


@pytest.mark.parametrize("task", [BandwidthExtension(1000.0), Inpainting(((0.2, 0.35),)), Declipping(0.1)])
def test_the_prior_hears_what_is_known_without_noise(task: Task) -> None:
    """What lies around a gap is as it was, and what lies below a cutoff; of clipping nothing is certain."""

    prior = Listening()
    windows = noisy_windows(prior, 1)
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    restore_windows(windows, [0], damage, prior, replace(BWE, n_steps=3), seed=0)  # type: ignore[arg-type]
    assert len(prior.heard) == 3
    (first, _, known), (last, _, _) = prior.heard[0], prior.heard[-1]
    if isinstance(task, Declipping):
        assert known is None
        return
    assert known is not None
    # At sigma 40 and at 0.01; float32 rounds what is as loud as 40 to 1e-5.
    torch.testing.assert_close(known.part(first), known.part(last), atol=1e-4, rtol=0)
    assert 0.15 < known.rest_share().item() < 0.85
    assert (known.rest(first)).std() > 20


@pytest.mark.parametrize("settings", [replace(INPAINT, n_steps=8), replace(INPAINT, sampler="heun", n_steps=8)])
def test_the_prior_is_asked_as_often_as_is_said(settings: Settings) -> None:
    prior = Listening()
    damage = damage_of(Inpainting(((0.2, 0.35),)), prior.sample_rate, prior.sample_rate)
    restore_windows(noisy_windows(prior, 1), [0], damage, prior, settings, seed=0)  # type: ignore[arg-type]
    assert len(prior.heard) == n_evaluations(settings)


@pytest.mark.parametrize("gap_s", [(1.45, 1.55), (0.95, 1.03)])
def test_where_a_window_cuts_a_gap_off_nothing_swells(gap_s: tuple[float, float]) -> None:
    """There what was filled meets, round the corner, what is known, without a fade; both are put right at each step."""

    class Credulous(WhitePrior):
        def __call__(self, x: torch.Tensor, sigma: torch.Tensor, known: Known | None = None) -> torch.Tensor:
            return x

    steep = design_equaliser(torch.logspace(0, -7, 513, dtype=torch.float64), exponent=1.0, cap_db=70.0, n_taps=255)
    prior, start = Credulous(whitening=Whitening(steep)), 8000
    margin = prior.whitening.margin
    noise = 0.1 * torch.randn(1, prior.length + 4 * margin, generator=torch.Generator().manual_seed(0))
    music = prior.whitening.inverse(noise)[:, margin:-margin]
    damage = damage_of(Inpainting((gap_s,)), prior.sample_rate, prior.sample_rate)
    damaged = damage.degradation.on([start - margin], music.shape[-1])(music)
    few, many = (
        restore_windows(damaged, [start], damage, prior, replace(INPAINT, n_steps=n), seed=0)  # type: ignore[arg-type]
        for n in (12, 48)
    )
    assert many.abs().max() < 2 * few.abs().max()


def test_the_edge_of_a_gap_is_faded_out_before_the_prior_hears_it() -> None:
    """A hard edge is broadband, whitening raises its highs, and a prior would restore a click."""

    class Waiting(WhitePrior):
        first: torch.Tensor | None = None

        def __call__(self, x: torch.Tensor, sigma: torch.Tensor, known: Known | None = None) -> torch.Tensor:
            self.first = x.clone() if self.first is None else self.first
            return x

        def floor(self, x: torch.Tensor, audible: Audible) -> torch.Tensor:
            return 0 * super().floor(x, audible)

    prior = Waiting()
    t = torch.arange(prior.length + 2 * prior.whitening.margin) / prior.sample_rate
    hum = torch.sin(2 * torch.pi * 62.5 * t)[None]  # 32 periods a window
    damage = damage_of(Inpainting(((0.2, 0.3),)), prior.sample_rate, prior.sample_rate)
    heard = damage.degradation.on([-prior.whitening.margin], hum.shape[-1])(hum)
    restore_windows(heard, [0], damage, prior, Settings(n_steps=1, sigma_max=2e-3, sigma_min=1e-3), seed=0)  # type: ignore[arg-type]
    assert prior.first is not None
    hard = prior.whitening.cut(heard)
    hard = hard / prior.level(hard, damage.audible(hard, [0]))
    treble = [torch.fft.rfft(x)[:, 1024:].abs().square().mean() for x in (prior.first, hard)]  # above 2 kHz
    assert treble[0] < 0.1 * treble[1]
