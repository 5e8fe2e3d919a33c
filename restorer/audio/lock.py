"""A file that is being written says so, and what a killed run left behind does not."""

import os
import threading
import zlib

try:
    import fcntl
except ImportError:  # Windows, where nothing tells a left file from one in work
    fcntl = None  # type: ignore[assignment]


folders = threading.Lock()
"""Held while a folder is made, until the first file is in it, and while one is taken away that nobody needs."""


def hidden_name(name: str) -> str:
    """How the name of a file begins that stands beside the file `name` while that is not complete.

    40 characters take at most 160 bytes: it stays below the 255 that file systems allow. The checksum is of all of the
    name, for another file's may begin alike.
    """
    return f".{name[:40]}.{zlib.crc32(os.fsencode(name)):08x}"


def lock(descriptor: int) -> bool:
    """Marks an open file as in work until it is closed; False if another process works on it.

    A file system without locks counts as free.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_left(path: os.PathLike[str]) -> bool:
    """Whether nobody works on that file any more, as far as can be known for certain."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
