"""Segments: files of lines that one process appends to, in a folder that it alone writes.

    <replica>/lock                              held while the process lives
    <replica>/feedback-<start>-<number>.jsonl.open   being written
    <replica>/feedback-<start>-<number>.jsonl        closed: nobody writes it any more

A process that dies leaves an open segment, perhaps with half a line at its end. Its successor closes it as it
is and begins another: nothing is ever appended behind half a line. Readers leave the half line out.
"""

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from marquee.files.atomic_write import sync_folder
from marquee.files.journal import append_synced
from marquee.files.lock import locked, open_locked

OPEN, CLOSED = ".jsonl.open", ".jsonl"
LOCK = "lock"
NAMES = 100  # folders tried, where another process that lives has the name


class ReplicaFolder:
    """A folder of segments, held by this process."""

    def __init__(self, root: Path, replica: str) -> None:
        """Take the replica's folder, or one with a number, where another process holds it.

        Raises:
            OSError: no folder can be made here.
        """
        for number in range(1, NAMES):
            self.path = root / (replica if number == 1 else f"{replica}-{number}")
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock = open_locked(self.path / LOCK, wait=False)
            except BlockingIOError:
                continue
            self._close_what_was_left()
            return
        raise OSError(errno.EBUSY, f"{NAMES} processes write events as {replica}")

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._lock)

    def _close_what_was_left(self) -> None:
        for path in sorted(self.path.glob(f"*{OPEN}")):
            path.rename(closed(path))
        sync_folder(self.path)


def close_abandoned(root: Path) -> None:
    """Close what dead processes left open; those that live hold the lock of their folder."""
    for path in sorted(root.glob(f"*/*{OPEN}")):
        with contextlib.suppress(BlockingIOError), locked(path.parent / LOCK, wait=False):
            path.rename(closed(path))


class Segment:
    """One open file: appended to, synced, and closed once."""

    def __init__(self, folder: Path, kind: str, number: int) -> None:
        """Create it, so that it survives a crash of the machine.

        Raises:
            OSError: the disk is full, read-only or broken.
        """
        started = time.time_ns() // 1_000_000
        self.path = folder / f"{kind}-{started}-{number:06d}{OPEN}"
        self._file = os.open(
            self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        self._began = time.monotonic()
        self.size = 0
        sync_folder(folder)

    @property
    def age_s(self) -> float:
        """Seconds since it was created."""
        return time.monotonic() - self._began

    @property
    def removed(self) -> bool:
        """Whether somebody made room by removing it: as long as it is open, its space is not free."""
        return os.fstat(self._file).st_nlink == 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Append lines; on return they are on disk. After an error the segment is to be closed.

        Raises:
            OSError: the disk is full, read-only or broken. What was written of the lines is taken back where
                the disk lets us; where not, a reader sets half a line aside.
        """
        self.size = append_synced(self._file, self.size, lines)

    def close(self) -> None:
        """Nobody appends any more. One without a line goes."""
        os.close(self._file)
        with contextlib.suppress(OSError):  # its successor closes it, where the disk does not let us
            if self.size:
                self.path.rename(closed(self.path))
            else:
                self.path.unlink()
            sync_folder(self.path.parent)


def closed(path: Path) -> Path:
    """The name of a segment once it is closed."""
    return path.with_name(path.name.removesuffix(OPEN) + CLOSED)
