"""How long a window takes: for each task and guidance the whole restoration, on noise, after a warm-up."""

import os
import platform
import resource
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from restorer.bench.severity import TaskName
from restorer.prior import Prior
from restorer.restoration.damage import stages_of
from restorer.restoration.engine import n_evaluations, restore_classically, restore_windows
from restorer.restoration.settings import Guidance, Settings, preset_of
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Task

PAPER_S: dict[Guidance, float | None] = {"dc": 17.0, "rg": 84.0, "dc+rg": None}
"""Seconds a segment of 2.97 s on one GPU, as Moliner et al. 2022 report them (their Section 5)."""

_LEVEL = 0.1  # RMS of the noise: a third of it lies beyond declip's threshold


@dataclass(frozen=True)
class Timing:
    """The median over the runs; peak_memory_mib is the GPU's, or on the CPU the process's."""

    task: TaskName
    guidance: Guidance
    sampler: str
    steps: int
    evaluations: int
    batch_size: int
    window_s: float
    seconds_a_window: float
    times_real_time: float
    peak_memory_mib: float
    paper_seconds: float | None


@dataclass(frozen=True)
class Machine:
    """What the timings were taken on."""

    device: str
    threads: int
    torch: str
    prior: str


def describe(prior: Prior) -> Machine:
    """The device that `prior` is on, by its name."""
    return machine(prior.device, prior.card.name)


def machine(device: torch.device, prior: str) -> Machine:
    """A device by its name, for what was measured with the prior of that name, or with none."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return Machine(name, torch.get_num_threads(), torch.__version__, prior)


def timings(
    prior: Prior,
    tasks: Sequence[TaskName],
    guidances: Sequence[Guidance],
    *,
    batch_sizes: Sequence[int],
    repeats: int,
    n_steps: int | None = None,
) -> Iterator[Timing]:
    """Each task with each guidance in each size of batch; n_steps: instead of the presets' own."""
    for name, guidance, batch_size in product(tasks, guidances, batch_sizes):
        task = _task(name, prior.length / prior.sample_rate, batch_size)
        settings = replace(preset_of(task), guidance=guidance)
        if n_steps is not None:
            settings = replace(settings, n_steps=n_steps)
        yield _timed(prior, name, task, settings, batch_size, repeats)


def _task(name: TaskName, window_s: float, count: int) -> Task:
    """For so many windows one behind the other; each has a gap."""
    match name:
        case "bwe":
            return BandwidthExtension(1000.0)
        case "inpaint":
            return Inpainting(tuple((window_s * (i + 1 / 3), window_s * (i + 1 / 2)) for i in range(count)))
        case "declip":
            return Declipping(0.1)


def _timed(prior: Prior, name: TaskName, task: Task, settings: Settings, batch_size: int, repeats: int) -> Timing:
    windows = _noise(prior, batch_size)
    starts = [i * prior.length for i in range(batch_size)]  # windows of one place would share their noise
    damage = stages_of(task, "diffusion", prior.sample_rate, prior.sample_rate)
    modelled = damage.prior
    assert modelled is not None
    _forget_peak(prior.device)

    def run(settings: Settings) -> float:
        begun = perf_counter()
        heard = windows.to(prior.device)
        if damage.classical is not None:
            # As its stage does: one window after the other.
            alone = [
                restore_classically(row[None], [start], damage.classical)
                for row, start in zip(heard, starts, strict=True)
            ]
            heard = heard + torch.cat(alone)
        restore_windows(heard, starts, modelled, prior, settings, seed=0)
        if prior.device.type == "cuda":
            torch.cuda.synchronize(prior.device)
        return perf_counter() - begun

    run(replace(settings, n_steps=2))
    seconds = statistics.median(run(settings) for _ in range(repeats)) / batch_size
    window_s = prior.length / prior.sample_rate
    return Timing(
        name, settings.guidance, settings.sampler, settings.n_steps, n_evaluations(settings), batch_size,
        window_s, seconds, window_s / seconds, _peak_mib(prior.device), PAPER_S[settings.guidance],
    )  # fmt: skip


def _noise(prior: Prior, batch_size: int) -> Tensor:
    """(batch, length + 2 margin): what restore_windows takes."""
    random = torch.Generator().manual_seed(0)
    return _LEVEL * torch.randn(batch_size, prior.length + 2 * prior.whitening.margin, generator=random)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak resident size begins anew


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.is_file():
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if lines:
            return int(lines[0].split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # since the process began
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
