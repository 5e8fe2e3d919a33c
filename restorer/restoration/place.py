"""Where a recording comes from or goes to."""

from pathlib import Path
from typing import Literal

Place = Path | Literal["-"]
"""A file, a pipe with a name, or "-": standard input or output."""


def place_of(name: str | Path) -> Place:
    """What a user may call it, as a Place."""
    return "-" if name == "-" else Path(name)
