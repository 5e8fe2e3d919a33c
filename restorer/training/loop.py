"""The training loop: EDM's objective, a moving average of the weights, exact resumption, any number of devices."""

import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from restorer.diffusion.denoiser import log_normal_levels
from restorer.dsp.whiten import design_equaliser
from restorer.errors import UsageError, WeightsError
from restorer.network.layers import Conv
from restorer.prior import PRESETS, Prior, fast_dtype, load_prior, new_prior
from restorer.training.spectrum import mean_spectrum

N_TAPS = 4095
VALIDATION_LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Excerpts(Protocol):
    """Endless recordings to learn from: excerpt i is a function of i alone, so that a training resumes exactly."""

    def excerpt(self, index: int) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class TrainSettings:
    """How to train; a run is a function of these, of its data and of the number of its processes.

    minutes, steps: the budget of the whole training, resumed parts included; the first to be spent ends it.
    batch_size: windows a step, over all processes. level_mean, level_std: ln sigma ~ N(mean, std^2).
    loudness_std_db: windows are brought to the prior's level, give or take.
    ema_shape: the average at step t weighs step s like (s / t)**ema_shape (Karras et al. 2024, power-function EMA).
    whitening, cap_db: exponent and range of the equaliser.
    """

    preset: str = "octave-44k"
    minutes: float = math.inf
    steps: int = 2**62
    batch_size: int = 8
    learning_rate: float = 7e-3
    warmup_steps: int = 50
    decay_share: float = 0.5
    clip_norm: float = 1.0
    level_mean: float = -0.6
    level_std: float = 1.4
    loudness_std_db: float = 4.0
    ema_shape: float = 6.94
    whitening: float = 1.0
    cap_db: float = 72.0
    seed: int = 0
    workers: int = 1
    checkpoint_minutes: float = 8.0
    validation_windows: int = 24
    device: str = "cpu"


@dataclass
class _State:
    """All that a resumed training needs; random numbers and data are functions of (seed, step)."""

    prior: Prior
    average: Prior
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0


def train(
    settings: TrainSettings,
    training: Callable[[int], Excerpts],
    validation: Callable[[int], Excerpts],
    out: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    facts: dict[str, Any] | None = None,
    report: Callable[[dict[str, float]], None] = lambda row: None,
) -> Path:
    """Trains into the folder `out`: prior.safetensors (averaged weights), state.pt, log.csv; returns the first.

    training, validation: make the excerpts of a given length in samples, at the preset's rate.
    init: weights to begin from. resume: go on from out/state.pt, exactly as if never interrupted.
    report: called with each row of the log.
    """
    rank, world = _join_processes(settings.device)
    device = torch.device("cuda", rank % torch.cuda.device_count()) if settings.device == "cuda" else torch.device("cpu")
    if (out / "state.pt").exists() and not resume:
        raise UsageError(f"{out} holds a training; go on with --resume, or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    state = _start(settings, training, out, device, resume=resume, init=init)
    length = state.prior.length + 2 * state.prior.whitening.margin
    objective = _distribute(_Objective(state.prior, settings), world, device)
    batches = _batches(training(length), settings, state.step, rank, world)
    checked = _validation_batch(state.prior, validation(length), settings.validation_windows) if rank == 0 else None
    log = _Log(out / "log.csv", report)
    begun = last_saved = time.monotonic()
    already_s, losses = state.elapsed_s, []
    while True:
        progress = max(state.step / settings.steps, state.elapsed_s / 60 / settings.minutes)
        progress = _agree(progress, world, device)
        if progress >= 1:
            break
        _set_rate(state.optimizer, settings, state.step, progress)
        losses.append(_step(state, objective, next(batches).to(device), settings, rank))
        state.elapsed_s = already_s + time.monotonic() - begun
        if time.monotonic() - last_saved > 60 * settings.checkpoint_minutes:
            last_saved = time.monotonic()
            _checkpoint(state, settings, out, checked, losses, log, facts or {}, rank)
    _checkpoint(state, settings, out, checked, losses, log, facts or {}, rank)
    if world > 1:
        dist.destroy_process_group()
    return out / "prior.safetensors"


class _Objective(nn.Module):
    """From raw excerpts to the loss: whitening, level, noise."""

    def __init__(self, prior: Prior, settings: TrainSettings) -> None:
        super().__init__()
        self.prior = prior
        self.settings = settings

    def forward(self, excerpts: Tensor, uniform: Tensor, loudness: Tensor, noise: Tensor) -> Tensor:
        x = brought_to_level(self.prior, self.prior.whitening.cut(excerpts))
        x = x * 10 ** (self.settings.loudness_std_db / 20 * loudness[:, None])
        sigma = self.prior.sigma_data * log_normal_levels(uniform, self.settings.level_mean, self.settings.level_std)
        return torch.as_tensor(self.prior.denoiser.loss(x, sigma, noise)).mean()


def brought_to_level(prior: Prior, x: Tensor) -> Tensor:
    """Windows (batch, time) at the prior's level; silence, which has none, stays silent."""
    level = prior.level(x)
    return torch.where(level > 0, x * (prior.sigma_data / level), x)


def _step(state: _State, objective: nn.Module, excerpts: Tensor, settings: TrainSettings, rank: int) -> float:
    seed = int(np.random.SeedSequence([settings.seed, state.step, rank]).generate_state(1)[0])
    random = torch.Generator().manual_seed(seed)
    batch = len(excerpts)
    uniform = torch.rand(batch, generator=random).clamp(1e-6, 1 - 1e-6).to(excerpts.device)
    loudness = torch.randn(batch, generator=random).to(excerpts.device)
    noise = torch.randn(batch, state.prior.length, generator=random).to(excerpts.device)
    loss = objective(excerpts, uniform, loudness, noise)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.prior.parameters(), settings.clip_norm)
    state.optimizer.step()
    state.step += 1
    _renormalise(state.prior)
    _average(state, settings.ema_shape)
    return float(loss.detach())


@torch.no_grad()
def _renormalise(prior: Prior) -> None:
    """Back to unit variance: these weights act by their direction alone, and a growing norm would slow their learning.

    Karras et al. 2024, "forced weight normalisation".
    """
    for module in prior.modules():
        if isinstance(module, Conv):
            rms = module.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            module.weight.div_(rms)


@torch.no_grad()
def _average(state: _State, shape: float) -> None:
    keep = (1 - 1 / state.step) ** (shape + 1)
    averages, values = list(state.average.parameters()), list(state.prior.parameters())
    torch._foreach_lerp_(averages, values, 1 - keep)


def _set_rate(optimizer: torch.optim.Optimizer, settings: TrainSettings, step: int, progress: float) -> None:
    """Warm-up, then constant, then linearly down over the last decay_share of the budget."""
    rate = min(1.0, (step + 1) / settings.warmup_steps) * min(1.0, (1 - progress) / settings.decay_share)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * rate


def _start(
    settings: TrainSettings, training: Callable[[int], Excerpts], out: Path, device: torch.device, *, resume: bool,
    init: Path | None,
) -> _State:
    torch.manual_seed(settings.seed)
    if resume:
        saved = _load_state(out / "state.pt")
        taps = saved["prior"]["whitening.taps"]
    elif init is not None:
        taps = load_prior(init).whitening.taps
    else:
        taps = _equaliser(settings, training)
    prior, average = new_prior(settings.preset, taps), new_prior(settings.preset, taps)
    if init is not None and not resume:
        prior.load_state_dict(load_prior(init).state_dict())
    prior.to(device)
    average.load_state_dict(prior.state_dict())
    average.to(device).requires_grad_(False)
    for one in (prior, average):
        if hasattr(one.denoiser.network, "compute_dtype"):
            one.denoiser.network.compute_dtype = fast_dtype(device)
    optimizer = torch.optim.Adam(prior.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    state = _State(prior, average, optimizer)
    if resume:
        if saved["preset"] != settings.preset:
            raise WeightsError(f"{out} trains preset {saved['preset']}, not {settings.preset}; name that one")
        prior.load_state_dict(saved["prior"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        state = replace(state, step=saved["step"], elapsed_s=saved["elapsed_s"])
    return state


def _equaliser(settings: TrainSettings, training: Callable[[int], Excerpts]) -> Tensor | None:
    preset = PRESETS[settings.preset]
    if not preset.whitened:
        return None
    power = mean_spectrum(training(preset.length), preset.length, preset.sample_rate)
    return design_equaliser(torch.from_numpy(power), settings.whitening, settings.cap_db, N_TAPS)


def _load_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"{path} is missing: nothing to resume; start without --resume")
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises pickle, zip, runtime and value errors alike for a bad file
        raise WeightsError(f"{path} is no readable state of a training: {str(error).splitlines()[0]}") from error
    return saved


def _checkpoint(
    state: _State, settings: TrainSettings, out: Path, checked: Tensor | None, losses: list[float], log: "_Log",
    facts: dict[str, Any], rank: int,
) -> None:
    """Validation, a row of the log, weights and state; each file under a temporary name first."""
    if rank != 0:
        losses.clear()
        return
    assert checked is not None
    by_level = validate(state.average, checked.to(state.average.device))
    row = {"step": state.step, "minutes": state.elapsed_s / 60, "loss": float(np.mean(losses)) if losses else math.nan}
    log.write({**row, **{f"validation_{level}": value for level, value in by_level.items()}})
    losses.clear()
    made = {"training": {key: _plain(value) for key, value in asdict(settings).items()}, "steps": state.step}
    made |= {"hours": state.elapsed_s / 3600, "validation_loss": {str(k): v for k, v in by_level.items()}}
    state.average.save(out / "prior.safetensors", {**facts, **made})
    saved = {"preset": settings.preset, "step": state.step, "elapsed_s": state.elapsed_s}
    saved |= {"prior": state.prior.state_dict(), "average": state.average.state_dict()}
    torch.save({**saved, "optimizer": state.optimizer.state_dict()}, out / "state.partial")
    (out / "state.partial").replace(out / "state.pt")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _validation_batch(prior: Prior, excerpts: Excerpts, count: int) -> Tensor:
    waves = torch.stack([torch.from_numpy(excerpts.excerpt(i)) for i in range(count)])
    return brought_to_level(prior, prior.whitening.cut(waves.to(prior.device)))


@torch.no_grad()
def validate(prior: Prior, windows: Tensor) -> dict[float, float]:
    """The loss at each noise level (times sigma_data), for whitened windows and noise that never change."""
    losses = {}
    for i, level in enumerate(VALIDATION_LEVELS):
        random = torch.Generator().manual_seed(i)
        parts = []
        for x in windows.split(8):
            noise = torch.randn(x.shape, generator=random).to(x.device)
            parts.append(prior.denoiser.loss(x, torch.full((len(x),), level * prior.sigma_data).to(x), noise))
        losses[level] = float(torch.cat(parts).mean())
    return losses


class _Indexed(Dataset[Tensor]):
    def __init__(self, excerpts: Excerpts) -> None:
        self.excerpts = excerpts

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.excerpts.excerpt(index))


def _batches(excerpts: Excerpts, settings: TrainSettings, step: int, rank: int, world: int) -> Iterator[Tensor]:
    """This process's share of every step's excerpts, from `step` on: the data of a step do not depend on history."""
    if settings.batch_size % world:
        raise UsageError(f"a batch of {settings.batch_size} cannot be shared evenly by {world} processes; change either")
    share = settings.batch_size // world

    def indices() -> Iterator[list[int]]:
        at = step
        while True:
            first = at * settings.batch_size + rank * share
            yield list(range(first, first + share))
            at += 1

    loader = DataLoader(_Indexed(excerpts), batch_sampler=indices(), num_workers=settings.workers,  # type: ignore[arg-type]
                        worker_init_fn=_one_thread, prefetch_factor=4 if settings.workers else None)
    return iter(loader)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _join_processes(device: str) -> tuple[int, int]:
    """Rank and number of the processes that torchrun started, or (0, 1)."""
    if "RANK" not in os.environ:
        return 0, 1
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return dist.get_rank(), dist.get_world_size()


def _distribute(objective: nn.Module, world: int, device: torch.device) -> nn.Module:
    return DistributedDataParallel(objective, broadcast_buffers=False) if world > 1 else objective


def _agree(value: float, world: int, device: torch.device) -> float:
    """The same number in every process, whose clocks differ: the first one's."""
    if world == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


class _Log:
    """One row of numbers per checkpoint, as CSV."""

    def __init__(self, path: Path, report: Callable[[dict[str, float]], None]) -> None:
        self.path = path
        self.report = report

    def write(self, row: dict[str, float]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.report(row)
