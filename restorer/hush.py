"""libmpg123, inside libsndfile, prints its remarks on a damaged MP3 itself: they are neither ours nor of any use."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2

audible = threading.Lock()
"""Held while what is written on standard error must arrive, and while it is silenced."""


@contextmanager
def hushed() -> Iterator[None]:
    """While it lasts, what the process writes on its standard error (descriptor 2) is dropped, whoever writes it but
    for who holds `audible`, and so keeps others waiting for the milliseconds that this should take."""
    with audible:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # there is no standard error
            yield
            return
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, _STDERR)
            os.close(silence)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
