"""Failure log: failed and slow requests, read from the files that the gateways write.

A line contains the time in milliseconds since 1970, arm, status, duration in microseconds (- without a
response), hash of the user, and termination state of the session.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from marquee.files.append_only_file import read_complete_lines
from marquee.rollout.arms import ARMS
from marquee.rollout.observation_collector import Failure

MIN_ERROR_STATUS = 500


class FailureLog:
    """Reader of one gateway's failure log; yields each failure once, while the file grows."""

    def __init__(self, path: Path, slow_ms: float) -> None:
        """Create a reader that starts at the beginning of the file, which need not exist yet.

        Args:
            path: the file that the gateway writes.
            slow_ms: duration from which a response counts as slow.
        """
        self._path = path
        self._slow_us = slow_ms * 1000
        self._offset = 0
        self.unparsable_lines = 0  # messages of HAProxy itself

    def poll(self) -> Iterator[Failure]:
        """Yield the failures written since the last poll; an incomplete line is left for the next one."""
        try:
            lines = self._read_lines()
        except OSError:  # the file does not exist, or nothing was added
            return
        for line in lines:
            yield from self._parse(line.lstrip(b"\0").decode(errors="replace"))

    def _read_lines(self) -> list[bytes]:
        """Return the new complete lines. In a rotated file, a hole replaces the lines read before."""
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._offset:
                self._offset = 0
            lines = [*read_complete_lines(file, file.seek(self._offset, os.SEEK_DATA))]
        self._offset = lines[-1][1] if lines else self._offset
        return [line for line, _ in lines]

    def _parse(self, line: str) -> Iterator[Failure]:
        """Yield the failures of a line: none, an error, a slow response, or both."""
        try:
            time_ms, arm, status_text, duration, user, _ = line.split()
            time, status = int(time_ms) / 1000, int(status_text)
            duration_us = int(duration) if duration != "-" else 0
        except ValueError:
            self.unparsable_lines += 1
            return
        if arm not in ARMS or status <= 0:  # the client left before there was a response
            return
        if status >= MIN_ERROR_STATUS:
            yield Failure(time, arm, user, "errors")
        if duration_us >= self._slow_us:
            yield Failure(time, arm, user, "slow")
