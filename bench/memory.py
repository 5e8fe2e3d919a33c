"""Whether memory stays bounded: peak resident memory for a short and a long recording.

    python bench/memory.py [--minutes 10 60] [--steps 1] [--batch-size 8] [--prior NAME] [--results]

For each length a stereo FLAC at 44.1 kHz is synthesised block by block, `python -m restorer bwe` restores it in a
process of its own, and what the system says of that process when it ends is its peak. The number of steps changes the
time but not the memory. Target: the longest within 10 % of the shortest. --minutes 1 3 to try it quickly.
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
from scipy.signal import lfilter

from restorer.errors import RestorerError
from restorer.metrics.signals import Signal
from restorer.shipped import DEFAULT_PRIOR, find_weights

SAMPLE_RATE = 44100
TARGET = 0.1
_BLOCK_S = 10


@dataclass(frozen=True)
class Peak:
    """A run of the command: minutes of the recording, seconds it took, peak resident memory."""

    minutes: float
    seconds: float
    peak_mib: float


def music(minutes: float, seed: int = 0) -> Iterator[Signal]:
    """Blocks (frames, 2) of noise that falls towards the highs and is struck twice a second."""
    random = np.random.default_rng(seed)
    memory = np.zeros((1, 2))
    total = round(60 * minutes * SAMPLE_RATE)
    for start in range(0, total, _BLOCK_S * SAMPLE_RATE):
        frames = min(_BLOCK_S * SAMPLE_RATE, total - start)
        noise, memory = lfilter([0.02], [1, -0.95], random.standard_normal((frames, 2)), axis=0, zi=memory)
        time_s = np.arange(start, start + frames) / SAMPLE_RATE
        yield noise * np.exp(-3 * (time_s % 0.5))[:, None]


def synthesise(path: Path, minutes: float) -> None:
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, channels=2, subtype="PCM_16") as file:
        for block in music(minutes):
            file.write(block)


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


def measured(minutes: float, options: Sequence[str]) -> Peak:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "music.flac"), Path(folder, "restored.flac")
        synthesise(source, minutes)
        begun = perf_counter()
        words = ["bwe", str(source), "--cutoff", "1k", "--device", "cpu", "--quiet", *options, "--out", str(target)]
        peak_mib = peak_of(words)
        return Peak(minutes, perf_counter() - begun, peak_mib)


def table(peaks: Sequence[Peak]) -> str:
    """The peaks in Markdown, and how far the longest recording's lies from the shortest's."""
    lines = ["| minutes | peak MiB | seconds |", "| ---: | ---: | ---: |"]
    lines += [f"| {peak.minutes:g} | {peak.peak_mib:.0f} | {peak.seconds:.0f} |" for peak in peaks]
    short, long = min(peaks, key=lambda peak: peak.minutes), max(peaks, key=lambda peak: peak.minutes)
    ratio = long.peak_mib / short.peak_mib
    verdict = "met" if abs(ratio - 1) <= TARGET else "missed"
    says = f"{long.minutes:g} minutes need {ratio:.3f} times the memory of {short.minutes:g} (within 10 %: {verdict})."
    return "\n".join([*lines, "", says])


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    for minutes in given.minutes:
        peaks.append(measured(minutes, options))
        print(peaks[-1], flush=True)
    print(table(peaks))
    if given.results:
        record(table(peaks), given)


def record(text: str, given: argparse.Namespace) -> None:
    from results import write_section

    from restorer.bench.speed import describe
    from restorer.prior import load_prior

    what = f"`restorer bwe` on stereo FLAC at 44.1 kHz, --steps {given.steps}, --batch-size {given.batch_size}."
    write_section("Memory", f"{what}\n\n{text}", describe(load_prior(given.prior)))


def main(words: Sequence[str] | None = None) -> int:
    try:
        run(arguments(words))
    except RestorerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
