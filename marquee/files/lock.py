"""File locks between processes. The kernel releases a lock when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def acquire_lock(path: Path, *, wait: bool) -> int:
    """Lock a file and return its descriptor; closing the descriptor releases the lock.

    Args:
        path: created if necessary, in an existing folder; not removed when the lock is released.
        wait: if another holder has the lock, wait until it is released.

    Raises:
        BlockingIOError: `wait` is False and this or another process holds the lock.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file within a `with` block; arguments and errors as for `acquire_lock`."""
    descriptor = acquire_lock(path, wait=wait)
    try:
        yield
    finally:
        os.close(descriptor)
