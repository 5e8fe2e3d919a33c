"""Audacity's label tracks: a line for each label, start and end in seconds and a text, with tabs between."""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from restorer.errors import AudioError, UsageError
from restorer.restoration.task import Gap, Inpainting, gaps_of

Label = tuple[float, float, str]

_ONLY = re.compile(r".*\bin channels? (\d{1,9}(?:, \d{1,9})*)(?:, confidence [\d.]+)?", re.ASCII)


def gap_text(kind: str, channels: Iterable[int] | None, confidence: float) -> str:
    """What stands behind a gap: its kind, the channels (from 0) that have it, where not all do, and how sure that is.

    >>> gap_text("zero", (0, 2), 0.98)
    'zero in channels 1, 3, confidence 0.98'
    """
    named = [] if channels is None else [str(each + 1) for each in channels]
    only = f" in channel{'s' if len(named) > 1 else ''} {', '.join(named)}" if named else ""
    return f"{kind}{only}, confidence {confidence:.2f}"


def read_labels(path: Path) -> Inpainting:
    """The gaps that a label file marks, each in the channels that its text ends with (`gap_text`), or else in all.

    What else the texts say is for people. Raises AudioError for a file that cannot be read, UsageError with the line
    for what is no stretch of time.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        if str(path) == "-":
            raise UsageError("--gaps - is no file, as labels have to be; name one") from error
        raise AudioError(
            f"{path} does not exist; give a label file, which Audacity or `restorer detect` wrote"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AudioError(f"{path} is not a label file that can be read; export the labels from Audacity") from error
    # A line that begins with a backslash tells the frequencies of the label before it.
    marks = [
        (_span(line, place), _channels(line, place))
        for place, line in ((f"{path}, line {number}", line) for number, line in enumerate(lines, 1))
        if line.strip() and not line.startswith("\\")
    ]
    if not marks:
        raise UsageError(f"{path} holds no labels; mark the gaps in it, or leave --gaps out")
    named = 1 + max((channel for _, only in marks for channel in only or ()), default=-1)
    return gaps_of(
        [[gap for gap, only in marks if only is None or channel in only] for channel in range(named)],
        [gap for gap, only in marks if only is None],
    )


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """Replaces the file at `path`, whose folder is made. Seconds get nine digits: samples stay what they are.

    The file is written whole or not at all. Raises AudioError if it cannot be.
    """
    from restorer.audio.whole import whole_file

    lines = [f"{start:.9f}\t{stop:.9f}\t{text}\n" for start, stop, text in labels]
    with whole_file(path, AudioError, "choose another place by --labels") as partial:
        with suppress(FileExistsError):  # what is no folder there, the writing finds out
            path.parent.mkdir(parents=True)
        partial.write_text("".join(lines), encoding="utf-8")


def _channels(line: str, place: str) -> list[int] | None:
    """The channels, from 0, that a label is for; None: for all."""
    from restorer.audio.format import MAX_CHANNELS

    named = _ONLY.fullmatch(line.rpartition("\t")[2].strip())
    if named is None:
        return None
    channels = [int(word) for word in named[1].split(", ")]
    if not 1 <= min(channels) <= max(channels) <= MAX_CHANNELS:
        raise UsageError(f"{place}: there is no channel {named[1]}; they are counted from 1, to {MAX_CHANNELS} at most")
    return [channel - 1 for channel in channels]


def _span(line: str, place: str) -> Gap:
    try:
        first, last = (float(word) for word in line.split("\t")[:2])
    except ValueError as error:
        raise UsageError(f"{place}: {line!r} is no label; write start and end in seconds with a tab between") from error
    if not 0 <= first < math.inf or not 0 <= last < math.inf:
        raise UsageError(f"{place}: {line!r} is no stretch of time; start and end are seconds from the beginning")
    if first >= last:
        raise UsageError(f"{place}: the label at {first:g} s has no length; drag it from the gap's start to its end")
    return first, last
