"""What is said to the person, always on standard error: standard output carries sound or data."""

import sys

from restorer.hush import audible

SOME_FAILED = 3
"""The exit code where some of several recordings failed, each of which was told of."""


def say(line: str) -> None:
    """One line on standard error."""
    with audible:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def one_line(message: str) -> str:
    """The message with line breaks and whatever else cannot be printed, such as in a file's name, spelled out."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in message)
