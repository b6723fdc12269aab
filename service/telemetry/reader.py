"""Reading a folder of segments: every whole event, and what was set aside."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import EventError
from marquee.events import Event, decode
from service.telemetry.segments import CLOSED, OPEN


@dataclass
class SetAside:
    """Lines that are no events: half written where a process died, or of another schema."""

    torn: int = 0  # the last line of a segment, without its line break
    foreign: int = 0  # whole lines that cannot be understood


def segments_of(folder: Path, *, opened: bool = True) -> list[Path]:
    """The segments of every replica below a folder, oldest first within a replica."""
    endings = (CLOSED, OPEN) if opened else (CLOSED,)
    return sorted(path for path in folder.glob("*/*.jsonl*") if path.name.endswith(endings))


def read_segment(path: Path, aside: SetAside) -> Iterator[tuple[bytes, Event | None]]:
    """Each line with its event, or None where it is none; counted in `aside`."""
    with path.open("rb") as file:
        for line in file:
            whole = line.endswith(b"\n")
            try:
                event = decode(line) if whole else None
            except EventError:
                event = None
            if event is None:
                aside.foreign += whole
                aside.torn += not whole
            yield line, event


def read_events(folder: Path, aside: SetAside | None = None) -> Iterator[Event]:
    """Every event that lies in a folder of segments, in the order of its replica."""
    aside = SetAside() if aside is None else aside
    for path in segments_of(folder):
        yield from (event for _, event in read_segment(path, aside) if event is not None)
