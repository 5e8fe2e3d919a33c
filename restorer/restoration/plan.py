"""From what was named to what will be done: files and folders in, one job for each recording out.

A file `take.flac` becomes `take.restored.flac` beside it, a folder `album` the folder `album.restored`, and a stream
goes to standard output. A target that is named may be a file for one file, else it is a folder: the tree below a folder
is mirrored in it; of several folders each in one of its name. Of a folder's files those with a sound file's suffix are
taken; what is hidden (a name with a leading dot) is not, nor what lies in the target. The suffix changes where the
format does: a lossy recording becomes FLAC, a FLAC that is called .wav gets its true name. Lists and patterns stand for
what they name, and what they name counts as several.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from restorer.audio import AudioFormat, AudioInfo, open_writer, probe, resampled_length
from restorer.audio.writer import has_room
from restorer.errors import AudioError, RestorerError, UsageError
from restorer.restoration.fit import require_fit
from restorer.restoration.named import EVERYTHING, Chosen, each_once, identity, sound_files, spelled_out
from restorer.restoration.place import Place, place_of
from restorer.restoration.result import keeps_suffix, require_sensible, result_format
from restorer.restoration.task import Task, for_channels
from restorer.restoration.wanted import LIKE_INPUT, Wanted


@dataclass(frozen=True)
class Job:
    """One recording to restore. info: what the source says of itself, None for standard input and named pipes.

    take: which of several versions, counted from 0.
    """

    source: Place
    target: Place
    info: AudioInfo | None
    take: int = 0


@dataclass(frozen=True)
class Refusal:
    """One recording that cannot be restored, and why."""

    source: Path
    error: RestorerError


@dataclass(frozen=True)
class Plan:
    """What will be done. is_single: one file or stream was named, so that its refusal is the failure of all.

    skipped: whose results exist already, or which are such results themselves.
    """

    jobs: tuple[Job, ...]
    refusals: tuple[Refusal, ...]
    is_single: bool
    skipped: tuple[Job, ...] = ()


@dataclass(frozen=True)
class _Found:
    """A source and its target but for the suffix, which depends on what the source is; exact: as the user named it."""

    source: Place
    target: Place
    exact: bool = False


def plan_jobs(
    inputs: Sequence[str],
    out: str | None,
    task: Task | None,
    *,
    overwrite: bool = False,
    wanted: Wanted = LIKE_INPUT,
    is_raw: bool = False,
    sidecar: bool = False,
    chosen: Chosen = EVERYTHING,
    skip_existing: bool = False,
    takes: int = 1,
) -> Plan:
    """Looks at what was named, and touches nothing.

    inputs: files, folders, `-`, lists and patterns, among which `chosen` says what is meant. task: None where each file
    is to tell its own. out: a file or `-` for one file, else a folder (one that exists, or `name/`). skip_existing:
    what has its result already is left out. takes: versions of each recording, NAME.1.EXT and so on where there are
    several.
    is_raw: the one input is nothing but samples. sidecar: a file of facts will stand beside each result.
    UsageError where nothing of it can be done as asked: an output that is an input, two inputs with one output, be it
    standard output. A file that cannot be read, that the task does not fit, or whose target cannot be written or exists
    without `overwrite`, is among the refusals.
    """
    names, are_several = spelled_out(inputs)
    out = "-" if out is not None and place_of(out) == "-" else out
    is_single = len(names) == 1 and not are_several and not Path(names[0]).is_dir()
    if is_raw and not is_single:
        raise UsageError(f"--raw is for one stream or file, and {len(inputs)} inputs or a folder were named; name one")
    seen = _single(names[0], out, chosen) if is_single else _several(names, out, chosen)
    found = each_once(seen, lambda each: (each.source, each.target))
    _require_one_stream(found)
    for target in {"-" if each.target == "-" else "a file" for each in found}:
        require_sensible(wanted, to_stream=target == "-")
        if sidecar and target == "-":
            raise UsageError("--sidecar stands beside a file, and standard output is none; name one by --out")
    if takes > 1 and any("-" in (each.source, each.target) or _is_pipe(Path(each.source)) for each in found):
        raise UsageError("--takes is for files, for a stream is heard once and holds one recording; leave it out")
    if not found:
        raise _nothing_found(", ".join(inputs), chosen)
    jobs: list[Job] = []
    refusals: list[Refusal] = []
    for each in found:
        try:
            jobs += _takes(_job(each, task, wanted, is_raw=is_raw), takes)
        except RestorerError as error:
            assert each.source != "-"
            refusals.append(Refusal(each.source, error))
    skipped: list[Job] = []
    if skip_existing:
        jobs, skipped = _without_done(jobs)
    _require_own_targets(jobs, [each.source for each in found])
    if sidecar:
        _require_own_sidecars(jobs)
    writable: list[Job] = []
    for job in jobs:
        try:
            _require_doable(job, task, wanted, overwrite=overwrite, sidecar=sidecar)
            writable.append(job)
        except RestorerError as error:
            refusals.append(Refusal(Path(job.source), error))
    return Plan(tuple(writable), tuple(refusals), is_single and takes == 1, tuple(skipped))


def _nothing_found(named: str, chosen: Chosen) -> AudioError:
    if chosen == EVERYTHING:
        return AudioError(f"{named} has no sound files in it; name another folder, or the files themselves")
    return AudioError(
        f"{named} has nothing that --include and --exclude let through; name another folder, or other patterns"
    )


def _require_one_stream(found: Iterable[_Found]) -> None:
    """Raises UsageError where several named pipes would follow one another on standard output, as if they were one."""
    streamed = [each.source for each in found if each.target == "-"]
    if len(streamed) > 1:
        raise UsageError(
            f"{streamed[0]} and {streamed[1]} would both go to standard output, which holds one recording; "
            "name a folder for them, as --out FOLDER/"
        )


def _single(word: str, out: str | None, chosen: Chosen) -> Iterator[_Found]:
    if word == "-":
        if out is not None and _is_folder(out):
            raise UsageError(f"--out {out} is a folder, and standard input has no name; name a file in it, or -")
        yield _Found("-", "-" if out in (None, "-") else Path(str(out)), exact=True)
        return
    source = Path(word)
    if not chosen.takes(source):
        return
    if out is None and _is_pipe(source):
        yield _Found(source, "-")
    elif out is None:
        yield _Found(source, source.with_name(f"{source.stem}.restored{source.suffix}"))
    elif out == "-":
        yield _Found(source, "-", exact=True)
    elif _is_folder(out):
        yield _Found(source, Path(out) / source.name)
    else:
        yield _Found(source, Path(out), exact=True)


def _several(inputs: Sequence[str], out: str | None, chosen: Chosen) -> Iterator[_Found]:
    if "-" in inputs:
        raise UsageError("- is standard input, which goes alone; name it without other inputs")
    if out == "-":
        raise UsageError("--out - is one stream, which holds one recording; name a folder for several")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"--out {out} is a file; several recordings need a folder")
    for word in dict.fromkeys(inputs):
        source = Path(word)
        if not source.is_dir():
            yield from _single(word, None if out is None else f"{out}/", chosen)
            continue
        name = Path(os.path.abspath(source)).name
        if out is None:
            target = Path(os.path.abspath(source)).with_name(f"{name}.restored")
        else:
            target = Path(out) if len(inputs) == 1 else Path(out, name)
        for path in sound_files(source, target):
            if chosen.takes(below := path.relative_to(source)):
                yield _Found(path, target / below)


def _job(found: _Found, task: Task | None, wanted: Wanted, *, is_raw: bool) -> Job:
    if found.source == "-" or _is_pipe(found.source):
        return Job(found.source, found.target, None)
    if is_raw:
        if not found.source.exists():
            raise AudioError(f"{found.source} does not exist; check the name")
        is_named = found.exact or found.target == "-"
        return Job(found.source, found.target if is_named else Path(found.target).with_suffix(".wav"), None)
    info = probe(found.source)
    if found.exact or found.target == "-":
        return Job(found.source, found.target, info)
    form = result_format(info.format, wanted, task, None)
    suffix = found.target.suffix if found.source.suffix else ""
    if form.container == info.format.container and keeps_suffix(form, suffix):
        return Job(found.source, found.target, info)
    name = found.target.name.removesuffix(suffix) + form.suffix
    return Job(found.source, found.target.with_name(name), info)


def _takes(job: Job, takes: int) -> list[Job]:
    """A job for each version."""
    if takes == 1 or job.target == "-":
        return [job]
    names = [job.target.with_name(f"{job.target.stem}.{take + 1}{job.target.suffix}") for take in range(takes)]
    return [replace(job, target=name, take=take) for take, name in enumerate(names)]


def _without_done(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """The jobs that are still to be done, and those whose results exist; a result that was named is no input."""
    results = {}
    for job in jobs:
        there = None if job.target == "-" else identity(job.target)
        if there is not None and (job.source == "-" or there != identity(job.source)):
            results[there] = job
    done = {id(job) for job in results.values()}
    todo: list[Job] = []
    skipped: list[Job] = []
    for job in jobs:
        is_result = job.source != "-" and identity(job.source) in results
        (skipped if is_result or id(job) in done else todo).append(job)
    return todo, skipped


def _require_own_targets(jobs: Sequence[Job], named: Iterable[Place]) -> None:
    """Raises UsageError if an output is an input, by whatever name, or that of two inputs.

    named: all inputs, also those that cannot be read: what is damaged may be all that is left of a recording.
    """
    sources = {there for source in named if source != "-" and (there := identity(source))}
    targets: dict[str, Job] = {}
    for job in jobs:
        if job.target == "-":
            continue
        if identity(job.target) in sources:
            raise UsageError(f"{job.target} is an input, which is never overwritten; choose another --out")
        other = targets.setdefault(os.path.realpath(job.target), job)
        if other is not job:
            raise UsageError(
                f"{other.source} and {job.source} would both become {job.target}; "
                "rename one, or restore them one after the other into different folders"
            )


def _require_own_sidecars(jobs: Sequence[Job]) -> None:
    """Raises UsageError if two results, as of take.wav and take.mp3, have one name for their facts."""
    paths: dict[Path, Job] = {}
    for job in jobs:
        other = paths.setdefault(sidecar_path(Path(job.target)), job)
        if other is not job:
            raise UsageError(
                f"{other.source} and {job.source} would both have their facts in {sidecar_path(Path(job.target))}; "
                "rename one, or leave out --sidecar"
            )


def _require_doable(job: Job, task: Task | None, wanted: Wanted, *, overwrite: bool, sidecar: bool) -> None:
    """Raises what would come up after the work has begun: a task that does not fit, a target that cannot be written."""
    if job.info is not None and task is not None:
        require_fit(task, job.info.format.sample_rate, job.info.duration_s, str(job.source))
        for_channels(task, job.info.format.channels, str(job.source))
    heard = AudioFormat("WAV", "PCM_16", 44100, 1) if job.info is None else job.info.format
    wanted = with_room(job, task, wanted)
    open_writer(job.target, result_format(heard, wanted, task, job.target), overwrite=overwrite)
    if sidecar and not overwrite and job.target != "-" and sidecar_path(job.target).exists():
        raise UsageError(f"{sidecar_path(job.target)} exists already; move it, or replace it with --overwrite")


def with_room(job: Job, task: Task | None, wanted: Wanted) -> Wanted:
    """What was asked for; but RF64 where nobody asked for another container and the 4 GiB of WAV are too few.

    Raises AudioError where what was asked for cannot hold so much.
    """
    if job.target == "-" or job.info is None or job.info.frames is None:
        return wanted
    heard = job.info.format
    form = result_format(heard, wanted, task, job.target)
    if has_room(form, resampled_length(job.info.frames, heard.sample_rate, form.sample_rate)):
        return wanted
    if wanted.format is None and form.container in ("WAV", "WAVEX"):
        return replace(wanted, format="rf64")
    raise AudioError(
        f"{job.target} would pass 4 GiB, the most that {form.container} can hold; ask for --format rf64, w64 or flac"
    )


def sidecar_path(target: Path) -> Path:
    """Where the facts about a result stand.

    >>> sidecar_path(Path("cd/take.restored.flac")).name
    'take.restored.restorer.json'
    """
    return target.with_suffix(".restorer.json")


def _is_folder(word: str) -> bool:
    return word.endswith(("/", os.sep)) or Path(word).is_dir()


def _is_pipe(path: Path) -> bool:
    return path.is_fifo()
