"""What was named on a command line: files, folders, patterns in quotes, lists; and which files among them are meant."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import filterfalse
from pathlib import Path, PurePath
from typing import TypeVar

from restorer.audio import SUFFIXES
from restorer.errors import AudioError, UsageError
from restorer.restoration.place import Place, place_of

Found = TypeVar("Found")

_LARGEST_LIST = 1 << 26  # bytes; half a million long paths. What is larger is a recording with an @ before its name


@dataclass(frozen=True)
class Chosen:
    """Shell patterns, of which `*` also matches folders' slashes; nothing in `include` means everything.

    A pattern is held against the path below the folder that was named, or the path of a file as it was named, and
    against each name in it: `*.flac`, `cd2/*` and `bonus` (a folder and all in it) do what they seem to.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, path: PurePath) -> bool:
        """
        >>> Chosen(exclude=("bonus", "*.mp3")).takes(PurePath("cd1/bonus/take.wav"))
        False
        """
        return (not self.include or _matches(path, self.include)) and not _matches(path, self.exclude)


EVERYTHING = Chosen()


def identity(path: Path) -> tuple[int, int] | None:
    """What a file is under all its names, None if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def each_once(found: Iterable[Found], names: Callable[[Found], tuple[Place, Place | None]]) -> list[Found]:
    """Without what was named twice, by whatever name: one recording for one target; names: (source, target) of each."""
    known: dict[object, Found] = {}
    for each in found:
        source, target = names(each)
        known.setdefault((identity(Path(source)) or source, target and os.path.realpath(target)), each)
    return list(known.values())


def _matches(path: PurePath, patterns: Sequence[str]) -> bool:
    names = (path.as_posix(), *path.parts)
    return any(fnmatchcase(name, pattern.rstrip("/")) for pattern in patterns for name in names)


def spelled_out(words: Sequence[str]) -> tuple[list[str], bool]:
    """Each word that is a list (`@list.txt`) or a pattern (`'cd*/*.wav'`) replaced by what it names.

    The flag: whether there was one, so that several recordings are meant, even if one is found. A file whose name looks
    like a list or a pattern is that file, and a pattern that matches nothing stays what it is, as in a shell; `**` goes
    down any number of folders. Standard input is `-`, whatever it was called. Raises AudioError for a list that cannot
    be read.
    """
    named: list[str] = []
    any_replaced = False
    for word in words:
        if os.path.lexists(word):
            named.append(word)
        elif word.startswith("@"):
            named += _listed(word[1:])
            any_replaced = True
        elif glob.has_magic(word) and (found := sorted(filterfalse(_is_stream, glob.glob(word, recursive=True)))):
            named += found
            any_replaced = True
        else:
            named.append(word)
    return ["-" if place_of(word) == "-" else word for word in named], any_replaced


def sound_files(folder: Path, target: Path) -> Iterator[Path]:
    """The sound files in and below a folder, by name, but for the target's; links to folders are not followed.

    Pipes and devices are not among them: one that nobody writes to would be waited for without end.
    """

    def refuse(error: OSError) -> None:
        raise AudioError(f"{error.filename} cannot be looked into ({error.strerror}); check its permissions")

    skipped = os.path.realpath(target)  # where it is the folder itself, its files are refused, not skipped
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name for name in folders if name[0] != "." and os.path.realpath(Path(place, name)) != skipped
        )
        for name in sorted(files):
            path = Path(place, name)
            if name[0] != "." and path.suffix.lower() in SUFFIXES and not _is_stream(path):
                yield path


def _is_stream(path: str | Path) -> bool:
    """A pipe, a socket or a device, which is read only where it is named itself."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _listed(name: str) -> list[str]:
    """One path a line, or between zero bytes as `find -print0` writes them; `-` is standard input. Blank lines go."""
    if not name:
        raise UsageError("@ names no list; write @list.txt, with a path on each line, or @- for standard input")
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(_LARGEST_LIST + 1)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(_LARGEST_LIST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"the list {name} cannot be read ({reason}); check its name and permissions") from error
    if len(raw) > _LARGEST_LIST:
        raise AudioError(
            f"the list {name} is longer than {_LARGEST_LIST >> 20} MiB; give text with a path on each line"
        )
    lines = raw.split(b"\0") if b"\0" in raw else [line.rstrip(b"\r") for line in raw.split(b"\n")]
    paths = [os.fsdecode(line) for line in lines if line.strip()]
    if not paths:
        raise AudioError(f"the list {name} holds no paths; write one on each line")
    if "-" in paths:
        raise UsageError(f"the list {name} holds -, which is standard input; write ./- for a file of that name")
    return paths
