"""How much faster the shipped network is than the paper's: seconds a window of each task, on the same CPU.

    python bench/against_paper.py [--prior NAME] [--batch-size 8] [--repeat 3] [--paper-evaluations 2] [--results]

Ours: the whole restoration of a window with the preset of each task (transform, filters and the classical start of
declip included), on noise, the median of --repeat runs after a warm-up. The paper's: its U-Net with untrained weights,
for the time does not depend on them, in float32 as published, one window at a time. A single evaluation takes seconds,
so only --paper-evaluations of them are timed, after a warm-up, and the median is multiplied by the number that our
preset asks for: nothing but the network is counted. Both windows last 2.97 s. --steps 1 to try it quickly.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from outcome import exit_code
from results import write_section

from restorer.bench.methods import PRESETS
from restorer.bench.severity import TaskName
from restorer.bench.speed import Timing, describe, timings
from restorer.prior import Prior, load_prior, new_prior
from restorer.shipped import DEFAULT_PRIOR

PAPER = "cqtdiff-22k"
TARGET = 50


@dataclass(frozen=True)
class Comparison:
    """A task: network evaluations a window, seconds a window of ours (without any evaluation: rest_s), and of the
    paper's network."""

    task: TaskName
    evaluations: int
    ours_s: float
    rest_s: float
    paper_s: float

    @property
    def ratio(self) -> float:
        return self.paper_s / self.ours_s


@torch.inference_mode()
def evaluation_s(prior: Prior, count: int, batch_size: int = 1) -> float:
    """Median seconds of one evaluation of a window, of `count` after a warm-up."""
    random = torch.Generator().manual_seed(0)
    x = prior.sigma_data * torch.randn(batch_size, prior.length, generator=random)
    sigma = torch.full((batch_size,), prior.sigma_data)
    seconds = []
    for _ in range(count + 1):
        begun = perf_counter()
        prior(x, sigma)
        seconds.append((perf_counter() - begun) / batch_size)
    return statistics.median(seconds[1:])


def compared(ours: Timing, rest: Timing, paper_evaluation_s: float) -> Comparison:
    paper_s = ours.evaluations * paper_evaluation_s
    return Comparison(ours.task, ours.evaluations, ours.seconds_a_window, rest.seconds_a_window, paper_s)


def table(comparisons: Sequence[Comparison], paper_evaluation_s: float) -> str:
    lines = [
        "| task | evaluations | ours, s a window | of it no network, s | paper's per evaluation, s "
        "| paper's at as many, s | times faster |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for it in comparisons:
        seconds = f"{it.ours_s:.3f} | {it.rest_s:.3f} | {paper_evaluation_s:.2f} | {it.paper_s:.1f}"
        missed = "" if it.ratio >= TARGET else " !"
        lines.append(f"| {it.task} | {it.evaluations} | {seconds} | {it.ratio:.1f}{missed} |")
    return "\n".join(lines)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default=DEFAULT_PRIOR, help="name or path (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="windows that our network sees at once")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each task")
    parser.add_argument("--paper-evaluations", type=int, default=2, help="timed evaluations of the paper's network")
    parser.add_argument("--steps", type=int, help="instead of the presets'")
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    paper_s = evaluation_s(new_prior(PAPER).eval().requires_grad_(False), given.paper_evaluations)
    print(f"the paper's network: {paper_s:.2f} s an evaluation", flush=True)
    prior = load_prior(given.prior)
    ours_s = evaluation_s(prior, given.repeat, given.batch_size)
    print(f"ours: {ours_s:.3f} s an evaluation", flush=True)
    comparisons = []
    for task, preset in PRESETS.items():
        ours, rest = (
            next(
                timings(
                    prior, [task], [preset.guidance], batch_sizes=[given.batch_size], repeats=given.repeat, n_steps=n
                )
            )
            for n in (given.steps, 0)
        )
        comparisons.append(compared(ours, rest, paper_s))
        print(comparisons[-1], flush=True)
    text = table(comparisons, paper_s)
    print(text)
    if given.results:
        write_section("Against the paper's network", f"{note(given, ours_s, paper_s)}\n\n{text}", describe(prior))


def note(given: argparse.Namespace, ours_s: float, paper_s: float) -> str:
    return (
        f"Ours: the whole restoration of a window of 2.97 s, {given.batch_size} at once, median of {given.repeat} "
        f"runs; its network alone takes {ours_s:.3f} s an evaluation, {paper_s / ours_s:.0f} times less than the "
        f"paper's. The paper's: its network alone, median of {given.paper_evaluations} evaluations, times the "
        f"evaluations of our preset. "
        f"`!`: less than {TARGET} times faster."
    )


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
