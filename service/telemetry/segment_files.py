"""Segment files: append-only JSON lines, in a folder that only one process writes to.

    <replica>/lock                                   locked while the process runs
    <replica>/feedback-<started>-<number>.jsonl.open   being written
    <replica>/feedback-<started>-<number>.jsonl        closed; never written again

A killed process leaves an open segment file, which may end in an incomplete line. The next process of that
replica closes the file unchanged and starts a new one, so nothing is ever appended to an incomplete line.
"""

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from marquee.files.append_only_file import append_and_sync
from marquee.files.atomic_write import sync_folder
from marquee.files.lock import acquire_lock, file_lock

OPEN_SUFFIX, CLOSED_SUFFIX = ".jsonl.open", ".jsonl"
LOCK_FILE = "lock"
MAX_FOLDERS_PER_REPLICA = 100


class ReplicaFolder:
    """Folder of the segment files of one process, locked against other processes."""

    def __init__(self, root: Path, replica: str) -> None:
        """Lock the folder `replica`; if another process has locked it, `replica-2`, then `replica-3`, ...

        Segment files that an earlier process left open are closed.

        Raises:
            OSError: the folder cannot be created, or all numbers are in use.
        """
        for number in range(1, MAX_FOLDERS_PER_REPLICA):
            self.path = root / (replica if number == 1 else f"{replica}-{number}")
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock = acquire_lock(self.path / LOCK_FILE, wait=False)
            except BlockingIOError:
                continue
            _close_segments(self.path)
            return
        raise OSError(errno.EBUSY, f"{MAX_FOLDERS_PER_REPLICA} processes already write events as {replica}")

    def release(self) -> None:
        """Unlock the folder for other processes."""
        os.close(self._lock)


def close_abandoned_segments(root: Path) -> None:
    """Close the segment files that dead processes left open. Folders of running processes are locked."""
    for folder in sorted({path.parent for path in root.glob(f"*/*{OPEN_SUFFIX}")}):
        with contextlib.suppress(BlockingIOError), file_lock(folder / LOCK_FILE, wait=False):
            _close_segments(folder)


class SegmentFile:
    """One open segment file."""

    def __init__(self, folder: Path, kind: str, number: int) -> None:
        """Create the file, and sync its folder so that the file survives a crash of the machine.

        Raises:
            OSError: the disk is full, read-only or broken.
        """
        started_ms = time.time_ns() // 1_000_000
        self.path = folder / f"{kind}-{started_ms}-{number:06d}{OPEN_SUFFIX}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o644)
        self._created_at = time.monotonic()
        self.size = 0  # bytes
        sync_folder(folder)

    @property
    def age_s(self) -> float:
        """Seconds since the file was created."""
        return time.monotonic() - self._created_at

    def append(self, lines: Sequence[bytes]) -> None:
        """Append lines and sync them to disk. After an error, close the file.

        Raises:
            OSError: the disk is full, read-only or broken. The lines are removed again if the disk allows it;
                otherwise the file may end with some of them and an incomplete line, which readers skip.
        """
        self.size = append_and_sync(self._file, self.size, lines)

    def close(self) -> None:
        """Rename the file to its closed name, or delete it if it is empty."""
        os.close(self._file)
        with contextlib.suppress(OSError):  # if this fails, the next process of the replica closes the file
            if self.size:
                self.path.rename(_closed_path(self.path))
            else:
                self.path.unlink()
            sync_folder(self.path.parent)


def _close_segments(folder: Path) -> None:
    """Close all open segment files of a folder that this process has locked."""
    for path in sorted(folder.glob(f"*{OPEN_SUFFIX}")):
        path.rename(_closed_path(path))
    sync_folder(folder)


def _closed_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(OPEN_SUFFIX) + CLOSED_SUFFIX)
