"""Whether damage is found, and nothing else: recordings damaged here, and undamaged.

    python bench/detection.py FOLDER [--exclude PREFIX ...] [--cases 200] [--seconds 20] [--seed 0] [--results]

Each case is an excerpt of --seconds of a clean recording of FOLDER (one channel, at its own rate; names that begin with
a PREFIX are left out), brought to peaks at full scale, damaged in one way and stored as 16 or 24 bits or in floating
point:

cutoff    0.8 to 16 kHz (at most 0.85 of Nyquist), by the paper's FIR filter, by resampling (soxr), by a Chebyshev
          filter of order 8 (0.05 dB) or by a Butterworth filter of order 8. Found: within 5 %.
clipping  at 0.05 to 0.99 of the peak, half of them with a gain of 0.1 to 1 afterwards. Found: within 0.5 %, in every
          polarity with at least 10 samples that were held.
gaps      three of 1 ms to 2 s in each excerpt, each filled with zeros, with the sample before it, with the buffer
          before it (up to 90 ms) or with noise at -90 dB, or a click of 1 to 7 samples. Found: both edges within 5
          samples.

A damage that the recording cannot show is drawn again: a cutoff above which the recording has nothing that storing
leaves (less than 3 dB over the rounding), a threshold that holds fewer than 10 samples, a gap without sound (-50 dB of
the peak) on both sides. False alarms: findings, by all detectors, in the excerpts and the whole recordings undamaged, a
lossy codec's low-pass, reported as such, not counted; and in the damaged excerpts what the same detector found besides.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from dev_clips import add_folder, clean_files
from outcome import exit_code
from results import write_section
from scipy import signal

from restorer.bench.recordings import Clip
from restorer.bench.speed import Machine, cpu_name
from restorer.degradation.detect import Detector, Findings, Kind
from restorer.errors import AudioError
from restorer.metrics.signals import Signal

CUTOFF_HZ = (800.0, 16_000.0)
CUTOFF_TOLERANCE = 0.05
LEVELS = (0.05, 0.99)
LEVEL_TOLERANCE = 0.005
LEAST_HELD = 10
GAP_S = (1e-3, 2.0)
LONGEST_REPEAT_S = 0.09
EDGE_TOLERANCE = 5
GAPS_A_CASE = 3
BESIDE_S = 0.02
LEAST_BESIDE = 10 ** (-50 / 20)
NOISE = 10 ** (-90 / 20)
STORED = (16, 24, 0)

Random = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """Of one way of damaging: what was to be found, what was, and what was found besides. misses: the details."""

    damage: str
    asked: int
    found: int
    besides: int
    misses: tuple[str, ...]


def load(files: Sequence[Path], seconds: float) -> list[Clip]:
    """The clean recordings, one channel of each; AudioError if none lasts so long."""
    clips = []
    for path in files:
        samples, rate = soundfile.read(path, always_2d=True)
        if len(samples) >= seconds * rate:
            clips.append(Clip(path.stem, samples[:, 0], rate))
    if not clips:
        raise AudioError(f"{files[0].parent} has no clean recordings of {seconds:g} s; name another folder")
    return clips


def excerpt(clip: Clip, seconds: float, random: Random) -> Clip:
    length = round(seconds * clip.sample_rate)
    start = int(random.integers(0, len(clip.samples) - length + 1))
    samples = clip.samples[start : start + length]
    return Clip(f"{clip.name} from {start / clip.sample_rate:.1f} s", samples / np.abs(samples).max(), clip.sample_rate)


def stored(samples: Signal, bits: int) -> Signal:
    """Rounded to so many bits, held at full scale; 0: floating point, float32."""
    if bits == 0:
        return samples.astype(np.float32).astype(np.float64)
    steps = 2.0 ** (bits - 1)
    return np.clip(np.round(samples * steps), -steps, steps - 1) / steps


def found(samples: Signal, rate: int, wanted: Sequence[Kind] = ("cutoff", "clipping", "gaps")) -> Findings:
    detector = Detector(rate, 1, wanted)
    detector.push(samples[:, None])
    return detector.result()


def low_passed(samples: Signal, rate: int, cutoff_hz: float, how: str) -> Signal:
    match how:
        case "FIR":
            return signal.fftconvolve(samples, signal.firwin(501, cutoff_hz, width=1.0, fs=rate), "same")
        case "resampled":
            there = soxr.resample(samples, rate, 2 * cutoff_hz, quality="VHQ")
            back = soxr.resample(there, 2 * cutoff_hz, rate, quality="VHQ")
            return np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)]
        case "Chebyshev":
            return signal.sosfilt(signal.cheby1(8, 0.05, cutoff_hz, fs=rate, output="sos"), samples)
        case _:
            return signal.sosfilt(signal.butter(8, cutoff_hz, fs=rate, output="sos"), samples)


def is_heard(samples: Signal, rate: int, cutoff_hz: float, bits: int) -> bool:
    """Whether, in the third of an octave above the cutoff, the recording stands out of the rounding."""
    if bits == 0:
        return True
    hz, power = signal.welch(samples, rate, nperseg=8192)
    above = (hz > cutoff_hz) & (hz < 1.26 * cutoff_hz)
    rounding = 4.0 ** (1 - bits) / 12 / (rate / 2)
    return bool(np.median(power[above]) > 2 * rounding)


def cutoff_case(clip: Clip, how: str, random: Random) -> tuple[int, int, int, list[str]]:
    rate = clip.sample_rate
    while True:
        highest = min(CUTOFF_HZ[1], 0.85 * rate / 2)
        cutoff_hz = float(np.exp(random.uniform(np.log(CUTOFF_HZ[0]), np.log(highest))))
        bits = int(random.choice(STORED))
        if is_heard(clip.samples, rate, cutoff_hz, bits):
            break
    cutoffs = found(stored(low_passed(clip.samples, rate, cutoff_hz, how), bits), rate, ("cutoff",)).cutoffs
    if cutoffs and abs(cutoffs[0].cutoff_hz / cutoff_hz - 1) <= CUTOFF_TOLERANCE:
        return 1, 1, 0, []
    got = f"{cutoffs[0].cutoff_hz:.0f}" if cutoffs else "nothing"
    return 1, 0, 0, [f"{clip.name}, {bits} bits, {cutoff_hz:.0f} Hz: {got}"]


def clip_case(clip: Clip, how: str, random: Random) -> tuple[int, int, int, list[str]]:
    rate = clip.sample_rate
    while True:
        threshold = float(random.uniform(*LEVELS))
        held = {sign: int(np.sum(sign * clip.samples >= threshold)) for sign in (1, -1)}
        if max(held.values()) >= LEAST_HELD:
            break
    gain = float(np.exp(random.uniform(np.log(0.1), 0))) if how == "with later gain" else 1.0
    bits = int(random.choice(STORED))
    damaged = stored(gain * np.clip(clip.samples, -threshold, threshold), bits)
    levels = {round(np.sign(it.level)): it for it in found(damaged, rate, ("clipping",)).clip_levels}
    asked = right = 0
    misses = []
    for sign in (1, -1):
        if held[sign] < LEAST_HELD:
            continue
        asked += 1
        got = levels.get(sign)
        if got and got.kind == "hard" and abs(sign * got.level / (gain * threshold) - 1) <= LEVEL_TOLERANCE:
            right += 1
        else:
            misses.append(f"{clip.name}, {bits} bits, {sign * gain * threshold:.4f}, {held[sign]} samples: {got}")
    return asked, right, 0, misses


def gap_case(clip: Clip, how: str, random: Random) -> tuple[int, int, int, list[str]]:
    rate, damaged = clip.sample_rate, clip.samples.copy()
    part = len(damaged) // GAPS_A_CASE
    spans = [_gap_in(clip, part * number, part * (number + 1), how, random) for number in range(GAPS_A_CASE)]
    spans = [span for span in spans if span]
    for first, stop in spans:
        _fill(damaged, first, stop, how, random)
    bits = int(random.choice(STORED))
    gaps = found(stored(damaged, bits), rate, ("gaps",)).gaps
    right, misses, near = 0, [], set()
    for first, stop in spans:
        here = [gap for gap in gaps if gap.first < stop + EDGE_TOLERANCE and gap.stop > first - EDGE_TOLERANCE]
        near |= set(here)
        if any(abs(it.first - first) <= EDGE_TOLERANCE and abs(it.stop - stop) <= EDGE_TOLERANCE for it in here):
            right += 1
        else:
            got = ", ".join(f"{it.kind} {it.first - first:+d} {it.stop - stop:+d}" for it in here) or "nothing"
            misses.append(f"{clip.name}, {bits} bits, at {first / rate:.3f} s, {stop - first} samples: {got}")
    return len(spans), right, len(set(gaps) - near), misses


def _gap_in(clip: Clip, low: int, high: int, how: str, random: Random) -> tuple[int, int] | None:
    """A place with sound on both sides; None where a hundred draws find none."""
    rate, beside = clip.sample_rate, round(BESIDE_S * clip.sample_rate)
    longest = LONGEST_REPEAT_S if how == "repeated" else GAP_S[1]
    for _ in range(100):
        length = max(round(float(np.exp(random.uniform(np.log(GAP_S[0]), np.log(longest)))) * rate), 1)
        if how == "click":
            length = int(random.integers(1, 8))
        margin = beside + (length if how == "repeated" else 0) + rate // 10
        if high - low < length + 2 * margin:
            continue
        first = int(random.integers(low + margin, high - margin - length))
        sides = clip.samples[first - beside : first], clip.samples[first + length : first + length + beside]
        if min(float(np.sqrt(np.mean(side**2))) for side in sides) >= LEAST_BESIDE:
            return first, first + length
    return None


def _fill(samples: Signal, first: int, stop: int, how: str, random: Random) -> None:
    length = stop - first
    match how:
        case "zero":
            samples[first:stop] = 0
        case "held":
            samples[first:stop] = samples[first - 1]
        case "repeated":
            samples[first:stop] = samples[first - length : first]
        case "dropout":
            samples[first:stop] = NOISE * random.standard_normal(length)
        case _:
            samples[first:stop] += random.choice([-1, 1], length) * random.uniform(0.1, 0.3, length)


Case = Callable[[Clip, str, Random], tuple[int, int, int, list[str]]]
WAYS: dict[str, tuple[Case, tuple[str, ...]]] = {
    "cutoff": (cutoff_case, ("FIR", "resampled", "Chebyshev", "Butterworth")),
    "clipping": (clip_case, ("without later gain", "with later gain")),
    "gaps": (gap_case, ("zero", "held", "repeated", "dropout", "click")),
}


def outcomes(clips: Sequence[Clip], cases: int, seconds: float, seed: int) -> Iterator[Outcome]:
    """As many cases for each kind of damage, each way of doing it as often as another (to one)."""
    random = np.random.default_rng(seed)
    for kind, (case, ways) in WAYS.items():
        counts = np.array_split(np.arange(round(cases / len(WAYS))), len(ways))
        for how, numbers in zip(ways, counts, strict=True):
            done = [case(excerpt(clips[i % len(clips)], seconds, random), how, random) for i in numbers]
            asked, right, besides = (sum(it[i] for it in done) for i in range(3))
            yield Outcome(f"{kind}: {how}", asked, right, besides, tuple(miss for it in done for miss in it[3]))


def false_alarms(clips: Sequence[Clip], cases: int, seconds: float, seed: int) -> tuple[int, int, list[str]]:
    """Undamaged sounds that were heard, false alarms among them, and what they were."""
    random = np.random.default_rng(seed + 1)
    sounds = [*clips, *(excerpt(clips[i % len(clips)], seconds, random) for i in range(cases))]
    alarms = []
    for i, sound in enumerate(sounds):
        peak = np.abs(sound.samples).max()
        findings = found(stored(sound.samples / peak, STORED[i % 3]), sound.sample_rate)
        alarms += [f"{sound.name}: {it}" for it in findings.damage]
    return len(sounds), len(alarms), alarms


def table(results: Sequence[Outcome]) -> str:
    lines = ["| damage | to find | found | share | besides |", "| --- | ---: | ---: | ---: | ---: |"]
    for it in results:
        lines.append(f"| {it.damage} | {it.asked} | {it.found} | {100 * it.found / it.asked:.1f} % | {it.besides} |")
    return "\n".join(lines)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder(parser)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    clips = load(clean_files(given.folder, given.exclude), given.seconds)
    results = []
    for outcome in outcomes(clips, given.cases, given.seconds, given.seed):
        print(f"{outcome.damage}: {outcome.found} of {outcome.asked}, {outcome.besides} besides", flush=True)
        print(*(f"    {miss}" for miss in outcome.misses), sep="\n", flush=True)
        results.append(outcome)
    heard, alarms, details = false_alarms(clips, given.cases // 10, given.seconds, given.seed)
    print(*(f"    {detail}" for detail in details), sep="\n")
    text = "\n\n".join(
        [
            f"{given.cases} cases of {given.seconds:g} s from {len(clips)} clean recordings, seed {given.seed}. Found: "
            "a cutoff within 5 %, a clip level within 0.5 %, both edges of a gap within 5 samples.",
            table(results),
            f"False alarms in {heard} undamaged sounds, all detectors: {alarms}.",
        ]
    )
    print(text)
    if given.results:
        write_section("Detection", text, Machine(cpu_name(), torch.get_num_threads(), torch.__version__, "not used"))


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
