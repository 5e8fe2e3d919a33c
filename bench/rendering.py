"""How long a batch of rendered piano takes: on the host, which draws and prepares it, and on the device, which renders.

    python bench/rendering.py --piano DIR --bank FILE [--bank FILE ...] [--batch-size 64] [--length 131072]
        [--rate 44100] [--repeat 10] [--device NAME]

Every run is another batch, each the median of --repeat after two to warm up. Drawing and preparing are work for
other processes; the device's time goes from the first array that is sent to it until its last sample is there. Peak
memory is a CUDA device's, with all samples of the banks.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import torch
from outcome import exit_code

from restorer.bench.speed import machine
from restorer.training.bank import load_bank
from restorer.training.piano import PianoExcerpts
from restorer.training.score import performances
from restorer.training.studio import Studio

_WARM_UPS = 2
Made = TypeVar("Made")


@dataclass(frozen=True)
class Cost:
    """Milliseconds a batch."""

    drawn_ms: float
    prepared_ms: float
    rendered_ms: float


def cost(excerpts: PianoExcerpts, studio: Studio, first: int, batch_size: int) -> Cost:
    """Of the batch of excerpts from `first` on."""
    takes, drawn_ms = timed(lambda: [excerpts.take(index) for index in range(first, first + batch_size)])
    session, prepared_ms = timed(lambda: studio.desk.prepared(takes))
    _, rendered_ms = timed(lambda: finished(studio.played(session)))
    return Cost(drawn_ms, prepared_ms, rendered_ms)


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    begun = perf_counter()
    made = work()
    return made, 1000 * (perf_counter() - begun)


def finished(audio: torch.Tensor) -> torch.Tensor:
    if audio.is_cuda:
        torch.cuda.synchronize(audio.device)
    return audio


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--piano", type=Path, required=True, help="folder of MIDI performances")
    parser.add_argument("--bank", type=Path, required=True, action="append", help="sample bank; repeatable")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--length", type=int, default=131072, help="of an excerpt, in samples")
    parser.add_argument("--rate", type=int, default=44100, help="in Hz")
    parser.add_argument("--repeat", type=int, default=10, help="batches that are timed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    device, banks = torch.device(given.device), [load_bank(file) for file in given.bank]
    excerpts = PianoExcerpts(banks, performances(given.piano, "train"), given.length, given.rate, seed=0)
    studio = Studio(banks, given.length, given.rate, device)
    firsts = range(0, (_WARM_UPS + given.repeat) * given.batch_size, given.batch_size)
    costs = [cost(excerpts, studio, first, given.batch_size) for first in firsts][_WARM_UPS:]
    where = machine(device, "none")
    print(f"{where.device}, {where.threads} threads: {given.batch_size} takes of {given.length / given.rate:.2f} s, ms")
    for name in ("drawn_ms", "prepared_ms", "rendered_ms"):
        values = [getattr(it, name) for it in costs]
        print(f"{name.removesuffix('_ms'):9} {statistics.median(values):8.1f}  at most {max(values):8.1f}")
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB")


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
