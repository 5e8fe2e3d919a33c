"""The training loop: EDM's objective, a moving average of the weights, exact resumption, any number of devices."""

import csv
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from restorer.errors import UsageError
from restorer.network.octave import OctaveNet
from restorer.prior import Prior
from restorer.training import optimizer
from restorer.training import state as states
from restorer.training.objective import Objective, draw, validate, validation_batch
from restorer.training.settings import Excerpts, Played, TrainSettings
from restorer.training.state import State

__all__ = ["Excerpts", "TrainSettings", "train"]


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
    on_gpu = settings.device == "cuda"
    device = torch.device("cuda", rank % torch.cuda.device_count()) if on_gpu else torch.device("cpu")
    saved = out / "state.pt"
    if resume:
        state = states.load(settings, saved, device)
    elif saved.exists():
        raise UsageError(f"{out} holds a training; go on with --resume, or choose another folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        state = states.begin(settings, training, device, init)
    if on_gpu:
        _make_fast(state.prior)
    length = state.prior.length + 2 * state.prior.whitening.margin
    objective = _distribute(Objective(state.prior, settings).to(device), world)
    batches = _batches(training(length), settings, state.step, rank, world, device)
    checked = validation_batch(state.prior, validation(length), settings.validation_windows) if rank == 0 else None
    work = operations(state.prior) * settings.batch_size if rank == 0 else 0
    log = _Log(out / "log.csv", work, state.elapsed_s, report)
    if init is not None and checked is not None:  # what the given weights are worth here, to compare
        log.write(_row(state, math.nan, validate(state.average, checked)), 0)
    begun = last_saved = time.monotonic()
    already_s, losses = state.elapsed_s, list[Tensor]()
    while True:
        progress = max(state.step / settings.steps, state.elapsed_s / 60 / settings.minutes)
        progress = _agree(progress, world, device)
        if progress >= 1:
            break
        share = rate_share(settings, state.step, progress)
        losses.append(_step(state, objective, next(batches), settings, rank, share))
        state.elapsed_s = already_s + time.monotonic() - begun
        if time.monotonic() - last_saved > 60 * settings.checkpoint_minutes:
            last_saved = time.monotonic()
            _checkpoint(state, settings, out, checked, losses, log, facts or {})
    if losses or not saved.exists():
        _checkpoint(state, settings, out, checked, losses, log, facts or {})
    if world > 1:
        dist.destroy_process_group()
    return out / "prior.safetensors"


def _make_fast(prior: Prior) -> None:
    """What pays for itself in a training on a GPU, whose steps are all of one size; weights/TRAINING.md has figures."""
    torch.backends.cudnn.benchmark = True
    network = prior.denoiser.network
    compilers = (os.environ.get("CC", "cc"), "gcc", "clang")  # Triton, which fuses, needs one of them
    if isinstance(network, OctaveNet) and find_spec("triton") and any(map(shutil.which, compilers)):
        network.compile()


def _step(
    state: State, objective: nn.Module, excerpts: Tensor, settings: TrainSettings, rank: int, share: float
) -> Tensor:
    """One step; returns its loss, still on the device: to ask for the number would make a GPU wait."""
    drawn = draw(settings.seed, state.step, rank, len(excerpts), state.prior.length, excerpts.device)
    loss = objective(excerpts, *drawn)
    objective.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.prior.parameters(), settings.clip_norm)
    optimizer.step(state.optimizers, share)
    optimizer.renormalise(state.prior)
    state.step += 1
    average_into(state.average, state.prior, state.step, settings.ema_shape)
    return loss.detach()


@torch.no_grad()
def average_into(average: nn.Module, network: nn.Module, step: int, shape: float) -> None:
    """Takes the weights after step `step` (1, 2, ...) into their average: over time, step s weighs like s**shape."""
    keep = (1 - 1 / step) ** (shape + 1)
    averages: list[Tensor] = list(average.parameters())
    values: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averages, values, 1 - keep)


def rate_share(settings: TrainSettings, step: int, progress: float) -> float:
    """Of the learning rates: warm-up, then 1, then linearly down over the last decay_share of the budget.

    progress: 0 to 1.
    """
    return min(1.0, (step + 1) / settings.warmup_steps) * min(1.0, (1 - progress) / settings.decay_share)


def _checkpoint(
    state: State,
    settings: TrainSettings,
    out: Path,
    checked: Tensor | None,
    losses: list[Tensor],
    log: "_Log",
    facts: dict[str, Any],
) -> None:
    """Validation, a row of the log, weights and state; only the first process, which has the validation windows."""
    mean_loss, n_steps = float(torch.stack(losses).mean()) if losses else math.nan, len(losses)
    losses.clear()
    if checked is None:
        return
    by_level = validate(state.average, checked)
    log.write(_row(state, mean_loss, by_level), n_steps)
    used = asdict(settings) | optimizer.rates(state.optimizers)
    made = {"training": {key: _plain(value) for key, value in used.items()}, "steps": state.step}
    made |= {"hours": state.elapsed_s / 3600, "validation_loss": by_level}
    state.average.save(out / "prior.safetensors", {**facts, **made})
    states.save(state, settings.preset, out / "state.pt")


def _row(state: State, mean_loss: float, by_level: dict[str, float]) -> dict[str, float]:
    row = {"step": state.step, "minutes": state.elapsed_s / 60, "loss": mean_loss}
    return row | {f"validation_{level}": value for level, value in by_level.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


class _Made(Dataset[Any]):
    def __init__(self, make: Callable[[Sequence[int]], Any]) -> None:
        self.make = make

    def __getitem__(self, indices: Sequence[int]) -> Any:
        return self.make(indices)


def _batches(
    excerpts: Excerpts, settings: TrainSettings, step: int, rank: int, world: int, device: torch.device
) -> Iterator[Tensor]:
    """This process's share of every step's excerpts, from `step` on: the data of a step do not depend on history."""
    size = settings.batch_size
    if size % world:
        raise UsageError(f"a batch of {size} cannot be shared evenly by {world} processes; change either")
    share = size // world

    def indices() -> Iterator[list[int]]:
        at = step
        while True:
            first = at * size + rank * share
            yield list(range(first, first + share))
            at += 1

    if device.type != "cpu" and isinstance(excerpts, Played):
        make, received = excerpts.prepared, excerpts.studio(device)
    else:
        make, received = partial(_stacked, excerpts), partial(_moved, device=device)
    loader = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=indices(),
        num_workers=settings.workers,
        worker_init_fn=_begin_worker,
        prefetch_factor=4 if settings.workers else None,
        pin_memory=device.type == "cuda",
    )
    return map(received, loader)


def _stacked(excerpts: Excerpts, indices: Sequence[int]) -> Tensor:
    return torch.stack([torch.from_numpy(excerpts.excerpt(index)) for index in indices])


def _moved(batch: Tensor, device: torch.device) -> Tensor:
    return batch.to(device, non_blocking=True)


def _begin_worker(worker: int) -> None:
    """What asks all processes of a group to end (`timeout`, Ctrl-C) is for the one that trains, which ends its workers.

    One that ended before it would be taken for a crash.
    """
    torch.set_num_threads(1)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _join_processes(device: str) -> tuple[int, int]:
    """Rank and number of the processes that torchrun started, or (0, 1)."""
    if "RANK" not in os.environ:
        return 0, 1
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return dist.get_rank(), dist.get_world_size()


def _distribute(objective: nn.Module, world: int) -> nn.Module:
    return DistributedDataParallel(objective, broadcast_buffers=False) if world > 1 else objective


def _agree(value: float, world: int, device: torch.device) -> float:
    """The same number in every process, whose clocks differ: the first one's."""
    if world == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def operations(prior: Prior) -> int:
    """Floating-point operations for one window in training: forward, and twice that backward; a guess without what is
    known (`Preconditioned.expected`) is not counted, for on a CPU not every window needs it."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        prior(torch.zeros(1, prior.length, device=prior.device), torch.ones(1, device=prior.device))
    return 3 * counter.get_total_flops()


class _Log:
    """One row of numbers per checkpoint, as CSV, and how many operations a second there were since the one before.

    work: the operations of a step. A log that was begun with other columns keeps them.
    """

    def __init__(self, path: Path, work: int, elapsed_s: float, report: Callable[[dict[str, float]], None]) -> None:
        self.path = path
        self.work = work
        self.elapsed_s = elapsed_s
        self.report = report

    def write(self, row: dict[str, float], n_steps: int) -> None:
        elapsed_s = 60 * row["minutes"]
        row = {**row, "tflop_a_s": n_steps * self.work / max(elapsed_s - self.elapsed_s, 1e-9) / 1e12}
        self.elapsed_s = elapsed_s
        columns = list(row)
        new = not self.path.exists()
        if not new:
            with self.path.open(newline="") as file:
                columns = next(csv.reader(file), columns)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.report(row)
