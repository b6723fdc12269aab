"""Locks between processes: a file that one of them holds. The kernel releases it when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_locked(path: Path, *, wait: bool) -> int:
    """Lock a file, which is created if necessary; the lock is held until the descriptor is closed.

    Args:
        path: the file, in a folder that exists. It stays when the lock is released.
        wait: for another holder to release it.

    Returns:
        An open file descriptor.

    Raises:
        BlockingIOError: the lock is held already, by this process or another, and `wait` is not set.
    """
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(file)
        raise
    return file


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file within this block; arguments and errors as for `open_locked`."""
    file = open_locked(path, wait=wait)
    try:
        yield
    finally:
        os.close(file)
