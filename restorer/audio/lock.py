"""A file that is being written says so, and what a killed run left behind does not."""

import os

try:
    import fcntl
except ImportError:  # Windows, where nothing tells a left file from one in work
    fcntl = None  # type: ignore[assignment]


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
