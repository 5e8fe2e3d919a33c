"""One recording, from file to file: read, restore, write as it comes."""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from restorer.audio import AudioFormat, AudioReader, Samples, open_reader, open_writer
from restorer.audio.metadata import NO_METADATA, read_metadata
from restorer.dsp.runs import Span
from restorer.errors import UsageError
from restorer.prior import Prior
from restorer.restoration.ahead import read_ahead, write_behind
from restorer.restoration.batches import Engine, OwnEngine
from restorer.restoration.choice import choices
from restorer.restoration.fit import require_fit
from restorer.restoration.kept import Kept
from restorer.restoration.named import identity
from restorer.restoration.outlet import Outlet
from restorer.restoration.place import Place, place_of
from restorer.restoration.remarks import faults_of, lost_peaks, on_ending, on_gaps, on_idling, on_peaks
from restorer.restoration.result import result_format
from restorer.restoration.settings import Settings, preset_of
from restorer.restoration.stream import Progress, RestoringStream
from restorer.restoration.task import Task
from restorer.restoration.verify import Verification
from restorer.restoration.wanted import LIKE_INPUT, Wanted

_BLOCK_S = 1.0
_LIVE_BATCH = 4  # windows, channels counted, that are restored at once when somebody waits at the end of a pipe


@dataclass(frozen=True)
class Report:
    """What was done: the recording's seconds, the windows that were looked at, and remarks of one line each.

    heard, written: the formats in and out. regions: the synthetic spans in frames of the recording, those nearer than
    regions_apart made one. verification: how far the rest was left alone, None if nobody asked. faults: promises that
    were not kept. copied: nothing had to be restored, so that the target is the source bit for bit.
    """

    source: Place
    target: Place
    seconds: float
    windows: int
    notes: tuple[str, ...]
    heard: AudioFormat
    written: AudioFormat
    regions: tuple[Span, ...] = ()
    regions_apart: int = 0
    verification: Verification | None = None
    faults: tuple[str, ...] = ()
    copied: bool = False


def restore_file(
    source: str | Path,
    target: str | Path,
    task: Task,
    prior: Prior,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    batch_size: int = 8,
    overwrite: bool = False,
    wanted: Wanted = LIKE_INPUT,
    raw: AudioFormat | None = None,
    verify: bool = True,
    progress: Callable[[Progress], None] | None = None,
    kept: Kept | None = None,
    engine: Engine | None = None,
) -> Report:
    """Restores a file, a pipe or "-" (standard input) into another ("-": standard output), in bounded memory.

    settings: None is what was measured to be good for the task (`preset_of`). seed: the same one, the same result.
    batch_size: windows that a GPU restores at once. wanted: another format than the input's. raw: the format of a
    source that is nothing but samples. verify: report how far what was sound stayed so, and read a file back before it
    gets its name. progress: called after each window. kept: windows of an earlier run, to which new ones are added.
    engine: who restores windows, if several recordings share one; its `check` may end the restoration at any time. The
    target appears complete or not at all; where nothing is to be restored it is a copy. Raises UsageError for a task
    that does not fit the recording or a target that exists without overwrite, AudioError for what cannot be read or
    written.
    """
    source, target = place_of(source), place_of(target)
    _require_another(source, target)
    settings = preset_of(task) if settings is None else settings
    engine = OwnEngine(prior, batch_size) if engine is None else engine
    with open_reader(source, raw) as reader:
        heard = reader.format
        name = "standard input" if source == "-" else str(source)
        require_fit(task, heard.sample_rate, _known_s(reader), name)
        form = result_format(heard, wanted, task, target)
        # A pipe may let us wait for ever, which only the main thread can be called away from.
        is_file = source != "-" and source.is_file()
        file = source if source != "-" and is_file and raw is None else None
        stream = RestoringStream(
            task, prior, settings, heard.sample_rate, heard.channels, seed=seed, total=reader.frames,
            batch_size=batch_size if is_file else min(batch_size, _LIVE_BATCH), progress=progress,
            kept=kept, engine=engine,
        )  # fmt: skip
        metadata = NO_METADATA if file is None else read_metadata(file, heard, reader.tags)
        tags = {} if metadata.replaces_strings(form) else reader.tags
        writer = open_writer(
            target, form, overwrite=overwrite, tags=tags, metadata=metadata, read_back=verify, check=engine.check
        )
        with Outlet(writer, task, heard, wanted, seed) as outlet:
            _run(reader, stream, outlet, engine.check, reads_ahead=is_file, writes_behind=is_file and target != "-")
            verifier = outlet.verifier
            verification = verifier.finish()
            copied = (
                file is not None
                and not verifier.regions.spans
                and _is_like_input(heard, wanted, task, target, verification.peak)
                and outlet.copy_instead(file)
            )
    seconds = verifier.frames / heard.sample_rate
    idle = on_idling(task, seconds, copied=copied) if not verifier.regions.spans else []
    choice = choices(task, settings.method, stream, seconds)
    lost = lost_peaks(verification, outlet, heard, wanted) if verify else 0
    peaks = on_peaks(outlet, heard, wanted, lost)
    notes = () if copied else (*choice, *stream.notes, *outlet.doubts, *peaks, *outlet.notes)
    return Report(
        source, target, seconds, stream.windows_done, (*on_ending(reader), *notes, *on_gaps(task, seconds), *idle),
        heard, heard if copied else form, verifier.regions.spans, verifier.regions.apart,
        verification if verify else None, faults_of(verification, outlet, lost) if verify and not copied else (),
        copied,
    )  # fmt: skip


def _require_another(source: Place, target: Place) -> None:
    if source != "-" and target != "-" and source.is_file() and identity(source) == identity(target):
        raise UsageError(f"{target} is the recording itself, which is never overwritten; give the result another name")


def _known_s(reader: AudioReader) -> float | None:
    return None if reader.frames is None else reader.frames / reader.format.sample_rate


def _run(
    reader: AudioReader, stream: RestoringStream, outlet: Outlet, check: Callable[[], None], *, reads_ahead: bool,
    writes_behind: bool,
) -> None:  # fmt: skip
    def deliver(heard_and_done: tuple[Samples, Samples]) -> None:
        heard, done = heard_and_done
        outlet.heard(heard)
        # Nothing was heard: the end. Also when nothing is left, for a recording of no samples is a file of no samples.
        if len(done) or not len(heard):
            outlet.put(done)

    # As far apart as is worked on at once: work begins anew without waiting for what comes or for what goes.
    depth = math.ceil(stream.seconds_at_once / _BLOCK_S) + 1
    arriving = _blocks(reader)
    with (
        read_ahead(arriving, depth) if reads_ahead else nullcontext(arriving) as blocks,
        write_behind(deliver, depth) if writes_behind else nullcontext(deliver) as put,
    ):
        for block in blocks:
            check()
            put((block, stream.push(block)))
        rest = stream.finish()
        put((rest[:0], rest))


def _blocks(reader: AudioReader) -> Iterator[Samples]:
    while len(block := reader.read(round(_BLOCK_S * reader.format.sample_rate))):
        yield block


def _is_like_input(heard: AudioFormat, wanted: Wanted, task: Task, target: Place, peak: float) -> bool:
    """Whether nothing but restored peaks, of which there are none, would have changed the format or the level."""
    changes_peaks = wanted.clip_mode in ("clamp", "rescale") and peak > 1.0
    like_input = result_format(heard, replace(wanted, clip_mode="clamp"), task, target) == heard
    return wanted.bits is None and like_input and not changes_peaks
