"""Tail of the segment files of all replicas: yields each new event once, while the files grow."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from marquee.errors import EventError
from marquee.events import Event, decode
from marquee.files.append_only_file import read_complete_lines
from service.telemetry.segment_files import CLOSED_SUFFIX, OPEN_SUFFIX

T = TypeVar("T")
SETTLING_TIME_NS = 2_000_000_000  # a folder that was listed this long after its last change is listed no more


class _SegmentListing:
    """Segment files of one kind; a folder is listed again only if it has changed."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._prefix = folder, f"{kind}-"
        self._listings: dict[str, tuple[int, int, list[str]]] = {}  # change and listing in ns, file names

    def find_paths(self) -> dict[str, Path] | None:
        """Return the files by replica and segment name, sorted; None if nothing has changed.

        Segment names have no suffix, because closing a file changes it.
        """
        try:
            replicas = sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except FileNotFoundError:
            replicas = []
        previous, self._listings = self._listings, {}
        for replica in replicas:
            self._listings[replica] = self._list(replica, previous.get(replica))
        if {name: names for name, (_, _, names) in previous.items()} == {
            name: names for name, (_, _, names) in self._listings.items()
        }:
            return None
        return {
            f"{replica}/{name.partition('.jsonl')[0]}": self._folder / replica / name
            for replica, (_, _, names) in self._listings.items()
            for name in names
        }

    def _list(self, replica: str, previous: tuple[int, int, list[str]] | None) -> tuple[int, int, list[str]]:
        path = self._folder / replica
        try:
            changed_ns = path.stat().st_mtime_ns
        except OSError:  # just deleted
            return 0, 0, []
        if previous is not None and previous[0] == changed_ns and previous[1] - changed_ns > SETTLING_TIME_NS:
            return previous
        listed_ns = time.time_ns()
        with suppress(OSError):  # just deleted, or not readable by this user
            names = [entry.name for entry in os.scandir(path) if entry.name.startswith(self._prefix)]
            return changed_ns, listed_ns, sorted(filter(_is_segment, names))
        return changed_ns, listed_ns, []


def _is_segment(name: str) -> bool:
    return name.endswith((OPEN_SUFFIX, CLOSED_SUFFIX))


class EventTail:
    """Reader of the events of one kind from all replicas; remembers its position in each segment file."""

    def __init__(self, folder: Path, kind: str = "feedback", since: float = 0.0) -> None:
        """Create a reader that starts with the oldest event.

        Args:
            folder: contains a folder for each replica.
            kind: `feedback` or `exposure`.
            since: UTC seconds; segment files last written before that time are ignored.
        """
        self._since = since
        self._listing = _SegmentListing(folder, kind)
        self._unfinished: dict[str, Path] = {}  # segment files that may have further events
        self._finished: set[str] = set()  # closed files that have been read
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
        self._update_segments()
        by_replica = groupby(self._unfinished.items(), key=lambda segment: segment[1].parent)
        replicas = [self._read_replica([*paths]) for _, paths in by_replica]
        yield from merge(*replicas, key=lambda event: event.time)
        if self._errors:
            raise self._errors[0]

    def _update_segments(self) -> None:
        paths = self._listing.find_paths()
        if paths is None:
            paths = self._unfinished
        else:
            self._finished &= paths.keys()
            self._offsets = {key: offset for key, offset in self._offsets.items() if key in paths}
        self._unfinished = {key: path for key, path in paths.items() if key not in self._finished}

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
            if status.st_mtime < self._since or status.st_size == start:
                self._finish_if_closed(key, path)
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
        self._finish_if_closed(key, path)

    def _finish_if_closed(self, key: str, path: Path) -> None:
        if path.name.endswith(CLOSED_SUFFIX):
            self._finished.add(key)


def yield_until_os_error(items: Iterable[T], errors: list[str]) -> Iterator[T]:
    """Yield items until an OSError occurs, and append its message to `errors` instead of raising it."""
    try:
        yield from items
    except OSError as error:
        errors.append(f"{type(error).__name__}: {error}")
