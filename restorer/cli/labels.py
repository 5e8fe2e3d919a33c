"""Audacity's label tracks: a line for each label, start and end in seconds and a text, with tabs between."""

import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from restorer.errors import AudioError, UsageError

Label = tuple[float, float, str]


def read_labels(path: Path) -> tuple[tuple[float, float], ...]:
    """The stretches of a label file, (from, to) in seconds, in its order; the texts are for people.

    Raises AudioError for a file that cannot be read, UsageError with the line for what is no stretch of time.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise AudioError(
            f"{path} does not exist; give a label file, which Audacity or `restorer detect` wrote"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AudioError(f"{path} is not a label file that can be read; export the labels from Audacity") from error
    # A line that begins with a backslash tells the frequencies of the label before it.
    spans = tuple(
        _span(line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("\\")
    )
    if not spans:
        raise UsageError(f"{path} holds no labels; mark the gaps in it, or leave --gaps out")
    return spans


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


def _span(line: str, place: str) -> tuple[float, float]:
    try:
        first, last = (float(word) for word in line.split("\t")[:2])
    except ValueError as error:
        raise UsageError(f"{place}: {line!r} is no label; write start and end in seconds with a tab between") from error
    if not 0 <= first < math.inf or not 0 <= last < math.inf:
        raise UsageError(f"{place}: {line!r} is no stretch of time; start and end are seconds from the beginning")
    if first >= last:
        raise UsageError(f"{place}: the label at {first:g} s has no length; drag it from the gap's start to its end")
    return first, last
