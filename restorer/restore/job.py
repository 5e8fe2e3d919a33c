"""One recording, from file to file: read, restore, write as it comes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from restorer.audio import AudioFormat, open_reader, open_writer, output_format
from restorer.prior import Prior
from restorer.restore.fit import require_fit
from restorer.restore.settings import Settings
from restorer.restore.stream import Progress, RestoringStream
from restorer.restore.task import Declipping, Task

Place = Path | Literal["-"]

_BLOCK_S = 1.0
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
        notes = _notes(reader.truncated, writer.clipped, reader.format, form)
        return Report(source, target, writer.frames / rate, stream.windows_done, notes)


def _named(form: AudioFormat, target: Place) -> AudioFormat:
    """WAV or FLAC where the target's name says so, in place of the source's container."""
    container = {".wav": "WAV", ".flac": "FLAC"}.get(target.suffix.lower() if isinstance(target, Path) else "")
    same = container is None or form.suffix == (target.suffix.lower() if isinstance(target, Path) else "")
    if container is None or same:
        return form
    subtype = form.subtype if container == "WAV" or form.subtype in ("PCM_16", "PCM_24") else "PCM_24"
    return replace(form, container=container, subtype=subtype)


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
        notes.append(f"{clipped} samples above full scale were held at it; name a .wav as --out to keep them")
    if heard.is_integer and not form.is_integer:
        notes.append("written in floating point, for its peaks may exceed full scale")
    return tuple(notes)
