"""What recordings have suffered, and the commands that repair it."""

import json
import os
import shlex
import string
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from restorer.cli.labels import gap_text, write_labels
from restorer.cli.options import Inputs, OverwriteOption
from restorer.cli.speak import SOME_FAILED, one_line, say
from restorer.errors import AudioError, RestorerError, UsageError
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting

if TYPE_CHECKING:
    from restorer.degradation.detect import Findings

_FEW_GAPS = 4  # are written out in the command; more go through labels or are found again
_PLAIN = string.ascii_letters + string.digits + " ./-_"  # what stays itself between $' and '
_Source = Path | Literal["-"]
_Recording = tuple[_Source, Path | None]  # and where its labels go


def detect(
    inputs: Inputs,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line for each recording.")] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            show_default=False,
            help="Write gaps and clicks as Audacity's labels: a file, or for several recordings a folder.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Find lost highs, clipping, gaps and clicks, and say what repairs them.

    restorer detect album/
    """  # fmt: skip
    from restorer.restoration.find import detect_file
    from restorer.restoration.named import each_once, spelled_out

    names, are_several = spelled_out(inputs)
    is_single = len(names) == 1 and not are_several and not Path(names[0]).is_dir()
    found = ((source, _label_file(beside, labels, is_single)) for source, beside in _sources(names))
    recordings = each_once(found, lambda each: each)
    _require_new(recordings, overwrite)
    failed = 0
    for source, target in recordings:
        try:
            findings = detect_file(source)
            typer.echo(_as_json(source, findings) if as_json else "\n".join(_described(source, findings)))
            # What an earlier run wrote must not outlive the gaps it told of.
            if target is not None and (findings.gaps or target.exists()):
                write_labels(target, _labels(findings))
        except RestorerError as error:
            if is_single:
                raise
            say(f"restorer: {one_line(str(error))}")
            failed += 1
    if failed:
        say(f"restorer: {failed} of {len(recordings)} recordings failed")
        raise typer.Exit(SOME_FAILED)


def _sources(names: Sequence[str]) -> Iterator[tuple[_Source, Path]]:
    """Each recording that was named or lies in a folder, and what it is called below the folder."""
    from restorer.restoration.named import sound_files

    if "-" in names and len(names) > 1:
        raise UsageError("- is standard input, which goes alone; name it without other inputs")
    for word in names:
        if word == "-":
            yield "-", Path("standard input")
        elif Path(word).is_dir():
            found = list(sound_files(Path(word), Path(word, ".")))
            if not found:
                raise AudioError(f"{word} has no sound files in it; name another folder, or the files themselves")
            for path in found:
                yield path, path.relative_to(word)
        else:
            yield Path(word), Path(Path(word).name)


def _label_file(beside: Path, labels: str | None, is_single: bool) -> Path | None:
    if labels is None:
        return None
    if is_single and not labels.endswith("/") and not Path(labels).is_dir():
        return Path(labels)
    return Path(labels) / beside.with_name(f"{beside.name}.txt")


def _require_new(recordings: Sequence[_Recording], overwrite: bool) -> None:
    """Raises UsageError where labels would replace a recording or a file, or those of two recordings each other."""
    from restorer.restoration.named import identity

    sources = {there for source, _ in recordings if source != "-" and (there := identity(source))}
    written: dict[Path, _Source] = {}
    for source, target in recordings:
        if target is None:
            continue
        if written.setdefault(target, source) != source:
            raise UsageError(f"{written[target]} and {source} would both have their labels in {target}; rename one")
        if identity(target) in sources:
            raise UsageError(f"{target} is an input, which is never overwritten; choose another --labels")
        if target.exists() and not overwrite:
            raise UsageError(f"{target} exists already; choose another --labels, or replace it with --overwrite")


def _labels(findings: "Findings") -> Iterator[tuple[float, float, str]]:
    from restorer.restoration.find import gap_s

    for gap in findings.gaps:
        only = None if len(gap.channels) == findings.channels else gap.channels
        yield (*gap_s(gap, findings.sample_rate), gap_text(gap.kind, only, gap.confidence))


def _as_json(source: _Source, findings: "Findings") -> str:
    described: dict[str, Any] = {"file": str(source), "seconds": findings.seconds, **asdict(findings)}
    return json.dumps(described)


def _described(source: _Source, findings: "Findings") -> Iterator[str]:
    """A headline, then for each kind of damage what was found and the command that repairs it."""
    from restorer.restoration.find import bwe_task, declip_task, inpaint_task

    channels = "1 channel" if findings.channels == 1 else f"{findings.channels} channels"
    yield f"{one_line(str(source))}: {findings.seconds:.1f} s, {findings.sample_rate} Hz, {channels}"
    if not (findings.cutoffs or findings.clip_levels or findings.gaps):
        yield "  nothing found"
    name = _word(source)
    if findings.cutoffs:
        task, said = bwe_task(findings)
        yield f"  highs: {said}"
        if isinstance(task, BandwidthExtension):
            yield f"    restorer bwe {name} --cutoff {task.cutoff_hz:.0f}"
    if findings.clip_levels:
        task, said = declip_task(findings)
        yield f"  clipping: {said}"
        if isinstance(task, Declipping):
            yield f"    restorer declip {name} --threshold {task.threshold:.6g}"
    if findings.gaps:
        task, said = inpaint_task(findings)
        yield f"  gaps: {said}"
        assert isinstance(task, Inpainting)
        yield f"    restorer inpaint {name} {_gap_words(task)}"


def _word(source: _Source) -> str:
    """How a shell is told the name: not as an option, and what cannot be printed byte by byte."""
    name = f"./{source}" if source != "-" and str(source).startswith("-") else str(source)
    if name.isprintable():
        return shlex.quote(name)
    return "$'" + "".join(chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(name)) + "'"


def _gap_words(task: Inpainting) -> str:
    if not 0 < len(task.gaps_s) <= _FEW_GAPS or task.by_channel_s is not None:  # words are for all channels
        return "--gap auto"
    return " ".join(f"--gap {first:.6f}-{stop:.6f}" for first, stop in task.gaps_s)
