"""Whether the joints between windows show, and whether the result depends on how the windows were run.

    python bench/seams.py FOLDER [--exclude PREFIX ...] [--seconds 60] [--cutoff 1k] [--prior NAME] [--steps N]
        [--device NAME] [--results]

Each clean recording of FOLDER, joined with those after it until they last --seconds, is low-passed by the paper's
filter and restored by bwe at the prior's rate. Two measures of the band above the cutoff, in dB, each less the
original's own:

power   mean square in the overlaps of the windows against elsewhere. Target: within 1 dB, mean over the recordings.
frames  mean over frames of 46 ms of the level in dB. Loud notes weigh no more than soft ones, so it varies less; only
        frames within 40 dB of the original's loudest count, for digital silence would outweigh all music.

On the first recording, brought to peaks at full scale as all are, also the largest difference between batch sizes 1 and
8, and between the order in time and the reverse (the engine called with the same windows). Target: 1e-4 of full scale.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
import torch
from dev_clips import add_folder, clean_files, load_clips
from outcome import exit_code
from results import write_section

from restorer.bench.degrade import low_passed
from restorer.bench.recordings import Clip
from restorer.bench.speed import describe
from restorer.cli.arguments import parse_frequency
from restorer.metrics.seams import overlap_level_difference
from restorer.metrics.signals import Mask, Signal
from restorer.prior import Prior, load_prior
from restorer.restoration.damage import damage_of
from restorer.restoration.engine import restore_windows
from restorer.restoration.settings import BWE, Settings
from restorer.restoration.stream import restore
from restorer.restoration.task import BandwidthExtension
from restorer.restoration.windows import Tape, grid, grid_size
from restorer.shipped import DEFAULT_PRIOR

LEVEL_TARGET_DB = 1.0
AGREEMENT_TARGET = 1e-4
BATCH = 8
JOIN_S = 0.05
FRAME_S = 0.046
FRAME_RANGE_DB = 40


@dataclass(frozen=True)
class Seams:
    """One recording: level in the overlaps against elsewhere, less the original's, in dB; joints: how many overlaps."""

    recording: str
    seconds: float
    joints: int
    power_db: float
    frames_db: float


@dataclass(frozen=True)
class Agreement:
    """Largest difference of two runs that ought to be equal, relative to full scale."""

    batch_sizes: float
    orders: float


def recordings(clips: Sequence[Clip], seconds: float) -> list[Clip]:
    """For each clip, itself and those after it (the first after the last), until they last `seconds`."""
    return [_joined([*clips[i:], *clips[:i]], seconds) for i in range(len(clips))]


def _joined(clips: Sequence[Clip], seconds: float) -> Clip:
    """Whole clips of equal level (RMS), cross-faded at equal power; only the last is cut. Peaks at full scale."""
    rate = clips[0].sample_rate
    length, fade = round(seconds * rate), round(JOIN_S * rate)
    ramp = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade)
    names: list[str] = []
    sound = np.zeros(0)
    for clip in clips:
        if length - sound.size <= (fade if names else 0):
            break
        samples = clip.samples / np.sqrt(np.mean(clip.samples**2))
        if names:
            crossing = sound[-fade:] * ramp[::-1] + samples[:fade] * ramp
            samples = np.concatenate([sound[:-fade], crossing, samples[fade:]])
        names, sound = [*names, clip.name], samples
    sound = sound[:length]
    return Clip(" + ".join(names), sound / np.max(np.abs(sound)), rate)


def overlaps(window: int, total: int) -> Mask:
    """(total,): where two neighbouring windows of the grid are cross-faded."""
    marked = np.zeros(total, dtype=np.bool_)
    for each in islice(grid(window), 1, grid_size(window, total)):
        marked[slice(*each.rise)] = True
    return marked


def power_difference(original: Signal, restored: Signal, marked: Mask, rate: int, low_hz: float) -> float:
    """Level above low_hz in the marked samples against elsewhere, restored less original, in dB."""
    first, second = (overlap_level_difference(x, marked, rate, low_hz, rate / 2) for x in (original, restored))
    return second - first


def frames_difference(original: Signal, restored: Signal, marked: Mask, rate: int, low_hz: float) -> float:
    """The same for the mean of levels in dB of single frames, of those wholly marked and those wholly unmarked; the
    restored ones are held to 100 dB below the original's loudest, so that an empty frame has a level."""
    length = round(FRAME_S * rate)
    share = _framed(marked.astype(np.float64), length).mean(axis=1)
    first, second = (_band_power(_framed(x, length), rate, low_hz) for x in (original, restored))
    sounding = first > first.max() * 10 ** (-FRAME_RANGE_DB / 10)
    inside, outside = (sounding & (share == side) for side in (1, 0))
    levels_db = [10 * np.log10(np.maximum(power, first.max() * 1e-10)) for power in (first, second)]
    original_db, restored_db = (float(level[inside].mean() - level[outside].mean()) for level in levels_db)
    return restored_db - original_db


def _framed(x: Signal, length: int) -> Signal:
    return np.lib.stride_tricks.sliding_window_view(x, length)[:: length // 4]


def _band_power(frames: Signal, rate: int, low_hz: float) -> Signal:
    """(frames,): power above low_hz, seen through a Blackman window, for the lows are far louder than the highs."""
    length = frames.shape[1]
    spectrum = np.fft.rfft(frames * np.blackman(length), axis=1)
    return np.asarray(np.sum(np.abs(spectrum[:, np.fft.rfftfreq(length, 1 / rate) >= low_hz]) ** 2, axis=1))


def measured(recording: Clip, restored: Signal, window: int, cutoff_hz: float) -> Seams:
    rate, original = recording.sample_rate, recording.samples
    marked = overlaps(window, original.size)
    power_db = power_difference(original, restored, marked, rate, cutoff_hz)
    frames_db = frames_difference(original, restored, marked, rate, cutoff_hz)
    joints = grid_size(window, original.size) - 1
    return Seams(recording.name, original.size / rate, joints, power_db, frames_db)


def from_windows(
    damaged: Signal, task: BandwidthExtension, prior: Prior, settings: Settings, order: Literal[1, -1]
) -> Signal:
    """What the engine makes of it, from the windows of the grid taken in the order of time, or from the last on.

    Each window by itself: `restore` would tell it, too, what noise floor the recording had up to there.
    """
    damage = damage_of(task, prior.sample_rate, prior.sample_rate)
    margin, length = prior.whitening.margin, prior.length
    heard, change = Tape(1), Tape(1)
    heard.append(damaged[:, None])
    windows = list(islice(grid(length), grid_size(length, damaged.size)))[::order]
    for i in range(0, len(windows), BATCH):
        batch = windows[i : i + BATCH]
        rows = np.stack([heard.view(it.start - margin, it.start + length + margin)[:, 0] for it in batch])
        waves = restore_windows(
            torch.from_numpy(rows.astype(np.float32)), [it.start for it in batch], damage, prior, settings, 0
        )
        for window, wave in zip(batch, waves.cpu().double().numpy(), strict=True):
            change.add(window.start, (wave * window.weights(length))[:, None])
    return damage.repaired(damaged[:, None], change.take(damaged.size), 0)[:, 0]


def table(results: Sequence[Seams]) -> str:
    lines = ["| recording | seconds | joints | power, dB | frames, dB |", "| --- | ---: | ---: | ---: | ---: |"]
    for it in results:
        lines.append(f"| {it.recording} | {it.seconds:.1f} | {it.joints} | {it.power_db:+.2f} | {it.frames_db:+.2f} |")
    power, frames = ([getattr(it, name) for it in results] for name in ("power_db", "frames_db"))
    missed = "" if abs(np.mean(power)) <= LEVEL_TARGET_DB else " !"
    lines.append(f"| mean ± standard error | | | {_mean(power)}{missed} | {_mean(frames)} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:+.2f}"
    return f"{np.mean(values):+.2f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.2f}"


def verdict(agreement: Agreement) -> str:
    marks = ["" if value <= AGREEMENT_TARGET else " !" for value in (agreement.batch_sizes, agreement.orders)]
    return (
        f"Largest difference relative to full scale: {agreement.batch_sizes:.1e}{marks[0]} between batch sizes 1 and "
        f"{BATCH}, {agreement.orders:.1e}{marks[1]} between the order in time and the reverse."
    )


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder(parser)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cutoff", type=parse_frequency, default="1k")
    parser.add_argument("--prior", default=DEFAULT_PRIOR, help="name or path (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> None:
    prior = load_prior(given.prior, given.device)
    settings = BWE if given.steps is None else replace(BWE, n_steps=given.steps)
    task, rate = BandwidthExtension(given.cutoff), prior.sample_rate

    def restored(damaged: Signal, batch_size: int) -> Signal:
        return restore(damaged[:, None], rate, task, prior, settings, batch_size=batch_size)[:, 0]

    results: list[Seams] = []
    agreement: Agreement | None = None
    clips = load_clips(clean_files(given.folder, given.exclude), rate)
    for recording in recordings(clips, given.seconds):
        damaged = low_passed(recording.samples, rate, given.cutoff)
        usual = restored(damaged, BATCH)
        results.append(measured(recording, usual, prior.length, given.cutoff))
        print(results[-1], flush=True)
        if agreement is None:
            forwards, backwards = (from_windows(damaged, task, prior, settings, order) for order in (1, -1))
            agreement = Agreement(_largest(restored(damaged, 1) - usual), _largest(forwards - backwards))
            print(agreement, flush=True)
    assert agreement is not None
    text = f"{table(results)}\n\n{verdict(agreement)}"
    print(text)
    if given.results:
        write_section("Seams", f"{note(given.cutoff, settings)}\n\n{text}", describe(prior))


def _largest(difference: Signal) -> float:
    return float(np.max(np.abs(difference)))


def note(cutoff_hz: float, settings: Settings) -> str:
    return (
        f"bwe from {cutoff_hz:g} Hz, {settings.n_steps} steps: the level above the cutoff in the overlaps of windows "
        f"against elsewhere, less the original's own difference; by mean power (within {LEVEL_TARGET_DB:g} dB), and by "
        "the mean of levels in dB of short frames."
    )


def main(words: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
