"""A file that appears complete or not at all: it is written beside its place first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from restorer.audio.lock import hidden_name
from restorer.errors import RestorerError


@contextmanager
def whole_file(
    path: Path, kind: type[RestorerError], remedy: str, causes: tuple[type[Exception], ...] = ()
) -> Iterator[Path]:
    """A hidden name beside `path`, to be written to; what is there at the end of the block takes the place of `path`.

    Where anything fails, what was at `path` stays, and nothing is left beside it. Raises `kind`, with the remedy, for
    an OSError, for the other errors by which the writer fails (`causes`), and where `path` is a folder or a device.
    """
    failures: tuple[type[Exception], ...] = (OSError, *causes)
    # one name, so that the next run replaces what a killed one left
    partial = path.with_name(f"{hidden_name(path.name)}.partial")
    try:
        if path.exists() and not path.is_file():  # a device would be replaced like a file
            raise kind(f"{path} is not a regular file, and would be replaced by one; {remedy}")
        yield partial
        os.replace(partial, path)
    except failures as error:
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise kind(f"{path} cannot be written ({reason}); {remedy}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
