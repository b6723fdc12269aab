"""Event reader: decodes the events in segment files and counts the lines that are not events."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import EventError
from marquee.events import Event, decode
from service.telemetry.segment_files import CLOSED_SUFFIX, OPEN_SUFFIX


@dataclass
class SkippedLines:
    """Number of lines that are not events."""

    torn: int = 0  # incomplete last lines, left by processes that were killed while writing
    invalid: int = 0  # complete lines that cannot be decoded

    @property
    def total(self) -> int:
        """Number of skipped lines of both kinds."""
        return self.torn + self.invalid


def list_segments(folder: Path, *, include_open: bool = True) -> list[Path]:
    """Return the segment files of all replicas below a folder, oldest first within a replica."""
    suffixes = (CLOSED_SUFFIX, OPEN_SUFFIX) if include_open else (CLOSED_SUFFIX,)
    return sorted(path for path in folder.glob("*/*.jsonl*") if path.name.endswith(suffixes))


def read_segment(path: Path, skipped: SkippedLines) -> Iterator[tuple[bytes, Event | None]]:
    """Yield each line with its event, or with None if it is not an event; count those lines in `skipped`."""
    with path.open("rb") as file:
        for line in file:
            is_complete = line.endswith(b"\n")
            try:
                event = decode(line) if is_complete else None
            except EventError:
                event = None
            if event is None and is_complete:
                skipped.invalid += 1
            elif event is None:
                skipped.torn += 1
            yield line, event


def read_events(folder: Path, skipped: SkippedLines | None = None) -> Iterator[Event]:
    """Yield all events in the segment files below a folder, by replica and in the order of writing."""
    skipped = SkippedLines() if skipped is None else skipped
    for path in list_segments(folder):
        yield from (event for _, event in read_segment(path, skipped) if event is not None)
