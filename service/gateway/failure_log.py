"""What the gateways saw fail or be slow, read from the files that they write.

A line: milliseconds since 1970, arm, status, microseconds (- where nothing was answered), a hash of the
user, how the session ended.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from marquee.files.journal import whole_lines
from marquee.rollout.cohort import ARMS, Failure

FAILED = 500  # statuses from here on


class FailureFile:
    """Reads one gateway's file as it grows, each line once."""

    def __init__(self, path: Path, slow_ms: float) -> None:
        self._path = path
        self._slow_us = slow_ms * 1000
        self._offset = 0
        self.unreadable = 0  # lines that are not ours: HAProxy's own notes

    def poll(self) -> Iterator[Failure]:
        """What was added since; half a line is left for the next time."""
        try:
            lines = self._read()
        except OSError:  # it is not there, or nothing was added
            return
        for line in lines:
            yield from self._failures(line.lstrip(b"\0").decode(errors="replace"))

    def _read(self) -> list[bytes]:
        """What is behind the offset. A file that was begun anew has a hole where its old lines were."""
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._offset:
                self._offset = 0
            found = [*whole_lines(file, file.seek(self._offset, os.SEEK_DATA))]
        self._offset = found[-1][1] if found else self._offset
        return [line for line, _ in found]

    def _failures(self, line: str) -> Iterator[Failure]:
        try:
            at, arm, status, took, user, _ = line.split()
            time, code, microseconds = int(at) / 1000, int(status), int(took) if took != "-" else 0
        except ValueError:
            self.unreadable += 1
            return
        if arm not in ARMS or code <= 0:  # the client left before it was answered
            return
        if code >= FAILED:
            yield Failure(time, arm, user, "errors")
        if microseconds >= self._slow_us:
            yield Failure(time, arm, user, "slow")
