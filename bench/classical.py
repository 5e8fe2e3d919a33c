"""What the classical methods reach, and what they cost: declippers by input SDR, gap fillers by gap length.

    python bench/classical.py FOLDER [--exclude PREFIX ...] [--seconds 5] [--rate HZ] [--sdr 1 3 5 7 10 15 20]
        [--gaps 5 10 20 50 100] [--methods NAME ...] [--device NAME] [--results]

The middle --seconds of every clean recording of FOLDER, mixed to one channel at --rate. Declippers: clipped to the
given input SDR in dB; gain is the SDR of the whole clip after, less that before. "raw" is the estimate as a method
leaves it, reliable samples changed as well (Janssen keeps them); else it agrees with what was measured. Gap fillers:
four gaps of the given length in milliseconds, spread over the clip; SDR within the gaps. A clip whose gaps hold no
sound at all is left out. Cost: seconds of processor time, all threads together, per second of audio (declippers) or per
gap.

The survey's means are those of Zaviska et al. 2021 over ten excerpts of other music: a neighbourhood, not a target.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from dev_clips import add_folder, clean_files, load_clips
from dev_measures import GAP_PLACES, Clip
from outcome import exit_code
from results import write_section
from torch import Tensor

from restorer.bench.speed import machine
from restorer.classical.aspade import ASPADE, aspade
from restorer.classical.extrapolate import extrapolate
from restorer.classical.janssen import JANSSEN_CLIP, janssen_clip, janssen_gaps
from restorer.classical.social import SS_EW, SS_PEW, social, social_mean
from restorer.classical.weighted_l1 import weighted_l1
from restorer.degradation import Gaps, HardClip
from restorer.errors import UsageError
from restorer.metrics.sdr import clip_to_sdr, sdr, sdr_improvement

Declipper = Callable[[Tensor, HardClip, float], Tensor]
Filler = Callable[[Tensor, Gaps, float], Tensor]

DECLIPPERS: dict[str, Declipper] = {
    "A-SPADE": aspade,
    "A-SPADE raw": lambda y, clip, rate: aspade(y, clip, rate, replace(ASPADE, consistent=False)),
    "SS-EW": lambda y, clip, rate: social(y, clip, rate, SS_EW),
    "SS-EW raw": lambda y, clip, rate: social(y, clip, rate, replace(SS_EW, consistent=False)),
    "SS-PEW": social,
    "mean SS-PEW": social_mean,
    "SS-PEW raw": lambda y, clip, rate: social(y, clip, rate, replace(SS_PEW, consistent=False)),
    "weighted l1": weighted_l1,
    "Janssen": janssen_clip,
    "Janssen raw": lambda y, clip, rate: janssen_clip(y, clip, rate, replace(JANSSEN_CLIP, consistent=False)),
}
FILLERS: dict[str, Filler] = {"Janssen (gaps)": janssen_gaps, "extrapolation": extrapolate}

SURVEY_DB: dict[str, dict[float, float]] = {
    "A-SPADE": {1: 11.9, 3: 13.9, 5: 15.1, 7: 16.0, 10: 17.3, 15: 19.4, 20: 20.3},
    "SS-PEW": {1: 12.2, 3: 15.0, 5: 16.6, 7: 17.7, 10: 19.0, 15: 21.1, 20: 22.0},
}


@dataclass(frozen=True)
class Mean:
    """Of one method at one severity over the clips: gain or SDR in dB, and seconds (of audio, or gaps) it cost."""

    method: str
    severity: float
    value_db: float
    cost_s: float


def declipped(clips: Sequence[Clip], method: str, input_sdr_db: float, device: str) -> Mean:
    gains, costs = [], []
    for it in clips:
        clip = HardClip.symmetric(clip_to_sdr(it.samples, input_sdr_db))
        y = clip(_tensor(it, device))
        estimate, seconds = _timed(lambda y=y, clip=clip, rate=it.sample_rate: DECLIPPERS[method](y, clip, rate))
        damaged, restored = (x[0].double().cpu().numpy() for x in (y, estimate))
        gains.append(sdr_improvement(it.samples, damaged, restored))
        costs.append(seconds * it.sample_rate / it.samples.size)
    return Mean(method, input_sdr_db, float(np.mean(gains)), float(np.mean(costs)))


def filled(clips: Sequence[Clip], method: str, gap_ms: float, device: str) -> Mean:
    values, costs = [], []
    for it in clips:
        length = max(1, round(gap_ms / 1000 * it.sample_rate))
        firsts = [round(place * it.samples.size) - length // 2 for place in GAP_PLACES]
        gaps = Gaps(tuple((first, first + length) for first in firsts))
        missing = gaps.weights(it.samples.size)[0].numpy() == 1
        if not it.samples[missing].any():
            continue
        x = _tensor(it, device)
        estimate, seconds = _timed(lambda x=x, gaps=gaps, rate=it.sample_rate: FILLERS[method](x, gaps, rate))
        values.append(sdr(it.samples, estimate[0].double().cpu().numpy(), mask=missing))
        costs.append(seconds / len(firsts))
    if not values:
        raise UsageError(f"no recording sounds in its gaps of {gap_ms:g} ms: give others, or more --seconds")
    return Mean(method, gap_ms, float(np.mean(values)), float(np.mean(costs)))


def _tensor(clip: Clip, device: str) -> Tensor:
    return torch.from_numpy(clip.samples[None].astype(np.float32)).to(device)


def _timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    started = time.process_time()
    result = work()
    if result.is_cuda:
        torch.cuda.synchronize()
    return result, time.process_time() - started


def table(means: Sequence[Mean], unit: str, survey: bool) -> str:
    """A row for each method, a column for each severity: value (cost)."""
    severities = sorted({it.severity for it in means})
    lines = [
        "| method | " + " | ".join(f"{severity:g} {unit}" for severity in severities) + " |",
        "| --- |" + " ---: |" * len(severities),
    ]
    for method in dict.fromkeys(it.method for it in means):
        mine = {it.severity: f"{it.value_db:.1f} ({it.cost_s:.2g})" for it in means if it.method == method}
        lines.append(f"| {method} | " + " | ".join(mine[severity] for severity in severities) + " |")
        if survey and method in SURVEY_DB:
            theirs = [SURVEY_DB[method].get(severity) for severity in severities]
            cells = "".join(" |" if value is None else f" {value:.1f} |" for value in theirs)
            lines.append(f"| {method}, survey's mean |{cells}")
    return "\n".join(lines)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder(parser)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=int, default=44100)
    parser.add_argument("--sdr", type=float, nargs="*", default=[1, 3, 5, 7, 10, 15, 20])
    parser.add_argument("--gaps", type=float, nargs="*", default=[5, 10, 20, 50, 100])
    parser.add_argument("--methods", nargs="+", default=[*DECLIPPERS, *FILLERS], choices=[*DECLIPPERS, *FILLERS])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    clips = load_clips(clean_files(given.folder, given.exclude), given.rate, given.seconds)
    parts = []
    for task, known, severities in ((declipped, DECLIPPERS, given.sdr), (filled, FILLERS, given.gaps)):
        means = []
        for method in (name for name in given.methods if name in known):
            for severity in severities:
                means.append(task(clips, method, severity, given.device))
                print(means[-1], flush=True)
        if means:
            parts.append(table(means, "dB", True) if task is declipped else table(means, "ms", False))
    text = "\n\n".join([note(clips, given), *parts])
    print(text)
    if given.results:
        write_section("Classical methods", text, machine(torch.device(given.device), "none"))


def note(clips: Sequence[Clip], given: argparse.Namespace) -> str:
    return (
        f"{len(clips)} clean recordings, the middle {given.seconds:g} s, one channel at {given.rate} Hz. Declippers: "
        "gain in dB by input SDR (in brackets: seconds of processor time per second of audio). Gap fillers: SDR in dB "
        "within the gaps by their length (in brackets: seconds of processor time a gap)."
    )


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
