"""Following: what was fed back to any replica, read from the segments as they grow."""

import os
from collections.abc import Iterator
from pathlib import Path

from marquee.errors import EventError
from marquee.events import Feedback, decode
from service.telemetry.segments import CLOSED, OPEN

PIECE = 4 << 20  # bytes read at a time


class Follower:
    """Reads each line of every replica's feedback once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[str, int] = {}  # by replica and segment, open or closed
        self.unreadable = 0  # whole lines that are no event

    def poll(self) -> Iterator[Feedback]:
        """What was added since; a half line is left for the next time."""
        present = {}
        for path in sorted(self._folder.glob("*/feedback-*.jsonl*")):
            if path.name.endswith((OPEN, CLOSED)):
                name = path.name.removesuffix(OPEN).removesuffix(CLOSED)
                present[f"{path.parent.name}/{name}"] = path
        self._offsets = {key: offset for key, offset in self._offsets.items() if key in present}
        for key, path in present.items():
            yield from self._more(key, path)

    def _more(self, key: str, path: Path) -> Iterator[Feedback]:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # closed or sealed in this moment, or not ours to read
            return
        with os.fdopen(handle, "rb") as file:
            start = self._offsets.get(key, 0)
            if file.seek(0, os.SEEK_END) < start:
                start = 0
            file.seek(start)
            while data := file.read(PIECE):
                whole = data.rfind(b"\n") + 1
                if not whole:
                    break
                self._offsets[key] = start = start + whole
                file.seek(start)
                yield from self._events(data[:whole])

    def _events(self, lines: bytes) -> Iterator[Feedback]:
        for line in lines.splitlines():
            try:
                event = decode(line)
            except EventError:
                self.unreadable += 1
                continue
            if isinstance(event, Feedback):
                yield event
