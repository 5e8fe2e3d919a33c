"""Where a recording comes from or goes to."""

from pathlib import Path
from typing import Literal

Place = Path | Literal["-"]
"""A file, a pipe with a name, or "-": standard input or output."""

_STANDARD = ("-", "/dev/stdin", "/dev/stdout", "/dev/fd/0", "/dev/fd/1", "/proc/self/fd/0", "/proc/self/fd/1")


def place_of(name: str | Path) -> Place:
    """What a user may call it, as a Place; standard input and output are "-" by the system's names for them, too."""
    return "-" if str(name) in _STANDARD else Path(name)
