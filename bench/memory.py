"""Whether memory stays bounded: peak resident memory for a short and a long recording, at each rate.

    python bench/memory.py [--task bwe|declip|inpaint] [--rates 44100 96000] [--minutes 10 60] [--steps 1]
                           [--batch-size 8] [--prior NAME] [--results]

For each length a stereo FLAC is synthesised block by block, `python -m restorer` restores it in a process of its own,
and what the system says of that process when it ends is its peak. The number of steps changes the time but not the
memory. Lost highs are everywhere, so that bwe restores every window; declip and inpaint have something to do in three
places only, however long the recording is, and pass the rest on: hours of it are cheap.
Target: the longest within 10 % of the shortest, at the same rate. --minutes 1 3 to try it quickly.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import soundfile
from outcome import exit_code
from scipy.signal import lfilter

from restorer.errors import RestorerError
from restorer.metrics.signals import Signal
from restorer.shipped import DEFAULT_PRIOR, find_weights

TARGET = 0.1
TASKS = ("bwe", "declip", "inpaint")
_BLOCK_S = 10
_THRESHOLD = 0.5  # above all of the music but where it is made louder
_CLIPPED_S, _GAP_S = 1.0, 0.2  # both too long for a classical method alone


@dataclass(frozen=True)
class Peak:
    """A run of the command: the recording's rate in Hz and length, seconds it took, peak resident memory."""

    rate: int
    minutes: float
    seconds: float
    peak_mib: float


def places_s(minutes: float) -> list[float]:
    """Where a recording is damaged: near its beginning, in the middle, near its end; in seconds."""
    return [5.0, 30 * minutes, 60 * minutes - 5]


def music(rate: int, minutes: float, is_clipped: bool) -> Iterator[Signal]:
    """Blocks (frames, 2) of noise that falls towards the highs and is struck twice a second; they repeat."""
    random = np.random.default_rng(0)
    noise = lfilter([0.02], [1, -0.95], random.standard_normal((_BLOCK_S * rate, 2)), axis=0)
    block = noise * np.exp(-3 * (np.arange(len(noise)) / rate % 0.5))[:, None]
    assert np.abs(block).max() < _THRESHOLD
    places = places_s(minutes) if is_clipped else []
    total = round(60 * minutes * rate)
    for start in range(0, total, len(block)):
        played = block[: total - start].copy()
        for place_s in places:
            first = round(place_s * rate) - start
            loud = played[max(0, first) : max(0, first + round(_CLIPPED_S * rate))]
            loud[:] = np.clip(10 * loud, -_THRESHOLD, _THRESHOLD)
        yield played


def synthesise(path: Path, rate: int, minutes: float, is_clipped: bool) -> None:
    with soundfile.SoundFile(path, "w", rate, channels=2, subtype="PCM_16") as file:
        for block in music(rate, minutes, is_clipped):
            file.write(block)


def damage(task: str, minutes: float) -> list[str]:
    """The options that say what is wrong."""
    if task == "bwe":
        return ["--cutoff", "1k"]
    if task == "declip":
        return ["--threshold", f"{_THRESHOLD - 1 / 32768}"]
    return [word for place_s in places_s(minutes) for word in ("--gap", f"{place_s}-{place_s + _GAP_S}")]


def peak_of(words: Sequence[str]) -> float:
    """Peak resident memory in MiB of `python -m restorer` with these words. Raises RestorerError if it fails.

    At exec Linux counts the peak of the process that called it as the new one's own: this one must be smaller than what
    it measures, so it imports torch only when all is measured.
    """
    assert "torch" not in sys.modules
    process = subprocess.Popen([sys.executable, "-m", "restorer", *words])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RestorerError(f"`restorer {' '.join(words)}` ended with {process.returncode}: see what it said above")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measured(task: str, rate: int, minutes: float, options: Sequence[str]) -> Peak:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "music.flac"), Path(folder, "restored.flac")
        synthesise(source, rate, minutes, is_clipped=task == "declip")
        words = [task, str(source), *damage(task, minutes), "--device", "cpu", "--quiet", *options]
        begun = perf_counter()
        peak_mib = peak_of([*words, "--out", str(target)])
        return Peak(rate, minutes, perf_counter() - begun, peak_mib)


def table(peaks: Sequence[Peak]) -> str:
    """The peaks in Markdown, and at each rate how far the longest recording's lies from the shortest's."""
    lines = ["| Hz | minutes | peak MiB | seconds |", "| ---: | ---: | ---: | ---: |"]
    lines += [f"| {it.rate} | {it.minutes:g} | {it.peak_mib:.0f} | {it.seconds:.0f} |" for it in peaks]
    return "\n".join([*lines, "", *(_verdict(rate, peaks) for rate in dict.fromkeys(it.rate for it in peaks))])


def _verdict(rate: int, peaks: Sequence[Peak]) -> str:
    here = sorted((peak for peak in peaks if peak.rate == rate), key=lambda peak: peak.minutes)
    ratio = here[-1].peak_mib / here[0].peak_mib
    verdict = "met" if abs(ratio - 1) <= TARGET else "missed"
    return (
        f"At {rate} Hz {here[-1].minutes:g} minutes need {ratio:.3f} times the memory of {here[0].minutes:g} (within "
        f"{TARGET:.0%}: {verdict})."
    )


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="bwe")
    parser.add_argument("--rates", type=int, nargs="+", default=[44100], help="of the recordings, in Hz")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60])
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--prior", default=DEFAULT_PRIOR, help="name or path (default: %(default)s)")
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    find_weights(given.prior)
    options = ["--steps", str(given.steps), "--batch-size", str(given.batch_size), "--prior", given.prior]
    peaks = []
    for rate in given.rates:
        for minutes in given.minutes:
            peaks.append(measured(given.task, rate, minutes, options))
            print(peaks[-1], flush=True)
    print(table(peaks))
    if given.results:
        record(table(peaks), given)


def record(text: str, given: argparse.Namespace) -> None:
    from results import write_section

    from restorer.bench.speed import describe
    from restorer.prior import load_prior

    what = f"`restorer {given.task}` on stereo FLAC, --steps {given.steps}, --batch-size {given.batch_size}."
    title = "Memory" if given.task == "bwe" else f"Memory: {given.task}"
    write_section(title, f"{what}\n\n{text}", describe(load_prior(given.prior)))


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
