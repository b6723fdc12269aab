"""Tail of the segment files of all replicas: yields each new event once, while the files grow."""

import os
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from marquee.errors import EventError
from marquee.events import Event, decode
from marquee.files.append_only_file import read_complete_lines
from service.telemetry.segment_files import CLOSED_SUFFIX, OPEN_SUFFIX

T = TypeVar("T")


class EventTail:
    """Reader of the events of one kind from all replicas; remembers its position in each segment file."""

    def __init__(self, folder: Path, kind: str = "feedback", since: float = 0.0) -> None:
        """Create a reader that starts with the oldest event.

        Args:
            folder: contains a folder for each replica.
            kind: `feedback` or `exposure`.
            since: UTC seconds; segment files last written before that time are ignored.
        """
        self._folder = folder
        self._kind = kind
        self._since = since
        self._offsets: dict[str, int] = {}  # by replica and segment, without the suffix that closing changes
        self._errors: list[OSError] = []
        self.unparsable_lines = 0  # complete lines that are not events

    def poll(self) -> Iterator[Event]:
        """Yield the events written since the last poll; an incomplete line is left for the next one.

        Each replica's events come in the order of writing; those of several replicas are merged by time.

        Raises:
            OSError: the files of a replica cannot be read. It is raised at the end, after the events of all
                other replicas.
        """
        self._errors = []
        segments = self._list_segments()
        self._offsets = {key: offset for key, offset in self._offsets.items() if key in segments}
        by_replica = groupby(segments.items(), key=lambda segment: segment[1].parent)
        replicas = [self._read_replica([*paths]) for _, paths in by_replica]
        yield from merge(*replicas, key=lambda event: event.time)
        if self._errors:
            raise self._errors[0]

    def _list_segments(self) -> dict[str, Path]:
        paths = {}
        for path in sorted(self._folder.glob(f"*/{self._kind}-*.jsonl*")):
            if path.name.endswith((OPEN_SUFFIX, CLOSED_SUFFIX)):
                name = path.name.removesuffix(OPEN_SUFFIX).removesuffix(CLOSED_SUFFIX)
                paths[f"{path.parent.name}/{name}"] = path
        return paths

    def _read_replica(self, segments: Iterable[tuple[str, Path]]) -> Iterator[Event]:
        """Yield the new events of one replica, oldest segment file first."""
        try:
            for key, path in segments:
                yield from self._read_segment(key, path)
        except OSError as error:
            self._errors.append(error)

    def _read_segment(self, key: str, path: Path) -> Iterator[Event]:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # just renamed or archived, or not readable by this user
            return
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            start = self._offsets.get(key, 0)
            if status.st_size == start or status.st_mtime < self._since:
                return
            if status.st_size < start:
                start = 0
            for line, end in read_complete_lines(file, start):
                try:
                    event = decode(line)
                except EventError:
                    self.unparsable_lines += 1
                    event = None
                # Before the yield: the consumer may stop there, and the event must count as read.
                self._offsets[key] = end
                if event is not None:
                    yield event


def yield_until_os_error(items: Iterable[T], errors: list[str]) -> Iterator[T]:
    """Yield items until an OSError occurs, and append its message to `errors` instead of raising it."""
    try:
        yield from items
    except OSError as error:
        errors.append(f"{type(error).__name__}: {error}")
