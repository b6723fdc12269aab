"""Following: the events of every replica, read from the segments as they grow."""

import os
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from marquee.errors import EventError
from marquee.events import Event, decode
from marquee.files.journal import whole_lines
from service.telemetry.segments import CLOSED, OPEN

T = TypeVar("T")


class Follower:
    """Reads each line of every replica's events once."""

    def __init__(self, folder: Path, kind: str = "feedback", since: float = 0.0) -> None:
        """Begin at the beginning.

        Args:
            folder: holds a folder for each replica.
            kind: `feedback` or `exposure`.
            since: segments that were written last before it, in UTC seconds, are left out.
        """
        self._folder = folder
        self._kind = kind
        self._since = since
        self._offsets: dict[str, int] = {}  # by replica and segment, open or closed
        self._failed: list[OSError] = []
        self.unreadable = 0  # whole lines that are no event

    def poll(self) -> Iterator[Event]:
        """What was added since, by time as far as each replica wrote it so; a half line is left for later.

        Raises:
            OSError: of a replica that cannot be read, when what the others have was given.
        """
        self._failed = []
        present = {}
        for path in sorted(self._folder.glob(f"*/{self._kind}-*.jsonl*")):
            if path.name.endswith((OPEN, CLOSED)):
                name = path.name.removesuffix(OPEN).removesuffix(CLOSED)
                present[f"{path.parent.name}/{name}"] = path
        self._offsets = {key: offset for key, offset in self._offsets.items() if key in present}
        replicas = groupby(present.items(), key=lambda each: each[1].parent)
        yield from merge(*[self._in_turn([*each]) for _, each in replicas], key=lambda event: event.time)
        if self._failed:
            raise self._failed[0]

    def _in_turn(self, segments: Iterable[tuple[str, Path]]) -> Iterator[Event]:
        """One replica's, oldest segment first."""
        try:
            for key, path in segments:
                yield from self._more(key, path)
        except OSError as error:
            self._failed.append(error)

    def _more(self, key: str, path: Path) -> Iterator[Event]:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # closed or sealed in this moment, or not ours to read
            return
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            start = self._offsets.get(key, 0)
            if status.st_size == start or status.st_mtime < self._since:
                return
            if status.st_size < start:
                start = 0
            for line, end in whole_lines(file, start):
                try:
                    event = decode(line)
                except EventError:
                    self.unreadable += 1
                    event = None
                self._offsets[key] = end  # what was given counts as read, and nothing else
                if event is not None:
                    yield event


def readable(new: Iterable[T], troubles: list[str]) -> Iterator[T]:
    """What a source has that is new, up to an error, which is a trouble; it goes on from there next time."""
    try:
        yield from new
    except OSError as error:
        troubles.append(f"{type(error).__name__}: {error}")
