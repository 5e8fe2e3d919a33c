"""One recording, from file to file: read, restore, write as it comes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from restorer.audio import SUFFIXES, AudioFormat, open_reader, open_writer, output_format
from restorer.errors import UsageError
from restorer.prior import Prior
from restorer.restore.fit import require_fit
from restorer.restore.settings import Settings
from restorer.restore.stream import Progress, RestoringStream
from restorer.restore.task import Declipping, Inpainting, Task

Place = Path | Literal["-"]

_BLOCK_S = 1.0
_OTHER_SUFFIXES = {
    "WAV": (".wave",),
    "RF64": (".rf64",),
    "WAVEX": (".wave",),
    "AIFF": (".aif", ".aifc"),
    "AU": (".snd",),
}
_SAFE_THRESHOLD = 0.25  # peaks four times as high as where they were cut are rare


@dataclass(frozen=True)
class Report:
    """What was done: the recording's seconds, the windows that were looked at, and remarks of one line each."""

    source: Place
    target: Place
    seconds: float
    windows: int
    notes: tuple[str, ...]


def restore_file(
    source: Place,
    target: Place,
    task: Task,
    prior: Prior,
    settings: Settings,
    *,
    seed: int = 0,
    batch_size: int = 8,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Restores a file, a pipe or "-" into another; memory does not grow with its length.

    The target appears complete or not at all. Raises UsageError for a task that does not fit the recording or a target
    that exists without overwrite, AudioError for what cannot be read or written.
    """
    with open_reader(source) as reader:
        rate, channels = reader.format.sample_rate, reader.format.channels
        name = "standard input" if source == "-" else str(source)
        require_fit(task, rate, None if reader.frames is None else reader.frames / rate, name)
        stream = RestoringStream(
            task, prior, settings, rate, channels,
            seed=seed, batch_size=batch_size, total=reader.frames, progress=progress,
        )  # fmt: skip
        form = _roomy(_named(output_format(reader.format), target), task)
        with open_writer(target, form, overwrite=overwrite, tags=reader.tags) as writer:
            while len(block := reader.read(round(_BLOCK_S * rate))):
                if len(done := stream.push(block)):
                    writer.write(done)
            # Also when nothing is left: a recording of no samples is a file of no samples.
            writer.write(stream.finish())
        seconds = writer.frames / rate
        notes = _notes(reader.truncated, writer.clipped, reader.format, form)
        return Report(source, target, seconds, stream.windows_done, (*notes, *_unreached(task, seconds)))


def _named(form: AudioFormat, target: Place) -> AudioFormat:
    """WAV or FLAC where the target's name says so; UsageError where it says what the result will not be."""
    suffix = target.suffix.lower() if isinstance(target, Path) else ""
    if suffix == form.suffix or suffix not in SUFFIXES:
        return form
    match suffix:
        case ".wav":
            return replace(form, container="WAV")
        case ".flac" if form.channels <= 8:
            return replace(form, container="FLAC", subtype="PCM_16" if form.subtype == "PCM_16" else "PCM_24")
        case _ if suffix in _OTHER_SUFFIXES.get(form.container, ()):
            return form
    raise UsageError(f"{target} would hold {form.container}, which its name denies; end it in {form.suffix} or .wav")


def _roomy(form: AudioFormat, task: Task) -> AudioFormat:
    """Floating point for restored peaks that may exceed full scale, where the container has it."""
    exceeds = isinstance(task, Declipping) and task.threshold > _SAFE_THRESHOLD
    if exceeds and form.is_integer and form.container in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF"):
        return replace(form, subtype="FLOAT" if (form.bits or 0) <= 24 else "DOUBLE")
    return form


def _notes(truncated: bool, clipped: int, heard: AudioFormat, form: AudioFormat) -> tuple[str, ...]:
    notes = []
    if truncated:
        notes.append("the recording ends before its header says; what is there was restored")
    if clipped:
        notes.append(f"{clipped} samples above full scale were held at it, as {form.subtype} has to")
    if heard.is_integer and not form.is_integer:
        notes.append("written in floating point, for its peaks may exceed full scale")
    return tuple(notes)


def _unreached(task: Task, seconds: float) -> list[str]:
    """Gaps that a stream, whose length nobody knew, turned out not to have."""
    if not isinstance(task, Inpainting):
        return []
    beyond = [gap for gap in task.gaps_s if gap[0] >= seconds]
    return [f"it ends at {seconds:.3f} s, before the gap {first:g}-{stop:g}" for first, stop in beyond]
