"""How much quality another evaluation of the network buys: log-spectral distance and likeness over their number.

    python bench/steps.py FOLDER [--exclude PREFIX ...] [--steps 2 3 4 5 7 10 14 20 35 69] [--seconds 5] [--rate HZ]
        [--prior NAME] [--device NAME] [--seed N] [--results]

The middle --seconds of every clean recording of FOLDER, low-passed as `bench/dev_clips.py` does and with its gaps of
half a second, restored by the presets but for their steps. --results writes a section of RESULTS.md and the curve,
steps.png (needs matplotlib). The presets of `--quality` are chosen from it; the curve marks those of highs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dev_clips import add_folder, clean_files, engine_restorers, load_clips
from dev_measures import CUTOFFS_HZ, GAPS_S, Bwe, Clip, Inpaint, evaluate_bwe, evaluate_inpaint
from outcome import exit_code
from results import write_section

from restorer.bench.speed import describe
from restorer.prior import Prior, load_prior
from restorer.restoration.settings import QUALITIES, preset_of
from restorer.restoration.task import BandwidthExtension
from restorer.shipped import DEFAULT_PRIOR

STEPS = (2, 3, 4, 5, 7, 10, 14, 20, 35, 69)
PICTURE = Path(__file__).with_name("steps.png")


@dataclass(frozen=True)
class Point:
    """Of one kind of damage, restored in so many steps, each an evaluation of the network: the mean over the clips;
    seconds of computing a clip.

    likeness: of highs; None for gaps.
    """

    damage: str
    n_steps: int
    lsd: float
    likeness: float | None
    seconds: float


def measured(clips: Sequence[Clip], prior: Prior, seed: int, n_steps: int) -> list[Point]:
    restorers = engine_restorers(prior, seed, n_steps)
    points = []
    for cutoff_hz in CUTOFFS_HZ:
        each = [evaluate_bwe(clip, cutoff_hz, restorers.bwe) for clip in clips]
        points.append(_mean(f"highs above {cutoff_hz / 1000:g} kHz", n_steps, each))
    gap_s = max(GAPS_S)
    gaps = [evaluate_inpaint(clip, gap_s, restorers.inpaint) for clip in clips]
    return [*points, _mean(f"gaps of {gap_s:g} s", n_steps, gaps)]


def _mean(damage: str, n_steps: int, results: Sequence[Bwe] | Sequence[Inpaint]) -> Point:
    likeness = [each.likeness for each in results if isinstance(each, Bwe)]
    return Point(
        damage, n_steps, float(np.mean([each.lsd_out for each in results])),
        float(np.mean(likeness)) if likeness else None, float(np.mean([each.seconds for each in results])),
    )  # fmt: skip


def table(points: Sequence[Point]) -> str:
    steps = dict.fromkeys(point.n_steps for point in points)
    lines = [
        "| LSD, likeness (seconds a clip) | " + " | ".join(f"{n} steps" for n in steps) + " |",
        "| --- |" + " ---: |" * len(steps),
    ]
    for damage in dict.fromkeys(point.damage for point in points):
        cells = [_cell(each) for each in points if each.damage == damage]
        lines.append(f"| {damage} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(point: Point) -> str:
    likeness = "" if point.likeness is None else f" {point.likeness:.3f}"
    return f"{point.lsd:.3f}{likeness} ({point.seconds:.2g})"


def draw(points: Sequence[Point], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    panel = figure.subplots()
    for damage in dict.fromkeys(point.damage for point in points):
        mine = [point for point in points if point.damage == damage]
        counts = [each.n_steps for each in mine]
        (line,) = panel.plot(counts, [each.lsd for each in mine], marker="o", markersize=3, label=damage)
        likeness = [each.likeness for each in mine if each.likeness is not None]
        if likeness:
            panel.plot(counts, likeness, marker="s", markersize=3, linestyle="--", color=line.get_color())
    steps = sorted({point.n_steps for point in points})
    for quality in QUALITIES:
        n_steps = preset_of(BandwidthExtension(CUTOFFS_HZ[0]), quality).n_steps
        if n_steps in steps:
            panel.axvline(n_steps, color="0.7", linewidth=0.8)
            panel.text(n_steps, 0.02, f" {quality}", transform=panel.get_xaxis_transform(), rotation=90, color="0.4")
    panel.set_xscale("log")
    panel.set_xticks(steps, [str(n) for n in steps])
    panel.minorticks_off()
    panel.set_xlabel("evaluations of the network a window")
    panel.set_ylabel("log-spectral distance (log10 power); dashed: likeness")
    panel.set_ylim(bottom=0)
    panel.legend()
    figure.savefig(path, dpi=120)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder(parser)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=int, default=44100)
    parser.add_argument("--prior", default=DEFAULT_PRIOR, help="name or path (default: %(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md, and steps.png")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    clips = load_clips(clean_files(given.folder, given.exclude), given.rate, given.seconds)
    prior = load_prior(given.prior, given.device)
    points = []
    for n_steps in given.steps:
        points += measured(clips, prior, given.seed, n_steps)
        print(*points[-3:], sep="\n", flush=True)
    text = table(points)
    print(text)
    if given.results:
        draw(points, PICTURE)
        what = (
            f"{len(clips)} clean recordings, the middle {given.seconds:g} s, one channel at {given.rate} Hz, seed "
            f"{given.seed}. The curve: [{PICTURE.name}]({PICTURE.name})."
        )
        write_section("Steps", f"{what}\n\n{text}", describe(prior))


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
