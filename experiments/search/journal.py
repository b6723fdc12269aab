"""The file in which a search on one machine remembers itself: a line an operation, whole or not at all.

Optuna's own file backend is locked by a second file, which a killed process leaves behind for half a minute,
and stops for ever at a line that was cut. This one is locked by the kernel, which lets go of what a dead
process held, and a cut line is cut off before the next is written.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from marquee.errors import MarqueeError

END = b"\n"
PIECE = 1 << 12  # bytes looked at in one go for the end of the last line


class JournalFile(BaseJournalBackend):
    """Optuna's journal in one file, for any number of processes of one machine.

    Args:
        path: the file; it and its folder are made when they are not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets = {0: 0}  # where a line begins; enough to read on where one left off
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The operations from that number on; a line that is still being written is left for next time.

        Raises:
            FileNotFoundError: the file is there no more.
        """
        known = max(number for number in self._offsets if number <= log_number_from)
        with self._path.open("rb") as file:
            file.seek(self._offsets[known])
            place = self._offsets[known]
            for number, line in enumerate(file, start=known):
                if not line.endswith(END):
                    return
                place += len(line)
                self._offsets = {0: 0, number + 1: place}
                if number >= log_number_from:
                    yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, all of them or none.

        Raises:
            MarqueeError: the disk is full, or the file cannot be written; what it held it still holds.
            FileNotFoundError: the file is there no more.
        """
        lines = b"".join(json.dumps(log, separators=(",", ":")).encode() + END for log in logs)
        try:
            with _opened_alone(self._path) as file:
                size = _whole_lines(file)
                try:
                    _write(file, lines)
                except OSError:
                    os.ftruncate(file, size)
                    raise
        except FileNotFoundError:
            raise  # the search is over, and took it away
        except OSError as error:
            raise MarqueeError(
                f"the search cannot write to {self._path} ({error.strerror}): make room, and run it again; "
                "it goes on where it was"
            ) from error


@contextmanager
def _opened_alone(path: Path) -> Iterator[int]:
    """The file, to which nobody else writes meanwhile; the kernel lets go of it when its process dies."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _write(file: int, lines: bytes) -> None:
    """Write all of it at the end: a disk that fills up takes a part first, and refuses the rest."""
    os.lseek(file, 0, os.SEEK_END)
    while lines:
        lines = lines[os.write(file, lines) :]
    os.fsync(file)


def _whole_lines(file: int) -> int:
    """Bytes up to the end of the last whole line; what a killed process left after it is cut off."""
    size = place = os.lseek(file, 0, os.SEEK_END)
    while place:
        start = max(0, place - PIECE)
        found = os.pread(file, place - start, start).rfind(END)
        if found >= 0:
            place = start + found + 1
            break
        place = start
    if place < size:
        os.ftruncate(file, place)
    return place
